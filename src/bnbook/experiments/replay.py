"""Replay: does today's code still train as the code that made the records?

For every committed variant a short run on the embedded digits is stored, and run again by the check; where
the real data is at hand, so are the first steps of a record itself. Comments may change, training may not,
unless the recipe version is raised and the runs are made again.
"""

import importlib
import json
import math
from typing import Any

import torch

from bnbook import paths, records
from bnbook.config import RunConfig
from bnbook.data import sources
from bnbook.experiments import runs
from bnbook.protocols import EXPERIMENTS, Experiment
from bnbook.records import Record
from bnbook.train.loop import FIRST_LOSSES, at_most
from bnbook.train.precision import device, multiplies_bfloat16

TRACES = paths.RESULTS / "replay.json"
TRACE_STEPS = 60
# Processors sum in different orders, so float32 losses agree to about 1e-6; a changed recipe shows at once.
TOLERANCES = {"float32": 1e-4, "bfloat16": 1e-2}
# Of accuracies, where one image more or less counts, and of all that comes after a protocol's STEADY_STEPS.
LOOSE = 0.1

# "losses": the first losses; "ends": the end point's numbers by name, but for times.
Trace = dict[str, Any]


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
        steady = experiment.protocol.STEADY_STEPS
        before, found = stored.get(name, {}), traces_of(experiment)
        for variant in sorted(found.keys() | before.keys()):
            if difference := differs(before.get(variant, {}), found.get(variant, {}), steady):
                problems.append(
                    f"{name} {variant}: the trace on digits differs from results/replay.json: {difference}"
                )
        for record in at_hand(experiment):
            losses = record.first_losses[:steady]
            now = first_losses(experiment, record, len(losses))
            tolerance = TOLERANCES[record.provenance["precision"]]
            if difference := differs({"losses": losses}, {"losses": now}, steady, tolerance):
                problems.append(f"{record.path}: its first steps come out differently: {difference}")
    return problems


def traces_of(experiment: Experiment) -> dict[str, Trace]:
    """By variant, the trace of a short run on digits."""
    return {config.variant: trace(experiment, config) for config in experiment.protocol.traces(TRACE_STEPS)}


def trace(experiment: Experiment, config: RunConfig) -> Trace:
    measured = _train(experiment, config, seed=0)
    ends = {name: value for name, value in measured.final.items() if not name.startswith("seconds")}
    return {"losses": measured.progress.first_losses, "ends": ends}


def at_hand(experiment: Experiment) -> list[Record]:
    """One committed record of each variant whose data set is on this machine, and whose numbers the processor
    multiplies as it did then."""
    folder = paths.runs(paths.RESULTS) / experiment.name
    found = [records.read(min(variant.glob("*/seed-*.json"))) for variant in sorted(folder.glob("*"))]
    return [
        record
        for record in found
        if sources.locate(record.config["data"])
        and (record.provenance["precision"] == "float32" or multiplies_bfloat16(device()))
    ]


def first_losses(experiment: Experiment, record: Record, steps: int) -> list[float]:
    """The first losses of the run that made `record`, with today's code."""
    values = dict(record.config)
    if "precision" in values:
        values["precision"] = record.provenance["precision"]  # what "auto" was there
    with at_most(steps):
        measured = _train(
            experiment, experiment.protocol.Config.from_dict(values), record.seed, measure=False
        )
    return measured.progress.first_losses[:steps]


def differs(before: Trace, now: Trace, steady: int, tolerance: float = TOLERANCES["float32"]) -> str:
    """Where two traces differ, in words; "" where they agree. The losses of the first `steady` steps are held
    to `tolerance`, and where that is all of them the end point but for its accuracies; the rest loosely."""
    old, new = _named(before), _named(now)
    if old.keys() != new.keys():
        return f"{len(old)} numbers then, {len(new)} now"
    close = [name for name in old if "accuracy" not in name] if steady >= FIRST_LOSSES else list(old)[:steady]
    for name, value in old.items():
        allowed = tolerance if name in close else LOOSE
        if not math.isclose(value, new[name], rel_tol=allowed, abs_tol=allowed):
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
        module = importlib.import_module(f"bnbook.experiments.{experiment.name}")
        return module.train_run(config, seed, None, measure=measure)
    finally:
        torch.set_num_threads(before)
