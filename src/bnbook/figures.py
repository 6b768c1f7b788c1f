"""Every figure of the book by its permanent id, and the files that readers cite."""

import ast
import base64
import dataclasses
import functools
import hashlib
import io
import itertools
import json
import multiprocessing
import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from IPython.display import HTML, SVG
from matplotlib.figure import Figure as Canvas
from PIL import Image

from bnbook import claims, columns, files, measures, paper, parent, paths, probes
from bnbook.claims import AllResults
from bnbook.config import canonical
from bnbook.drawing import TOY, Figure, korean, series, style
from bnbook.experiments import PLANNED
from bnbook.pictures import explain, network, pitfalls, stepper
from bnbook.records import FIELDS

LICENCE = "CC BY 4.0"
OWN_RUN = "your own run"
# Their live form would be a part of them: they have images, or panels without axes.
UNREAD = {"convolutional-shift", "fig1-all-units"}
# How what figures say is written in their tables.
SIGNS = str.maketrans(
    {"×": "x", "±": "+/-", "−": "-", "²": "^2", "⁶": "^6", "γ": "gamma", "β": "beta", "η": "eta"}
)


def _gathered() -> dict[str, Figure]:
    """The figures of all rooms and the explaining pictures, in the order of the book's table of contents."""
    found = [figure for pictures in (explain, network, stepper, pitfalls) for figure in pictures.FIGURES]
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
    code imports, what the probes printed that it draws, and of the paper the numbers and its experiment's
    claims."""
    figure = FIGURES[name]
    digest = hashlib.sha256(name.encode())
    for file in sorted(imported(figure.code)):
        digest.update(file.read_bytes())
    for name in probed(figure.code):
        digest.update(canonical(probes.recorded(name).facts).encode())
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


@functools.cache
def probed(file: Path) -> tuple[str, ...]:
    """The probes that the code in `file` reads, by the calls in it."""
    calls = [
        node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)
    ]
    return tuple(call.args[0].value for call in calls if ast.unparse(call.func) == "probes.recorded")


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
    planned = _planned(name, folder, results)
    with style.theme():
        canvas, table = _drawn(planned, results)
        files.write(planned.svg, style.svg(canvas))
        files.write(planned.png, style.png(canvas))
    files.write(planned.csv, _csv(table))
    return planned


def _drawn(planned: Exported, results: AllResults, lang: str = "en") -> tuple[Canvas, pd.DataFrame]:
    """The picture in a language, laid out and signed, and its table."""
    figure = FIGURES[planned.svg.stem]
    canvas, table = figure.draw(figure.own(results))
    data, word = planned.data, "data"
    stamp = "" if measures.committed(figure.records(results)) else OWN_RUN
    if lang == "ko":
        korean.translate(canvas)
        data, word, stamp = map(korean.korean, (measures.in_korean(data), word, stamp))
    style.sign(canvas, f"bnbook · {LICENCE} · {word}: {data} · {planned.content_hash}", stamp)
    style.settle(canvas)
    return canvas, table


def _csv(table: pd.DataFrame) -> bytes:
    """ASCII, which every program reads alike: of UTF-8 Excel in Korea makes CP949, unless a byte order mark
    stands before it, which others then take for a part of the first name. Raises ValueError for a sign that
    `SIGNS` has no letters for."""
    text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n").translate(SIGNS)
    if not text.isascii():
        sign = next(sign for sign in text if not sign.isascii())
        raise ValueError(f"a table has {sign!r}, which is not ASCII: write it otherwise, or add it to SIGNS")
    return text.encode("ascii")


def show(name: str, results: Any = None) -> SVG | HTML:
    """The figure `name` drawn from its experiment's `results`, for a notebook to display; where these are not
    the book's, beside the book's own."""
    own = {experiment: results} if (experiment := FIGURES[name].experiment) else {}
    planned, committed = _planned(name, paths.FIGURES, own), manifest(paths.FIGURES)
    if _is_there(planned, committed):
        return SVG(data=planned.svg.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        try:
            drawn = export(name, Path(folder), own).svg.read_text(encoding="utf-8")
        except (ArithmeticError, IndexError, ValueError):
            # Figures are made for runs that end; a reader's may all run away.
            if not (reason := measures.diverged(FIGURES[name].records(own))):
                raise
            return HTML(f"<p>{escape(reason)}</p>")
    if name not in committed or measures.committed(FIGURES[name].records(own)):
        return SVG(data=drawn)
    of_the_book = planned.svg.read_text(encoding="utf-8")
    return HTML(_beside({"책의 결과 · the book's": of_the_book, f"직접 돌린 결과 · {OWN_RUN}": drawn}))


def _beside(pictures: dict[str, str]) -> str:
    """SVGs by caption, side by side where there is room. As images: inlined, their styles and the names in
    them would meet."""
    shown = (
        f'<figure style="flex: 1 1 22em; margin: 0"><figcaption>{escape(caption)}</figcaption>'
        f'<img alt="{escape(caption)}" style="width: 100%" '
        f'src="data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"></figure>'
        for caption, svg in pictures.items()
    )
    return f'<div style="display: flex; flex-wrap: wrap; gap: 1em">{"".join(shown)}</div>'


def export_all(folder: Path, results: AllResults) -> dict[str, dict[str, Any]]:
    """Export what is out of date and write manifest.json: {id: {title, hash, data, files, records}}, and what
    the columns of the CSV files mean (`columns.metadata`).

    A figure whose content hash is that of a committed one is not drawn again: its files are copied.
    """
    before, committed = manifest(folder), manifest(paths.FIGURES)
    plans = {name: _planned(name, folder, results) for name in available(results)}
    for name, planned in plans.items():
        known = dataclasses.replace(planned, **_files(name, paths.FIGURES))
        if not _is_there(planned, before):
            if _is_there(known, committed):
                for file in known.files:
                    files.write(folder / file.name, file.read_bytes())
            else:
                export(name, folder, results)
    return _list(folder, plans, results)


def export_anew(folder: Path, results: AllResults) -> dict[str, dict[str, Any]]:
    """The same, with every figure drawn, side by side on all cores."""
    plans = {name: _planned(name, folder, results) for name in available(results)}
    _side_by_side(_export, list(plans), folder, results)
    return _list(folder, plans, results)


def _list(folder: Path, plans: dict[str, Exported], results: AllResults) -> dict[str, dict[str, Any]]:
    """Write what is said of the figures in `folder`."""
    now, numbers = {}, claims.numbers(results)
    for name, planned in plans.items():
        now[name] = {
            "title": {lang: text(name, lang, "title", numbers) for lang in paper.LANGUAGES},
            "hash": planned.content_hash,
            "data": planned.data,
            "files": [file.name for file in planned.files],
            "records": [str(file) for file in planned.records],
        }
    files.write(folder / "manifest.json", json.dumps(now, indent=1, ensure_ascii=False) + "\n")
    files.write(folder / columns.METADATA, columns.metadata(folder / f"{name}.csv" for name in now))
    return now


def version(name: str, lang: str, narrow: bool = False, dark: bool = False) -> str:
    """The file of a figure as a page shows it: in its language, for a phone or not, by night or by day."""
    return f"{name}.{lang}{'.narrow' * narrow}{'.dark' * dark}.svg"


def has_live_form(name: str) -> bool:
    """Whether readers may read off and toggle the figure's values: of records, not of an explaining picture,
    nor of images or panels without axes (`UNREAD`)."""
    return FIGURES[name].experiment is not None and name not in UNREAD


def live_data(name: str, lang: str) -> str:
    """The script with the numbers of a figure's live form."""
    return f"{name}.{lang}.live.js"


