"""Records of Section 4.2.1's first registration, made up, so that the truth is known."""

import dataclasses
from pathlib import Path

from bnbook import records
from bnbook.experiments.ablation_first import protocol
from bnbook.experiments.protocol import ChosenResults
from tests.experiments.inception_first import synthetic as inception
from tests.experiments.inception_first.synthetic import SPEEDS

# The ablation's: BN-x5 is SPEEDS["bn_x5"], and undoing a change costs this much accuracy, or this many times
# the steps halfway.
UNDOING = {
    "learning_rate": (0.0, 4),
    "dropout": (0.03, 1),
    "l2": (0.001, 1),
    "decay": (0.02, 1),
    "lrn": (-0.001, 1),
    "shuffling": (0.01, 1),
    "photometric": (0.0, 1),
}


def write_record(runs: Path, config: protocol.Config, seed: int) -> records.Record:
    """One record of a change undone; seeds differ a little in what it costs them."""
    (full, half), (cost, times) = SPEEDS["bn_x5"], UNDOING[config.variant]
    return inception.write_record(runs, config, seed, (full - cost - 0.0002 * seed, half * times))


def results(runs: Path) -> ChosenResults:
    """Those of three seeds, their records in `runs`."""
    profile = dataclasses.replace(protocol.PROFILES["smoke"], seeds=3)
    return inception.write_all(runs, protocol, profile, write_record)
