"""Records of Section 4.2.3, made up, so that the truth is known."""

import dataclasses
from pathlib import Path

import numpy as np

from bnbook import records
from bnbook.experiments.bn_ensemble import protocol
from bnbook.experiments.protocol import ChosenResults
from tests.experiments.inception_first import synthetic as inception

# Each network of the ensemble is right on an image where its own noise lets it: on average on this share.
RIGHT = 0.7


def answers(config: protocol.Config, seed: int, images: int = 400) -> dict[str, np.ndarray]:
    """Test probabilities of a network that answers image k with class k % 10, or with the next one where it
    errs; networks err independently. Ten crops err a little less than one."""
    labels = np.arange(images) % 10
    luck = np.random.default_rng([seed, len(config.variant), config.per_activation]).random(images)

    def sure(right: float) -> np.ndarray:
        chosen = np.where(luck < right, labels, (labels + 1) % 10)
        return (0.9 * np.eye(10)[chosen] + 0.01).astype(np.float16)

    return {"single": sure(RIGHT), "multicrop": sure(RIGHT + 0.05), "labels": labels.astype(np.uint8)}


def write_record(runs: Path, config: protocol.Config, seed: int) -> records.Record:
    """One record of a member, with its answers."""
    return inception.write_record(runs, config, seed, arrays=answers(config, seed))


def results(runs: Path) -> ChosenResults:
    """Those of six members, at the smallest sizes otherwise; their records in `runs`."""
    profile = dataclasses.replace(protocol.PROFILES["smoke"], members=6)
    return inception.write_all(runs, protocol, profile, write_record)