def column_png(name: str, lang: str) -> str:
    """The file of a figure for a column of somebody's page, a pixel for each of CSS: there a picture of twice
    that size would be twice as wide."""
    return f"{name}.{lang}.png"


def export_versions(folder: Path, results: AllResults) -> None:
    """Write into `folder`, where `export_all` has been, what is out of date of all figures' versions.

    Nothing of it is committed: a book is the only one to show it. Raises UntranslatedText.
    """
    state = folder / "versions.json"
    before = files.read_json(state) if state.exists() else {}
    sources = (korean.CATALOGUE, Path(korean.__file__), Path(series.__file__))
    words = hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()
    now = {name: f"{entry['hash']} {words}" for name, entry in manifest(folder).items()}
    languages = paper.LANGUAGES
    kinds = list(itertools.product(languages, (False, True), (False, True)))
    old = [
        name
        for name, digest in now.items()
        if before.get(name) != digest
        or not all((folder / version(name, *kind)).exists() for kind in kinds)
        or (has_live_form(name) and not all((folder / live_data(name, lang)).exists() for lang in languages))
        or not all((folder / column_png(name, lang)).exists() for lang in paper.LANGUAGES)
    ]
    _side_by_side(_export_versions, old, folder, results)
    files.write(state, json.dumps(now, indent=1) + "\n")


