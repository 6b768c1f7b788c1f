"""Records of `learning_rate_share`, made up, so that the truth is known."""

from pathlib import Path

import numpy as np

from bnbook import records
from bnbook.experiments.learning_rate_share import protocol
from bnbook.experiments.protocol import Results
from tests.records import write_finished

# The truth: where the plain network ends, what BN adds at the same rate, and what each further rate adds with
# BN (without it takes away). At BN's own rate, outputs without BN grow GROWN powers of ten.
PLAIN, BY_BN, BY_RATE = 0.5, 0.01, {0.01: 0.0, 0.03: 0.02, 0.1: -0.1, 0.3: 0.07}
GROWN, LAYERS = 6, 5


def end(config: protocol.Config, seed: int) -> float:
    """Accuracy (0 to 1) at the end."""
    return PLAIN + BY_BN * config.norm + BY_RATE[config.lr] + 0.01 * (seed % 100)


def write_record(runs: Path, config: protocol.Config, seed: int) -> records.Record:
    """One record as the experiment would write it, its numbers made up."""
    if config.part == "start":
        step = np.arange(config.steps + 1)
        decades = 0 if config.norm else GROWN * step / config.steps
        size = np.outer(10.0 ** (decades * np.ones(len(step))), np.ones(LAYERS))
        arrays = {"size_step": step, "activation": size, "gradient": 2 * size}
        return write_finished(runs, config, seed, {}, {"chance_accuracy": 0.1}, arrays)
    value = end(config, seed)
    final = {"chance_accuracy": 0.1, "validation_accuracy": value, "train_accuracy": 1.0}
    final |= {"test_accuracy": value} if config.tested else {}
    name = "validation_accuracy_population" if config.norm else "validation_accuracy"
    curves = {"evaluation": {"step": [1, config.steps], "train_loss": [2.3, 0.01], name: [0.1, value]}}
    return write_finished(runs, config, seed, curves, final)


def results(runs: Path) -> Results:
    """Those of the smallest profile, their records in `runs`."""
    profile = protocol.PROFILES["smoke"]
    for stage in protocol.STAGES:
        for config, seed in protocol.plan(stage, profile, [runs]):
            write_record(runs, config, seed)
    return protocol.results(profile, [runs])
