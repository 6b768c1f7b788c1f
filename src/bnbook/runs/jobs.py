"""The jobs of a sweep: shares of its stages, cut by what the committed runs took; what each needs of a
machine, and which others it waits for."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bnbook import benchmarks, durations
from bnbook.runs.reproduce import Stage, Sweep

# What is shorter than this shares a job: a process takes seconds to start. At smoke, longer than a run takes.
SECONDS = 60
SMOKE_JOBS = 2  # a stage
# Every job is a rule, which each Snakemake reads, here and on a cluster: a longer sweep has longer jobs.
MOST = 500

# What a job asks of a cluster. Runs of an experiment differ, and so do machines.
MARGIN = 3
START_MINUTES = 10
NOTEBOOK_MINUTES = 60
UNKNOWN_MINUTES = 24 * 60  # where nothing of that profile was measured


class Share(NamedTuple):
    """A job: the `number`-th of the `of` shares of a stage, as `bnbook run --part` cuts it."""

    experiment: str
    stage: str
    number: int
    of: int
    minutes: int
    needs: tuple[str, ...]  # the jobs that make runs of other experiments that these build on

    @property
    def name(self) -> str:
        return f"{self.experiment}_{self.stage}_{self.number}"


class Plan(NamedTuple):
    """The jobs of a pass; by experiment those that make its runs; whether all stages are known."""

    shares: list[Share]
    makers: dict[str, list[str]]
    complete: bool


def plan(sweep: Sweep) -> Plan:
    """What is known now and still missing. A plan also names the runs of other experiments that it builds on:
    those are made first, by the experiment that owns them."""
    stages = sweep.stages()
    missing = {file for stage in stages for file in stage.files if not sweep.made(file)}
    seconds = _seconds_a_job(sweep, [stage for stage in stages if not missing.isdisjoint(stage.files)])
    shares: list[Share] = []
    maker: dict[Path, Share] = {}  # of a missing record
    for stage in stages:
        of = parts(sweep, stage, seconds)
        for number in range(1, of + 1):
            first, end = ((k * len(stage.files)) // of for k in (number - 1, number))
            own = {file for file in stage.files[first:end] if _owner(sweep, file) == stage.experiment}
            if lacking := own & missing:
                minutes = _minutes(sweep, stage.experiment, len(lacking))
                shares.append(Share(stage.experiment, stage.name, number, of, minutes, ()))
                maker |= dict.fromkeys(lacking, shares[-1])
    needs: dict[tuple[str, ...], tuple[str, ...]] = {}
    makers: dict[str, list[str]] = {}
    for stage in stages:
        waited = dict.fromkeys(maker[file] for file in stage.files if file in maker)
        needs[stage[:2]] = tuple(one.name for one in waited if one.experiment != stage.experiment)
        makers.setdefault(stage.experiment, []).extend(one.name for one in waited)
    shares = [share._replace(needs=needs[share.experiment, share.stage]) for share in shares]
    return Plan(shares, makers, sweep.complete(stages))


def parts(sweep: Sweep, stage: Stage, seconds: float) -> int:
    """How many jobs of so many `seconds` make the runs of a stage."""
    if sweep.profile == "smoke":
        return SMOKE_JOBS
    return -(-len(stage.files) // max(1, int(seconds / max(_mean(stage.experiment), 1))))


def megabytes() -> int:
    """The memory that a job asks for: twice the most that a run was seen to take."""
    places = [one for one in benchmarks.read().values() if isinstance(one, dict)]
    return 2 * max(one["peak_memory_mb"] for one in places if "peak_memory_mb" in one)


def _seconds_a_job(sweep: Sweep, stages: Sequence[Stage]) -> float:
    """Such that no sweep has many more than MOST jobs; runs that several experiments build on count once."""
    files = {file for stage in stages for file in stage.files}
    return max(SECONDS, sum(_mean(_owner(sweep, file)) for file in files) / MOST)


def _mean(experiment: str) -> float:
    """Seconds of a run, on one core."""
    known = durations.spent()[experiment]
    return known.seconds / known.runs if known.runs else SECONDS


def _minutes(sweep: Sweep, experiment: str, runs: int) -> int:
    if sweep.profile == "smoke":
        return START_MINUTES
    longest = durations.spent()[experiment].longest
    if sweep.profile != durations.PROFILE or not longest:
        return UNKNOWN_MINUTES
    return START_MINUTES + math.ceil(MARGIN * runs * longest / 60)


def _owner(sweep: Sweep, file: Path) -> str:
    return file.relative_to(sweep.runs).parts[0]
