"""After the paper: how much of what batch normalization gains is the larger learning rate that it permits?

Bjorck et al. 2018 say nearly all: at the same small rate a network without batch normalization (BN) comes to
about the same accuracy, once both have converged. Two parts, on the small Inception of Section 4.2, narrow
and on images averaged over 2x2 places so that two cores can pay for it:

net: with BN and without, at each rate of a grid, on few images without augmentation, so that training can be
    carried to its end: a run has converged where it gets CONVERGED of its training images right. The two
    smallest rates, at which both networks train, are the matched ones. Of all rates the one with the best
    validation accuracy is a network's own. The runs are equally long, their rate constant until DROP_AT of
    them and a tenth from there on, so that what a constant rate keeps unsettled settles. New seeds then run
    both networks at the matched rates and at their own.
start: the first steps at large rates, with BN and without, all training images: after each step the size of
    every layer's output and of the gradient of its weights, until the loss is no number any more. What is
    compared is by new seeds, at the rate that is BN's own, the same for both networks.

Small rates are fixed here, before any run, since a rate that was chosen for one of the two would favour it.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from bnbook.config import TrainingConfig
from bnbook.experiments import knobs
from bnbook.experiments import protocol as grid
from bnbook.records import Record

EXPERIMENT = "learning_rate_share"
STAGES = grid.CONFIRMED_STAGES
DATA = ("cifar10-jpeg", "cifar10", "digits")
# Of the code that builds and trains, what the notebook shows.
SHOWN = (
    "nn.inception.Conv",
    "nn.inception.Inception",
    "training.network",
    "training.train_run",
    "training.Sizes",
    "train.loop.train",
)
NETWORKS = ("plain", "bn")
OWN = "own"
DROP_AT = 0.7  # of the run: from there on the rate is a tenth
CONVERGED = 0.99  # of a run's own training images: what is left to learn moves no accuracy


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainingConfig):
    """One run of one part. Without `tested` the test set is not touched."""

    experiment: str = EXPERIMENT
    recipe: int = 1
    train_on: str = "train"
    part: str  # "net" or "start"
    norm: bool
    lr: float  # until DROP_AT of the run
    final_share: float = 0.1  # of the rate, from there on
    images: int  # trained on, drawn by the seed; 0: all
    width: float  # multiplies every number of maps
    pool: int  # images are averaged over squares of so many places a side
    momentum: float = 0.9
    tested: bool = False
    population_batches: int = 30  # that Algorithm 2 averages over
    probe_images: int = 128  # that layers and gradients are measured on, in the part "start"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """The sizes of one profile; `seeds` are those of the grid, `new_seeds` of what is judged."""

    data: str
    seeds: int
    new_seeds: int
    steps: int
    start_steps: int
    batch_size: int = 128
    images: int
    width: float
    pool: int
    matched: tuple[float, ...]  # rates of both networks
    lrs: dict[bool, tuple[float, ...]]  # with BN, and without: further ones, of which one may be their own
    start_lrs: tuple[float, ...]


PROFILES = {
    "smoke": Profile(
        data="digits",
        seeds=1,
        new_seeds=2,
        steps=6,
        start_steps=4,
        batch_size=32,
        images=64,
        width=1 / 16,
        pool=4,
        matched=(0.01, 0.03),
        lrs={True: (0.3,), False: (0.1,)},
        start_lrs=(0.3,),
    ),
    "cpu": Profile(
        data="cifar10-jpeg",
        seeds=1,
        new_seeds=5,
        steps=3500,
        start_steps=40,
        images=4000,
        width=0.25,
        pool=2,
        matched=(0.01, 0.03),
        lrs={True: (0.1, 0.3, 1.0, 3.0), False: (0.1, 0.3)},
        start_lrs=(0.1, 0.3, 1.0, 3.0),
    ),
    "paper": Profile(
        data="cifar10-jpeg",
        seeds=2,
        new_seeds=5,
        steps=30_000,
        start_steps=100,
        images=0,
        width=1.0,
        pool=1,
        matched=(0.003, 0.01),
        lrs={True: (0.03, 0.1, 0.3, 1.0, 3.0), False: (0.03, 0.1, 0.3)},
        start_lrs=(0.1, 0.3, 1.0, 3.0),
    ),
}

KNOBS = (
    knobs.Knob("width", 1 / 32, 1.0, "of the network: 1 is the full number of maps"),
    knobs.batch_size(),
    knobs.Knob("images", 64, 45_000, "training images"),
    knobs.seeds("of the networks that choose a rate"),
    knobs.seeds("of what is judged", "new_seeds"),
    knobs.steps("of each training"),
    knobs.steps("of those at large rates", "start_steps"),
)

Key = tuple[str, ...]
Rates = dict[str, float]  # a network's own, by its name


def net(profile: Profile, network: str, lr: float, tested: bool = False) -> Config:
    return Config(
        variant=network,
        data=profile.data,
        batch_size=profile.batch_size,
        steps=profile.steps,
        part="net",
        norm=network == "bn",
        lr=lr,
        images=profile.images,
        width=profile.width,
        pool=profile.pool,
        tested=tested,
    )


def start(profile: Profile, network: str, lr: float) -> Config:
    """The first steps, on all training images: no image comes twice."""
    one = net(profile, network, lr)
    return dataclasses.replace(
        one, variant=f"start_{network}", part="start", steps=profile.start_steps, images=0, final_share=1.0
    )


def rates(profile: Profile, network: str) -> tuple[float, ...]:
    """Those of the grid, ascending."""
    return tuple(sorted({*profile.matched, *profile.lrs[network == "bn"]}))


def main(profile: Profile) -> dict[Key, Config]:
    """The grid's configurations by ("rate", network, learning rate), numbers as words."""
    return {
        ("rate", network, f"{lr:g}"): net(profile, network, lr)
        for network in NETWORKS
        for lr in rates(profile, network)
    }


