"""`bnbook certify`: one seed of each cheap claim, run on the reader's machine, and judged in the place of the
committed one. What came out is one file that can be sent in (`bnbook.certificates`).

Cheap is what takes little time by the records: the claims are taken from the cheapest on, as long as the runs
of all of them together took no longer than was given.
"""

import json
import os
import platform
import shutil
import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from bnbook import certificates, claims, durations, experiments, files, manifest, paths, records
from bnbook.config import ConfigError
from bnbook.data import sources
from bnbook.records import Record
from bnbook.runs import obtain, replay
from bnbook.runs.plans import describe


def certify(seconds: float) -> Path:
    """Make the runs, write the certificate and its line in the manifest; prints a line for each run. It may
    be stopped and goes on. Raises ConfigError where no claim is as cheap as that."""
    committed = claims.results()
    chosen = cheap(manifest.used(committed), seconds)
    if not chosen:
        raise ConfigError(f"no claim's runs took less than {seconds / 60:g} minutes; give more --minutes")
    wanted = sorted({file for used in chosen.values() for file in used})
    before = [records.read(file) for file in wanted]
    sources.require(sorted({record.config["data"] for record in before}))
    spent = sum(record.provenance["seconds"] for record in before)
    print(f"certify: {len(chosen)} claims by {len(wanted)} runs, which took {spent:.0f} s", flush=True)
    commit, began = obtain.code_commit(), time.perf_counter()
    # Where what is made stays until all of it is, for as long as the code does.
    room = paths.BUILD / "certify" / obtain.code_state(commit)
    made = []
    for number, record in enumerate(before, start=1):
        again = _again(record, paths.runs(room))
        made.append(held(record, again))
        same = "as committed to the last bit" if made[-1]["same"] else "not to the last bit as committed"
        print(f"certify: {number}/{len(wanted)}  {describe(again)}, {same}", flush=True)
    provenance = obtain.provenance(commit, "", time.perf_counter() - began)
    del provenance["data_sha256"], provenance["precision"]  # each run has its own
    certificate = {
        "schema": certificates.SCHEMA,
        "machine": machine(),
        "provenance": provenance,
        "runs": made,
        "claims": judged(chosen, wanted, committed, paths.runs(room)),
    }
    file = _write(certificate)
    shutil.rmtree(room)
    _report(certificate, file)
    return file


def cheap(used: Mapping[str, set[Path]], seconds: float) -> dict[str, list[Path]]:
    """By claim the records of its first seed, of those made on a processor: of the cheapest claims, as many
    as took no more than `seconds` together, runs that they share counted once."""
    costs: dict[str, dict[Path, float]] = {}
    for claim, files_used in used.items():
        own = [records.read(file) for file in sorted(files_used)]
        seeds = sorted({record.seed for record in own})
        first = [record for record in own if record.seed == seeds[0]]
        if first and not any(map(durations.took_a_gpu, first)):
            costs[claim] = {record.path: record.provenance["seconds"] for record in first}
    chosen: dict[str, list[Path]] = {}
    taken: dict[Path, float] = {}
    for claim, cost in sorted(costs.items(), key=lambda one: (sum(one[1].values()), one[0])):
        if sum((taken | cost).values()) <= seconds:
            taken |= cost
            chosen[claim] = sorted(cost)
    return chosen


def _again(record: Record, runs: Path) -> Record:
    experiment = experiments.EXPERIMENTS[record.config["experiment"]]
    return obtain.obtain(experiment.config(record.config), record.seed, [runs])


def held(record: Record, again: Record) -> dict[str, Any]:
    """Which record was made again, whether to the last bit, and what that took."""
    return {
        "record": record.path.relative_to(paths.RESULTS).as_posix(),
        "sha256": manifest.sha256(record.path),
        "same": not replay.differences(record, again),
        "seconds": again.provenance["seconds"],
    }


def judged(
    chosen: Mapping[str, list[Path]], wanted: list[Path], committed: claims.AllResults, own: Path
) -> list[dict[str, Any]]:
    """Of each claim its verdict, with the runs in `own` in the place of the committed ones."""
    before = {claim.id: claim.verdict for claim in claims.board(committed)}
    mixed = claims.results("cpu", [own, paths.runs(paths.RESULTS)])
    after = {claim.id: claim.verdict for claim in claims.board(mixed)}
    return [
        {
            "claim": claim,
            "runs": [wanted.index(file) for file in used],
            "verdict": after[claim],
            "committed": before[claim],
        }
        for claim, used in sorted(chosen.items())
    ]


def machine() -> str:
    """Processor, cores and system: what tells machines apart, and no more."""
    system = obtain.plain(f"{platform.system()} {platform.machine()}")
    return f"{obtain.processor()}, {os.cpu_count()} cores, {system}"


def _write(certificate: dict[str, Any]) -> Path:
    text = json.dumps(certificate, indent=1) + "\n"
    day, name = certificate["provenance"]["finished"][:10], sha256(text.encode()).hexdigest()[:8]
    file = certificates.folder() / f"{day}-{name}.json"
    files.write(file, text)
    certificates.read(file)
    manifest.write([*manifest.read().values(), manifest.of_certificate(file)])
    return file


def _report(certificate: dict[str, Any], file: Path) -> None:
    runs, said = certificate["runs"], certificate["claims"]
    others = [one for one in said if one["verdict"] != one["committed"]]
    same = sum(run["same"] for run in runs)
    print(
        f"certify: to the last bit as committed {same} of {len(runs)} runs; the same verdict for "
        f"{len(said) - len(others)} of {len(said)} claims"
    )
    for one in others:
        print(f"certify: {one['claim']}: {one['verdict']} here, {one['committed']} as committed")
    names = " ".join(one.relative_to(paths.ROOT).as_posix() for one in (file, manifest.file()))
    print(f"certify: {file} is written. To have it counted: git add {names}, commit, open a pull request")
