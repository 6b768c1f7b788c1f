"""Every figure of the book by its permanent id, and the files that readers cite."""

import ast
import dataclasses
import functools
import hashlib
import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import yaml
from IPython.display import SVG

from bnbook import claims, measures, paper, paths
from bnbook.claims import AllResults
from bnbook.config import canonical
from bnbook.drawing import TOY, Figure, style
from bnbook.experiments import PLANNED
from bnbook.pictures import explain, network, stepper
from bnbook.records import FIELDS

LICENCE = "CC BY 4.0"


def _gathered() -> dict[str, Figure]:
    """The figures of all rooms and the explaining pictures, in the order of the book's table of contents."""
    found = [figure for pictures in (explain, network, stepper) for figure in pictures.FIGURES]
    for name, room in PLANNED.items():
        found += [
            dataclasses.replace(figure, experiment=name) if figure.stage else figure
            for figure in room.figures.FIGURES
        ]
    contents = (paths.BOOK / "_toc.yml").read_text(encoding="utf-8")
    order = re.findall(r"file: book/figures/([\w-]+)$", contents, re.MULTILINE)
    # One without a page comes last; a test asks for its page.
    place = {name: number for number, name in enumerate(order)}
    return {figure.id: figure for figure in sorted(found, key=lambda one: place.get(one.id, len(place)))}


FIGURES = _gathered()


@dataclasses.dataclass(frozen=True)
class Exported:
    """A figure's files. `data` names the data set; `records` are relative to the repository if inside it."""

    svg: Path
    png: Path
    csv: Path
    records: list[Path]
    content_hash: str
    data: str

    @property
    def files(self) -> list[Path]:
        return [self.svg, self.png, self.csv]


def _files(name: str, folder: Path) -> dict[str, Path]:
    """Where the files of the figure `name` lie in `folder`, by kind."""
    return {kind: folder / f"{name}.{kind}" for kind in ("svg", "png", "csv")}


def source(name: str) -> Path:
    """The file with the code that draws the figure `name`."""
    return FIGURES[name].code


def available(results: AllResults) -> list[str]:
    """The figures that can be drawn: explaining pictures, and those whose records are there."""
    return [
        name
        for name, figure in FIGURES.items()
        if figure.experiment is None or (figure.experiment in results and figure.records(results))
    ]


def content_hash(name: str, results: AllResults) -> str:
    """12 hexadecimal digits over all that decides the figure: its records, the modules of this book that its
    code imports, and of the paper the numbers and its experiment's claims."""
    figure = FIGURES[name]
    digest = hashlib.sha256(name.encode())
    for file in sorted(imported(figure.code)):
        digest.update(file.read_bytes())
    rules = [claim for claim in paper.claims().values() if claim.get("experiment") == figure.experiment]
    for value in (paper.numbers(), rules):
        digest.update(canonical(value).encode())
    for record in figure.records(results):
        digest.update(canonical({field: getattr(record, field) for field in FIELDS}).encode())
    return digest.hexdigest()[:12]


@functools.cache
def imported(file: Path) -> frozenset[Path]:
    """`file` and the modules of this book that it imports, and those that these import. A package counts only
    where a name is taken from it: the table of all experiments decides no figure."""
    found, waiting = set(), {file}
    while waiting:
        one = waiting.pop()
        found.add(one)
        waiting |= _imports(one) - found
    return frozenset(found)


