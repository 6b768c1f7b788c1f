"""Records of Section 4.2, made up, so that the truth is known."""

import dataclasses
from pathlib import Path

import numpy as np

from bnbook import records
from bnbook.experiments.inception_speedups import protocol
from tests.records import write_finished

# The truth of the first epochs. float32 parts from bfloat16 in seed 2 alone. Half of
# the seeds learn with Gaussian weights, at the full width all. All learn up to SURVIVED, at the full width
# with batch normalization up to half of that, and half of them at twice that. The pilot does best at 0.1.
SURVIVED = {False: 0.1, True: 0.8}
# The truth of the main stage: curves that rise to the first and are halfway there after the second, in steps.
MAIN = {
    "inception": (0.76, 10.0),
    "bn_baseline": (0.80, 4.0),
    "bn_x5": (0.81, 1.0),
    "bn_x30": (0.82, 1.5),
    "bn_x5_sigmoid": (0.7, 2.0),
}
DEAD, OTHERS = (0.1, 10.0), (0.78, 3.0)


def results(runs: Path) -> protocol.Results:
    """Those of the first epochs and the pilot, their records in `runs`; the full width's beside them."""
    profile = dataclasses.replace(
        protocol.PROFILES["smoke"],
        lrs=(0.05, 0.1, 0.2),
        bn_lrs=(0.1, 0.4, 0.8, 1.6, 3.2),
        precision_seeds=4,
        initial_seeds=4,
        survival_seeds=4,
        pilot_seeds=2,
    )
    for (precision, _), config in protocol.precision(profile).items():
        for seed in range(profile.precision_seeds):
            stopped = precision == "bfloat16" and seed == 2
            write_record(runs, config, seed, 0.1 if stopped else 0.3 + 0.01 * seed)
    write_choices(runs, profile)
    for lr, config in protocol.pilots(profile, ("he", 1.0), [0.05, 0.1]).items():
        for seed in range(profile.pilot_seeds):
            write_record(runs, config, seed, 0.5 + lr, earlier=0.49 + lr)
    wide = dataclasses.replace(profile, width=1.0)
    write_choices(runs, wide)
    full_width = protocol.choosing(protocol.BESIDE, wide, [runs])
    for stage in ("main", "instrument"):
        for config, seed in protocol.plan(stage, profile, [runs]):
            write_curve(runs, config, seed)
    return dataclasses.replace(protocol.results(profile, [runs]), full_width=full_width)


def write_choices(runs: Path, profile: protocol.Profile) -> None:
    """The stages `initial` and `survival`."""
    wide = profile.width == 1
    for (initial, _), config in protocol.initials(profile).items():
        for seed in range(profile.initial_seeds):
            learns = initial != "gaussian" or wide or seed < 2
            write_record(runs, config, seed, 0.4 if learns else 0.1)
    for (norm, lr), config in protocol.survival(profile, ("he", 1.0)).items():
        highest = SURVIVED[norm] / (2 if norm and wide else 1)
        for seed in range(profile.survival_seeds):
            learns = lr <= highest or (lr == 2 * highest and seed < 2)
            write_record(runs, config, seed, 0.4 if learns else 0.1)


def write_curve(runs: Path, config: protocol.Config, seed: int) -> None:
    """A run of the main stage; with every seed a little faster."""
    dead = "inception_sigmoid" in config.variant or config.variant == "inception_x5"
    end, halfway = MAIN.get(config.variant, DEAD if dead else OTHERS)
    end, halfway = end + 0.001 * (seed % 2), halfway * (1 - 0.01 * (seed % 20))
    steps = np.unique(np.geomspace(1, config.steps, 60).round().astype(int))
    suffix = "_population" if config.norm else ""
    curves = {
        "evaluation": {
            "step": steps.tolist(),
            "train_seconds": steps.tolist(),
            f"test_accuracy{suffix}": [float(end * step / (step + halfway)) for step in steps],
        },
        "epochs": {"step": [config.steps], f"test_accuracy{suffix}": [end]},
    }
    final = {"chance_accuracy": 0.1} | {
        f"{split}_accuracy{kind}": end for split in ("test", "validation") for kind in {"", suffix}
    }
    write_finished(runs, config, seed, curves, final)


def write_record(
    runs: Path, config: protocol.Config, seed: int, accuracy: float, earlier: float | None = None
) -> records.Record:
    final = {"chance_accuracy": 0.1, "validation_accuracy": accuracy}
    curves = {}
    if earlier is not None:
        steps = [config.steps * 5 // 6, config.steps]
        curves = {"epochs": {"step": steps, "validation_accuracy": [earlier, accuracy]}}
    return write_finished(runs, config, seed, curves, final, first_losses=[2.3 + config.output_scale])
