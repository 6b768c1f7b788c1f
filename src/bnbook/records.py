"""Training records: the schema, atomic writing, strict reading.

One finished run is one JSON file (configuration, outcome, curves as columns, provenance) and, where it
measured arrays, one .npz file beside it. A record is final: it is written once, complete, and never
overwritten. The JSON is written last and holds the checksum of the .npz, so a record that exists is whole.
"""

import dataclasses
import hashlib
import json
import os
import zipfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bnbook.config import RunConfig, digest

SCHEMA = 1


class RecordError(RuntimeError):
    """A record that cannot be trusted or written, with the file's name and the reason."""


class MissingRecord(RecordError):
    """A record that has not been made yet."""


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
        """The arrays beside the record; raises RecordError where the file was altered."""
        if self.arrays_sha256 is None:
            return {}
        file = self.path.with_suffix(".npz")
        if not file.exists() or _sha256(file) != self.arrays_sha256:
            raise RecordError(f"{file}: missing or altered; restore it with git, or run the experiment again")
        with np.load(file, allow_pickle=False) as archive:
            return dict(archive)


FIELDS = tuple(field.name for field in dataclasses.fields(Record) if field.name != "path")


def path(runs: Path, config: RunConfig, seed: int) -> Path:
    """Where the record of this run lies: runs/<experiment>/<variant>/<run id>/seed-<k>.json."""
    return runs / config.experiment / config.variant / config.run_id / f"seed-{seed}.json"


def write(record: Record, arrays: dict[str, np.ndarray]) -> Record:
    """Write `record` at its path, arrays first; raises RecordError where a record is there already."""
    if record.path.exists():
        raise RecordError(
            f"{record.path}: a finished record is never overwritten; remove it by hand to redo it"
        )
    record.path.parent.mkdir(parents=True, exist_ok=True)
    if arrays:
        _write_npz(record.path.with_suffix(".npz"), arrays)
        record = dataclasses.replace(record, arrays_sha256=_sha256(record.path.with_suffix(".npz")))
    values = {name: getattr(record, name) for name in FIELDS}
    # A NaN is not JSON: a diverged run records where it stopped, never the NaN itself.
    text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    temporary = record.path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.rename(record.path)
    return record


def read(file: Path) -> Record:
    """The record in `file`; raises RecordError on unknown keys, a wrong schema, a hash that does not fit."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingRecord(f"{file}: no such record") from None
    except json.JSONDecodeError as error:
        raise RecordError(f"{file}: not JSON ({error}); restore it with git") from None
    if values.get("schema") != SCHEMA:
        raise RecordError(f"{file}: schema {values.get('schema')}, but this code reads schema {SCHEMA}")
    if set(values) != set(FIELDS):
        raise RecordError(f"{file}: unknown or missing keys: {', '.join(sorted(set(values) ^ set(FIELDS)))}")
    if digest(values["config"]) != values["run_id"]:
        raise RecordError(
            f"{file}: its run id {values['run_id']} is not the hash of its config; it was edited"
        )
    return Record(**values, path=file)


def find(folders: Sequence[Path], config: RunConfig, seed: int) -> Record | None:
    """The record of this run in the first of `folders` (runs folders) that has it, or None."""
    for runs in folders:
        if (file := path(runs, config, seed)).exists():
            return read(file)
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


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _write_npz(file: Path, arrays: dict[str, np.ndarray]) -> None:
    """An .npz with fixed time stamps, so that the same arrays give the same bytes."""
    temporary = file.with_suffix(f".{os.getpid()}.tmp")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(arrays):
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(arrays[name]), allow_pickle=False)
    temporary.rename(file)
