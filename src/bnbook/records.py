"""Training records: the schema, atomic writing, strict reading.

One finished run is one JSON file (configuration, outcome, curves as columns, provenance) and, where it
measured arrays, one .npz file beside it. A record is final: it is written once, complete, and never
overwritten. The JSON is written last and holds the checksum of the .npz, so a record that exists is whole.

What a disk, an editor or a stranger made of it since is found at reading: a record that is not sound, or does
not lie where its run belongs, is damaged. A committed one is for git to bring back; one of the reader's own
is set aside by whoever can make it again (`usable`).
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import zipfile
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np

from bnbook import files, paths
from bnbook.config import RunConfig, digest

SCHEMA = 1


class RecordError(RuntimeError):
    """A record that cannot be trusted or written, with the file's name and the reason."""


class MissingRecord(RecordError):
    """A record that has not been made yet."""


class DamagedRecord(RecordError):
    """A record that is there and cannot be trusted."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """One finished run.

    `outcome` is `{"status": "done" | "diverged", "step": k}`. `curves[probe][column]` are lists of equal
    length, each probe with a column "step". `final` holds the end point's numbers. `first_losses` are the
    mini-batch losses of the first steps, for replay. `provenance` tells what made the record.
    """

    schema: int
    run_id: str
    config: dict[str, Any]
    seed: int
    outcome: dict[str, Any]
    curves: dict[str, dict[str, list]]
    final: dict[str, float]
    first_losses: list[float]
    provenance: dict[str, Any]
    arrays_sha256: str | None
    path: Path = dataclasses.field(compare=False)

    @property
    def diverged(self) -> bool:
        return self.outcome["status"] == "diverged"

    @property
    def accuracy(self) -> float:
        """Test accuracy (0 to 1) at the end point: with population statistics (Algorithm 2) where the
        network normalizes, as is where it does not; chance, 1 over the number of classes, if it diverged."""
        if self.diverged:
            return self.final["chance_accuracy"]
        return self.final.get("test_accuracy_population", self.final["test_accuracy"])

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays beside the record; raises DamagedRecord where the file was altered."""
        if self.arrays_sha256 is None:
            return {}
        file = self.check_arrays()
        try:
            with np.load(file, allow_pickle=False) as archive:
                return dict(archive)
        except Exception as error:  # whatever NumPy says of bytes that are no arrays
            raise damaged(file, f"holds no arrays ({type(error).__name__})") from None

    def check_arrays(self) -> Path:
        """The file of the arrays, where there are any; raises DamagedRecord where it is not the one that was
        written with the record."""
        file = self.path.with_suffix(".npz")
        if self.arrays_sha256 is not None and not (file.is_file() and _sha256(file) == self.arrays_sha256):
            raise damaged(file, "missing or altered")
        return file


FIELDS = tuple(field.name for field in dataclasses.fields(Record) if field.name != "path")


def path(runs: Path, config: RunConfig, seed: int) -> Path:
    """Where the record of this run lies: runs/<experiment>/<variant>/<run id>/seed-<k>.json."""
    return runs / config.experiment / config.variant / config.run_id / f"seed-{seed}.json"


def write(record: Record, arrays: dict[str, np.ndarray], replace: bool = False) -> Record:
    """Write `record` at its path, arrays first. A sound record that is there is of the same run: it is never
    overwritten but returned instead, unless it is to be replaced. Raises RecordError on one that could not
    be read again, or lies damaged among the committed ones."""
    if replace:
        remove(record.path)
    elif there := _usable(record.path):
        return there
    if arrays:
        _write_npz(record.path.with_suffix(".npz"), arrays)
        record = dataclasses.replace(record, arrays_sha256=_sha256(record.path.with_suffix(".npz")))
    values = {name: getattr(record, name) for name in FIELDS}
    # A NaN is not JSON: a diverged run records where it stopped, never the NaN itself.
    text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    if flaw := _flaw(files.parsed(text.encode(), record.path, plain=True), record.path):
        raise RecordError(f"{record.path}: not written, since it could not be read: {flaw}")
    files.write(record.path, text)
    return record


