"""How much computing the committed results took, by their records: for README and pages alike."""

import functools
import statistics
from typing import NamedTuple

from bnbook import paths, records
from bnbook.experiments import EXPERIMENTS, Experiment
from bnbook.paper import Number
from bnbook.records import MissingRecord, Record

PROFILE = "cpu"  # that of the committed results
CORES = 2  # of the machine that texts speak of; a run takes one
SAME_NETWORK = "accelerating_ablation"  # as in Section 4.2, whose runs took GPUs, and trained on processors


class Spent(NamedTuple):
    """What the runs of an experiment take: how many there are, and their seconds, each on one core; those of
    the longest."""

    runs: int
    seconds: float
    longest: float = 0.0


@functools.cache
def spent() -> dict[str, Spent]:
    """By experiment; a run that several experiments use counts where it belongs."""
    found = {}
    for name, experiment in EXPERIMENTS.items():
        seconds = [on_one_core(record) for record in records_of(experiment)]
        found[name] = Spent(len(seconds), sum(seconds), max(seconds, default=0.0))
    return found


def numbers() -> dict[str, Number]:
    """ "durations.<experiment>.runs" and ".hours"; of all "durations.runs", "durations.hours", and with
    two cores at work "durations.hours_on_two_cores"; "durations.gpu.runs" and ".hours" of those in which a
    GPU had a part. Hours are those of a core, see `on_one_core`."""
    known: dict[str, Number] = {}
    for name, one in spent().items():
        known |= {f"durations.{name}.runs": one.runs, f"durations.{name}.hours": one.seconds / 3600}
    hours = sum(one.seconds for one in spent().values()) / 3600
    shared = [one for experiment in EXPERIMENTS.values() for one in records_of(experiment) if took_a_gpu(one)]
    return known | {
        "durations.gpu.runs": len(shared),
        "durations.gpu.hours": sum(map(on_one_core, shared)) / 3600,
        "durations.runs": sum(one.runs for one in spent().values()),
        "durations.hours": hours,
        "durations.hours_on_two_cores": hours / CORES,
    }


def passes() -> list[list[float]]:
    """The seconds of all runs, each on one core, in the order in which `make reproduce` makes them: the
    first stages of all experiments, then the second ones, and so on."""
    found: list[list[float]] = []
    for experiment in EXPERIMENTS.values():
        for number, runs in enumerate(_by_stage(experiment)):
            found += [[]] * (number + 1 - len(found))
            found[number] = found[number] + [on_one_core(record) for record in runs]
    return found


def on_one_core(record: Record) -> float:
    """The seconds that the run takes on one core: what it took; or, since a GPU is faster and was shared by
    many, its steps by what a step took such networks on processors."""
    if took_a_gpu(record):
        return record.config["steps"] * _seconds_a_step()
    return record.provenance["seconds"]


@functools.cache
def _seconds_a_step() -> float:
    made = [one for one in records_of(EXPERIMENTS[SAME_NETWORK]) if not took_a_gpu(one)]
    return statistics.median(one.provenance["seconds"] / one.config["steps"] for one in made)


def on_a_gpu(record: Record) -> bool:
    """Whether the whole run was made on one: of a processor provenance says the threads."""
    return "thread" not in record.provenance["hardware"]


def took_a_gpu(record: Record) -> bool:
    """Whether a part of the run was made on one."""
    return any("thread" not in one for one in record.provenance["hardware"].split(" and "))


def records_of(experiment: Experiment) -> list[Record]:
    """The committed records of the experiment's own runs, as far as they are made."""
    return [record for stage in _by_stage(experiment) for record in stage]


@functools.cache
def _by_stage(experiment: Experiment) -> list[list[Record]]:
    protocol, folders = experiment.protocol, [paths.runs(paths.RESULTS)]
    jobs: dict = {}
    found = []
    for stage in protocol.STAGES:
        try:
            plan = dict.fromkeys(protocol.plan(stage, protocol.PROFILES[PROFILE], folders))
        except MissingRecord:
            break
        own = [job for job in plan if job not in jobs and job[0].experiment == experiment.name]
        jobs |= plan
        made = (records.find(folders, *job) for job in own)
        found.append([record for record in made if record])
    return found
