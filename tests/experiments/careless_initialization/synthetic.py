"""Records of Section 3.3's initial scales, made up, so that the truth is known."""

from pathlib import Path

import numpy as np

from bnbook import records
from bnbook.experiments.careless_initialization import protocol
from bnbook.experiments.protocol import Results
from tests.records import write_finished

# The truth of the map of initial scales: at how many of the five scales each network trains, by (activation,
# variant, depth); and by how many times a gradient grows a layer.
WORKING_SCALES = {
    ("relu", "plain", 1): 3,
    ("relu", "plain", 5): 1,
    ("relu", "bn", 1): 5,
    ("relu", "bn", 5): 4,
    ("sigmoid", "plain", 1): 2,
    ("sigmoid", "plain", 5): 0,
    ("sigmoid", "bn", 1): 2,
    ("sigmoid", "bn", 5): 0,
}


GRADIENT_GROWTH = 1.5


def write_record(runs: Path, config: protocol.Config, seed: int) -> records.Record:
    """One row of the map as the experiment would write it, its numbers made up. Only the last rate works, and
    the first seed loses one scale with BN in the deepest network of ReLUs. Of the controls those with a
    standard output layer work everywhere."""
    count = (
        len(config.scales)
        if not config.scale_output
        else WORKING_SCALES[config.activation, "bn" if config.norm else "plain", config.depth]
    )
    count -= count == 4 and seed == 0
    accuracy = np.full((len(config.scales), len(config.lrs)), 0.2, dtype=np.float32)
    accuracy[:count, -1] = 0.75
    layers = np.arange(config.depth)
    arrays = {
        "accuracy": accuracy,
        "steps": np.full(accuracy.shape, config.steps, dtype=np.int32),
        "spread": np.outer(config.scales, np.ones(config.depth)),
        "gradient": np.outer(config.scales, GRADIENT_GROWTH**-layers),
    }
    return write_finished(runs, config, seed, {}, {"chance_accuracy": 0.1, "mean_accuracy": 0.5}, arrays)


def results(runs: Path) -> Results:
    """Those of the smallest profile, their records in `runs`."""
    profile = protocol.PROFILES["smoke"]
    for config, seed in protocol.jobs(profile):
        write_record(runs, config, seed)
    return protocol.results(profile, [runs])
