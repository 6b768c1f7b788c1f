"""After the paper: what becomes of a deep network with batch normalization, and what shortcuts add.

Two parts:

net: the residual networks of He et al. 2016 for CIFAR-10, narrow and on images averaged over 2x2 places so
    that two cores can pay for them; the same without shortcuts ("plain"); both with batch normalization and
    without; and a residual network without normalization whose branches start at 0 (SkipInit, De & Smith
    2020). At depths from 8 to 56. Each network is trained at each learning rate of a grid, and the one with
    the best validation accuracy counts; test images have no say. Then it is trained by new seeds. On the way
    is measured what reaches the test accuracy `target`, at initialization how the gradient grows from layer
    to layer and how many directions the features span.
wide: a wide fully connected network of ReLUs with batch normalization, untrained: the theory of Yang et al.
    2019 is about these, and gives the factor by which the gradient grows from a layer to the one before.
    Narrower ones and smaller mini-batches show how far the theory reaches.

The learning rate falls exponentially to FINAL_SHARE of itself, as far as the two steps of the ResNet paper
take it. That of the deepest plain networks is chosen like all others: no network is judged at another's rate.
Besides, the deepest SkipInit is trained at the rate below its own. These runs were added once new seeds had
been seen to fail, and have no part in the verdicts.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from bnbook.config import TrainingConfig
from bnbook.experiments import knobs
from bnbook.experiments import protocol as grid
from bnbook.records import Record

EXPERIMENT = "depth"
STAGES = grid.CONFIRMED_STAGES
DATA = ("cifar10-jpeg", "cifar10", "digits")
# Of the code that builds and trains, what the notebook shows.
SHOWN = (
    "networks.Block",
    "networks.DeepNet",
    "networks.initialise",
    "training.look_inside",
    "training.effective_rank",
    "training.net",
    "train.loop.train",
)

FINAL_SHARE = 0.01  # of the learning rate, at the end
LAYERS_A_BLOCK = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arm:
    """A kind of network; `name` as figures call it."""

    name: str
    norm: bool = False
    residual: bool = False
    scaled: bool = False


ARMS = {
    "plain": Arm(name="plain"),
    "plain_bn": Arm(name="plain, BN", norm=True),
    "residual": Arm(name="residual", residual=True),
    "residual_bn": Arm(name="residual, BN", norm=True, residual=True),
    "skipinit": Arm(name="SkipInit", residual=True, scaled=True),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainingConfig):
    """One run. Test accuracy along the way is that of `curve_images` images; with BN by the statistics of
    `statistics_batches` training mini-batches beyond the run's own, at the end of `population_batches`
    (Algorithm 2). Without `tested` the test set is not touched, and nothing measured but the end."""

    experiment: str = EXPERIMENT
    recipe: int = 1
    train_on: str = "train"
    part: str  # "net" or "wide"
    depth: int  # layers with weights; of a wide network its hidden layers
    norm: bool
    residual: bool = False
    scaled: bool = False  # each branch by a learned number that starts at 0
    maps: int = 0  # of a net's first stage
    hidden: int = 0  # units a layer of a wide network
    pool: int  # images are averaged over squares of so many places a side
    lr: float = 0.0  # at the start
    final_share: float = FINAL_SHARE  # of the learning rate, at the end
    momentum: float = 0.9
    weight_decay: float = 1e-4  # L2 on weights (not on biases, gamma, beta, alpha)
    tested: bool = False
    curve_images: int = 0
    statistics_batches: int = 10
    population_batches: int = 50
    probe_images: int = 256  # that gradient and rank of a net are measured on


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """The sizes of one profile; `seeds` are those of the grid, `new_seeds` of what is judged."""

    data: str
    seeds: int
    new_seeds: int
    few_seeds: int = 3  # new ones at depths that decide no claim
    steps: int
    batch_size: int = 128
    maps: int
    pool: int
    depths: tuple[int, ...]
    shallow: int  # of the depths, the two that are compared
    deep: int
    lrs: tuple[float, ...]
    curve_images: int = 1000
    target: float  # test accuracy (0 to 1) that steps are counted to
    wide_depth: int = 30
    widths: tuple[int, ...]  # of wide networks, the widest last
    batches: tuple[int, ...]  # of wide networks, the largest last


PROFILES = {
    "smoke": Profile(
        data="digits",
        seeds=1,
        new_seeds=2,
        steps=8,
        batch_size=32,
        maps=2,
        pool=4,
        depths=(8, 14),
        shallow=8,
        deep=14,
        lrs=(0.05, 0.1),
        curve_images=360,
        target=0.2,
        wide_depth=12,
        widths=(32, 128),
        batches=(16, 128),
    ),
    "cpu": Profile(
        data="cifar10-jpeg",
        seeds=1,
        new_seeds=5,
        steps=1404,
        maps=8,
        pool=2,
        depths=(8, 20, 32, 56),
        shallow=20,
        deep=56,
        lrs=(0.01, 0.03, 0.1, 0.3),
        target=0.4,
        widths=(64, 256, 1024),
        batches=(32, 128, 1024),
    ),
    "paper": Profile(
        data="cifar10-jpeg",
        seeds=2,
        new_seeds=5,
        steps=64_000,
        maps=16,
        pool=1,
        depths=(8, 20, 32, 44, 56),
        shallow=20,
        deep=56,
        lrs=(0.01, 0.03, 0.1, 0.3),
        target=0.8,
        widths=(64, 256, 1024, 4096),
        batches=(32, 128, 1024),
    ),
}

KNOBS = (
    knobs.only_learning_rate("the only learning rate"),
    knobs.Knob("maps", 2, 64, "of the first stage; the others have twice and four times as many"),
    knobs.batch_size(),
    knobs.seeds("of the networks that choose a rate"),
    knobs.seeds("of what is judged", "new_seeds"),
    knobs.steps("of each training"),
)

Key = tuple[str, ...]
Rates = dict[tuple[str, int], float]  # by arm and depth


def net(profile: Profile, arm: str, depth: int, lr: float, tested: bool = False) -> Config:
    kind = {field: value for field, value in dataclasses.asdict(ARMS[arm]).items() if field != "name"}
    return Config(
        variant=f"{arm}_{depth}",
        data=profile.data,
        batch_size=profile.batch_size,
        steps=profile.steps,
        part="net",
        depth=depth,
        maps=profile.maps,
        pool=profile.pool,
        lr=lr,
        tested=tested,
        curve_images=profile.curve_images if tested else 0,
        **kind,
    )


def wide(profile: Profile, norm: bool, hidden: int, batch_size: int) -> Config:
    return Config(
        variant=f"wide_{'bn' if norm else 'plain'}_{hidden}_{batch_size}",
        data=profile.data,
        batch_size=batch_size,
        steps=0,
        part="wide",
        depth=profile.wide_depth,
        norm=norm,
        hidden=hidden,
        pool=profile.pool,
    )


def main(profile: Profile) -> dict[Key, Config]:
    """The grid's configurations by ("rate", arm, depth, learning rate), numbers as words."""
    return {
        ("rate", arm, str(depth), f"{lr:g}"): net(profile, arm, depth, lr)
        for arm in ARMS
        for depth in profile.depths
        for lr in profile.lrs
    }


