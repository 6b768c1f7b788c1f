"""The paper's other future work (Section 5): batch normalization in a recurrent network.

Two parts.

train: an LSTM reads an image row by row and names the digit after the last. Five networks: without
    normalization; with BN on what comes from the input alone (Laurent et al. 2016); with BN within the
    recurrence as well, its statistics by step and its gamma 0.1 at the start (Cooijmans et al. 2017); the
    same with the usual gamma 1; and, as a reference, layer normalization (Ba et al. 2016). Each is trained at
    every learning rate of the profile by pilot seeds; the rate with the best mean validation accuracy is run
    again by new seeds, and these alone are compared. The target, too, comes from the pilot. Beside them
    stands the plain network at the rate of the one with BN on the input: how much of a speed-up is the
    rate's? These runs were added after the verdicts had been seen, and have no part in them.
gradient: no training. The gradient on its way back through time, by gamma: in the network in which Cooijmans
    et al. drew it, of tanh units that read a pixel a step, with the recurrent weights that they took, the
    identity, and with orthogonal ones; and in the LSTM that is trained here.

Optimizer, clipping, noise in the first state and the forget gate's bias are those of Cooijmans et al.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from bnbook.config import NO_RATE, TrainingConfig
from bnbook.experiments import knobs
from bnbook.experiments import protocol as grid
from bnbook.records import Record

EXPERIMENT = "recurrent"
STAGES = grid.CONFIRMED_STAGES
DATA = ("mnist", "digits")
# Of the code that builds and trains, what the notebook shows.
SHOWN = (
    "networks.PerStep",
    "networks.LSTM",
    "training.ClippedRMSprop",
    "training.train_run",
    "train.loop.train",
)

SMALL_GAMMA = 0.1  # what Cooijmans et al. propose
# What is normalized, and gamma at the start, by the network's name.
ARMS: dict[str, tuple[str, float]] = {
    "plain": ("none", 1.0),
    "input": ("input", 1.0),
    "within": ("within", SMALL_GAMMA),
    "within_one": ("within", 1.0),
    "layer": ("layer", 1.0),
}
# Cell and recurrent weights of the networks that the gradient is followed in.
FOLLOWED = {
    "identity": ("tanh", "identity"),
    "orthogonal": ("tanh", "orthogonal"),
    "lstm": ("lstm", "orthogonal"),
}
# Points that the target lies below what the plain network ends at in the pilot, as in Section 4.2: nearer to
# the end it is the jitter of a constant learning rate that decides when a run arrives.
MARGIN = 2.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainingConfig):
    """One run of one part."""

    experiment: str = EXPERIMENT
    recipe: int = 1
    train_on: str = "train"
    part: str  # "train" or "gradient"
    cell: str  # "lstm", which reads a row a step, or "tanh", which reads a pixel
    initial: str  # of the recurrent weights: "orthogonal" or "identity"
    norm: str  # "none", "input", "within" or "layer"
    gammas: tuple[float, ...]  # at the start: that of the network, or all that the gradient is followed at
    lr: float  # constant; RMSProp
    hidden: int
    noise: float = 0.1  # standard deviation of the first state; without it all are alike while rows are black
    clip: float = 1.0  # the norm of a step's gradient is cut to it
    eps: float = 1e-5
    curve_images: int = 0  # validation images, the first, that the curve is measured on
    evaluate_every: int = 1
    statistics_batches: int = 10  # for Algorithm 2 along the curve
    population_batches: int = 100  # and at the end


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement(Config):
    """The gradient at the start: `steps` is 1, and nothing is trained."""

    lr: float = NO_RATE


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """The sizes of one profile."""

    data: str
    seeds: int  # of the pilot
    new_seeds: int
    gradient_seeds: int
    steps: int
    batch_size: int
    hidden: int
    lrs: tuple[float, ...]
    evaluate_every: int
    curve_images: int
    gammas: tuple[float, ...] = (SMALL_GAMMA, 0.2, 0.5, 1.0)


PROFILES = {
    "smoke": Profile(
        data="digits",
        seeds=1,
        new_seeds=2,
        gradient_seeds=2,
        steps=60,
        batch_size=60,
        hidden=16,
        lrs=(0.01, 0.03),
        evaluate_every=10,
        curve_images=200,
    ),
    "cpu": Profile(
        data="mnist",
        seeds=2,
        new_seeds=5,
        gradient_seeds=5,
        steps=2000,
        batch_size=60,
        hidden=50,
        lrs=(0.001, 0.003, 0.01, 0.03),
        evaluate_every=40,
        curve_images=2000,
    ),
    "paper": Profile(
        data="mnist",
        seeds=3,
        new_seeds=10,
        gradient_seeds=10,
        steps=20_000,
        batch_size=100,
        hidden=100,
        lrs=(0.0003, 0.001, 0.003, 0.01, 0.03),
        evaluate_every=100,
        curve_images=10_000,
    ),
}

KNOBS = (
    knobs.only_learning_rate("the only learning rate of all networks"),
    knobs.batch_size(),
    knobs.hidden("units in the state"),
    knobs.seeds("of the pilot, which chooses the learning rates"),
    knobs.seeds("of what was chosen", "new_seeds"),
    knobs.seeds("that the gradient is followed by", "gradient_seeds"),
    knobs.steps("of training"),
)


def trained(profile: Profile, arm: str, lr: float) -> Config:
    norm, gamma = ARMS[arm]
    return Config(
        variant=arm,
        data=profile.data,
        batch_size=profile.batch_size,
        steps=profile.steps,
        part="train",
        cell="lstm",
        initial="orthogonal",
        norm=norm,
        gammas=(gamma,),
        lr=lr,
        hidden=profile.hidden,
        curve_images=profile.curve_images,
        evaluate_every=profile.evaluate_every,
    )


def followed(profile: Profile, name: str) -> Measurement:
    cell, initial = FOLLOWED[name]
    return Measurement(
        variant=f"gradient_{name}",
        data=profile.data,
        batch_size=profile.batch_size,
        steps=1,
        part="gradient",
        cell=cell,
        initial=initial,
        norm="within",
        gammas=profile.gammas,
        hidden=profile.hidden,
    )


def main(profile: Profile) -> dict[tuple[str, ...], Config]:
    """The grid's configurations by ("gradient", name) and ("pilot", network, learning rate)."""
    found: dict[tuple[str, ...], Config] = {("gradient", name): followed(profile, name) for name in FOLLOWED}
    for lr in profile.lrs:
        found |= {("pilot", arm, f"{lr:g}"): trained(profile, arm, lr) for arm in ARMS}
    return found


