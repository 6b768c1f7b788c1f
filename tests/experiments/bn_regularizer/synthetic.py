"""Records of Section 3.4, made up, so that the truth is known."""

from pathlib import Path

import numpy as np

from bnbook import records
from bnbook.experiments.bn_regularizer import protocol
from bnbook.experiments.protocol import Results
from tests.records import write_finished

# The truth of Section 3.4's: the spread is SPREAD / sqrt(m), a mini-batch of m changes CHANGED / m of the
# answers, Dropout gains so much accuracy, and so do statistics of groups; those of a company lose some.
# Where Dropout drops, variances are larger, and statistics taken then cost accuracy. All share a seed's luck.
SPREAD, CHANGED = 1.2, 0.3
DROPOUT_GAIN, GROUP_GAIN, COMPANY_LOSS = {"plain": 0.02, "bn": 0.001}, 0.01, 0.004
VARIANCE_SHIFT, SHIFT_COST = 1.3, 0.007


def write_record(runs: Path, config: protocol.Config, seed: int) -> records.Record:
    """One record of Section 3.4 as the experiment would write it, its numbers made up."""
    end = 0.9 + 0.002 * (seed % 100) - 0.05 * (config.lr > 0.5)
    end += DROPOUT_GAIN["bn" if config.group else "plain"] * (config.dropout > 0)
    end += GROUP_GAIN * (0 < config.group < config.batch_size)
    final = {"chance_accuracy": 0.1, "train_accuracy": 1.0, "validation_accuracy": end - 0.01 * (seed % 100)}
    if config.group > config.batch_size:
        end -= COMPANY_LOSS
    if config.group and config.dropout:
        final |= {"shift": VARIANCE_SHIFT, "test_accuracy_shifted": end - SHIFT_COST}
    final["test_accuracy"] = end
    for m in config.sizes:
        final[f"changed_{m}"] = CHANGED / m
        final |= {f"noise_{m}_layer_{layer}": SPREAD / np.sqrt(m) for layer in (1, 2, 3)}
    if config.part == "noise":
        final |= {f"kurtosis_layer_{layer}": 3.0 for layer in (1, 2, 3)}
    return write_finished(runs, config, seed, {}, final)


def results(runs: Path) -> Results:
    """Those of the smallest profile, their records in `runs`."""
    profile = protocol.PROFILES["smoke"]
    for stage in protocol.STAGES:
        for config, seed in protocol.plan(stage, profile, [runs]):
            write_record(runs, config, seed)
    return protocol.results(profile, [runs])
