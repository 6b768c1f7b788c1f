"""Records of Section 4.2's second registration, made up, so that the truth is known."""

import dataclasses
from pathlib import Path

from bnbook import records
from bnbook.experiments.inception_second import protocol
from tests.records import write_finished


def write_record(runs: Path, config: protocol.Config, seed: int, accuracy: float) -> records.Record:
    final = {"chance_accuracy": 0.1, "validation_accuracy": accuracy}
    return write_finished(runs, config, seed, {}, final, first_losses=[2.3 + config.output_scale])


# The truth of the second registration's first epochs: float32 parts from bfloat16 in seed 2 alone, and half
# of the seeds learn with Gaussian weights.
def results(runs: Path) -> protocol.Results:
    """Those of the smallest profile, their records in `runs`."""
    profile = dataclasses.replace(protocol.PROFILES["smoke"], precision_seeds=4, initial_seeds=4)
    for (precision, _), config in protocol.precision(profile).items():
        for seed in range(profile.precision_seeds):
            stopped = precision == "bfloat16" and seed == 2
            write_record(runs, config, seed, 0.1 if stopped else 0.3 + 0.01 * seed)
    for (initial, _), config in protocol.initials(profile).items():
        for seed in range(profile.initial_seeds):
            learns = initial != "gaussian" or seed < 2
            write_record(runs, config, seed, 0.4 if learns else 0.1)
    return protocol.results(profile, [runs])
