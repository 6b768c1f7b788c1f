"""Records of Section 4.2.1, made up, so that the truth is known."""

from pathlib import Path

import numpy as np

from bnbook import records
from bnbook.experiments.accelerating_ablation import protocol
from bnbook.experiments.inception_speedups.protocol import Choice
from bnbook.experiments.protocol import ChosenResults
from tests.records import write_finished

CHOICE = Choice(initial="xavier", output_scale=0.1, lr=0.1, epochs=24, target=70.0)
END, HALFWAY = 0.81, 10.0  # of BN-x5: where it ends, and the step at which it is halfway there
LOST = {"dropout": 0.01, "l2": 0.0, "decay": -0.006, "lrn": 0.0, "shuffling": 0.002, "photometric": 0.0}
SLOWER = 3  # times the steps, at the lower learning rate
NOISE = np.array([-1.0, 1.0, -0.5, 0.5, -0.8, 0.8]) / 1000  # of the seeds


def results(runs: Path) -> ChosenResults:
    """Those of the profile "cpu" at CHOICE, their records in `runs`."""
    profile = protocol.PROFILES["cpu"]
    order = [config.run_id for config in protocol.main(profile, CHOICE).values()]
    main: dict[str, list[records.Record]] = {}
    for config, seed in protocol.jobs(profile, CHOICE):
        noise = np.roll(NOISE, order.index(config.run_id))[seed - profile.first_main_seed]
        main.setdefault(protocol.group(config), []).append(write_record(runs, config, seed, noise))
    return ChosenResults(profile, CHOICE, main)


def write_record(runs: Path, config: protocol.Config, seed: int, noise: float) -> records.Record:
    """A run whose curve is end * t / (t + halfway), a little faster with every seed."""
    end = END - LOST.get(config.variant, 0.0) + noise
    halfway = HALFWAY * (SLOWER if config.variant == protocol.SLOW else 1) * (1.2 - 0.01 * seed)
    steps = np.unique(np.geomspace(10, config.steps, 150).round().astype(int))
    accuracies = [float(end * step / (step + halfway)) for step in steps]
    curves = {
        "evaluation": {"step": steps.tolist(), "test_accuracy_population": accuracies},
        "epochs": {"step": [config.steps], "test_accuracy_population": [end + 0.001]},
    }
    final = {"chance_accuracy": 0.1} | {
        f"{split}_accuracy{kind}": end for split in ("test", "validation") for kind in ("", "_population")
    }
    return write_finished(runs, config, seed, curves, final, first_losses=[2.3, 2.2 + noise])