def remove(file: Path) -> None:
    """Delete the record in `file`, with its arrays, where it is there."""
    file.unlink(missing_ok=True)
    file.with_suffix(".npz").unlink(missing_ok=True)


# Reading


def read(file: Path) -> Record:
    """The record in `file`; raises MissingRecord where there is none, and DamagedRecord, in one line, on
    anything but a sound record of the run that belongs there. Its arrays are looked at when they are asked
    for."""
    try:
        values = files.read_json(file, plain=True)
    except (FileNotFoundError, NotADirectoryError):
        raise MissingRecord(f"{file}: no such record") from None
    except files.FileError as error:
        raise DamagedRecord(str(error)) from None
    except IsADirectoryError:
        raise damaged(file, "a folder, where a record should be") from None
    except OSError as error:
        raise RecordError(f"{file}: {error.strerror}") from None
    if flaw := _flaw(values, file):
        raise damaged(file, flaw)
    return Record(**values, path=file)


def find(folders: Sequence[Path], config: RunConfig, seed: int) -> Record | None:
    """The record of this run in the first of `folders` (runs folders) that has it, or None."""
    for runs in folders:
        with contextlib.suppress(MissingRecord):
            return read(path(runs, config, seed))
    return None


def usable(folders: Sequence[Path], config: RunConfig, seed: int) -> Record | None:
    """As `find`, for who can make the run: a damaged record of the reader's own, or one whose arrays are, is
    named, set aside, and counts as not there. Raises DamagedRecord on a committed one."""
    found = (_usable(path(runs, config, seed)) for runs in folders)
    return next(filter(None, found), None)


def whole(file: Path) -> bool:
    """Whether a sound record lies in `file`, with its arrays."""
    try:
        read(file).check_arrays()
    except RecordError:
        return False
    return True


def _usable(file: Path) -> Record | None:
    try:
        record = read(file)
        record.check_arrays()
        return record
    except MissingRecord:
        return None
    except DamagedRecord as error:
        if file.is_relative_to(paths.RESULTS):
            raise
        files.warn_once(f"{error}; it is set aside as {file.name}.damaged, and the run is made again")
        for one in (file, file.with_suffix(".npz")):
            files.set_aside(one)
        return None


def load(folders: Sequence[Path], config: RunConfig, seeds: Sequence[int]) -> list[Record]:
    """The records of `config` for all `seeds`, in order; raises MissingRecord for the first not there."""
    found = []
    for seed in seeds:
        record = find(folders, config, seed)
        if record is None:
            where = path(folders[0], config, seed)
            raise MissingRecord(f"{where}: not made yet; `make reproduce` with the same PROFILE makes it")
        found.append(record)
    return found


def damaged(file: Path, flaw: str) -> DamagedRecord:
    """The error that says what is wrong with `file`, and how git mends it where git can."""
    return DamagedRecord(f"{file}: {flaw}{files.way_back(file)}")


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _write_npz(file: Path, arrays: dict[str, np.ndarray]) -> None:
    """An .npz with fixed time stamps, so that the same arrays give the same bytes."""
    with files.writing(file) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(arrays):
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(arrays[name]), allow_pickle=False)


# What a sound record holds. Its words reach pages and terminals (`files.parsed` lets no markup through), its
# numbers are computed with.


def _flaw(values: Any, file: Path) -> str:
    """What is wrong with the contents of a record that lies in `file`; "" where nothing is."""
    if not isinstance(values, dict):
        return "not a record"
    if values.get("schema") != SCHEMA:
        return f"schema {values.get('schema')!s:.40}, but this code reads schema {SCHEMA}"
    if set(values) != set(FIELDS):
        return f"unknown or missing keys: {', '.join(sorted(set(values) ^ set(FIELDS))):.80}"
    for name, (sound, kind) in SOUND.items():
        if not sound(values[name]):
            return f"{name} must be {kind}"
    run_id, config, seed = values["run_id"], values["config"], values["seed"]
    if digest(config) != run_id:
        return f"its run id {run_id} is not the hash of its config; it was edited"
    if file.absolute().parts[-4:] != (config["experiment"], config["variant"], run_id, f"seed-{seed}.json"):
        named = f"{config['experiment']:.40} {config['variant']:.40} {run_id}"
        return f"the record of another run: {named}, seed {seed}"
    return ""


