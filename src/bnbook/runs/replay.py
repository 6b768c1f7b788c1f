"""Replay: does today's code still train as the code that made the records?

For every committed variant a short run on the embedded digits is stored, and run again by the check; where
the real data is at hand, so are the first steps of a record itself. Comments may change, training may not,
unless the recipe version is raised and the runs are made again.

Processors sum in different orders, so their losses part: by a unit in the last place at first, and from there
as fast as the network makes a rounding error grow, which is a thousandfold in ten steps for some and nothing
for others. So a run that comes out otherwise is made a few times more with its initial weights moved by one
unit in their last place. How far these part is what rounding does in this very network; what parts a hundred
times further was changed.
"""

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from bnbook import files, paths, records
from bnbook.config import RunConfig
from bnbook.data import sources
from bnbook.experiments import EXPERIMENTS, Experiment
from bnbook.records import Record
from bnbook.runs import obtain as runs
from bnbook.train.loop import at_most, nudged
from bnbook.train.precision import device, multiplies_bfloat16

TRACES = paths.RESULTS / "replay.json"
TRACE_STEPS = 60
RECORD_STEPS = 10  # of a record on real data: a changed recipe shows within them
# What is always allowed, relative and absolute; a changed recipe shows at once.
TOLERANCES = {"float32": 1e-4, "bfloat16": 1e-2}
# Of accuracies, of which a few images more or less are no change, and of where a trace's training ends: a
# ReLU that switches by rounding alone moves it by leaps, which no nudge foretells. Losses are held closely.
ACCURACY, END = 0.02, 0.01
# A processor rounds otherwise in every layer of every step, the nudge moves the weights once. Most float32
# runs part no further than twice a nudge, bfloat16 ones up to 24 times. One trace (unprotected_parameters,
# without wide vectors) parted over 100 times as far as a single nudge that had stayed close: hence several.
NUDGES = 100
COINS = 3  # nudged runs

# "losses": the first losses; "ends": the end point's numbers by name, but for times.
Trace = dict[str, Any]


def store(names: Sequence[str] = ()) -> None:
    """Write the traces that today's code gives for every variant of the experiments `names`, or of all of
    them; to be done when a recipe is new."""
    stored = files.read_json(TRACES) if TRACES.exists() else {}
    for name in names or EXPERIMENTS:
        configs = traced(EXPERIMENTS[name])
        stored[name] = {variant: trace(EXPERIMENTS[name], config) for variant, config in configs.items()}
    traces = {name: stored[name] for name in EXPERIMENTS if name in stored}
    files.write(TRACES, json.dumps(traces, indent=1) + "\n")


def check(names: Sequence[str] = ()) -> list[str]:
    """One line for each trace that today's code no longer gives, of the experiments `names` or of all; an
    empty list where all is as it was."""
    if not TRACES.exists():
        return [f"{TRACES}: no stored traces; `bnbook replay store` makes them"]
    stored = files.read_json(TRACES)
    problems = []
    for name in names or EXPERIMENTS:
        experiment = EXPERIMENTS[name]
        before, configs = stored.get(name, {}), traced(experiment)
        for variant in sorted(configs.keys() | before.keys()):
            run = functools.partial(trace, experiment, configs.get(variant))
            if difference := differs(before.get(variant, {}), run):
                problems.append(
                    f"{name} {variant}: the trace on digits differs from results/replay.json: {difference}"
                )
        for record in at_hand(experiment):
            before = {"losses": record.first_losses[:RECORD_STEPS]}
            run = functools.partial(first_losses, experiment, record)
            if difference := differs(before, run, TOLERANCES[record.provenance["precision"]]):
                problems.append(f"{record.path}: its first steps come out differently: {difference}")
    return problems


def traced(experiment: Experiment) -> dict[str, RunConfig]:
    """The short runs on digits by variant."""
    return {config.variant: config for config in experiment.protocol.traces(TRACE_STEPS)}


