"""Section 2: what goes wrong when gradient descent does not know of the normalization, and what it would cost
to normalize fully.

Three parts:

- *toy*: the paper's example. A mini-batch of numbers u, x = w u + b, normalized, and a squared loss against
  fixed targets. The gradient step treats the statistics as constants, or goes through them.
- *net*: the same inside the network of Section 4.1, whose layers keep their bias.
- *cost*: forward and backward of one layer that is normalized per unit, or whitened (ZCA), as it gets wider.
"""

import dataclasses

from bnbook.config import NO_DATA, NO_RATE, TrainingConfig
from bnbook.experiments import knobs
from bnbook.experiments import protocol as grid

EXPERIMENT = "outside_the_gradient"
STAGES = grid.STAGES
DATA = ("mnist", "digits")
# Of the code that builds and trains, what the notebook shows.
SHOWN = (
    "networks.Normalization",
    "training.toy",
    "training.network",
    "training.net",
    "train.loop.train",
)

# How the statistics enter the gradient, by the variants' names.
TOY_VARIANTS = {
    "mean_ignored": ("mean", True),
    "mean_through": ("mean", False),
    "mean_std_ignored": ("mean_std", True),
    "mean_std_through": ("mean_std", False),
}
NET_VARIANTS = {"none": ("none", False)} | TOY_VARIANTS | {"whiten_through": ("whiten", False)}
COST_VARIANTS = {"mean_std_through": ("mean_std", False), "whiten_through": ("whiten", False)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainingConfig):
    """One run of one part; `steps` of gradient descent, or repetitions of the clock."""

    experiment: str = EXPERIMENT
    recipe: int = 1
    train_on: str = "train"
    part: str  # "toy", "net" or "cost"
    normalization: str  # "none", "mean", "mean_std" or "whiten"
    ignored: bool  # whether the gradient step takes the statistics for constants
    lr: float
    hidden: int  # units a layer; of the toy, 1
    depth: int
    eps: float = 1e-5
    init_std: float = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement(Config):
    """A part without data: the toy, or the clock, which has no learning rate either."""

    data: str = NO_DATA
    lr: float = NO_RATE


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """The sizes of one profile."""

    data: str
    seeds: int
    toy_steps: int
    steps: int
    hidden: int
    batch_size: int
    widths: tuple[int, ...]
    repetitions: int
    lr: float = 0.5
    toy_lr: float = 0.1
    depth: int = 3
    init_std: float = 0.1


PROFILES = {
    "smoke": Profile(
        data="digits",
        seeds=2,
        toy_steps=200,
        steps=200,
        hidden=20,
        batch_size=60,
        widths=(8, 16),
        repetitions=5,
    ),
    "cpu": Profile(
        data="mnist",
        seeds=5,
        toy_steps=2000,
        steps=5000,
        hidden=50,
        batch_size=120,
        widths=(16, 32, 64, 128, 256, 512),
        repetitions=30,
    ),
    "paper": Profile(
        data="mnist",
        seeds=10,
        toy_steps=20_000,
        steps=50_000,
        hidden=100,
        batch_size=240,
        widths=(16, 32, 64, 128, 256, 512, 1024),
        repetitions=100,
    ),
}

KNOBS = (
    knobs.learning_rate("learning rate of the network"),
    knobs.learning_rate("learning rate of the toy", name="toy_lr"),
    knobs.init_std("standard deviation of the network's initial weights"),
    knobs.batch_size("images in a mini-batch of the network"),
    knobs.hidden("units in each hidden layer of the network"),
    knobs.depth("hidden layers of the network"),
    knobs.seeds("runs of each"),
    knobs.steps("of the network's training"),
    knobs.steps("of the toy's training", "toy_steps"),
)


def main(profile: Profile, choice: None = None) -> dict[tuple[str, ...], Config]:
    """The configurations by ("toy", variant), ("net", variant) and ("cost", variant, width)."""
    toy = {
        ("toy", name): Measurement(
            variant=f"toy_{name}",
            batch_size=16,
            steps=profile.toy_steps,
            part="toy",
            normalization=normalization,
            ignored=ignored,
            lr=profile.toy_lr,
            hidden=1,
            depth=1,
        )
        for name, (normalization, ignored) in TOY_VARIANTS.items()
    }
    net = {
        ("net", name): Config(
            variant=f"net_{name}",
            data=profile.data,
            batch_size=profile.batch_size,
            steps=profile.steps,
            part="net",
            normalization=normalization,
            ignored=ignored,
            lr=profile.lr,
            hidden=profile.hidden,
            depth=profile.depth,
            init_std=profile.init_std,
        )
        for name, (normalization, ignored) in NET_VARIANTS.items()
    }
    cost = {
        ("cost", name, str(width)): Measurement(
            variant=f"cost_{name}",
            batch_size=1024,
            steps=profile.repetitions,
            part="cost",
            normalization=normalization,
            ignored=ignored,
            hidden=width,
            depth=1,
        )
        for name, (normalization, ignored) in COST_VARIANTS.items()
        for width in profile.widths
    }
    return toy | net | cost


def traces(steps: int) -> list[Config]:
    """The toy and the net of each variant on the embedded digits, for replay; times are no trace."""
    configs = main(PROFILES["smoke"]).values()
    return [dataclasses.replace(one, steps=steps) for one in configs if one.part != "cost"]


GRID = grid.Grid(main)
choose, jobs, plan, results = GRID.choose, GRID.jobs, GRID.plan, GRID.results
