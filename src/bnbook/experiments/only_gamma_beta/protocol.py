"""After the paper: how much can gamma and beta do alone (Frankle et al. 2021)?

A residual network whose weights are random and stay so; only gamma and beta of its BN layers are trained.
Against it, from the same initial parameters:

random: as many other parameters, two weights of each channel's filter in their place, drawn at random.
output: the output layer alone.
all: the whole network.

What is compared is test accuracy at the end, by Algorithm 2's statistics. The images are CIFAR-10's at half
their resolution, the networks small and trained for a few epochs; the paper's have up to 866 layers.

The learning rate of each arm is the one with the best mean validation accuracy at the size that decides
(`depth`, `width`), chosen by seeds that have no part in the main runs; other sizes are trained at it too, as
the paper has one rate for all of its. All sizes have the same number of steps.
"""

import dataclasses

import numpy as np

from bnbook.config import TrainingConfig
from bnbook.experiments import knobs
from bnbook.experiments import protocol as grid
from bnbook.records import Record

EXPERIMENT = "only_gamma_beta"
STAGES = grid.CONFIRMED_STAGES
DATA = ("cifar10", "cifar10-jpeg", "digits")
# Of the code that builds and trains, what the notebook shows.
SHOWN = (
    "networks.Block",
    "networks.ResNet",
    "networks.initialise",
    "networks.free",
    "training.train_run",
    "train.loop.train",
)
ARMS = ("gamma_beta", "random", "output", "all")
PER_CHANNEL = 2  # weights that "random" frees of a channel's filter: as many as gamma and beta
NEAR_ZERO = 0.01  # a gamma below it counts as switched off, as in the paper


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainingConfig):
    """One training run."""

    experiment: str = EXPERIMENT
    recipe: int = 1
    train_on: str = "train"
    arm: str  # what is trained, one of ARMS
    depth: int  # layers with weights, 6n + 2
    width: int  # channels of the first stage
    lr: float  # at the start
    decay: float = 0.01  # of the learning rate, over the whole run: so that seeds end where they would stay
    momentum: float = 0.9
    population_batches: int  # that the end point's statistics are averaged over


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """The sizes of one profile. `depth` and `width` are those of the network that decides and that rates are
    chosen for; `depths` those of others of that width, `widths` those of others of that depth."""

    data: str
    seeds: int  # that choose the rates
    new_seeds: int
    new_seeds_elsewhere: int  # of arms and sizes that no claim compares
    steps: int
    batch_size: int
    population_batches: int
    depth: int
    width: int
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    lrs: dict[str, tuple[float, ...]]  # by arm: on one grid for all, the best of one would lie on the edge


PROFILES = {
    "smoke": Profile(
        data="digits",
        seeds=1,
        new_seeds=2,
        new_seeds_elsewhere=2,
        steps=30,
        batch_size=32,
        population_batches=10,
        depth=8,
        width=4,
        depths=(14,),
        widths=(8,),
        lrs=dict.fromkeys(ARMS, (0.3,)),
    ),
    "cpu": Profile(
        data="cifar10-jpeg",
        seeds=2,
        new_seeds=5,
        new_seeds_elsewhere=3,
        steps=1800,
        batch_size=64,
        population_batches=50,
        depth=14,
        width=8,
        depths=(8, 26),
        widths=(4, 16),
        lrs={
            "gamma_beta": (0.1, 0.3, 1.0, 3.0),
            "random": (0.3, 1.0, 3.0, 10.0),
            "output": (0.1, 0.3, 1.0),
            "all": (0.03, 0.1, 0.3),
        },
    ),
    "paper": Profile(
        data="cifar10-jpeg",
        seeds=2,
        new_seeds=5,
        new_seeds_elsewhere=5,
        steps=100_000,
        batch_size=128,
        population_batches=50,
        depth=14,
        width=16,
        depths=(32, 56, 110),
        widths=(8, 32, 64),
        lrs={
            "gamma_beta": (0.03, 0.1, 0.3, 1.0, 3.0),
            "random": (0.1, 0.3, 1.0, 3.0, 10.0),
            "output": (0.03, 0.1, 0.3, 1.0),
            "all": (0.01, 0.03, 0.1, 0.3),
        },
    ),
}

KNOBS = (
    knobs.learning_rate(
        "the only learning rate of all networks",
        "those of the profile",
        lambda profile, lr: dataclasses.replace(profile, lrs=dict.fromkeys(ARMS, (lr,))),
    ),
    knobs.batch_size(),
    knobs.Knob("width", 2, 64, "channels of the first stage of the network that decides"),
    knobs.seeds("of what the claims compare", "new_seeds"),
    knobs.seeds("of everything else", "new_seeds_elsewhere"),
    knobs.steps("of training"),
)

Key = tuple[str, ...]


def net(profile: Profile, arm: str, depth: int, width: int, lr: float) -> Config:
    return Config(
        variant=f"{arm}_{depth}_{width}",
        data=profile.data,
        batch_size=profile.batch_size,
        steps=profile.steps,
        arm=arm,
        depth=depth,
        width=width,
        lr=lr,
        population_batches=profile.population_batches,
    )


def sizes(profile: Profile) -> list[tuple[int, int]]:
    """(depth, width) of every network: those of the deciding width from the shallowest, then the others."""
    by_depth = [(depth, profile.width) for depth in sorted({*profile.depths, profile.depth})]
    return by_depth + [(profile.depth, width) for width in sorted({*profile.widths} - {profile.width})]


def main(profile: Profile) -> dict[Key, Config]:
    """The grid's configurations by ("grid", arm, learning rate), all of the size that decides."""
    return {
        ("grid", arm, f"{lr:g}"): net(profile, arm, profile.depth, profile.width, lr)
        for arm in ARMS
        for lr in profile.lrs[arm]
    }


def traces(steps: int) -> list[Config]:
    """Each arm once on the embedded digits, for replay: gentle, so that rounding does not grow."""
    profile = dataclasses.replace(PROFILES["smoke"], steps=steps, lrs=dict.fromkeys(ARMS, (0.03,)))
    return list(main(profile).values())


# Which learning rate


def validation(records: list[Record]) -> float:
    """Mean validation accuracy (0 to 1); chance for a run that diverged."""
    return float(
        np.mean([r.final["chance_accuracy" if r.diverged else "validation_accuracy"] for r in records])
    )


def select(results: grid.Results) -> dict[str, float]:
    """The learning rate of each arm; of equals the smaller."""
    found = {
        (arm, float(lr)): validation(records)
        for (stage, arm, lr, *_), records in results.main.items()
        if stage == "grid"
    }
    return {
        arm: max((key for key in sorted(found) if key[0] == arm), key=found.__getitem__)[1] for arm in ARMS
    }


def confirm(profile: Profile, choice: dict[str, float]) -> dict[Key, tuple[Config, int]]:
    """The main runs by ("main", arm, depth, width), and by how many new seeds each is run: at the rate of
    `choice`, or at the arm's only one in the profile."""
    found = {}
    for arm in ARMS:
        lr = choice[arm] if len(profile.lrs[arm]) > 1 else profile.lrs[arm][0]
        for depth, width in sizes(profile):
            compared = arm == "gamma_beta" or (depth, width) == (profile.depth, profile.width)
            seeds = profile.new_seeds if compared else profile.new_seeds_elsewhere
            found["main", arm, str(depth), str(width)] = net(profile, arm, depth, width, lr), seeds
    return found


GRID = grid.Confirmed(main, select, confirm)
choose, jobs, plan, results = GRID.choose, GRID.jobs, GRID.plan, GRID.results
