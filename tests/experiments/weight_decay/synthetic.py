"""Records of weight decay with BN and without, made up, so that the truth is known."""

from pathlib import Path

import numpy as np

from bnbook import records
from bnbook.experiments.protocol import Results
from bnbook.experiments.weight_decay import protocol
from tests.records import write_finished

# The truth: with BN accuracy falls by STEEP for every doubling of rate x decay away from BEST, and rises by
# TILT with every doubling of the rate, whatever the product; without decay it is NONE. Without BN decay costs
# COST. Matched rates change the end and the curve by MATCHED, by network. Weights shrink by SHRUNK (squared).
BEST, STEEP, TILT, NONE, COST = 0.04, 0.01, 0.002, 0.5, 0.04
MATCHED = {"plain": -0.03, "bn": 0.0004}
SHRUNK = {0.0: 1.1, 0.2: 0.5, 0.8: 0.1}


def network(config: protocol.Config) -> str:
    return "bn" if config.norm else "plain"


def end(config: protocol.Config) -> float:
    decay = config.mimicked or config.weight_decay
    if not config.norm:
        accuracy = 0.55 - COST * (decay > 0.5)
    elif not decay:
        accuracy = NONE
    else:
        away = abs(np.log2(config.lr * decay / BEST))
        accuracy = 0.6 - STEEP * away + TILT * np.log2(config.lr / 0.1)
    return accuracy + MATCHED[network(config)] * (config.mimicked > 0)


def write_record(runs: Path, config: protocol.Config, seed: int) -> records.Record:
    """One record as the experiment would write it, its numbers made up. A seed has luck, the same in every
    cell, and the arms differ a little by it."""
    accuracy = end(config) + 0.001 * (seed % 100)
    points = np.arange(1, protocol.NORM_POINTS + 1) * config.steps // protocol.NORM_POINTS
    fallen = np.append(1.0, SHRUNK[config.weight_decay] ** (points / config.steps))
    held = config.mimicked > 0
    norms = {"step": [0, *points.tolist()]} | {
        f"layer_{layer}": (10.0 * layer * (fallen * 0 + 1 if held else fallen)).tolist()
        for layer in range(1, len(config.maps) + 1)
    }
    curves, final = {"norms": norms}, {"chance_accuracy": 0.1}
    if config.tested:
        accuracy += 0.0002 * (seed % 2) * held
        shown = points[1::2]
        name = "test_accuracy_population" if config.norm else "test_accuracy"
        curves["evaluation"] = {"step": shown.tolist(), name: [accuracy] * len(shown)}
        final["test_accuracy"] = accuracy
    else:
        final["validation_accuracy"] = accuracy
    return write_finished(runs, config, seed, curves, final)


def results(runs: Path) -> Results:
    """Those of the smallest profile, their records in `runs`."""
    profile = protocol.PROFILES["smoke"]
    for stage in protocol.STAGES:
        for config, seed in protocol.plan(stage, profile, [runs]):
            write_record(runs, config, seed)
    return protocol.results(profile, [runs])
