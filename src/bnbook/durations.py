"""How much computing the committed results took, by their records: for README and pages alike."""

import functools
from collections.abc import Iterator
from typing import NamedTuple

from bnbook import paths, records
from bnbook.experiments import EXPERIMENTS, Experiment
from bnbook.paper import Number
from bnbook.records import MissingRecord, Record

PROFILE = "cpu"  # that of the committed results
CORES = 2  # of the machine that texts speak of; a run takes one


class Spent(NamedTuple):
    """What the runs of an experiment took: how many there are, and their seconds, each on one core; those of
    the longest."""

    runs: int
    seconds: float
    longest: float = 0.0


@functools.cache
def spent() -> dict[str, Spent]:
    """By experiment; a run that several experiments use counts where it belongs."""
    found = {}
    for name, experiment in EXPERIMENTS.items():
        seconds = [record.provenance["seconds"] for record in _records(experiment)]
        found[name] = Spent(len(seconds), sum(seconds), max(seconds, default=0.0))
    return found


def numbers() -> dict[str, Number]:
    """ "durations.<experiment>.runs" and ".hours"; of all "durations.runs", "durations.hours", and with
    two cores at work "durations.hours_on_two_cores"."""
    known: dict[str, Number] = {}
    for name, one in spent().items():
        known |= {f"durations.{name}.runs": one.runs, f"durations.{name}.hours": one.seconds / 3600}
    hours = sum(one.seconds for one in spent().values()) / 3600
    return known | {
        "durations.runs": sum(one.runs for one in spent().values()),
        "durations.hours": hours,
        "durations.hours_on_two_cores": hours / CORES,
    }


def _records(experiment: Experiment) -> Iterator[Record]:
    """The committed records of the experiment's own runs, as far as they are made."""
    protocol, folders = experiment.protocol, [paths.runs(paths.RESULTS)]
    jobs = {}
    for stage in protocol.STAGES:
        try:
            jobs |= dict.fromkeys(protocol.plan(stage, protocol.PROFILES[PROFILE], folders))
        except MissingRecord:
            break
    for config, seed in jobs:
        if config.experiment == experiment.name and (record := records.find(folders, config, seed)):
            yield record
