"""The manifest, results/manifest.csv: every file below results/ with its hash, what made it, and what is made
of it. A line a file, sorted, so that two additions merge as lines do.

`write` renews it from what lies there, and refuses what nothing of this book makes. That what lies there is
what was once committed is not for a manifest to say, which can be renewed: see `bnbook.verify`.
"""

import contextlib
import csv
import dataclasses
import hashlib
import io
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bnbook import certificates, claims, figures, files, paper, paths, records
from bnbook.claims import AllResults
from bnbook.experiments import PLANNED
from bnbook.records import MissingRecord, Record

NAME = "manifest.csv"
PROFILES = ("cpu", "paper")  # of committed runs
FIGURES = "make figures"
CERTIFY = "bnbook certify"
# What else lies below results/, by what writes it.
OTHERS = {
    "README.md": "by hand",
    "bench.json": "bnbook bench --commit",
    "figures/csv-metadata.json": FIGURES,
    "figures/manifest.json": FIGURES,
    "mutants.json": "bnbook mutants",
    "probes.json": FIGURES,
    "published.json": "bnbook publish",
    "replay.json": "bnbook replay store",
    "rules-second.json": "by hand",
    "rules.json": 'python -c "from bnbook import claims; claims.register()"',
    "verdicts.json": "bnbook claims --record",
}


class ManifestError(RuntimeError):
    """A manifest that cannot be read or written, and why."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A line: `path` below results/; `command`, to be typed at `commit` ("" for the one that the file was
    committed with), what it took in `seconds` and when it was `made`; `claims` whose statistic looks at it,
    or that are shown in it; `figures` that are drawn from it, or that it is of."""

    path: str
    sha256: str
    command: str
    commit: str = ""
    seconds: str = ""
    made: str = ""
    claims: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()


COLUMNS = tuple(field.name for field in dataclasses.fields(Entry))
LISTS = ("claims", "figures")


def file() -> Path:
    return paths.RESULTS / NAME


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


UNDER_WAY = (".tmp", ".lock")  # what is being written, and the runs that are being made


def there() -> dict[str, Path]:
    """The files below results/ by their path there, but for the manifest, and for what is being written."""
    found = (one for one in paths.RESULTS.rglob("*") if one.is_file() and one.suffix not in UNDER_WAY)
    by_path = {one.relative_to(paths.RESULTS).as_posix(): one for one in found}
    return {path: by_path[path] for path in sorted(by_path) if path != NAME}


# Reading and writing


def read() -> dict[str, Entry]:
    """The lines of the manifest by path. Raises ManifestError."""
    try:
        text = file().read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ManifestError(f"{file()}: not there; `make figures` writes it") from None
    except UnicodeDecodeError:
        raise ManifestError(f"{file()}: not text{files.way_back(file())}") from None
    head, *rows = list(csv.reader(io.StringIO(text))) or [[]]
    if tuple(head) != COLUMNS or any(len(row) != len(COLUMNS) for row in rows):
        raise ManifestError(f"{file()}: not the columns {', '.join(COLUMNS)}; `make figures` writes it anew")
    found = {}
    for row in rows:
        values = dict(zip(COLUMNS, row, strict=True))
        lists = {name: tuple(values.pop(name).split()) for name in LISTS}
        entry = Entry(**values, **lists)  # type: ignore[arg-type]
        if entry.path in found:
            raise ManifestError(f"{file()}: {entry.path} stands there twice; `make figures` writes it anew")
        found[entry.path] = entry
    return found


def write(entries: Iterable[Entry]) -> None:
    """Write these lines, in their order by path."""
    files.write(file(), text(entries))


def text(entries: Iterable[Entry]) -> str:
    stream = io.StringIO()
    out = csv.writer(stream, lineterminator="\n")
    out.writerow(COLUMNS)
    for entry in sorted(entries, key=lambda one: one.path):
        values = dataclasses.asdict(entry)
        out.writerow(" ".join(values[name]) if name in LISTS else values[name] for name in COLUMNS)
    return stream.getvalue()


# What it says today


def today(results: AllResults) -> list[Entry]:
    """The lines for what lies below results/ now. Raises ManifestError on a file that nothing of this book
    makes, and DamagedRecord."""
    known = there()
    made = [*_of_runs(known, results), *_of_figures(known, results), *_of_others(known)]
    if unknown := sorted(known.keys() - {entry.path for entry in made}):
        others = f", and {len(unknown) - 1} more" if unknown[1:] else ""
        raise ManifestError(f"{known[unknown[0]]}: nothing in this book makes such a file; delete it{others}")
    return made


