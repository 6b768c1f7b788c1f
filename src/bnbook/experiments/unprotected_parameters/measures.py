"""Section 4.2: what is measured of BN-x30's first epoch."""

from collections.abc import Callable

import numpy as np

from bnbook.experiments.protocol import ChosenResults as Results
from bnbook.experiments.unprotected_parameters.protocol import VARIANTS, Profile
from bnbook.measures import Estimate, data_name, prefixed
from bnbook.paper import Number
from bnbook.records import Record

# No claim of the paper is judged by this experiment.
STATISTICS: dict[str, Callable[[Results], Estimate]] = {}


def watched(record: Record, column: str) -> np.ndarray:
    """A column of the watch, by its rows: "step", "train_loss" (nats), "silent_last", "silent" (0 to 1),
    "beta", "output_norm"."""
    return np.array(record.curves["watch"][column], dtype=float)


def end_validation(record: Record) -> float:
    """Validation accuracy in percent at the end, with population statistics; chance where it diverged."""
    return 100 * record.final["chance_accuracy" if record.diverged else "validation_accuracy_population"]


def sizes(profile: Profile) -> dict[str, Number]:
    """What is known before any run."""
    return {"seeds": profile.seeds, "steps": profile.steps_per_epoch}


def numbers(results: Results) -> dict[str, Number]:
    """Our numbers by key; accuracies and shares in percent."""
    everything = results.records("main")
    found: dict[str, Number] = {
        "data": data_name(everything),
        "runs": len(everything),
        "watched": everything[0].config["watched"],
        "lr": results.main["bn_x30"][0].config["lr"],
        "slow_lr": results.choice.lr,
    }
    for name in VARIANTS:
        found |= prefixed(name, _variant_numbers(results.main[name]))
    return found


def _variant_numbers(records: list[Record]) -> dict[str, Number]:
    ends = {name: [watched(r, name)[-1] for r in records] for name in ("train_loss", "silent_last", "silent")}
    accuracies = [end_validation(r) for r in records]
    first, last = ([watched(r, "output_norm")[place] for r in records] for place in (0, -1))
    return {
        "accuracy": float(np.mean(accuracies)),
        "accuracy_min": min(accuracies),
        "accuracy_max": max(accuracies),
        "loss": float(np.mean(ends["train_loss"])),
        "silent_last": 100 * float(np.mean(ends["silent_last"])),
        "silent_last_min": 100 * float(min(ends["silent_last"])),
        "silent_last_max": 100 * float(max(ends["silent_last"])),
        "silent": 100 * float(np.mean(ends["silent"])),
        "beta": float(np.mean([watched(r, "beta")[-1] for r in records])),
        "output_growth": float(np.mean(np.divide(last, first))),
    }