def _side_by_side(
    draw: Callable[[str], None], names: Sequence[str], folder: Path, results: AllResults
) -> None:
    """`draw` each of the figures `names`, in a process a core, which has received the others."""
    if names:
        # Processes that are forked need not be sent the records.
        context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        count = min(len(names), os.cpu_count() or 1)
        with ProcessPoolExecutor(count, context, _receive, (folder, results)) as pool:
            list(pool.map(draw, names))


_received: tuple[Path, AllResults]


def _receive(folder: Path, results: AllResults) -> None:
    """What all figures that this process is to draw need."""
    global _received
    _received = folder, results
    os.environ[parent.VARIABLE] = str(os.getppid())
    parent.follow()


def _export(name: str) -> None:
    export(name, *_received)


def _export_versions(name: str) -> None:
    """Write all versions of a figure; by night it is the picture of the day in other colours."""
    folder, results = _received
    planned = _planned(name, folder, results)
    for lang, narrow in itertools.product(paper.LANGUAGES, (False, True)):
        if lang == "en" and not narrow:
            picture, png = planned.svg.read_text(encoding="utf-8"), planned.png.read_bytes()
        else:
            fallbacks = [korean.font()] if lang == "ko" else []
            with style.theme(*fallbacks), style.narrow() if narrow else nullcontext():
                canvas = _drawn(planned, results, lang)[0]
                picture, png = style.svg(canvas), b"" if narrow else style.png(canvas)
        if png:
            files.write(folder / column_png(name, lang), _halved(png))
        files.write(folder / version(name, lang, narrow), picture)
        files.write(folder / version(name, lang, narrow, dark=True), style.dark(picture))
    if has_live_form(name):
        _export_live_data(name, folder, results)


def _export_live_data(name: str, folder: Path, results: AllResults) -> None:
    """Write what the figure shows in each language, as scripts: a local page can read nothing else."""
    with style.theme():
        canvas, table = FIGURES[name].draw(FIGURES[name].own(results))
        for lang in ("en", "ko"):  # in this order: what is translated stays so
            colours = {style.COLOURS[variant]: text for variant, text in style.NAMES.items()}
            if lang == "ko":
                korean.translate(canvas)
                series.relabel(canvas, korean.korean)
                colours = {colour: korean.korean(text) for colour, text in colours.items()}
            found = {"figure": name, "panels": series.panels(canvas, table, colours)}
            text = json.dumps(found, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
            files.write(folder / live_data(name, lang), f"globalThis.bnFigure = {text};\n")


def _halved(png: bytes) -> bytes:
    stream = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        picture.reduce(2).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def manifest(folder: Path) -> dict[str, dict[str, Any]]:
    """What was exported into `folder`, as `export_all` wrote it; nothing where there is no manifest."""
    file = folder / "manifest.json"
    return files.read_json(file) if file.exists() else {}


def _is_there(planned: Exported, exported: dict[str, dict[str, Any]]) -> bool:
    """Whether the planned files are among those `exported`, with the same content."""
    known = exported.get(planned.svg.stem, {}).get("hash")
    return known == planned.content_hash and all(file.exists() for file in planned.files)


def text(name: str, lang: str, field: str, numbers: dict[str, paper.Number]) -> str:
    """The "title", "caption" or "alt" of a figure in "ko" or "en", with its `numbers` (`claims.numbers`)
    filled in. Raises KeyError where the text or one of its numbers is missing."""
    entry = texts(paths.BOOK / "figures" / f"{name}.md")[field][lang]
    return paper.fill(entry, {"": numbers, "paper": paper.numbers(), "probe": probes.numbers()}).strip()


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