def _of_runs(known: dict[str, Path], results: AllResults) -> Iterator[Entry]:
    """Those of the records and their arrays."""
    commands, recipes = _commands()
    claimed = _by_record(used(results))
    exported = figures.manifest(paths.FIGURES)
    drawn = _by_record(
        {name: {paths.ROOT / one for one in entry["records"]} for name, entry in exported.items()}
    )
    for path in known:
        if path.startswith("runs/") and path.endswith(".json"):
            record = records.read(known[path])
            config = record.config
            command = commands.get(record.path)
            if not command:
                if not 1 <= config.get("recipe", 0) < recipes.get(_kind(config), 0):
                    raise ManifestError(f"{record.path}: the record of a run that no plan has; delete it")
                # Its recipe was replaced since; at its commit the plan still has it.
                command = f"bnbook run {config['experiment']} --profile {PROFILES[0]} --commit"
            entry = Entry(
                path,
                sha256(record.path),
                command,
                **_said(record.provenance),
                claims=claimed.get(record.path, ()),
                figures=drawn.get(record.path, ()),
            )
            yield entry
            if record.arrays_sha256:
                arrays = record.check_arrays()
                beside = arrays.relative_to(paths.RESULTS).as_posix()
                yield dataclasses.replace(entry, path=beside, sha256=sha256(arrays))


def used(results: AllResults) -> dict[str, set[Path]]:
    """By claim the files of the records that its statistic looks at; not of those by which its runs were
    chosen."""
    found = {}
    for name, entry in paper.claims().items():
        with _noticed() as looked_at:
            claims.measured(entry, results)
        found[name] = looked_at
    return found


# By the use of which a record is used.
MEASURED = {"outcome", "curves", "final", "first_losses", "provenance", "arrays", "accuracy", "diverged"}


@contextlib.contextmanager
def _noticed() -> Iterator[set[Path]]:
    """The files of the records whose measurements are looked at within the block."""
    looked_at: set[Path] = set()

    def look(record: Record, name: str) -> Any:
        if name in MEASURED:
            looked_at.add(object.__getattribute__(record, "path"))
        return object.__getattribute__(record, name)

    Record.__getattribute__ = look  # type: ignore[method-assign, assignment]
    try:
        yield looked_at
    finally:
        del Record.__getattribute__


def _commands() -> tuple[dict[Path, str], dict[tuple[str, str], int]]:
    """What makes each committed run of today's plans, by the file of its record; and the newest recipe of
    each experiment's variants. Of a plan as much as is known: later stages are chosen by earlier ones."""
    runs = paths.runs(paths.RESULTS)
    commands: dict[Path, str] = {}
    recipes: dict[tuple[str, str], int] = {}
    for name, experiment in PLANNED.items():
        protocol = experiment.protocol
        for profile, stage in itertools.product(PROFILES, protocol.STAGES):
            with contextlib.suppress(MissingRecord):
                for config, seed in protocol.plan(stage, protocol.PROFILES[profile], [runs]):
                    which = f"--profile {profile} --stage {stage} --run-id {config.run_id} --seed {seed}"
                    commands.setdefault(
                        records.path(runs, config, seed), f"bnbook run {name} {which} --commit"
                    )
                    kind = _kind(config.to_dict())
                    recipes[kind] = max(config.recipe, recipes.get(kind, 0))
    return commands, recipes


def _kind(config: dict[str, Any]) -> tuple[str, str]:
    return config["experiment"], config["variant"]


def _by_record(used: dict[str, set[Path]]) -> dict[Path, tuple[str, ...]]:
    found: dict[Path, list[str]] = {}
    for name in sorted(used):
        for record in used[name]:
            found.setdefault(record, []).append(name)
    return {record: tuple(names) for record, names in found.items()}


def _of_figures(known: dict[str, Path], results: AllResults) -> Iterator[Entry]:
    shown: dict[str, list[str]] = {}
    for claim in claims.board(results):
        if claim.figure:
            shown.setdefault(claim.figure, []).append(claim.id)
    for name, entry in figures.manifest(paths.FIGURES).items():
        for path in (f"figures/{file}" for file in entry["files"]):
            if path in known:
                beside = tuple(sorted(shown.get(name, ())))
                yield Entry(path, sha256(known[path]), FIGURES, claims=beside, figures=(name,))


def _of_others(known: dict[str, Path]) -> Iterator[Entry]:
    for path, command in OTHERS.items():
        if path in known:
            content = files.read_json(known[path]) if path.endswith(".json") else None
            provenance = content.get("provenance") if isinstance(content, dict) else None
            yield Entry(path, sha256(known[path]), command, **_said(provenance or {}))
    for path in known:
        if path.startswith("certificates/"):
            yield of_certificate(known[path])


def of_certificate(file: Path) -> Entry:
    """The line of a certificate. Raises CertificateError."""
    said = _said(certificates.read(file).provenance)
    return Entry(file.relative_to(paths.RESULTS).as_posix(), sha256(file), CERTIFY, **said)


def _said(provenance: dict[str, Any]) -> dict[str, Any]:
    """What a provenance says of how something was made; nothing of none."""
    if not provenance:
        return {}
    seconds = f"{provenance['seconds']:g}"
    return {"commit": provenance["code_commit"], "seconds": seconds, "made": provenance["finished"]}
