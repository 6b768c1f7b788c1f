"""The records as pages, beside the editions: one for each run, an index for each experiment and for all, and
a list for each figure.

They are plain HTML in both languages, made from templates without Sphinx, which would take minutes for so
many. Below `records/` lie the files of results/runs at the same places, JSON and .npz, and beside each JSON
its page.
"""

import ast
import collections
import dataclasses
import functools
import hashlib
import inspect
import json
import os
import re
import shutil
import subprocess
import textwrap
import tokenize
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from docutils import nodes
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

from bnbook import experiments, files, paths, records
from bnbook.config import RunConfig, canonical
from bnbook.experiments import EXPERIMENTS, Experiment, room
from bnbook.paper import LANGUAGES
from bnbook.records import Record
from bnbook.sphinxext import assets, claims, data, metadata, policy
from bnbook.sphinxext.builder import relative
from bnbook.sphinxext.editions import EDITIONS, beside

FOLDER = "records"
TEMPLATES = paths.BOOK / "_templates" / FOLDER
STYLE = TEMPLATES / "records.css"
MEANINGS = paths.BOOK / "records.yml"
# What the index has of a run's end: the first of these that it measured.
TELLING = ("validation_accuracy", "mean_accuracy")
HIDDEN = ("step", "train_seconds")  # columns that are no curves of their own
LOG_FROM = 100  # the ratio of a curve's largest to its smallest value from which its axis is logarithmic
COLOURS = 8
NEAR = 10  # seeds before and after its own that a page leads to: with all, pages would grow with their number


def target(app: Sphinx, figure: str = "") -> str:
    """The page with the records of `figure`, or that with all of them, from the edition's root."""
    page = f"figures/{figure}" if figure else "index"
    return f"{'../' if beside(app) else ''}{FOLDER}/{page}.html"


@dataclasses.dataclass(frozen=True)
class Book:
    """What pages say of the book around the records: `homes` are the editions that they lead to, by language,
    from the folder of the records; `figures` is their manifest (see `bnbook.figures.export_all`)."""

    homes: dict[str, str]
    figures: dict[str, dict[str, Any]]
    repository: str

    @functools.cached_property
    def claims(self) -> dict[str, list[dict[str, Any]]]:
        """The claims beside each figure: {figure: [{page, statement}]}."""
        found: dict[str, list[dict[str, Any]]] = {}
        for claim in claims.board():
            if claim.figure:
                entry = {"page": claims.page(claim.id), "statement": claim.statement}
                found.setdefault(claim.figure, []).append(entry)
        return found

    @functools.cached_property
    def uses(self) -> dict[str, list[str]]:
        """The figures that are drawn from each record, by its path in results/runs."""
        found: dict[str, list[str]] = {}
        for name, entry in self.figures.items():
            for file in entry["records"]:
                found.setdefault(file.removeprefix("results/runs/"), []).append(name)
        return found

    @functools.cached_property
    def commits(self) -> dict[str, str]:
        """The commit that brought each committed record, by its path in the repository; none without the
        repository's address, or without git."""
        if not self.repository:
            return {}
        command = ["git", "log", "--format=%x00%H", "--name-only", "--", "results/runs"]
        try:
            done = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return {}
        found: dict[str, str] = {}
        for entry in done.stdout.split("\0")[1:]:
            commit, *names = entry.split()
            for name in names:
                found.setdefault(name, commit)
        return found

    def source(self, record: str) -> str:
        """The address of a record in the repository at its commit; "" where there is none."""
        commit = self.commits.get(f"results/runs/{record}")
        return f"{self.repository}/blob/{commit}/results/runs/{record}" if commit else ""


def homes(editions: Sequence[str]) -> dict[str, str]:
    """Where the pages of each language lead, of editions that lie beside the records: to its own, or one that
    has it."""
    by_preference = sorted(editions, key=lambda edition: len(EDITIONS[edition]))
    return {
        lang: next((f"../{one}/" for one in by_preference if lang in EDITIONS[one]), f"../{editions[0]}/")
        for lang in LANGUAGES
    }


