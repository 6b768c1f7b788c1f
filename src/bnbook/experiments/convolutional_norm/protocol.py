"""Section 3.2: batch normalization of convolutions. Over what the mean is taken, and where in the layer.

A small convolutional network (see `networks`) is trained in six variants: without BN; with BN of
Wu before the nonlinearity, its statistics per map or per activation; with a bias left in before it; and with
BN after the nonlinearity, or on the layer's input. The first three run with tiny mini-batches too, where it
counts most over how many values a mean is taken.

Every variant runs at every learning rate of its batch size. It is judged at the one with the highest mean
accuracy on the validation set (ties: the smaller); the training set is without the validation set throughout.

The place of BN makes a smaller difference than a few seeds can show. So BN of Wu and BN of the layer's input,
each at the rate chosen for it, are run again by many seeds that chose nothing.
"""

import dataclasses

import numpy as np

from bnbook.config import TrainingConfig
from bnbook.experiments import knobs
from bnbook.experiments import protocol as grid
from bnbook.records import Record

EXPERIMENT = "convolutional_norm"
STAGES = grid.CONFIRMED_STAGES
DATA = ("mnist", "digits")
# Of the code that builds and trains, what the notebook shows.
SHOWN = (
    "networks.norm",
    "networks.ConvLayer",
    "networks.ConvNet",
    "training.network",
    "training.train_run",
    "train.loop.train",
)
SIDES = {"mnist": 28, "digits": 8}

# What the statistics are taken over, where BN stands, and whether the convolutions have a bias.
VARIANTS = {
    "none": ("none", "before", True),
    "per_map": ("map", "before", False),
    "per_activation": ("activation", "before", False),
    "biased": ("map", "before", True),
    "after": ("map", "after", True),
    "input": ("map", "input", True),
}
SMALL_BATCH_VARIANTS = ("none", "per_map", "per_activation")
PLACES = ("per_map", "input")  # that new seeds compare: Wu and u
LEARNS = 0.5  # test accuracy below which a run has not learned


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainingConfig):
    """One run."""

    experiment: str = EXPERIMENT
    recipe: int = 1
    train_on: str = "train"
    norm: str  # "none", "map" or "activation"
    place: str  # "before", "after" or "input"
    bias: bool
    lr: float
    decay: float = 0.1  # of the learning rate, over the whole run: so that seeds end where they would stay
    maps: int  # of the first layer; the second has twice as many
    shift: int  # pixels by which the test images are moved
    bias_std: float  # of the initial biases: not 0 where BN stands after them, to see whether it matters
    eps: float = 1e-5
    population_images: int  # for Algorithm 2's statistics
    probe_images: int  # of the test set, for the measures inside the network


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """The sizes of one profile."""

    data: str
    seeds: int
    new_seeds: int
    maps: int
    shift: int
    small_batch: int
    small_batch_steps: int
    small_batch_lrs: tuple[float, ...]
    batch_size: int
    steps: int
    lrs: tuple[float, ...]
    population_images: int
    probe_images: int


PROFILES = {
    "smoke": Profile(
        data="digits",
        seeds=2,
        new_seeds=3,
        maps=4,
        shift=1,
        small_batch=4,
        small_batch_steps=30,
        small_batch_lrs=(0.03,),
        batch_size=60,
        steps=30,
        lrs=(0.3,),
        population_images=240,
        probe_images=100,
    ),
    "cpu": Profile(
        data="mnist",
        seeds=3,
        new_seeds=40,
        maps=8,
        shift=2,
        small_batch=4,
        small_batch_steps=2000,
        small_batch_lrs=(0.03, 0.1, 0.3),
        batch_size=60,
        steps=500,
        lrs=(0.015, 0.05, 0.15, 0.45),
        population_images=2400,
        probe_images=250,
    ),
    "paper": Profile(
        data="mnist",
        seeds=10,
        new_seeds=40,
        maps=16,
        shift=2,
        small_batch=4,
        small_batch_steps=50_000,
        small_batch_lrs=(0.01, 0.03, 0.1, 0.3),
        batch_size=60,
        steps=10_000,
        lrs=(0.015, 0.05, 0.15, 0.45),
        population_images=12_000,
        probe_images=1000,
    ),
}

