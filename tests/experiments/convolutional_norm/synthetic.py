"""Records of Section 3.2, made up, so that the truth is known."""

import dataclasses
from pathlib import Path

import numpy as np

from bnbook import records
from bnbook.experiments.convolutional_norm import protocol
from bnbook.experiments.protocol import Results
from tests.records import write_finished

# The truth of Section 3.2's. `best_lr` has the best validation accuracy, and the worst test accuracy.
CONVOLUTIONAL = {
    "accuracy": {
        "none": 0.94,
        "per_map": 0.97,
        "per_activation": 0.96,
        "biased": 0.97,
        "after": 0.965,
        "input": 0.95,
    },
    "small_batch_loss": {"none": 0.01, "per_map": 0.01, "per_activation": 0.05},
    "shift_error": {"per_activation": 0.5},
    "worth_1": 30.0,
    "worth_2": 8.0,
    "best_lr": 0.1,
}


LOST_SEED = 102


def write_record(runs: Path, config: protocol.Config, seed: int) -> records.Record:
    """One record of Section 3.2 as the experiment would write it, its numbers made up."""
    truth, best = CONVOLUTIONAL, config.lr == CONVOLUTIONAL["best_lr"]
    loss = truth["small_batch_loss"].get(config.variant, 0) if config.batch_size < 10 else 0
    # Seeds lie evenly around the truth; of the new ones the last does not learn with u normalized.
    accuracy = truth["accuracy"][config.variant] - loss + 0.002 * (seed % 100 - 0.5)
    if seed == LOST_SEED and config.variant == "input":
        accuracy = 0.1
    side = protocol.SIDES[config.data]
    steps = np.unique(np.geomspace(1, config.steps, 10).round().astype(int)).tolist()
    final = {
        "chance_accuracy": 0.1,
        "test_accuracy": accuracy if best else 0.99,
        "validation_accuracy": 0.95 if best else 0.9,
        "shifted_accuracy": 0.5,
        "shift_error": truth["shift_error"].get(config.variant, 0.0),
        "worth_1": truth["worth_1"],
        "worth_2": truth["worth_2"],
        "u_distance": 0.3,
        "wu_distance": 0.1,
    }
    if config.bias:
        final["bias_moved"] = 1e-7 if config.variant == "biased" else 0.1
    ramp = np.arange(side**2, dtype=np.float16).reshape(side, side) / side**2
    arrays = {"map": ramp, "map_moved": ramp * (1 + final["shift_error"])}
    arrays |= {f"{name}_density": np.full(64, 1 / 64, np.float16) for name in ("u", "wu")}
    return write_finished(
        runs, config, seed, {"evaluation": {"step": steps, "train_loss": [1.0] * len(steps)}}, final, arrays
    )


def results(runs: Path) -> Results:
    """With two learning rates to choose from."""
    lrs = (0.1, 0.3)
    profile = dataclasses.replace(protocol.PROFILES["smoke"], lrs=lrs, small_batch_lrs=lrs)
    for stage in protocol.STAGES:
        for config, seed in protocol.plan(stage, profile, [runs]):
            write_record(runs, config, seed)
    return protocol.results(profile, [runs])