def export(runs: Path, folder: Path, book: Book) -> None:
    """Write the records in `runs` and their pages into `folder`, where out of date; nothing where there are
    none. Raises DamagedRecord."""
    found = sorted(runs.rglob("seed-*.json"))
    around = {"book": dataclasses.asdict(book), "claims": book.claims, "commits": book.commits}
    protocols = sorted(Path(experiments.__file__).parent.glob("*/protocol.py"))
    code = [
        Path(__file__),
        Path(inspect.getfile(RunConfig)),
        MEANINGS,
        *sorted(TEMPLATES.iterdir()),
        *protocols,
    ]
    state = data.contents(*code, *found, begun=canonical(around))
    stamp = folder / "state.stamp"
    if stamp.exists() and stamp.read_text() == f"{state} {_written(folder)}":
        return
    shutil.rmtree(folder, ignore_errors=True)
    made = [records.read(file) for file in found]
    for name, text in pages(made, runs, book):
        page = folder / name
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(text, encoding="utf-8")
    for record in made:
        shutil.copyfile(record.path, folder / record.path.relative_to(runs))
        if record.arrays_sha256:
            arrays = record.check_arrays()
            shutil.copyfile(arrays, folder / arrays.relative_to(runs))
    files.write(stamp, f"{state} {_written(folder)}")


def _written(folder: Path) -> str:
    """A hash over names, sizes and times of the files in `folder`."""
    stats = ((file, file.stat()) for file in sorted(folder.rglob("*.*")) if file.suffix != ".stamp")
    lines = (f"{file.relative_to(folder)} {stat.st_size} {stat.st_mtime_ns}\n" for file, stat in stats)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def place(made: Path, to: Path) -> None:
    """Put what `export` made into the folder `to` of the site. It is linked where the disk allows it: to copy
    thousands of files would take as long as to make the pages."""
    if not (made / "index.html").exists():
        return
    unsent = shutil.ignore_patterns("*.stamp")
    shutil.copytree(made, to, copy_function=_link, ignore=unsent, dirs_exist_ok=True)


def _link(file: str, to: str) -> None:
    try:
        os.link(file, to)
    except OSError:  # another disk, or the file is there
        shutil.copy2(file, to)


# The pages


@dataclasses.dataclass(frozen=True)
class Run:
    """A record as pages show it: `at` is its path below the records, without its suffix."""

    record: Record
    at: str

    @property
    def config(self) -> dict[str, Any]:
        return self.record.config

    @functools.cached_property
    def end(self) -> tuple[str, str]:
        """What tells most of its end, by name, and how much it is; nothing where it diverged."""
        final = self.record.final
        if self.record.diverged:
            return "", ""
        known = [name for name in ("test_accuracy_population", "test_accuracy", *TELLING) if name in final]
        name = next(iter(known), next((name for name in final if name != "chance_accuracy"), ""))
        return name, shown(name, final[name]) if name else ""


def pages(found: Sequence[Record], runs: Path, book: Book) -> Iterator[tuple[str, str]]:
    """Name and text of every page."""
    template = environment().get_template
    every = [Run(one, one.path.relative_to(runs).with_suffix("").as_posix()) for one in found]
    by_name = {f"{run.at}.json": run for run in every}
    rooms = grouped(every, lambda run: run.config["experiment"])
    rooms = dict(sorted(rooms.items(), key=lambda room: section(room[0])))
    shared = {"book": book, "experiments": EXPERIMENTS}

    if not every:
        return
    yield STYLE.name, STYLE.read_text(encoding="utf-8")
    listed = {name: [by_name[file] for file in own if file in by_name] for name, own in _drawn(book).items()}
    listed = {name: own for name, own in listed.items() if own}
    yield "index.html", template("all.html").render(shared, root="", rooms=rooms, figures=listed)
    for name, own in listed.items():
        parts = grouped(own, lambda run: run.config["experiment"])
        yield (
            f"figures/{name}.html",
            template("figure.html").render(shared, root="../", name=name, parts=parts, tables=tables),
        )
    for name, own in rooms.items():
        drawn = {figure: None for run in own for figure in book.uses.get(f"{run.at}.json", ())}
        yield (
            f"{name}/index.html",
            template("experiment.html").render(
                shared, root="../", name=name, runs=own, drawn=drawn, tables=tables
            ),
        )
        for siblings in grouped(own, lambda run: run.record.path.parent).values():
            siblings = by_seed(siblings)
            settings = fields(siblings[0].config)
            for place, run in enumerate(siblings):
                yield f"{run.at}.html", page(template("record.html"), place, siblings, settings, book)


