"""Records of Section 2, made up, so that the truth is known."""

from pathlib import Path

import numpy as np

from bnbook import records
from bnbook.experiments.outside_the_gradient import protocol
from bnbook.experiments.protocol import Results
from tests.records import write_finished

# The truth of Section 2's: how fast a bias grows a step, and how often the loss leaps to LEAP times its size.
GROWTH, LEAP, WHITENING_COST = 0.1, 3.0, {"mean_std_through": 2.0, "whiten_through": 9.0}


def write_record(runs: Path, config: protocol.Config, seed: int) -> records.Record:
    """One record of Section 2 as the experiment would write it, its numbers made up."""
    steps = np.unique(np.geomspace(1, config.steps, 30).round().astype(int))
    bias = GROWTH * steps * config.ignored
    curves, final = {}, {"chance_accuracy": 0.1}
    if config.part == "toy":
        loss = np.ones(len(steps))
        if config.ignored and config.normalization == "mean_std":
            loss[5] = LEAP
        columns = {"step": steps, "loss": loss, "weight": loss, "bias": bias}
        curves = {"toy": {name: column.tolist() for name, column in columns.items()}}
        final = {"loss": 1.0, "weight": 1.0, "bias": float(bias[-1])}
    elif config.part == "net":
        rise = np.linspace(0.1, 0.9 + 0.01 * seed, len(steps)).tolist()
        curves["evaluation"] = {"step": steps.tolist(), "test_accuracy": rise}
        curves["sizes"] = {"step": steps.tolist(), "bias": bias.tolist()}
        final |= {"test_accuracy": rise[-1], "bias": float(bias[-1])}
    else:
        final = {"times_bare": WHITENING_COST[config.variant.removeprefix("cost_")] * (1 + 0.1 * seed)}
    return write_finished(runs, config, seed, curves, final)


def results(runs: Path) -> Results:
    """Those of the smallest profile, their records in `runs`."""
    profile = protocol.PROFILES["smoke"]
    for config, seed in protocol.jobs(profile):
        write_record(runs, config, seed)
    return protocol.results(profile, [runs])
