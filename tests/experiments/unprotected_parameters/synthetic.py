"""Records of BN-x30's first epoch, made up, so that the truth is known."""

from pathlib import Path

from bnbook import records
from bnbook.experiments.inception_first import protocol as inception
from bnbook.experiments.protocol import ChosenResults
from bnbook.experiments.unprotected_parameters import protocol
from tests.records import write_finished

# The truth of BN-x30's first epoch: the share of the last module's channels that are dead at each step.
WATCHED_STEPS = [1, 2, 4, 8]
DEAD = {"bn_x30": [0.0, 0.25, 0.5, 1.0], "slow_gamma_beta": [0.0, 0.0, 0.0, 0.5]}


def write_record(runs: Path, config: protocol.Config, seed: int) -> records.Record:
    dead = DEAD.get(config.variant, [0.0] * 4)
    watch = {
        "step": WATCHED_STEPS,
        "train_loss": [2.3, 2.2, 2.1, 2.0 + 0.1 * seed],
        "silent_last": dead,
        "silent": [share / 2 for share in dead],
        "beta": [0.0, 0.1, 0.2, 0.3],
        "output_norm": [1.0, 2.0, 3.0, 4.0],
    }
    accuracy = {"chance_accuracy": 0.1, "validation_accuracy_population": 0.4 + 0.1 * seed}
    return write_finished(runs, config, seed, {"watch": watch}, accuracy)


def results(runs: Path) -> ChosenResults:
    """Those of the smallest profile, their records in `runs`."""
    profile, choice = protocol.PROFILES["smoke"], inception.Choice(lr=0.1, lr_decay=0.9, weight_decay=1e-3)
    configs = protocol.main(profile, choice)
    found = {
        name: [write_record(runs, config, seed) for seed in range(profile.seeds)]
        for name, config in configs.items()
    }
    return ChosenResults(profile, choice, found)