def _are_numbers(values: Collection[Any]) -> bool:
    """Finite, and whole ones such that NumPy can hold them; a truth value is no number."""
    kinds = set(map(type, values))
    if not kinds <= {int, float}:
        return False
    whole = values if kinds == {int} else [value for value in values if type(value) is int]
    return max(map(abs, whole), default=0) < 2**63 and all(map(math.isfinite, values))


def _are_columns(columns: dict[str, list[Any]]) -> bool:
    """Numbers by a name, or None where there was nothing to measure; an accuracy is from 0 to 1."""
    measured = {
        name: [value for value in column if value is not None] if None in column else column
        for name, column in columns.items()
    }
    accuracies = (column for name, column in measured.items() if "accuracy" in name)
    return _are_numbers(list(chain.from_iterable(measured.values()))) and all(
        min(column, default=0) >= 0 and max(column, default=0) <= 1 for column in accuracies
    )


def _is_probe(columns: Any) -> bool:
    return (
        isinstance(columns, dict)
        and "step" in columns
        and set(map(type, columns.values())) == {list}
        and len(set(map(len, columns.values()))) == 1
        and set(map(type, columns["step"])) <= {int}
        and _are_columns(columns)
    )


def _is_final(final: Any) -> bool:
    return (
        isinstance(final, dict)
        and None not in final.values()
        and _are_columns({name: [value] for name, value in final.items()})
    )


def _are_settings(values: Any, lists: bool = False) -> bool:
    """By name: text, numbers, truth values, None; with `lists`, lists of them."""
    if not isinstance(values, dict):
        return False
    flat = list(values.values())
    if lists:
        flat = list(chain.from_iterable(value if type(value) is list else [value] for value in flat))
    return set(map(type, flat)) <= {str, int, float, bool, NoneType} and _are_numbers(
        [value for value in flat if type(value) in (int, float)]
    )


def _is_config(config: Any) -> bool:
    return _are_settings(config, lists=True) and all(
        type(config.get(name)) is str for name in ("experiment", "variant", "data")
    )


PROVENANCE = {"code_commit", "data_sha256", "versions", "hardware", "precision", "seconds", "finished"}


def _is_provenance(provenance: Any) -> bool:
    return (
        isinstance(provenance, dict)
        and provenance.keys() >= PROVENANCE
        and _are_settings(provenance["versions"])
        and _are_settings(provenance | {"versions": None})
        and _are_numbers([provenance["seconds"]])
    )


def _is_outcome(outcome: Any) -> bool:
    return (
        isinstance(outcome, dict)
        and outcome.keys() == {"status", "step"}
        and outcome["status"] in ("done", "diverged")
        and _is_count(outcome["step"])
    )


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_hash(value: Any, length: int) -> bool:
    return type(value) is str and len(value) == length and set(value) <= set("0123456789abcdef")


# By field: whether it is sound, and what it must be.
SOUND: dict[str, tuple[Callable[[Any], bool], str]] = {
    "run_id": (lambda value: _is_hash(value, 12), "12 hexadecimal digits"),
    "config": (_is_config, "settings by name, with experiment, variant and data"),
    "seed": (_is_count, "a whole number from 0"),
    "outcome": (_is_outcome, "a status, done or diverged, and a step"),
    "curves": (
        lambda curves: isinstance(curves, dict) and all(map(_is_probe, curves.values())),
        "columns of numbers, of one length, with the step; accuracies from 0 to 1",
    ),
    "final": (_is_final, "numbers by name; accuracies from 0 to 1"),
    "first_losses": (lambda losses: type(losses) is list and _are_numbers(losses), "numbers"),
    "provenance": (_is_provenance, "numbers and texts by name, as this code writes them"),
    "arrays_sha256": (
        lambda value: value is None or _is_hash(value, 64),
        "64 hexadecimal digits, or null",
    ),
}
