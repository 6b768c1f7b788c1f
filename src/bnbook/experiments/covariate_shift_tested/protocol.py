"""Santurkar et al. 2018: is it less covariate shift that makes batch normalization fast?

The network of Section 4.1 three times: plain, with BN, and with BN followed by noise whose mean and scale
are others at every step. The noise gives back the shift of distributions that BN takes away. If BN were fast
because its layers' inputs hold still, the noisy network would be as slow as the plain one.

The source has a VGG network with ReLUs on CIFAR-10; here it is the book's own network of sigmoids, the one
that the paper's argument is made for. Three learning rates, the largest of them Section 4.1's choice for both
networks; its initial weights are also that one's.

Two stages:

1. The *pilot*: plain and BN at every rate. It fixes the accuracy that the main runs are timed to: the highest
   whole percent at which BN needs at most 1 / LEAD of the plain network's steps at every rate. Where BN is
   not faster there is nothing that noise could keep.
2. The *main* runs: all three networks, by seeds that the pilot did not have.

Each run also measures, at a few steps and on the mini-batch that comes next, what the paper measures: how a
layer's gradient changes when the layers below have made their step (internal covariate shift, its Definition
2.1), and loss and gradient along the step (Figure 4). Networks are compared while they learn the same, from
PHASE_FROM to the target: at equal steps the plain one is still on its plateau, where nothing moves at all.
"""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from bnbook.config import TrainingConfig
from bnbook.experiments import knobs
from bnbook.experiments import protocol as grid
from bnbook.measures import crossing
from bnbook.records import Record

EXPERIMENT = "covariate_shift_tested"
STAGES = grid.CONFIRMED_STAGES
DATA = ("mnist", "digits")
# Of the code that builds and trains, what the notebook shows.
SHOWN = (
    "networks.DriftingNoise",
    "networks.noisy_norm",
    "training.network",
    "networks.Step",
    "training.Landscape",
    "training.train_run",
    "train.loop.train",
)

VARIANTS = ("plain", "bn", "noisy")
PILOT = ("plain", "bn")  # the noisy network has no say in what it is timed to
LEAD = 2.0  # times fewer steps that BN has to need in the pilot
LOWEST_TARGET = 60  # percent, for networks of which one leads nowhere
PHASE_FROM = 50  # percent: gradients are compared from here to the target, where both networks learn
# Twice as far to either side as in the source's appendix (0.5 and 1.25), and its spread: with its own, the
# inputs of one seed outside the main runs drifted less than the plain network's at the largest rate.
NOISE = {"noise_mean": 1.0, "noise_scale": 1.5, "noise_spread": 0.1}
# Of the step, how far to either side of it is looked along the gradient: the source's range.
FACTORS = (0.5, 1.0, 2.0, 4.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainingConfig):
    """One run. Evaluations fall on log-spaced steps (each `evaluate_growth` times the last), then on every
    `evaluate_every`-th step, and probes likewise."""

    experiment: str = EXPERIMENT
    recipe: int = 1
    train_on: str = "train+validation"
    hidden: int
    depth: int = 3
    init_std: float = 0.1  # Section 4.1's choice
    lr: float  # constant; plain SGD
    norm_eps: float = 1e-5
    noise_mean: float = 0.0  # largest mean of a unit's noise, to either side
    noise_scale: float = 1.0  # largest scale of a unit, the smallest being 1
    noise_spread: float = 0.0  # of single examples around both
    population_batches: int  # training mini-batches that Algorithm 2 averages over, at every evaluation
    evaluate_growth: float
    evaluate_every: int
    probe_growth: float
    probe_every: int
    probe_size: int = 1000  # fixed training images that the percentiles are taken over


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """The sizes of one profile."""

    data: str
    pilot_seeds: int
    seeds: int
    steps: int
    lrs: tuple[float, ...]
    batch_size: int = 60
    hidden: int = 100
    depth: int = 3
    population_batches: int = 50
    evaluate_growth: float = 1.05  # as Section 4.1's: steps to a target are known to 5%
    evaluate_every: int = 500
    probe_growth: float = 1.1
    probe_every: int = 1000


