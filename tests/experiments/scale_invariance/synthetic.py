"""Records of Section 3.3's scales and rates, made up, so that the truth is known."""

from pathlib import Path

import numpy as np

from bnbook import records
from bnbook.experiments.protocol import Results
from bnbook.experiments.scale_invariance import protocol
from tests.records import write_finished

# The truth of Section 3.3's: the variance of Wu, the rates that work, and ||w||^2 = 1 + GROWN * rate.
WU_VARIANCE, GROWN = 0.5, 2.0
WORKING = {"plain": (0.1, 1.0), "bn": (0.01, 10.0)}


def write_record(runs: Path, config: protocol.Config, seed: int) -> records.Record:
    """One record of Section 3.3 as the experiment would write it, its numbers made up."""
    if config.part == "relations":
        a = np.logspace(-config.scale_decades, config.scale_decades, config.steps)
        size = (1 + config.eps / WU_VARIANCE) ** 0.5 / (1 + config.eps / (a**2 * WU_VARIANCE)) ** 0.5
        columns = {"step": np.arange(1, config.steps + 1), "scale": a}
        for name in ("output", "input_gradient", "weight_gradient"):
            columns |= {f"{name}_size": size, f"{name}_error": abs(size - 1)}
        curves = {"relations": {name: column.tolist() for name, column in columns.items()}}
        final = {"variance": WU_VARIANCE, "cosine": 1e-5}
    else:
        low, high = WORKING[config.variant]
        # The second seed manages one step of the grid less at the top.
        works = low <= config.lr <= high / (10 if seed and config.variant == "bn" else 1)
        squares = [1.0, 1 + GROWN * config.lr]
        curves = {"norms": {"step": [0, config.steps]} | {f"layer_{k}": squares for k in (1, 2, 3)}}
        final = {"chance_accuracy": 0.1, "validation_accuracy": 0.95 if works else 0.2}
    return write_finished(runs, config, seed, curves, final)


def results(runs: Path) -> Results:
    """Those of the smallest profile, their records in `runs`."""
    profile = protocol.PROFILES["smoke"]
    for config, seed in protocol.jobs(profile):
        write_record(runs, config, seed)
    return protocol.results(profile, [runs])
