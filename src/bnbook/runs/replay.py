"""Replay: does today's code still train as the code that made the records?

For every committed variant a short run on the embedded digits is stored, and run again by the check; where
the real data is at hand, so are the first steps of a record itself. Comments may change, training may not,
unless the recipe version is raised and the runs are made again.

Processors sum in different orders, so their losses part: by a unit in the last place at first, and from there
as fast as the network makes a rounding error grow, which is a thousandfold in ten steps for some and nothing
for others. So a run that comes out otherwise is made a few times more with its initial weights moved by some
units in their last place. How far these part is what rounding does in this very network; what parts further
than a move of a hundred units was changed.
"""

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
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
# The same for who wants to know within a minute: of a trace, and of a record, whose networks are larger and
# whose variant has a trace that goes further.
TRACE_BEGINNING, RECORD_BEGINNING = 10, 3
# What is always allowed, relative and absolute; a changed recipe shows at once.
TOLERANCES = {"float32": 1e-4, "bfloat16": 1e-2}
# Of accuracies, of which a few images more or less are no change, and of where a trace's training ends: a
# ReLU that switches by rounding alone moves it by leaps, which no nudge foretells. Losses are held closely.
ACCURACY, END = 0.02, 0.01
# A processor rounds otherwise in every layer of every step, a nudge moves the weights once. Most float32 runs
# part no further than twice a nudge by one unit, bfloat16 ones up to 24 times. So what a nudge by ALLOWED
# units does is allowed: measured by one of that size, and by smaller ones in proportion, since one that
# happens to fall well stays close. A small one alone foretells no leap: layer normalization in a recurrent
# network made a thousandth of the loss a twentieth in a single step, in some runs and not in others.
ALLOWED = 100
NUDGES = (1, 10, ALLOWED)  # units in the last place
TIMED = re.compile("seconds|^times_")  # numbers that no run has again
# When local response normalization was given its gradient in closed form, the same but for rounding.
LRN_SINCE = "2026-11-25T02:55:35+00:00"

# "losses": the first losses; "ends": the end point's numbers by name, but for times; where stored, "stack".
Trace = dict[str, Any]


class Beginning(NamedTuple):
    """How the first steps of a run come out today: whether to the last bit, and what is wrong, or ""."""

    exact: bool
    problem: str


def store(names: Sequence[str] = ()) -> None:
    """Write the traces that today's code gives for every variant of the experiments `names`, or of all of
    them; to be done when a recipe is new."""
    stored = files.read_json(TRACES) if TRACES.exists() else {}
    for name in names or EXPERIMENTS:
        configs = traced(EXPERIMENTS[name])
        stored[name] = {
            variant: trace(EXPERIMENTS[name], config) | {"stack": stack()}
            for variant, config in configs.items()
        }
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
            before = {"losses": record.first_losses[:RECORD_BEGINNING]}
            run = functools.partial(first_losses, experiment, record, RECORD_BEGINNING)
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

    variants = (list(variant.glob("*/seed-*.json")) for variant in sorted(folder.glob("*")))
    # A folder without any is left where a run was begun and given up.
    found = [min(map(records.read, files), key=elsewhere) for files in variants if files]
    return [
        record
        for record in found
        if sources.locate(record.config["data"])
        and (record.provenance["precision"] == "float32" or multiplies_bfloat16(device()))
    ]


def first_losses(experiment: Experiment, record: Record, steps: int = RECORD_STEPS) -> Trace:
    """The first losses of the run that made `record`, with today's code."""
    return _begun(
        experiment, config_of(experiment, record), record.seed, min(steps, len(record.first_losses))
    )


def config_of(experiment: Experiment, record: Record) -> RunConfig:
    """The configuration of the run that made `record`, in the precision that "auto" was there."""
    values = dict(record.config)
    if "precision" in values:
        values["precision"] = record.provenance["precision"]
    return experiment.config(values)


def beginnings(name: str) -> Iterator[Beginning]:
    """The first steps of all variants of an experiment, on digits and, where their data is at hand, of a
    record each. On the stack where they were made they must be the same to the last bit."""
    experiment = EXPERIMENTS[name]
    before, configs = files.read_json(TRACES).get(name, {}), traced(experiment)
    for variant in sorted(configs.keys() | before.keys()):
        known, config = before.get(variant, {}), configs.get(variant)
        steps = TRACE_BEGINNING if known.get("losses") else 0
        old = {"losses": known["losses"][:steps]} if steps else {"ends": known.get("ends", {})}

        def run(config: RunConfig | None = config, steps: int = steps) -> Trace:
            if config and steps:
                return _begun(experiment, config, 0, steps)
            return {"ends": trace(experiment, config).get("ends", {})}

        yield _compared(
            old, run, known.get("stack") == stack(), f"{name} {variant}: its trace in {TRACES.name}"
        )
    for record in at_hand(experiment):
        if not record.first_losses:  # nothing is trained, and what is measured may be rounding itself
            continue
        tolerance = TOLERANCES[record.provenance["precision"]]
        old = {"losses": record.first_losses[:RECORD_BEGINNING]}
        run = functools.partial(first_losses, experiment, record, RECORD_BEGINNING)
        yield _compared(old, run, same_stack(record), str(record.path), tolerance)