def fields(config: Mapping[str, Any]) -> Markup:
    """The rows of a table with the configuration, for all of its records."""
    experiment = EXPERIMENTS.get(config["experiment"])
    known = meanings(experiment, config.get("recipe")) if experiment else {}
    rows = [(name, value, known.get(name, {})) for name, value in config.items()]
    return Markup(environment().get_template("fields.html").render(rows=rows))


def page(template: jinja2.Template, place: int, siblings: Sequence[Run], settings: Markup, book: Book) -> str:
    """The page of the record at `place` among its `siblings`, all those of one configuration, which is in
    `settings`."""
    run = siblings[place]
    figures = book.uses.get(f"{run.at}.json", [])
    return template.render(
        book=book,
        root="../../../",
        run=run,
        record=run.record,
        siblings=near(siblings, place),
        seeds=len(siblings),
        settings=settings,
        final=[(name, shown(name, value)) for name, value in run.record.final.items()],
        charts=charts(run.record.curves),
        arrays={name: array.shape for name, array in run.record.arrays.items()},
        figures=figures,
        claims={one["page"]: one for figure in figures for one in book.claims.get(figure, ())},
        source=book.source(f"{run.at}.json"),
    )


def near(siblings: Sequence[Run], place: int) -> Sequence[Run]:
    """Those around the one at `place`, itself among them."""
    middle = min(max(place, NEAR), max(NEAR, len(siblings) - 1 - NEAR))
    return siblings[middle - NEAR : middle + NEAR + 1]


def _drawn(book: Book) -> dict[str, list[str]]:
    """The records of each figure."""
    found: dict[str, list[str]] = {}
    for file, names in book.uses.items():
        for name in names:
            found.setdefault(name, []).append(file)
    return {name: sorted(found[name]) for name in book.figures if name in found}


def section(experiment: str) -> tuple[str, str]:
    """Where an experiment stands in the list of all: by the section of the paper."""
    return (EXPERIMENTS[experiment].section if experiment in EXPERIMENTS else "", experiment)


def grouped(runs: Iterable[Run], key: Any) -> dict[Any, list[Run]]:
    found: dict[Any, list[Run]] = {}
    for run in runs:
        found.setdefault(key(run), []).append(run)
    return found


def by_seed(runs: Iterable[Run]) -> list[Run]:
    return sorted(runs, key=lambda run: run.record.seed)


def tables(runs: Sequence[Run]) -> dict[str, list[tuple[dict[str, Any], list[Run]]]]:
    """By variant, its configurations: the fields that tell them apart, and the runs by seed."""
    found = {}
    for variant, own in grouped(runs, lambda run: run.config["variant"]).items():
        rows = grouped(own, lambda run: run.record.run_id).values()
        told = telling([row[0].config for row in rows])
        ordered = sorted(rows, key=lambda row: [sortable(row[0].config.get(name)) for name in told])
        found[variant] = [
            (
                {name: row[0].config[name] for name in told if name in row[0].config},
                by_seed(row),
            )
            for row in ordered
        ]
    return found


