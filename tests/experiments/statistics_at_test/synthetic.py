"""Records of corrupted test images, made up, so that the truth is known."""

from pathlib import Path

import numpy as np

from bnbook.experiments.protocol import Results
from bnbook.experiments.statistics_at_test import protocol
from bnbook.experiments.statistics_at_test.corruptions import CLEAN
from tests.records import write_finished

# The truth, as shares of the test images: what is right of clean images; what a corruption costs; which part
# of that returns by each way of taking the statistics.
ENDS = {"plain": 0.7, "bn": 0.8}
COSTS = {"noise": 0.1, "blur": 0.1, "contrast": 0.4, "brightness": 0.2, "inversion": 0.4}
RETURNED = {"few": 0.3, "more": 0.45, "most": 0.5, "mixed": 0.4, "even": 0.35, "one_class": -0.1}
CLEAN_CHANGE = -0.005
A_SEED = 0.02  # that every seed more adds to what returns
RATE = 0.1  # whose validation accuracy is the best


def write_record(runs: Path, config: protocol.Config, seed: int):
    end = ENDS[config.variant]
    final = {"chance_accuracy": 0.1, "validation_accuracy": end - abs(config.lr - RATE)}
    arrays = {}
    for place, kind in enumerate(config.kinds):
        cost = COSTS.get(kind, 0.0)
        final[f"{kind}_accuracy"] = end - cost
        if config.norm:
            for way, share in RETURNED.items():
                back = CLEAN_CHANGE if kind == CLEAN else cost * (share + A_SEED * (seed - 100))
                final[f"{kind}_accuracy_{way}"] = end - cost + back
        arrays["drift"] = np.outer(np.arange(place + 1), np.linspace(1, 0.5, len(config.widths)))
    write_finished(runs, config, seed, {}, final, arrays)


def results(runs: Path) -> Results:
    """Those of the smallest profile, their records in `runs`."""
    profile = protocol.PROFILES["smoke"]
    for stage in protocol.STAGES:
        for config, seed in protocol.plan(stage, profile, [runs]):
            write_record(runs, config, seed)
    return protocol.results(profile, [runs])