def _compared(
    before: Trace,
    run: Callable[[], Trace],
    exactly: bool,
    what: str,
    tolerance: float = TOLERANCES["float32"],
) -> Beginning:
    if run() == before:
        return Beginning(True, "")
    difference = differs(before, run, tolerance)
    if exactly and not difference:
        difference = "not by more than rounding, but this is the stack where it was made"
    return Beginning(
        False, f"{what}: its first steps come out differently: {difference}" if difference else ""
    )


def stack() -> str:
    """What decides how sums are rounded: the processor and who computes on it."""
    return f"{runs.processor()}, torch {version('torch')}, numpy {version('numpy')}"


def same_stack(record: Record) -> bool:
    """Whether today's code should make the run that made `record` again to the last bit, here."""
    made_on, versions = record.provenance["hardware"], record.provenance["versions"]
    rounded = record.config.get("lrn") and record.provenance["finished"] < LRN_SINCE
    return (
        made_on.startswith(runs.processor())
        and all(versions.get(name) == version(name) for name in ("torch", "numpy"))
        and not rounded
    )


def differences(then: Record, now: Record) -> list[str]:
    """In which of the numbers that were recorded `then` a run is another `now`, a line for each; but for
    times. Today's code may measure more."""
    old, new = _numbers(then), _numbers(now)
    parts = [name for name in old if not _same(old[name], new.get(name))]
    return [f"{name}: {_end(old[name])} then, {_end(new.get(name))} now" for name in parts]


def _numbers(record: Record) -> dict[str, Any]:
    """All that was measured, by name, but for times and what was made of them."""
    found: dict[str, Any] = {"outcome": record.outcome, "first losses": record.first_losses, **record.final}
    for probe, columns in record.curves.items():
        found |= {f"curve {probe}.{name}": column for name, column in columns.items()}
    found |= {f"array {name}": array for name, array in record.arrays.items()}
    return {name: value for name, value in found.items() if not TIMED.search(name)}


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, np.ndarray) and isinstance(new, np.ndarray):
        return old.dtype == new.dtype and np.array_equal(old, new, equal_nan=old.dtype.kind == "f")
    return type(old) is type(new) and old == new


def _end(value: Any) -> str:
    """A number, or the last of many."""
    if isinstance(value, list | np.ndarray):
        many = np.asarray(value).ravel().tolist()
        return f"... {many[-1]}" if many else "nothing"
    return "nothing" if value is None else str(value)


def _begun(experiment: Experiment, config: RunConfig, seed: int, steps: int) -> Trace:
    with at_most(steps):
        progress = _train(experiment, config, seed, measure=False).progress
    return {"losses": progress.first_losses[:steps]}


def differs(before: Trace, run: Callable[[], Trace], tolerance: float = TOLERANCES["float32"]) -> str:
    """Where a trace and what `run` gives today differ, in words; "" where they agree: to within `tolerance`,
    or as far as this run and the same run nudged by ALLOWED units have parted by then."""
    now = run()
    moved: dict[int, Trace] = {}
    difference = _parted(before, now, moved, tolerance)
    comparable = _named(before).keys() == _named(now).keys()
    # Each more that is moved allows more, never less: the first that explains the difference is enough.
    for units in NUDGES if comparable else ():
        if not difference:
            break
        with nudged(units):
            moved[units] = run()
        difference = _parted(before, now, moved, tolerance)
    return difference


def _parted(before: Trace, now: Trace, moved: Mapping[int, Trace], tolerance: float) -> str:
    """The first number that `before` and `now` differ in by more than `tolerance` and by more than `now` and
    the runs `moved` by so many units allow. What comes last in a trace is the end point."""
    old, new = _named(before), _named(now)
    nudges = {units: _named(trace) for units, trace in moved.items()}
    if old.keys() != new.keys():
        return f"{len(old)} numbers then, {len(new)} now"
    parted = 0.0  # a part that has grown does not shrink again, but by chance
    for name, value in old.items():
        apart = (
            ALLOWED / units * abs(nudge.get(name, new[name]) - new[name]) for units, nudge in nudges.items()
        )
        parted = max(parted, max(apart, default=0.0) / max(1.0, abs(value)))
        ended = bool(before.get("losses")) and name in before.get("ends", {})
        always = ACCURACY if "accuracy" in name else max(tolerance, END * ended)
        if not abs(value - new[name]) <= max(always, parted) * max(1.0, abs(value)):
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
    torch.set_flush_denormal(True)  # as runs are made
    try:
        return experiment.training.train_run(config, seed, None, measure=measure)
    finally:
        torch.set_num_threads(before)
