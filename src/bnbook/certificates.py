"""Certificates, results/certificates/*.json: what came out when somebody ran one seed of the cheap claims on
a machine of their own (`bnbook certify`), held against the committed records. The board counts the machines.

A certificate counts for a claim as long as the records that it was held against are the committed ones.
"""

import functools
import hashlib
from pathlib import Path
from typing import Any, NamedTuple

from bnbook import files, paper, paths

SCHEMA = 1
RUN: dict[str, type] = {"record": str, "sha256": str, "same": bool, "seconds": float}
CLAIM: dict[str, type] = {"claim": str, "runs": list, "verdict": str, "committed": str}
PROVENANCE: dict[str, type] = {"code_commit": str, "versions": dict, "seconds": float, "finished": str}


class CertificateError(RuntimeError):
    """A certificate that cannot be trusted, with the file's name and the reason."""


class Certificate(NamedTuple):
    """`machine` is processor, cores and system, in words; `runs` say which committed record was made again,
    by its path below results/ and its sha256 then, and whether to the last bit; `claims` which of them, by
    their places in that list, a claim rests on, its verdict with these in place of the committed ones, and
    that of the committed ones alone."""

    machine: str
    provenance: dict[str, Any]
    runs: list[dict[str, Any]]
    claims: list[dict[str, Any]]


def folder() -> Path:
    return paths.RESULTS / "certificates"


def read(file: Path) -> Certificate:
    """The certificate in `file`. Raises CertificateError, in one line, on anything but a sound one."""
    try:
        values = files.read_json(file, plain=True)
    except files.FileError as error:
        raise CertificateError(str(error)) from None
    if flaw := _flaw(values):
        raise CertificateError(f"{file}: {flaw}; `bnbook certify` writes one that is sound")
    del values["schema"]
    return Certificate(**values)


def _flaw(values: Any) -> str:
    if not isinstance(values, dict) or set(values) != {"schema", *Certificate._fields}:
        return f"not a certificate: it must have schema, {', '.join(Certificate._fields)}"
    if values["schema"] != SCHEMA:
        return f"schema {values['schema']!s:.40}, but this code reads schema {SCHEMA}"
    if type(values["machine"]) is not str or not _has(values["provenance"], PROVENANCE):
        return f"its machine must be a text, its provenance have {', '.join(PROVENANCE)}"
    runs, said = values["runs"], values["claims"]
    if type(runs) is not list or not all(_has(run, RUN) and set(run) == set(RUN) for run in runs):
        return f"each of its runs must have {', '.join(RUN)}"
    if type(said) is not list or not all(_has(one, CLAIM) and set(one) == set(CLAIM) for one in said):
        return f"each of its claims must have {', '.join(CLAIM)}"
    for one in said:
        if one["claim"] not in paper.claims():
            return f"no claim {one['claim']!r:.60}"
        if not one["runs"] or not all(type(run) is int and 0 <= run < len(runs) for run in one["runs"]):
            return f"{one['claim']} must name some of the {len(runs)} runs, by their places from 0 on"
    for run in runs:
        parts = Path(run["record"]).parts
        if parts[:1] != ("runs",) or ".." in parts:
            return f"{run['record']!r:.60} is no record"
    return ""


def _has(values: Any, kinds: dict[str, type]) -> bool:
    return isinstance(values, dict) and all(
        type(values.get(name)) is kind or (kind is float and type(values.get(name)) is int)
        for name, kind in kinds.items()
    )


@functools.cache
def committed() -> list[Certificate]:
    """All that are there. Raises CertificateError."""
    return [read(file) for file in sorted(folder().glob("*.json"))]


class Machines(NamedTuple):
    """How many machines have computed a claim again, two alike being one; and on how many of them its verdict
    was another than the committed one."""

    number: int
    otherwise: int


def machines(claim: str) -> Machines:
    """Those whose certificates still count for `claim`."""
    found: dict[str, bool] = {}
    for certificate in committed():
        for said in certificate.claims:
            if said["claim"] == claim and all(_counts(certificate.runs[run]) for run in said["runs"]):
                agrees = said["verdict"] == said["committed"]
                found[certificate.machine] = found.get(certificate.machine, True) and agrees
    return Machines(len(found), sum(not agrees for agrees in found.values()))


def _counts(run: dict[str, Any]) -> bool:
    return _sha256(paths.RESULTS / run["record"]) == run["sha256"]


@functools.cache
def _sha256(record: Path) -> str:
    return hashlib.sha256(record.read_bytes()).hexdigest() if record.is_file() else ""
