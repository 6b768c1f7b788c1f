"""Replay: does today's code still train as the code that made the records?

For every committed variant a short run on the embedded digits is stored, and run again by the check; where
the real data is at hand, so are the first steps of a record itself. Comments may change, training may not,
unless the recipe version is raised and the runs are made again.
"""

import dataclasses
import importlib
import json
import math

import torch

from bnbook import paths, records
from bnbook.config import RunConfig
from bnbook.data import sources
from bnbook.experiments import runs
from bnbook.protocols import EXPERIMENTS, Experiment
from bnbook.records import Record
from bnbook.train.loop import FIRST_LOSSES

TRACES = paths.RESULTS / "replay.json"
TRACE_STEPS = 60
# Processors sum in different orders, so float32 losses agree to about 1e-6; a changed recipe shows at once.
TOLERANCE = 1e-4


def store() -> None:
    """Write the traces of every variant that today's code gives; to be done when a recipe is new."""
    traces = {name: traces_of(experiment) for name, experiment in EXPERIMENTS.items()}
    TRACES.write_text(json.dumps(traces, indent=1) + "\n", encoding="utf-8")


def check() -> list[str]:
    """One line for each trace that today's code no longer gives; an empty list where all is as it was."""
    if not TRACES.exists():
        return [f"{TRACES}: no stored traces; `bnbook replay store` makes them"]
    stored = json.loads(TRACES.read_text(encoding="utf-8"))
    problems = []
    for name, experiment in EXPERIMENTS.items():
        found = traces_of(experiment)
        problems += [
            f"{name} {variant}: the trace on digits differs from results/replay.json: {difference}"
            for variant in sorted(found.keys() | stored.get(name, {}).keys())
            if (difference := differs(stored.get(name, {}).get(variant, []), found.get(variant, [])))
        ]
        problems += [
            f"{record.path}: its first steps come out differently: {difference}"
            for record in at_hand(experiment)
            if (difference := differs(record.first_losses, first_losses(experiment, record)))
        ]
    return problems


def traces_of(experiment: Experiment) -> dict[str, list[float]]:
    """For each variant: the first losses of a short run on digits, then its end point's numbers by name,
    but for times."""
    return {config.variant: trace(experiment, config) for config in experiment.protocol.traces(TRACE_STEPS)}


def trace(experiment: Experiment, config: RunConfig) -> list[float]:
    measured = _train(experiment, config, seed=0)
    ends = (value for name, value in sorted(measured.final.items()) if not name.startswith("seconds"))
    return [*measured.progress.first_losses, *ends]


def at_hand(experiment: Experiment) -> list[Record]:
    """One committed record of each variant whose data set is on this machine."""
    folder = paths.runs(paths.RESULTS) / experiment.name
    found = [records.read(next(variant.glob("*/seed-*.json"))) for variant in sorted(folder.glob("*"))]
    return [record for record in found if sources.locate(record.config["data"])]


def first_losses(experiment: Experiment, record: Record) -> list[float]:
    """The first losses of the run that made `record`, with today's code."""
    config = experiment.protocol.Config.from_dict(record.config)
    short = dataclasses.replace(config, steps=FIRST_LOSSES)
    measured = _train(experiment, short, record.seed, measure=False)
    return measured.progress.first_losses


def differs(before: list[float], now: list[float]) -> str:
    """Where two traces differ, in words; "" where they agree."""
    if len(before) != len(now):
        return f"{len(before)} numbers then, {len(now)} now"
    for place, (old, new) in enumerate(zip(before, now, strict=True), start=1):
        if not math.isclose(old, new, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            return f"number {place} was {old:.7g} and is {new:.7g}"
    return ""


def _train(experiment: Experiment, config: RunConfig, seed: int, measure: bool = True):
    # As many threads as the records were made with: sums over other parts round otherwise, and training
    # makes the difference grow.
    before = torch.get_num_threads()
    torch.set_num_threads(runs.THREADS)
    try:
        module = importlib.import_module(f"bnbook.experiments.{experiment.name}")
        return module.train_run(config, seed, None, measure=measure)
    finally:
        torch.set_num_threads(before)
