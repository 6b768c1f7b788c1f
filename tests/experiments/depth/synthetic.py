"""Records of `depth`, made up, so that the truth is known."""

from pathlib import Path

import numpy as np

from bnbook.experiments.depth import protocol
from bnbook.experiments.depth.measures import theory
from bnbook.experiments.depth.protocol import LAYERS_A_BLOCK
from bnbook.experiments.protocol import Results
from tests.records import write_finished

# The truth: where each network ends with no layer at all, and what a layer adds; how its gradient grows a
# layer on its way back. All share a seed's luck. The higher rate is worse by LOST.
ENDS = {"plain": 0.5, "plain_bn": 0.7, "residual": 0.5, "residual_bn": 0.7, "skipinit": 0.68}
A_LAYER = {"plain": -0.02, "plain_bn": -0.01, "residual": -0.01, "residual_bn": 0.001, "skipinit": 0.0}
GROWTH = {"plain": 1.0, "plain_bn": 1.2, "residual": 1.1, "residual_bn": 1.05, "skipinit": 1.0}
LOST, WIDE_ERROR, TRAIN_GAIN, STEPS_TO_TARGET = 0.1, 1e-3, 0.05, 5


def end(config: protocol.Config, seed: int) -> float:
    """Accuracy (0 to 1) at the end."""
    arm = config.variant.rpartition("_")[0]
    lost = LOST * (config.lr > min(protocol.PROFILES["smoke"].lrs))
    return ENDS[arm] + A_LAYER[arm] * config.depth + 0.01 * (seed % 100) - lost


def write_record(runs: Path, config: protocol.Config, seed: int) -> None:
    """One record as the experiment would write it, its numbers made up."""
    if config.part == "wide":
        factor = theory() * (1 + WIDE_ERROR) if config.norm else 1.0
        gradient = factor ** np.arange(config.depth, 0, -1)
        write_finished(runs, config, seed, {}, {}, {"gradient": gradient, "rank": np.ones(config.depth)})
        return
    value = end(config, seed)
    final, curves, arrays = {"chance_accuracy": 0.1, "validation_accuracy": value}, {}, {}
    if config.tested:
        final |= {"test_accuracy": value, "train_accuracy": value + TRAIN_GAIN}
        name = "test_accuracy_population" if config.norm else "test_accuracy"
        steps = [1, STEPS_TO_TARGET, *range(STEPS_TO_TARGET + 1, config.steps + 1)]
        curves = {"evaluation": {"step": steps, name: [0.1] + [value] * (len(steps) - 1)}}
        blocks = (config.depth - 2) // LAYERS_A_BLOCK
        arm = config.variant.rpartition("_")[0]
        gradient = GROWTH[arm] ** (LAYERS_A_BLOCK * np.arange(blocks, -1, -1))
        rank = np.linspace(20, 10 if config.norm else 1, blocks + 1)
        arrays = {"gradient": gradient, "rank": rank, "rank_end": rank + 1}
    write_finished(runs, config, seed, curves, final, arrays)


def results(runs: Path) -> Results:
    """Those of the smallest profile, their records in `runs`."""
    profile = protocol.PROFILES["smoke"]
    for stage in protocol.STAGES:
        for config, seed in protocol.plan(stage, profile, [runs]):
            write_record(runs, config, seed)
    return protocol.results(profile, [runs])
