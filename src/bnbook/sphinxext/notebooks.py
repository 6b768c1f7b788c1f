"""Notebook pages: executed from records by papermill, their Korean and English cells paired.

In a notebook the two languages are plain Markdown cells, tagged `ko` and `en`, so that JupyterLab shows them
well. They become pairs as in chapters when the page is read; the page shows the executed copy.
"""

import itertools
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sphinx.application import Sphinx
from sphinx.util import logging

from bnbook import figures, files, paths
from bnbook.experiments import EXPERIMENTS
from bnbook.notebooks import NotebookRunError, declared, kernel, run
from bnbook.paper import LANGUAGES
from bnbook.sphinxext import metadata, numbers
from bnbook.sphinxext.data import contents, fingerprint
from bnbook.sphinxext.editions import joined
from bnbook.sphinxext.figures import SHOWN, texts

HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*\s*$")
LINKED = re.compile(r"\[([^\]]+)\]\(\.\./notebooks/(\w+)\.ipynb\)")
USES_BOOK = re.compile(r"\b(from|import) bnbook\b")
KERNELS = 2
ANYWHERE = "00_from_scratch"  # uses nothing of this book
FENCE = re.compile(r"^\s*(`{3,}|~{3,}|:{3,})")

log = logging.getLogger(__name__)


def execute_notebooks(source: Path = paths.NOTEBOOKS, target: Path = paths.BUILD / "notebooks") -> list[Path]:
    """Executes the notebooks of `source` from the committed records into `target`, where out of date.

    The notebook of an experiment whose records are not complete is left out: it would train for hours in the
    middle of a build. One that uses nothing of this book trains, within seconds, and again only when it has
    changed itself. Returns the executed notebooks. Raises NotebookRunError on the first that fails.
    """
    finished = numbers.results()
    drawn = figures.available(finished)
    lacking = {figure.experiment for name, figure in figures.FIGURES.items() if name not in drawn}
    waiting = {e.notebook for name, e in EXPERIMENTS.items() if name not in finished or name in lacking}
    shown = [path for path in sorted(source.glob("*.ipynb")) if path.stem not in waiting]
    outdated = [path for path in shown if not _is_up_to_date(path, target)]
    # Two kernels for two cores, each for every second notebook: a kernel takes longer to start than to show
    # records.
    queues = [queue for number in range(KERNELS) if (queue := outdated[number::KERNELS])]
    with ThreadPoolExecutor(KERNELS) as pool:
        list(pool.map(lambda queue: _execute(queue, target), queues))
    return [target / path.name for path in shown]


def _stamp(executed: Path) -> Path:
    """Beside an executed notebook: the state of what it was made from, and of itself."""
    return executed.with_suffix(".stamp")


def _is_up_to_date(path: Path, target: Path) -> bool:
    executed = target / path.name
    stamp = _stamp(executed)
    return (
        executed.exists() and stamp.exists() and stamp.read_text() == contents(executed, begun=_state(path))
    )


def _state(path: Path) -> str:
    """That of the notebook, and of this book where it uses any of it."""
    return fingerprint(path) if USES_BOOK.search(path.read_text(encoding="utf-8")) else contents(path)


def _execute(queue: list[Path], target: Path) -> None:
    """Execute the notebooks of `queue` into the folder `target`, one after another, in one kernel."""
    with kernel() as running:
        for path in queue:
            executed, state = target / path.name, _state(path)
            _stamp(executed).unlink(missing_ok=True)
            given = {"profile": "cpu"} if "profile" in declared(path) else {}
            run(path, given, executed, running=running)
            check(json.loads(executed.read_text(encoding="utf-8")), path.name)
            files.write(_stamp(executed), contents(executed, begun=state))


def check(notebook: dict[str, Any], name: str) -> None:
    """Raises NotebookRunError where papermill has noted an exception; such a notebook looks finished."""
    if not notebook["metadata"].get("papermill", {}).get("exception"):
        return
    errors = (o for cell in notebook["cells"] for o in cell.get("outputs", []) if o["output_type"] == "error")
    error = next(errors, {"ename": "an exception", "evalue": "its output is missing"})
    raise NotebookRunError(f"{name}: {error['ename']}: {error['evalue']}")


def paired(cells: list[dict[str, Any]], docname: str) -> list[dict[str, Any]]:
    """The cells with every pair of a `ko` and an `en` cell written as a chapter has it.

    The text of both goes to the first and the second is left empty, so that cells keep their numbers. Warns
    of cells that stand alone.
    """
    cells = [
        dict(cell, source="".join(cell["source"]))
        for cell in cells
        if "injected-parameters" not in tags(cell)
    ]
    langs = [language(cell) for cell in cells]
    neighbours = zip([None, *langs], langs, [*langs[1:], None], strict=False)
    for number, (before, lang, after) in enumerate(neighbours, start=1):
        if lang == "ko" and after != "en":
            log.warning(
                "cell %d is tagged ko, but no cell tagged en directly follows it", number, location=docname
            )
        elif lang == "en" and before != "ko":
            log.warning(
                "cell %d is tagged en, but no cell tagged ko stands before it", number, location=docname
            )
        elif lang == "en":
            ko, en = cells[number - 2 : number]
            try:
                ko["source"], en["source"] = pair(ko["source"], en["source"]), ""
            except ValueError as error:
                log.warning("cells %d and %d: %s", number - 1, number, error, location=docname)
    return cells


