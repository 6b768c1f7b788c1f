"""Section 3.3: the scale of the weights under batch normalization, and the learning rates that work.

Two parts. The *relations*: BN(Wu) = BN((aW)u) and what the paper says of its gradients, over the factor a, at
several eps. The *sweep*: the network of Section 4.1 at learning rates over five decades, with and without
batch normalization. Its initialisation is the one that suited both networks best on the validation split in
Section 4.1, so that neither is handicapped; nothing is chosen here.
"""

import dataclasses

from bnbook.config import NO_RATE, TrainingConfig
from bnbook.experiments import knobs
from bnbook.experiments import protocol as grid

EXPERIMENT = "scale_invariance"
STAGES = grid.STAGES
DATA = ("mnist", "digits")
# Of the code that builds and trains, what the notebook shows.
SHOWN = (
    "training.layer",
    "training.network",
    "training.sweep",
    "train.loop.train",
)

VARIANTS = ("plain", "bn")
EPSILONS = {"none": 0.0, "tiny": 1e-8, "usual": 1e-5, "large": 1e-3}
SCALES = 33  # values of a, four to a decade
SLOW, FAST = 0.1, 10.0  # the rates whose effective rates are compared: in the grid of every profile


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainingConfig):
    """One run of one part; `steps` of training, or values of a."""

    experiment: str = EXPERIMENT
    recipe: int = 1
    train_on: str = "train"
    part: str  # "relations" or "sweep"
    lr: float  # constant; plain SGD
    eps: float
    hidden: int
    depth: int
    init_std: float = 0.1
    scale_decades: int = 4  # a goes from 10^-4 to 10^4
    population_batches: int = 100  # that the end point's statistics are averaged over


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement(Config):
    """One layer at one eps: images go through it, and nothing is trained."""

    lr: float = NO_RATE


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """The sizes of one profile."""

    data: str
    seeds: int
    steps: int
    batch_size: int
    hidden: int
    depth: int = 3
    init_std: float = 0.1  # Section 4.1's choice
    lrs: tuple[float, ...]


def rates(per_decade: int) -> tuple[float, ...]:
    """From 0.001 to 100, to two digits."""
    return tuple(float(f"{10 ** (k / per_decade - 3):.2g}") for k in range(5 * per_decade + 1))


PROFILES = {
    "smoke": Profile(data="digits", seeds=2, steps=200, batch_size=60, hidden=50, lrs=rates(1)),
    "cpu": Profile(data="mnist", seeds=3, steps=3000, batch_size=60, hidden=100, lrs=rates(4)),
    "paper": Profile(data="mnist", seeds=10, steps=20_000, batch_size=60, hidden=100, lrs=rates(8)),
}

KNOBS = (
    knobs.learning_rate(
        "one learning rate more",
        "none more",
        lambda profile, lr: dataclasses.replace(profile, lrs=tuple(sorted({*profile.lrs, lr}))),
    ),
    knobs.init_std(),
    knobs.batch_size(),
    knobs.hidden(),
    knobs.depth(),
    knobs.seeds("runs of each"),
    knobs.steps("of training at each learning rate"),
)


def main(profile: Profile, choice: None = None) -> dict[tuple[str, ...], Config]:
    """The configurations by ("relations", name of eps) and ("sweep", variant, learning rate)."""
    relations = {
        ("relations", name): Measurement(
            variant="relations",
            data=profile.data,
            batch_size=profile.batch_size,
            steps=SCALES,
            part="relations",
            eps=eps,
            hidden=profile.hidden,
            depth=1,
            init_std=profile.init_std,
        )
        for name, eps in EPSILONS.items()
    }
    sweep = {
        ("sweep", variant, f"{lr:g}"): Config(
            variant=variant,
            data=profile.data,
            batch_size=profile.batch_size,
            steps=profile.steps,
            part="sweep",
            lr=lr,
            eps=EPSILONS["usual"],
            hidden=profile.hidden,
            depth=profile.depth,
            init_std=profile.init_std,
        )
        for lr in profile.lrs
        for variant in VARIANTS
    }
    return relations | sweep


def traces(steps: int) -> list[Config]:
    """Both networks at the rate 1, and the relations at the usual eps, for replay."""
    configs = main(PROFILES["smoke"])
    networks = [dataclasses.replace(configs["sweep", variant, "1"], steps=steps) for variant in VARIANTS]
    return [configs["relations", "usual"], *networks]


GRID = grid.Grid(main)
choose, jobs, plan, results = GRID.choose, GRID.jobs, GRID.plan, GRID.results
