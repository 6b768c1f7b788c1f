"""Records of Section 4.2's second registration, made up, so that the truth is known."""

import dataclasses
from pathlib import Path

from bnbook import records
from bnbook.experiments.inception_speedups import protocol
from tests.records import write_finished

# The truth of the second registration's first epochs. float32 parts from bfloat16 in seed 2 alone. Half of
# the seeds learn with Gaussian weights, at the full width all. All learn up to SURVIVED, at the full width
# with batch normalization up to half of that, and half of them at twice that. The pilot does best at 0.1.
SURVIVED = {False: 0.1, True: 0.8}


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


def write_record(
    runs: Path, config: protocol.Config, seed: int, accuracy: float, earlier: float | None = None
) -> records.Record:
    final = {"chance_accuracy": 0.1, "validation_accuracy": accuracy}
    curves = {}
    if earlier is not None:
        steps = [config.steps * 5 // 6, config.steps]
        curves = {"epochs": {"step": steps, "validation_accuracy": [earlier, accuracy]}}
    return write_finished(runs, config, seed, curves, final, first_losses=[2.3 + config.output_scale])