def tags(cell: dict[str, Any]) -> list[str]:
    return cell["metadata"].get("tags", [])


def language(cell: dict[str, Any]) -> str | None:
    """The language a Markdown cell is tagged with."""
    known = [tag for tag in tags(cell) if tag in LANGUAGES]
    return known[0] if known and cell["cell_type"] == "markdown" else None


def pair(ko: str, en: str) -> str:
    """Two cells as one chapter text. Raises ValueError where their headings or texts do not correspond."""
    korean, english = sections(ko), sections(en)
    if [level for level, _, _ in korean] != [level for level, _, _ in english]:
        raise ValueError("the ko and the en cell have different headings")
    lines = []
    for (level, ko_title, ko_text), (_, en_title, en_text) in zip(korean, english, strict=True):
        if level:
            lines.append(f"{level} {role('ko', ko_title)} {role('en', en_title)}\n")
        if bool(ko_text) != bool(en_text):
            raise ValueError(f"under the heading {ko_title!r} one language has no text")
        if ko_text:
            lines += [block("ko", ko_text), block("en", en_text)]
    return "\n".join(lines)


def sections(text: str) -> list[tuple[str, str, str]]:
    """(heading marks, title, text) of every part; the first has no heading unless the cell opens with one."""
    parts: list[tuple[str, str, list[str]]] = [("", "", [])]
    fence = ""
    for line in text.splitlines():
        marks = FENCE.match(line)
        if marks and not fence:
            fence = marks[1]
        elif marks and line.strip() == marks[1] and marks[1].startswith(fence):
            fence = ""
        heading = HEADING.match(line)
        if heading and not fence:
            parts.append((heading[1], heading[2], []))
        else:
            parts[-1][2].append(line)
    written = [(level, title, "\n".join(lines).strip()) for level, title, lines in parts]
    return [part for part in written if any(part)]


def role(name: str, text: str) -> str:
    ticks = "`" * (longest_run("`", text) + 1)
    return f"{{{name}}}{ticks}{text}{ticks}"


def block(name: str, text: str) -> str:
    colons = ":" * max(3, longest_run(":", text) + 1)
    return f"{colons}{{{name}}}\n{text}\n{colons}"


def longest_run(mark: str, text: str) -> int:
    return max((len(list(run)) for char, run in itertools.groupby(text) if char == mark), default=0)


def _folders(app: Sphinx) -> tuple[Path, Path]:
    return Path(app.srcdir) / "notebooks", Path(app.srcdir) / "build" / "notebooks"


def _prepare(app: Sphinx) -> None:
    execute_notebooks(*_folders(app))


def _swap(app: Sphinx, docname: str, source: list[str]) -> None:
    """Gives the parser the executed notebook, in pairs, instead of the stripped one. In other pages the link
    to a notebook that is not in the book, since its runs are still to be made, is its words alone."""
    path = Path(app.env.doc2path(docname))
    if path.suffix != ".ipynb":
        source[0] = LINKED.sub(
            lambda link: link[0 if f"notebooks/{link[2]}" in app.env.found_docs else 1], source[0]
        )
        return
    executed = _folders(app)[1] / path.name
    app.env.note_dependency(str(executed))
    notebook = json.loads(executed.read_text(encoding="utf-8"))
    check(notebook, path.name)
    notebook["cells"] = paired(notebook["cells"], docname)
    if path.stem == ANYWHERE:
        notebook["cells"][0]["source"] += elsewhere(metadata.book(Path(app.srcdir)))
    for cell in notebook["cells"]:
        alt = cell["metadata"].get("alt")  # by language, where the cell draws a picture of its own
        if shown := SHOWN.search(cell["source"]):
            numbers.note_dependency(app.env)
            alt = texts(Path(app.srcdir), shown[1]).alt
        if alt:
            cell["metadata"]["mystnb"] = {"image": {"alt": joined(alt, app.config.edition)}}
    source[0] = json.dumps(notebook, ensure_ascii=False)


def elsewhere(book: metadata.Book) -> str:
    """Where the first notebook runs without being installed, as a pair; "" while the repository's address on
    GitHub is not known, which both services go by. They open it as it was in this version."""
    owner_and_name = book.repository.removeprefix("https://github.com/")
    if not book.repository or owner_and_name == book.repository:
        return ""
    place, file = f"{owner_and_name}/{{}}v{book.version}", f"notebooks/{ANYWHERE}.ipynb"
    colab = f"[Colab](https://colab.research.google.com/github/{place.format('blob/')}/{file})"
    binder = f"[Binder](https://mybinder.org/v2/gh/{place.format('')}?labpath={quote(file, safe='')})"
    korean = f"설치하지 않고 {colab}이나 {binder}에서 바로 실행할 수 있다."
    english = f"It runs without being installed on {colab} or {binder}."
    return "\n\n" + "\n\n".join([block("ko", korean), block("en", english)])


def setup(app: Sphinx) -> None:
    app.connect("builder-inited", _prepare)
    app.connect("source-read", _swap)