def validation(records: Sequence[Record]) -> float:
    """Mean validation accuracy (0 to 1) over seeds; chance for a run that diverged."""
    return float(np.mean([r.final.get("validation_accuracy", r.final["chance_accuracy"]) for r in records]))


def select(results: grid.Results) -> Rates:
    """Each network's own rate, the one with the best validation accuracy; ties go to the smaller."""
    found = {}
    for network in NETWORKS:
        lrs = rates(results.profile, network)
        merits = [validation(results.main["rate", network, f"{lr:g}"]) for lr in lrs]
        found[network] = lrs[int(np.argmax(merits))]
    return found


def confirm(profile: Profile, choice: Rates) -> dict[Key, tuple[Config, int]]:
    """What new seeds run: by ("net", network, learning rate, OWN or "") both networks at the matched rates
    and each at its own; by ("start", network, learning rate, OWN or "") the first steps, OWN being BN's."""
    found: dict[Key, Config] = {}
    for network in NETWORKS:
        own = choice[network]
        for lr in sorted({*profile.matched, own}):
            found["net", network, f"{lr:g}", OWN * (lr == own)] = net(profile, network, lr, tested=True)
        for lr in sorted({*profile.start_lrs, choice["bn"]}):
            found["start", network, f"{lr:g}", OWN * (lr == choice["bn"])] = start(profile, network, lr)
    return {key: (config, profile.new_seeds) for key, config in found.items()}


def traces(steps: int) -> list[Any]:
    """Each network of either part, at one rate of the smallest profile, for replay."""
    short = dataclasses.replace(PROFILES["smoke"], steps=steps, start_steps=steps)
    nets = [net(short, network, short.matched[0]) for network in NETWORKS]
    return nets + [start(short, network, short.start_lrs[0]) for network in NETWORKS]


GRID = grid.Confirmed(main, select, confirm)
choose, jobs, plan, results = GRID.choose, GRID.jobs, GRID.plan, GRID.results
