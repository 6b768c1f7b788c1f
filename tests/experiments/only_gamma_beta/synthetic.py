"""Records of `only_gamma_beta`, made up, so that the truth is known."""

import dataclasses
from pathlib import Path

import numpy as np

from bnbook.experiments.only_gamma_beta import protocol
from bnbook.experiments.protocol import Results
from tests.records import write_finished

# The truth: accuracy of the network that decides, and what a doubling of depth or width adds.
ENDS = {"gamma_beta": 0.4, "random": 0.3, "output": 0.25, "all": 0.6}
DOUBLING = 0.04
BEST_LR = {"gamma_beta": 0.3, "random": 0.3, "output": 0.1, "all": 0.1}
SEED = 0.001  # between neighbours
OFF = 0.25  # of the gammas end at 0, 1 in 100 begins there
PARAMETERS = {"gamma_beta": 200, "random": 200, "output": 170, "all": 5000}


def write_record(runs: Path, config: protocol.Config, seed: int) -> None:
    doublings = np.log2(config.depth / 8) + np.log2(config.width / 4)
    accuracy = ENDS[config.arm] + DOUBLING * doublings + SEED * (seed % 100)
    best = config.lr == BEST_LR[config.arm]
    gamma_start = np.linspace(0, 1, 100, dtype=np.float32) + np.float32(1e-3)
    gamma = gamma_start + np.float32(0.2)
    if config.arm == "gamma_beta":
        gamma[: round(100 * OFF)] = 0
    steps = [1, config.steps // 2, config.steps]
    shares = [float((np.abs(g) < 0.01).mean()) for g in (gamma_start, gamma_start, gamma)]
    curves = {
        "evaluation": {"step": steps, "train_loss": [2.3, 2.0, 1.9]},
        "gammas": {"step": steps, "near_zero": shares},
    }
    final = {
        "chance_accuracy": 0.1,
        "parameters": float(PARAMETERS[config.arm]),
        "validation_accuracy": 0.5 if best else 0.4,
        "test_accuracy": accuracy,
        "test_accuracy_zeroed": accuracy - 0.002,
    }
    write_finished(runs, config, seed, curves, final, {"gamma_start": gamma_start, "gamma": gamma})


def results(runs: Path) -> Results:
    """With two learning rates to choose from."""
    profile = dataclasses.replace(protocol.PROFILES["smoke"], lrs=dict.fromkeys(protocol.ARMS, (0.1, 0.3)))
    for stage in protocol.STAGES:
        for config, seed in protocol.plan(stage, profile, [runs]):
            write_record(runs, config, seed)
    return protocol.results(profile, [runs])
