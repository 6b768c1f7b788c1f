"""After the paper: a network that was trained on clean images meets others. How much of what it loses comes
back when nothing but the statistics of batch normalization is taken anew, from images without labels?

The paper names it as future work (Section 5: population means and variances recomputed for a new domain); Li
et al. 2018, Schneider et al. 2020 and Nado et al. 2020 did it. A small convolutional network, with BN and
without, learns CIFAR-10 as it is; then it is asked about test images that are noisy, blurred, pale, bright or
inverted (`corruptions`). With BN it answers by the population statistics of its training images, or by those
of a few validation images that are corrupted in the same way; they are none of the tested.

A grid chooses each network's learning rate on clean validation images; the main runs are of new seeds.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from bnbook.config import TrainingConfig
from bnbook.experiments import knobs
from bnbook.experiments import protocol as grid
from bnbook.experiments.statistics_at_test.corruptions import KINDS
from bnbook.records import Record

EXPERIMENT = "statistics_at_test"
STAGES = grid.CONFIRMED_STAGES
DATA = ("cifar10-jpeg", "cifar10", "digits")
# Of the code that builds and trains, what the notebook shows.
SHOWN = (
    "nn.convnet.ConvNet",
    "experiments.statistics_at_test.corruptions.corrupted",
    "training.train_run",
    "training.answers",
    "train.loop.train",
    "training.mixed",
    "nn.batchnorm.population_statistics",
)

VARIANTS = ("plain", "bn")
COUNTED = ("few", "more", "most")  # numbers of images that statistics are taken of
WAYS = (*COUNTED, "mixed", "even", "one_class")  # of taking them, see `training.answers`
PRIOR = 16  # images that the statistics of training count for where they are mixed (Schneider et al. 2020)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainingConfig):
    """One training, and what is asked of the network afterwards."""

    experiment: str = EXPERIMENT
    recipe: int = 1
    train_on: str = "train"  # the validation images lend their statistics
    norm: bool
    lr: float
    widths: tuple[int, ...]  # maps of each convolution
    momentum: float = 0.9
    lr_fall: float = 0.01  # the rate at the end over that at the start
    population_batches: int = 100  # training mini-batches for the statistics of Algorithm 2
    kinds: tuple[str, ...] = ()  # of images that it is asked about; none while a rate is chosen
    counts: tuple[int, ...] = ()  # images that statistics are taken of, by COUNTED
    draws: int = 0  # times that other images are drawn, but for the most
    test_images: int = 0  # test images that it is asked about


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """The sizes of one profile."""

    data: str
    seeds: int  # of the grid
    new_seeds: int  # of the main runs
    steps: int
    lrs: dict[str, tuple[float, ...]]
    batch_size: int = 128
    widths: tuple[int, ...] = (24, 48, 48, 96)
    population_batches: int = 100
    counts: tuple[int, ...] = (16, 100, 1000)
    draws: int = 3
    test_images: int = 5000


PROFILES = {
    "smoke": Profile(
        data="digits",
        seeds=1,
        new_seeds=2,
        steps=60,
        lrs={"plain": (0.05,), "bn": (0.1,)},
        batch_size=32,
        widths=(8, 8, 16),
        population_batches=10,
        counts=(16, 32, 120),
        draws=2,
        test_images=360,
    ),
    "cpu": Profile(
        data="cifar10-jpeg",
        seeds=1,
        new_seeds=5,
        steps=5 * 351,  # epochs of 45,000 images
        lrs={"plain": (0.01, 0.03, 0.1), "bn": (0.03, 0.1, 0.3)},
    ),
    "paper": Profile(
        data="cifar10",
        seeds=2,
        new_seeds=10,
        steps=30 * 351,
        lrs={"plain": (0.01, 0.03, 0.1), "bn": (0.03, 0.1, 0.3)},
        widths=(48, 96, 96, 192),
        draws=10,
        test_images=10_000,
    ),
}

KNOBS = (
    knobs.learning_rate(
        "the only learning rate of both networks",
        knobs.AS_CHOSEN,
        lambda profile, lr: dataclasses.replace(profile, lrs=dict.fromkeys(VARIANTS, (lr,))),
    ),
    knobs.batch_size("images in a training mini-batch"),
    knobs.seeds("of the main runs", "new_seeds"),
    knobs.steps("of training"),
)


def main(profile: Profile) -> dict[tuple[str, ...], Config]:
    """The grid's configurations by (variant, learning rate)."""
    return {
        (variant, f"{lr:g}"): Config(
            variant=variant,
            data=profile.data,
            batch_size=profile.batch_size,
            steps=profile.steps,
            norm=variant == "bn",
            lr=lr,
            widths=profile.widths,
            population_batches=profile.population_batches,
        )
        for variant in VARIANTS
        for lr in profile.lrs[variant]
    }


def validation(records: Sequence[Record]) -> float:
    """Mean accuracy (0 to 1) on clean validation images; chance for a run that diverged."""
    return float(
        np.mean([one.final.get("validation_accuracy", one.final["chance_accuracy"]) for one in records])
    )


def select(results: grid.Results) -> dict[str, float]:
    """The learning rate of each network; ties go to the smaller."""
    return {
        variant: max(
            results.profile.lrs[variant],
            key=lambda lr: (validation(results.main[variant, f"{lr:g}"]), -lr),
        )
        for variant in VARIANTS
    }


def confirm(profile: Profile, choice: dict[str, float]) -> dict[tuple[str, ...], tuple[Config, int]]:
    """The main runs by ("main", variant), at the rates of `choice` or the only one that `profile` has."""
    configs, found = main(profile), {}
    for variant in VARIANTS:
        lrs = profile.lrs[variant]
        chosen = configs[variant, f"{choice[variant] if choice[variant] in lrs else lrs[0]:g}"]
        asked = {
            "kinds": KINDS,
            "counts": profile.counts,
            "draws": profile.draws,
            "test_images": profile.test_images,
        }
        found["main", variant] = dataclasses.replace(chosen, **asked), profile.new_seeds
    return found


def traces(steps: int) -> list[Config]:
    """Each network on the embedded digits, for replay."""
    short = dataclasses.replace(PROFILES["smoke"], steps=steps)
    return list(main(short).values())


GRID = grid.Confirmed(main, select, confirm)
choose, jobs, plan, results = GRID.choose, GRID.jobs, GRID.plan, GRID.results