def trace(experiment: Experiment, config: RunConfig | None) -> Trace:
    """What a short run gives; of no configuration, nothing."""
    if config is None:
        return {}
    measured = _train(experiment, config, seed=0)
    ends = {name: value for name, value in measured.final.items() if not name.startswith("seconds")}
    return {"losses": measured.progress.first_losses, "ends": ends}


def at_hand(experiment: Experiment) -> list[Record]:
    """One committed record of each variant whose data set is on this machine, and whose numbers the processor
    multiplies as it did then; where there is one, a record that a processor like this one made, which needs
    no nudged runs to compare."""
    folder = paths.runs(paths.RESULTS) / experiment.name
    here = runs.processor()

    def elsewhere(record: Record) -> tuple[bool, Path]:
        return not record.provenance["hardware"].startswith(here), record.path

    found = [
        min(map(records.read, variant.glob("*/seed-*.json")), key=elsewhere)
        for variant in sorted(folder.glob("*"))
    ]
    return [
        record
        for record in found
        if sources.locate(record.config["data"])
        and (record.provenance["precision"] == "float32" or multiplies_bfloat16(device()))
    ]


def first_losses(experiment: Experiment, record: Record) -> Trace:
    """The first losses of the run that made `record`, with today's code."""
    values = dict(record.config)
    if "precision" in values:
        values["precision"] = record.provenance["precision"]  # what "auto" was there
    config = experiment.config(values)
    with at_most(min(RECORD_STEPS, len(record.first_losses))):
        progress = _train(experiment, config, record.seed, measure=False).progress
    return {"losses": progress.first_losses[:RECORD_STEPS]}


def differs(before: Trace, run: Callable[[], Trace], tolerance: float = TOLERANCES["float32"]) -> str:
    """Where a trace and what `run` gives today differ, in words; "" where they agree: to within `tolerance`,
    or NUDGES times as far as this run and the same run nudged have parted by then."""
    now = run()
    difference = _parted(before, now, [], tolerance)
    if not difference or _named(before).keys() != _named(now).keys():
        return difference
    moved = []
    for seed in range(COINS):
        with nudged(seed):
            moved.append(run())
    return _parted(before, now, moved, tolerance)


def _parted(before: Trace, now: Trace, moved: Sequence[Trace], tolerance: float) -> str:
    """The first number that `before` and `now` differ in by more than `tolerance` and by more than `now` and
    its nudged runs `moved` allow. What comes last in a trace is the end point."""
    old, new, nudges = _named(before), _named(now), [_named(one) for one in moved]
    if old.keys() != new.keys():
        return f"{len(old)} numbers then, {len(new)} now"
    parted = 0.0  # a part that has grown does not shrink again, but by chance
    for name, value in old.items():
        apart = (abs(nudge.get(name, new[name]) - new[name]) for nudge in nudges)
        parted = max(parted, max(apart, default=0.0) / max(1.0, abs(value)))
        ended = bool(before.get("losses")) and name in before.get("ends", {})
        always = ACCURACY if "accuracy" in name else max(tolerance, END * ended)
        if not abs(value - new[name]) <= max(always, NUDGES * parted) * max(1.0, abs(value)):
            return f"{name} was {value:.7g} and is {new[name]:.7g}"
    return ""


def _named(trace: Trace) -> dict[str, float]:
    losses = {f"loss {step}": loss for step, loss in enumerate(trace.get("losses", []), start=1)}
    return losses | trace.get("ends", {})


def _train(experiment: Experiment, config: RunConfig, seed: int, measure: bool = True):
    # As many threads as the records were made with: sums over other parts round otherwise, and training
    # makes the difference grow.
    before = torch.get_num_threads()
    torch.set_num_threads(runs.THREADS)
    try:
        return experiment.training.train_run(config, seed, None, measure=measure)
    finally:
        torch.set_num_threads(before)