PROFILES = {
    "smoke": Profile(
        data="digits",
        pilot_seeds=2,
        seeds=2,
        steps=150,
        lrs=(1.0, 3.0),
        hidden=30,
        population_batches=10,
        evaluate_growth=1.3,
        evaluate_every=50,
        probe_growth=1.6,
        probe_every=50,
    ),
    "cpu": Profile(data="mnist", pilot_seeds=3, seeds=5, steps=10_000, lrs=(0.1, 0.3, 1.0)),
    "paper": Profile(
        data="mnist", pilot_seeds=5, seeds=20, steps=50_000, lrs=(0.03, 0.1, 0.3, 1.0, 3.0), probe_every=5000
    ),
}

KNOBS = (
    knobs.only_learning_rate("the only learning rate"),
    knobs.batch_size(),
    knobs.hidden(),
    knobs.depth(),
    knobs.seeds("main runs of each network"),
    knobs.seeds("runs of the pilot, which sets the target of the speed", "pilot_seeds"),
    knobs.steps("of training"),
)

Key = tuple[str, ...]


def networks(profile: Profile, variants: Sequence[str]) -> dict[Key, Config]:
    """The configurations by (variant, learning rate)."""
    return {
        (variant, f"{lr:g}"): Config(
            variant=variant,
            data=profile.data,
            batch_size=profile.batch_size,
            steps=profile.steps,
            hidden=profile.hidden,
            depth=profile.depth,
            lr=lr,
            population_batches=profile.population_batches,
            evaluate_growth=profile.evaluate_growth,
            evaluate_every=profile.evaluate_every,
            probe_growth=profile.probe_growth,
            probe_every=profile.probe_every,
            **(NOISE if variant == "noisy" else {}),
        )
        for lr, variant in itertools.product(profile.lrs, variants)
    }


def main(profile: Profile) -> dict[Key, Config]:
    """The pilot's configurations by ("pilot", variant, learning rate)."""
    return {("pilot", *key): config for key, config in networks(profile, PILOT).items()}


def pilot_seeds(profile: Profile, config: Config) -> range:
    return range(profile.pilot_seeds)


def target(results: grid.Results) -> int:
    """Percent of test accuracy that the main runs are timed to; see the top of this file. A pilot's run that
    does not get to an accuracy counts with all its steps if it is a plain one, and rules it out if not."""
    pilot = {key[1:]: found for key, found in results.main.items() if key[0] == "pilot"}
    rates = sorted({rate for _, rate in pilot})
    for goal in range(99, LOWEST_TARGET, -1):
        if all(lead(pilot["plain", rate], pilot["bn", rate], goal) >= LEAD for rate in rates):
            return goal
    return LOWEST_TARGET


def lead(plain: Sequence[Record], bn: Sequence[Record], goal: float) -> float:
    """How many times as many steps to `goal` percent the plain network needs, geometric mean over seeds; 0
    where a network with BN does not get there."""
    slow, fast = ([crossing(record, goal) for record in records] for records in (plain, bn))
    if not all(one.reached for one in fast):
        return 0.0
    return float(np.exp(np.mean([np.log(a.step / b.step) for a, b in zip(slow, fast, strict=True)])))


def confirm(profile: Profile, choice: int) -> dict[Key, tuple[Config, int]]:
    """The main configurations by (variant, learning rate), and by how many new seeds they are run. The
    target, `choice`, changes nothing of a run."""
    return {key: (config, profile.seeds) for key, config in networks(profile, VARIANTS).items()}


def traces(steps: int) -> list[Config]:
    """Each network once on the embedded digits, for replay."""
    short = dataclasses.replace(PROFILES["smoke"], steps=steps, lrs=(0.3,))
    return list(networks(short, VARIANTS).values())


GRID = grid.Confirmed(main, target, confirm, seeds=pilot_seeds)
choose, jobs, plan, results = GRID.choose, GRID.jobs, GRID.plan, GRID.results
