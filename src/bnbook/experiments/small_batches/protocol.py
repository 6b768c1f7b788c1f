"""After the paper: mini-batches that are small, or not independent. Where does each normalization break?

A small convolutional network learns CIFAR-10 with batch normalization, ghost batch normalization (Hoffer et
al. 2017), batch renormalization (Ioffe 2017), group normalization (Wu & He 2018) or layer normalization, in
mini-batches of 2 to 128 images, always as many images in all. Ghost batch normalization is there where the
mini-batch is larger than its groups. Beside the shuffled mini-batches some that are *sorted*: each is of one
class alone, and which one is left to chance.

The learning rate of each normalization is chosen once, at the largest mini-batch, on validation images, and
goes with the size of the mini-batch from there (the linear rule): equal images then mean equal movement, and
what differs is the normalization. To choose it at every size would let a low rate hide what small
mini-batches do. Sorted mini-batches, whose gradients all point one way, have a choice of their own: else one
would see what they do to gradient descent, and not to normalization.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from bnbook.config import TrainingConfig
from bnbook.experiments import knobs
from bnbook.experiments import protocol as grid
from bnbook.records import Record

EXPERIMENT = "small_batches"
STAGES = grid.CONFIRMED_STAGES
DATA = ("cifar10-jpeg", "cifar10", "digits")
# Of the code that builds and trains, what the notebook shows.
SHOWN = (
    "networks.norm",
    "networks.GhostBatchNorm",
    "networks.BatchRenorm",
    "networks.bounds",
    "training.Sorted",
    "training.train_run",
    "training.answers",
    "train.loop.train",
)

VARIANTS = ("bn", "ghost", "renorm", "gn", "ln")
ORDERS = ("shuffled", "sorted")
SORTABLE = ("bn", "renorm", "gn", "ln")  # for one class alone groups are nothing new
DECIDING = {
    "shuffled": ("bn", "gn"),
    "sorted": ("bn", "renorm"),
}  # that a claim compares: they get more seeds


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainingConfig):
    """One training."""

    experiment: str = EXPERIMENT
    recipe: int = 1
    train_on: str = "train"
    order: str  # of ORDERS
    lr: float
    widths: tuple[int, ...]  # maps of each convolution
    tested: bool = False  # else the validation images alone, while a rate is chosen
    momentum: float = 0.9
    lr_fall: float = 0.01  # the rate at the end over that at the start
    norm_momentum: float = 0.1  # of the moving averages of BN
    # Of those of batch renormalization. They reach back over as many images at every size of the mini-batch:
    # 0.01 at 32, as Ioffe 2017 has it.
    renorm_momentum: float
    r_max: float = 3.0  # Ioffe 2017
    d_max: float = 5.0
    # The same paper's schedule, of 5, 25 and 40 thousand steps of some 160, as shares.
    renorm_from: float = 0.03
    d_until: float = 0.15
    r_until: float = 0.25
    groups: int = 8  # of maps, in group normalization
    ghost: int = 16  # images of a group, in ghost batch normalization
    population_images: int = 6400  # for the statistics of Algorithm 2, in mini-batches as in training


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """The sizes of one profile."""

    data: str
    seeds: int  # of the grid
    new_seeds: int  # of the main runs
    new_seeds_decided: int  # of those that decide a claim
    images: int  # that each training sees
    lrs: tuple[float, ...]  # at the largest mini-batch
    lrs_sorted: tuple[float, ...]  # the same, to be scaled too, where mini-batches are sorted
    largest: int = 128  # mini-batch, at which the rate is chosen
    sizes: tuple[int, ...] = (2, 8, 32, 128)
    decided: tuple[int, ...] = (2, 32, 128)
    sorted_size: int = 32
    widths: tuple[int, ...] = (16, 32, 64, 64, 64, 64)
    groups: int = 8
    population_images: int = 6400


PROFILES = {
    "smoke": Profile(
        data="digits",
        seeds=1,
        new_seeds=2,
        new_seeds_decided=2,
        images=320,
        lrs=(0.1,),
        lrs_sorted=(0.05,),
        largest=32,
        sizes=(8, 32),
        decided=(8, 32),
        sorted_size=8,  # some of each class in the few validation images
        widths=(8, 8, 8),
        groups=4,
        population_images=160,
    ),
    "cpu": Profile(
        data="cifar10-jpeg",
        seeds=1,
        new_seeds=3,
        new_seeds_decided=5,
        images=45_000,
        lrs=(0.015, 0.05, 0.15, 0.5),
        lrs_sorted=(0.007, 0.02, 0.06),
    ),
    "paper": Profile(
        data="cifar10",
        seeds=2,
        new_seeds=5,
        new_seeds_decided=5,
        images=20 * 45_000,
        lrs=(0.015, 0.05, 0.15, 0.5),
        lrs_sorted=(0.007, 0.02, 0.06),
        sizes=(2, 4, 8, 16, 32, 64, 128),
        widths=(48, 96, 192, 192, 192, 192),
    ),
}

KNOBS = (
    knobs.learning_rate(
        "learning rate of all, at the largest mini-batch",
        knobs.AS_CHOSEN,
        lambda profile, lr: dataclasses.replace(profile, lrs=(lr,), lrs_sorted=(lr,)),
    ),
    knobs.Knob(
        "batch_size",
        2,
        256,
        "the only size of a mini-batch, images",
        "those of the profile",
        lambda profile, m: dataclasses.replace(profile, sizes=(m,), decided=(m,), sorted_size=m),
    ),
    knobs.seeds("of all main runs", turn=knobs.at_once("new_seeds", "new_seeds_decided")),
    knobs.Knob("images", 640, 10_000_000, "that each training sees"),
)


def configuration(profile: Profile, variant: str, m: int, order: str, lr: float, tested: bool) -> Config:
    """A training in mini-batches of `m`, at the rate that goes with `lr` at the largest."""
    return Config(
        variant=variant,
        data=profile.data,
        batch_size=m,
        steps=profile.images // m,
        order=order,
        lr=lr * m / profile.largest,
        widths=profile.widths,
        tested=tested,
        renorm_momentum=0.01 * m / 32,
        groups=profile.groups,
        population_images=profile.population_images,
    )


def main(profile: Profile) -> dict[tuple[str, ...], Config]:
    """The grid's configurations by (order, variant, learning rate): of the largest mini-batch, and of sorted
    ones."""
    found = {}
    for order, variant, m in [
        *(("shuffled", variant, profile.largest) for variant in at(profile.largest)),
        *(("sorted", variant, profile.sorted_size) for variant in SORTABLE),
    ]:
        for lr in rates(profile, order):
            found[order, variant, f"{lr:g}"] = configuration(profile, variant, m, order, lr, tested=False)
    return found


def rates(profile: Profile, order: str) -> tuple[float, ...]:
    """Those to choose from, as they are at the largest mini-batch."""
    return profile.lrs_sorted if order == "sorted" else profile.lrs


def at(m: int) -> tuple[str, ...]:
    """The variants in mini-batches of `m`; ghost batch normalization needs two groups or more, all whole."""
    return tuple(name for name in VARIANTS if name != "ghost" or (m > Config.ghost and m % Config.ghost == 0))


def validation(records: Sequence[Record]) -> float:
    """Mean accuracy (0 to 1) on validation images, by the statistics that each variant is judged by; chance
    for a run that diverged."""
    ends = [
        r.final["chance_accuracy"]
        if r.diverged
        else r.final.get("validation_accuracy_population", r.final["validation_accuracy"])
        for r in records
    ]
    return float(np.mean(ends))


Choice = dict[tuple[str, str], float]


def select(results: grid.Results) -> Choice:
    """The learning rate by (order, variant), as it is at the largest mini-batch; ties go to the smaller."""
    return {
        (order, variant): max(
            rates(results.profile, order),
            key=lambda lr: (validation(results.main[order, variant, f"{lr:g}"]), -lr),
        )
        for order, variant in dict.fromkeys(key[:2] for key in results.main)
    }


def confirm(profile: Profile, choice: Choice) -> dict[tuple[str, ...], tuple[Config, int]]:
    """The main runs by ("main", order, variant, size), at the rates of `choice` or the only one there is."""
    wanted = [("shuffled", variant, m) for m in profile.sizes for variant in at(m)]
    wanted += [("sorted", variant, profile.sorted_size) for variant in SORTABLE]
    found = {}
    for order, variant, m in wanted:
        known = rates(profile, order)
        lr = choice[order, variant] if choice[order, variant] in known else known[0]
        decided = variant in DECIDING[order] and (order == "sorted" or m in profile.decided)
        seeds = profile.new_seeds_decided if decided else profile.new_seeds
        config = configuration(profile, variant, m, order, lr, tested=True)
        found["main", order, variant, str(m)] = config, seeds
    return found


def traces(steps: int) -> list[Config]:
    """Each variant on the embedded digits, for replay."""
    smoke = PROFILES["smoke"]
    short = dataclasses.replace(smoke, images=steps * smoke.largest)
    return [config for (order, *_), config in main(short).items() if order == "shuffled"]


GRID = grid.Confirmed(main, select, confirm)
choose, jobs, plan, results = GRID.choose, GRID.jobs, GRID.plan, GRID.results
