"""`bnbook new-experiment`: the first draft of a room, with all that belongs to it, ready to run."""

import re
from pathlib import Path
from string import Template

from bnbook import files, paths
from bnbook.config import ConfigError
from bnbook.experiments import PLANNED

HERE = Path(__file__).parent
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def create(name: str, section: str) -> list[Path]:
    """Write the files of the experiment `name` about `section` of the paper, and its lines in the table of
    names and the book's contents; returns the files written. Raises ConfigError where the name is none for a
    Python package, or taken."""
    if not NAME.fullmatch(name):
        raise ConfigError(f"name is {name!r}; it must be words in small letters, joined by underscores")
    if name in PLANNED:
        raise ConfigError(f"name is {name!r}; there is an experiment of that name")
    number = 1 + max(experiment.number for experiment in PLANNED.values())
    words = {
        "name": name,
        "section": section,
        "figure": name.replace("_", "-"),
        "title": name.replace("_", " ").capitalize(),
    }
    made = {
        paths.ROOT / target: Template((HERE / source).read_text(encoding="utf-8")).substitute(words)
        for source, target in _places(number, words).items()
    }
    row = f'        Experiment({number}, "{name}", "{section}"),\n'
    lines = {  # what goes before which line of the contents
        "- caption: 그 뒤 · Afterwards\n": f"  - file: book/{name}\n",
        "  - file: book/figures/index\n": f"      - file: notebooks/{number:02d}_{name}\n",
        "      - file: book/figures/pic-sgd\n": f"      - file: book/figures/{words['figure']}\n",
    }
    names, contents = paths.ROOT / "src/bnbook/experiments/__init__.py", paths.BOOK / "_toc.yml"
    # All of the new texts first, so that nothing is written where one cannot be made.
    changed = {
        names: _with(names, {"    ]\n}\n": row}),
        contents: _with(contents, lines),
    }
    packages = {file.parent / "__init__.py": "" for file in made if file.suffix == ".py"}
    for file, text in (packages | made | changed).items():
        files.write(file, text)
    return list(made)


def _places(number: int, words: dict[str, str]) -> dict[str, Path]:
    """Where each draft goes, relative to the repository."""
    name = words["name"]
    room, tests = Path("src/bnbook/experiments") / name, Path("tests/experiments") / name
    parts = ("protocol", "training", "measures", "figures")
    return {f"{part}.py.txt": room / f"{part}.py" for part in parts} | {
        "synthetic.py.txt": tests / "synthetic.py",
        "test_room.py.txt": tests / f"test_{name}.py",
        "chapter.md.txt": Path("book") / f"{name}.md",
        "figure.md.txt": Path("book/figures") / f"{words['figure']}.md",
        "notebook.ipynb.txt": Path("notebooks") / f"{number:02d}_{name}.ipynb",
    }


def _with(file: Path, lines: dict[str, str]) -> str:
    """The text of `file` with each of `lines` before its anchor, which stands there once; raises ConfigError
    where it does not."""
    text = file.read_text(encoding="utf-8")
    for anchor, line in lines.items():
        if text.count(anchor) != 1:
            raise ConfigError(
                f"{file} has {text.count(anchor)} times {anchor.strip()!r}; add {line.strip()!r} by hand"
            )
        text = text.replace(anchor, line + anchor)
    return text