def seeds(profile: Profile, config: Config) -> range:
    return range(profile.gradient_seeds if config.part == "gradient" else profile.seeds)


def traces(steps: int) -> list[Config]:
    """Each network at one learning rate on the embedded digits, and the gradient in each, for replay."""
    short = dataclasses.replace(PROFILES["smoke"], steps=steps, lrs=PROFILES["smoke"].lrs[:1])
    return list(main(short).values())


# Which learning rate


def validation(records: Sequence[Record]) -> float:
    """Mean validation accuracy in percent at the end, over seeds; chance for a run that diverged."""
    return 100 * float(
        np.mean([r.final.get("validation_accuracy", r.final["chance_accuracy"]) for r in records])
    )


def select(results: grid.Results) -> dict[str, float]:
    """Each network's learning rate; ties go to the smaller."""
    return {
        arm: max(
            (float(key[2]) for key in results.main if key[:2] == ("pilot", arm)),
            key=lambda lr: (validation(results.main["pilot", arm, f"{lr:g}"]), -lr),
        )
        for arm in ARMS
    }


def confirm(profile: Profile, choice: dict[str, float]) -> dict[tuple[str, ...], tuple[Config, int]]:
    """The configurations by ("new", network), and how many new seeds each has; where `profile` has not the
    rate that was chosen, at its first. By ("held", "plain") the plain network at the rate of the one with BN
    on the input, where its own is another."""
    rates = {arm: lr if lr in profile.lrs else profile.lrs[0] for arm, lr in choice.items()}
    found = {("new", arm): (trained(profile, arm, lr), profile.new_seeds) for arm, lr in rates.items()}
    if rates["plain"] != rates["input"]:
        found["held", "plain"] = (trained(profile, "plain", rates["input"]), profile.new_seeds)
    return found


GRID = grid.Confirmed(main, select, confirm, seeds=seeds)
choose, jobs, plan, results = GRID.choose, GRID.jobs, GRID.plan, GRID.results