def telling(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The fields in which these configurations differ."""
    names = dict.fromkeys(name for config in configs for name in config)
    return [name for name in names if len({canonical({"": config.get(name)}) for config in configs}) > 1]


def sortable(value: Any) -> tuple[int, float, str]:
    """Numbers in their order, what is none after them."""
    return (0, float(value), "") if isinstance(value, int | float) else (1, 0.0, str(value))


def shown(name: str, value: Any) -> str:
    """A number as pages show it: an accuracy in percent, others to six digits."""
    if "accuracy" in name and isinstance(value, int | float):
        return f"{100 * value:.2f}%"
    return plain(value)


def plain(value: Any) -> str:
    """A setting as it stands in the JSON, numbers to six digits."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, list):
        return ", ".join(map(plain, value)) or "[]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> dict[str, str]:
    """A time in words."""
    for size, units in ((3600, ("시간", "h")), (60, ("분", "min"))):
        if seconds >= size:
            return {lang: f"{seconds / size:.1f} {unit}" for lang, unit in zip(LANGUAGES, units, strict=True)}
    return {"ko": f"{seconds:.3g}초", "en": f"{seconds:.3g} s"}


@functools.cache
def environment() -> jinja2.Environment:
    """What is in a record is text: it is escaped everywhere."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"plain": plain, "duration": duration, "thousands": lambda number: f"{number:,}"}
    made.globals |= {
        "COLOURS": COLOURS,
        "POLICY": Markup(policy.meta(policy.STILL)),
        "STYLE": f"{STYLE.name}{assets.token(STYLE)}",
    }
    return made


# What the fields of a configuration mean


@functools.cache
def meanings(experiment: Experiment, recipe: int | None) -> dict[str, dict[str, str]]:
    """Of each field of the experiment's configurations what book/records.yml says it is, and `code`: what
    stands beside it in the code."""
    config = room(experiment, recipe).protocol.Config
    said = comments(config)
    words = data.read(MEANINGS)
    own = words["experiments"].get(experiment.name, {})
    names = {field.name for field in dataclasses.fields(config)}
    return {
        name: {"code": said.get(name, "")} | words["fields"].get(name, {}) | own.get(name, {})
        for name in names
    }


def comments(config: type[RunConfig]) -> dict[str, str]:
    """What is said beside each field of a configuration, and of those that it is made from."""
    found: dict[str, str] = {}
    for one in reversed(config.__mro__):
        if not issubclass(one, RunConfig):
            continue
        text = textwrap.dedent(inspect.getsource(one))
        beside = {
            token.start[0]: token.string.lstrip("# ")
            for token in tokenize.generate_tokens(StringIO(text).readline)
            if token.type == tokenize.COMMENT
        }
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, ast.AnnAssign)
                and isinstance(node.target, ast.Name)
                and node.lineno in beside
            ):
                found[node.target.id] = beside[node.lineno]
    return found


# Curves


WIDTH, HEIGHT = 360, 200  # of a chart, in the units of its drawing
LEFT, RIGHT, TOP, BOTTOM = 46, 344, 8, 176  # where its axes lie


@dataclasses.dataclass(frozen=True)
class Chart:
    """Some columns of a probe against its steps, laid out: ticks are (place, words), a line is (column,
    path, last value)."""

    probe: str
    kind: str
    x: list[tuple[float, str]]
    y: list[tuple[float, str]]
    lines: list[tuple[str, str, str]]
    log: bool


def charts(curves: Mapping[str, Mapping[str, list]]) -> list[Chart]:
    """Those of a record: columns that measure alike are drawn together."""
    made = []
    for probe, columns in curves.items():
        kinds = collections.defaultdict(dict)
        for name, values in columns.items():
            if name not in HIDDEN and any(value is not None for value in values):
                kinds[kind(name)][name] = values
        made += [chart(probe, one, columns["step"], own) for one, own in kinds.items()]
    return made


def kind(column: str) -> str:
    """What a column measures: "accuracy" of "test_accuracy_population", "layer" of "layer_1"."""
    for known in ("accuracy", "loss"):
        if known in column:
            return known
    words = [word for word in re.split(r"[._]", column) if not word.isdigit()]
    return words[-1] if words else column


def chart(probe: str, name: str, steps: Sequence[int], columns: Mapping[str, list]) -> Chart:
    known = [value for values in columns.values() for value in values if value is not None]
    low, high = min(known), max(known)
    log = name != "accuracy" and low > 0 and high / low >= LOG_FROM
    x_ticks, y_ticks = even(min(steps), max(steps), 5), decades(low, high) if log else even(low, high)
    across = [round(place, 1) for place in scaled(x_ticks, x_ticks, LEFT, RIGHT)]
    up = [round(place, 1) for place in scaled(y_ticks, y_ticks, BOTTOM, TOP, log)]
    x = scaled(steps, x_ticks, LEFT, RIGHT)
    return Chart(
        probe,
        name,
        [(at, brief(tick)) for at, tick in zip(across, x_ticks, strict=True)],
        [
            (at, f"{100 * tick:g}%" if name == "accuracy" else brief(tick))
            for at, tick in zip(up, y_ticks, strict=True)
        ],
        [
            (column, path(x, scaled(values, y_ticks, BOTTOM, TOP, log)), last(column, values))
            for column, values in columns.items()
        ],
        log,
    )


def path(x: Sequence[float], y: Sequence[float]) -> str:
    """A line through what is known, broken where something is not (NaN); a dot for a point alone."""
    parts, pen = [], "M"
    for across, up in zip(x, y, strict=True):
        if up != up:
            pen = "M"
        else:
            parts.append(f"{pen}{across:.1f} {up:.1f}")
            pen = "L"
    return "".join(parts) + "h0"


def scaled(
    values: Sequence[float | None], ticks: Sequence[float], begin: float, end: float, log: bool = False
) -> list[float]:
    """Places of `values` on an axis whose outer ticks lie at `begin` and `end`; NaN where there is none."""
    numbers, ends = np.array(values, float), np.array([ticks[0], ticks[-1]], float)
    if log:
        numbers, ends = np.log10(numbers), np.log10(ends)
    return (begin + (numbers - ends[0]) / (ends[1] - ends[0]) * (end - begin)).tolist()


def even(low: float, high: float, number: int = 4) -> list[float]:
    if low == high:
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    return [float(tick) for tick in MaxNLocator(number, steps=[1, 2, 5, 10]).tick_values(low, high)]


def decades(low: float, high: float) -> list[float]:
    first, end = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    every = -(-(end - first) // 5)
    return [10.0**power for power in range(first, end + every, every)]


def brief(value: float) -> str:
    """A tick's number, short: 0.5, 20k, 1e-8."""
    size = abs(value)
    if size >= 1000 and size < 1e7:
        return f"{value / 1000:g}k".replace("-", "−")
    return f"{value:g}".replace("e-0", "e-").replace("e+0", "e").replace("-", "−")


def last(column: str, values: Sequence[float | None]) -> str:
    return shown(column, next(value for value in reversed(values) if value is not None))


def _ship(app: Sphinx, exception: Exception | None) -> None:
    """Editions that lie side by side share the records beside them; one that is made alone has its own."""
    if exception or app.builder.format != "html" or beside(app):
        return
    source, made = Path(app.srcdir), Path(app.doctreedir, "records")
    book = Book(dict.fromkeys(LANGUAGES, "../"), app.bn_figures, metadata.book(source).repository)
    export(paths.runs(source / "results"), made, book)
    place(made, Path(app.outdir) / FOLDER)


class RecordsRole(SphinxRole):
    """``{records}`all records` ``: a link to the index of all."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        address = relative(self.env.app.builder, self.env.docname, target(self.env.app))
        return [nodes.reference("", self.text, refuri=address, internal=True)], []


def setup(app: Sphinx) -> None:
    app.add_role("records", RecordsRole())
    app.connect("build-finished", _ship)