def _imports(file: Path) -> set[Path]:
    """The modules of this book that `file` itself imports from."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "bnbook":
            found |= {_module(f"{node.module}.{one.name}") or _module(node.module) for one in node.names}
    return found


def _module(name: str) -> Path | None:
    """The file of a module of this book; None where there is no module of that name."""
    place = Path(__file__).parent.parent.joinpath(*name.split("."))
    return next((one for one in (place.with_suffix(".py"), place / "__init__.py") if one.exists()), None)


def export(name: str, folder: Path, results: AllResults) -> Exported:
    """Write `folder`/<name>.svg, .png and .csv; the same records and code give the same bytes."""
    figure = FIGURES[name]
    planned = _planned(name, folder, results)
    folder.mkdir(parents=True, exist_ok=True)
    with style.theme():
        canvas, table = figure.draw(figure.own(results))
        style.sign(canvas, f"bnbook · {LICENCE} · data: {planned.data} · {planned.content_hash}")
        canvas.savefig(planned.svg, metadata={"Date": None, "Creator": None})
        canvas.savefig(planned.png, dpi=style.DPI, metadata={"Software": None})
    table.to_csv(planned.csv, index=False, float_format="%.6g", lineterminator="\n")
    return planned


def show(name: str, results: Any = None) -> SVG:
    """The figure `name` drawn from its experiment's `results`, for a notebook to display."""
    own = {experiment: results} if (experiment := FIGURES[name].experiment) else {}
    committed = _planned(name, paths.FIGURES, own)
    if _is_there(committed, manifest(paths.FIGURES)):
        return SVG(data=committed.svg.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        return SVG(data=export(name, Path(folder), own).svg.read_text(encoding="utf-8"))


def export_all(folder: Path, results: AllResults) -> dict[str, dict[str, Any]]:
    """Export what is out of date and write manifest.json: {id: {title, hash, data, files, records}}.

    A figure whose content hash is that of a committed one is not drawn again: its files are copied.
    """
    before, committed = manifest(folder), manifest(paths.FIGURES)
    folder.mkdir(parents=True, exist_ok=True)
    now = {}
    numbers = claims.numbers(results)
    for name in available(results):
        planned = _planned(name, folder, results)
        known = dataclasses.replace(planned, **_files(name, paths.FIGURES))
        if not _is_there(planned, before):
            if _is_there(known, committed):
                for file in known.files:
                    shutil.copy(file, folder)
            else:
                export(name, folder, results)
        now[name] = {
            "title": {lang: text(name, lang, "title", numbers) for lang in paper.LANGUAGES},
            "hash": planned.content_hash,
            "data": planned.data,
            "files": [file.name for file in planned.files],
            "records": [str(file) for file in planned.records],
        }
    _write_manifest(folder, now)
    return now


def manifest(folder: Path) -> dict[str, dict[str, Any]]:
    """What was exported into `folder`, as `export_all` wrote it; nothing where there is no manifest."""
    file = folder / "manifest.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def _is_there(planned: Exported, exported: dict[str, dict[str, Any]]) -> bool:
    """Whether the planned files are among those `exported`, with the same content."""
    known = exported.get(planned.svg.stem, {}).get("hash")
    return known == planned.content_hash and all(file.exists() for file in planned.files)


def _write_manifest(folder: Path, entries: dict[str, dict[str, Any]]) -> None:
    file = folder / "manifest.json"
    temporary = file.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.rename(file)


def text(name: str, lang: str, field: str, numbers: dict[str, paper.Number]) -> str:
    """The "title", "caption" or "alt" of a figure in "ko" or "en", with its `numbers` (`claims.numbers`)
    filled in. Raises KeyError where the text or one of its numbers is missing."""
    entry = texts(paths.BOOK / "figures" / f"{name}.md")[field][lang]
    return paper.fill(entry, {"": numbers, "paper": paper.numbers()}).strip()


def texts(page: Path) -> dict[str, dict[str, str]]:
    """What a figure's page says of it in its front matter: {"title", "caption", "alt"}, each {"ko", "en"}, as
    it is written, with [[key|format]] for a number of ours and [[paper:key]] for one of the paper's. Raises
    KeyError where a page has none, yaml.YAMLError where it is broken."""
    _, _, rest = page.read_text(encoding="utf-8").partition("---\n")
    front, _, _ = rest.partition("\n---\n")
    return (yaml.safe_load(front) or {})["figure"]


def _planned(name: str, folder: Path, results: AllResults) -> Exported:
    """What exporting the figure would give."""
    figure = FIGURES[name]
    found = figure.records(results)
    return Exported(
        **_files(name, folder),
        records=[
            r.path.relative_to(paths.ROOT) if r.path.is_relative_to(paths.ROOT) else r.path for r in found
        ],
        content_hash=content_hash(name, results),
        data=figure.data or (measures.data_name(found) if found else TOY),
    )