KNOBS = (
    knobs.only_learning_rate("the only learning rate, with the larger mini-batches"),
    knobs.only_learning_rate(
        "the only learning rate, with the smaller ones", "small_batch_lrs", "small_batch_lr"
    ),
    # Their bounds keep the two sizes apart.
    knobs.batch_size("images in the larger mini-batches", low=20),
    knobs.Knob("small_batch", 2, 16, "images in the smaller mini-batches"),
    knobs.Knob("maps", 1, 64, "maps of the first layer; the second has twice as many"),
    knobs.Knob("shift", 1, 4, "pixels by which the test images are moved"),
    knobs.seeds("runs of each"),
    knobs.seeds("of the two places that new seeds compare", "new_seeds"),
    knobs.steps("of training with the larger mini-batches"),
    knobs.steps("of training with the smaller ones", "small_batch_steps"),
)

Key = tuple[str, str, str]


def main(profile: Profile) -> dict[Key, Config]:
    """The configurations of the grid by (variant, batch size, learning rate)."""
    batches = [
        (profile.batch_size, profile.steps, profile.lrs, tuple(VARIANTS)),
        (profile.small_batch, profile.small_batch_steps, profile.small_batch_lrs, SMALL_BATCH_VARIANTS),
    ]
    return {
        (variant, str(batch_size), str(lr)): Config(
            variant=variant,
            data=profile.data,
            batch_size=batch_size,
            steps=steps,
            norm=VARIANTS[variant][0],
            place=VARIANTS[variant][1],
            bias=VARIANTS[variant][2],
            lr=lr,
            maps=profile.maps,
            shift=profile.shift,
            bias_std=1.0 if variant == "biased" else 0.0,
            population_images=profile.population_images,
            probe_images=profile.probe_images,
        )
        for batch_size, steps, lrs, variants in batches
        for variant in variants
        for lr in lrs
    }


def traces(steps: int) -> list[Config]:
    """Each variant once on the embedded digits, for replay: gentle, so that rounding does not grow."""
    profile = dataclasses.replace(PROFILES["smoke"], steps=steps, lrs=(0.05,))
    large = str(profile.batch_size)
    return [config for (_, batch, _), config in main(profile).items() if batch == large]


# Which learning rate


def rates(results: grid.Results, variant: str, batch_size: int) -> dict[float, list[Record]]:
    """The grid's records of a variant by learning rate, from the smallest."""
    found = {
        float(lr): records
        for (name, batch, lr), records in results.main.items()
        if (name, batch) == (variant, str(batch_size))
    }
    return dict(sorted(found.items()))


def chosen_rate(results: grid.Results, variant: str, batch_size: int) -> float:
    """The learning rate with the best mean validation accuracy; of equals the smaller."""
    found = rates(results, variant, batch_size)
    return max(found, key=lambda lr: validation(found[lr]))


def validation(records: list[Record]) -> float:
    """Mean validation accuracy (0 to 1); chance for a run that diverged."""
    return float(
        np.mean([r.final["chance_accuracy" if r.diverged else "validation_accuracy"] for r in records])
    )


def select(results: grid.Results) -> dict[str, float]:
    """The learning rate of each of PLACES, with the larger mini-batches."""
    return {name: chosen_rate(results, name, results.profile.batch_size) for name in PLACES}


def confirm(profile: Profile, choice: dict[str, float]) -> dict[Key, tuple[Config, int]]:
    """What new seeds run, by ("new", variant, learning rate), and how many of them: at the rate of `choice`,
    or at the profile's only one."""
    configs, batch = main(profile), str(profile.batch_size)
    if len(profile.lrs) == 1:
        choice = dict.fromkeys(choice, profile.lrs[0])
    return {
        ("new", name, str(lr)): (configs[name, batch, str(lr)], profile.new_seeds)
        for name, lr in choice.items()
    }


GRID = grid.Confirmed(main, select, confirm)
choose, jobs, plan, results = GRID.choose, GRID.jobs, GRID.plan, GRID.results