def validation(records: Sequence[Record]) -> float:
    """Mean validation accuracy (0 to 1) over seeds; chance for a run that diverged."""
    return float(np.mean([r.final.get("validation_accuracy", r.final["chance_accuracy"]) for r in records]))


def select(results: grid.Results) -> Rates:
    """The learning rate with the best validation accuracy, of each arm at each depth; ties go to the smaller
    rate."""
    found: Rates = {}
    for arm, depth in itertools.product(ARMS, results.profile.depths):
        rates = sorted(results.profile.lrs)
        merits = [validation(results.main["rate", arm, str(depth), f"{lr:g}"]) for lr in rates]
        found[arm, depth] = rates[int(np.argmax(merits))]
    return found


def confirm(profile: Profile, choice: Rates) -> dict[Key, tuple[Config, int]]:
    """What new seeds run: by ("net", arm, depth) each network at the rate that was chosen for it, where
    `profile` has it; by ("below", "skipinit", depth) the deepest SkipInit at the rate below its own, where
    there is one; by ("wide", "bn" or "plain", width, batch) the wide networks."""
    found: dict[Key, tuple[Config, int]] = {}
    for arm, depth in itertools.product(ARMS, profile.depths):
        lr = choice[arm, depth] if choice[arm, depth] in profile.lrs else profile.lrs[0]
        decides = depth in (profile.shallow, profile.deep)
        seeds = profile.new_seeds if decides else min(profile.few_seeds, profile.new_seeds)
        found["net", arm, str(depth)] = net(profile, arm, depth, lr, tested=True), seeds
    # The rate that did best with the grid's one seed turned out to be one at which new seeds do not train.
    if lower := [lr for lr in sorted(profile.lrs) if lr < choice["skipinit", profile.deep]]:
        below = net(profile, "skipinit", profile.deep, lower[-1], tested=True)
        found["below", "skipinit", str(profile.deep)] = below, profile.new_seeds
    sizes = [(True, *size) for size in itertools.product(profile.widths, profile.batches)]
    for norm, hidden, batch in [*sizes, (False, profile.widths[-1], profile.batches[-1])]:
        key = ("wide", "bn" if norm else "plain", str(hidden), str(batch))
        found[key] = wide(profile, norm, hidden, batch), profile.new_seeds
    return found


def traces(steps: int) -> list[Any]:
    """Each arm at each depth of the smallest profile, at one rate, for replay."""
    short = dataclasses.replace(PROFILES["smoke"], steps=steps, lrs=(0.05,))
    return list(main(short).values())


GRID = grid.Confirmed(main, select, confirm)
choose, jobs, plan, results = GRID.choose, GRID.jobs, GRID.plan, GRID.results
