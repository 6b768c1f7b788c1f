"""Section 3.1: from which numbers a batch-normalized network should answer once it is trained.

Five parts:

- *net*: the network of Section 4.1, trained once a seed and asked along the way with population statistics
  (Algorithm 2), with moving averages, and with the statistics of test batches.
- *small*: the same network trained on mini-batches of m images, and at the end the population statistics
  with and without the factor m / (m - 1), and with the mean gain that training had.
- *lag*: the network of Section 4.1 through its first epoch, at each of a grid of learning rates: the test
  accuracy that moving averages show, beside that of Algorithm 2.
- *count*: the same network at Section 4.1's learning rate, its curve by Algorithm 2 with few and many
  mini-batches: how many does a curve need?
- *fold*: the time of an answer with batch normalization as a layer, and folded into the layer before it.

Nothing is chosen here. Learning rate and initialisation are those that Section 4.1's validation split chose
for the network with batch normalization, but for the grid's learning rates; mini-batches of m images take
m / 60 of that learning rate.
"""

import dataclasses

from bnbook.config import NO_DATA, NO_RATE, TrainingConfig
from bnbook.experiments import knobs
from bnbook.experiments import protocol as grid

EXPERIMENT = "algorithm2_inference"
STAGES = grid.STAGES
DATA = ("mnist", "digits")
# Of the code that builds and trains, what the notebook shows.
SHOWN = (
    "training.network",
    "nn.batchnorm.population_statistics",
    "networks.fold",
    "training.train_run",
    "train.loop.train",
)

# Moving averages by name; the number is that of the mini-batches that they look back on, 1 / momentum.
MOVING = {"moving_10": 0.1, "moving_100": 0.01, "moving_1000": 0.001, "moving_all": None}
FEW = {"population_1": 1, "population_10": 10}  # Algorithm 2 with few mini-batches
TEST_BATCHES = {"test_60": 60, "test_8": 8}
# Every inference mode, the paper's first. "test_sorted": test batches of 60 of one digit, but for a few.
MODES = ("population", *FEW, *MOVING, *TEST_BATCHES, "test_1", "test_sorted")

# Of the variance: with the factor m / (m - 1), without it, and the one that gives training's mean gain.
ESTIMATES = ("unbiased", "biased", "gain")
# The m at which the factor is judged. Not 2: two values are divided by their difference, which may be as
# small as its rounding error, so that another processor trains another network.
JUDGED = 4

# Of the parts that follow a curve: the moving averages of the lag, the usual one by momentum 0.1; its grid of
# learning rates, up to where the network hardly learns; how many mini-batches Algorithm 2 averages over in
# the count, Section 4.1's own number among them, the last for the truth; where it is evaluated.
LAGGING = {"moving_2": 0.5, "moving_10": 0.1, "moving_100": 0.01, "moving_all": None}
LAG_LRS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
COUNTS = (5, 10, 20, 50, 200)
LAG_GROWTH = 1.1
COUNT_GROWTH, COUNT_EVERY = 1.05, 500  # as in Section 4.1

LR, LR_BATCH = 1.0, 60  # the learning rate for mini-batches of 60


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainingConfig):
    """One run of one part. Of the fold, `batch_size` is the number of images answered at once and `steps`
    that of the repetitions of the clock."""

    experiment: str = EXPERIMENT
    recipe: int = 1
    train_on: str = "train+validation"
    part: str  # "net", "small", "lag", "count" or "fold"
    lr: float  # constant; plain SGD
    hidden: int
    depth: int = 3
    eps: float = 1e-5
    init_std: float = 0.1
    population_batches: int = 0  # training mini-batches that Algorithm 2 averages over


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement(Config):
    """The fold, which trains nothing."""

    data: str = NO_DATA
    lr: float = NO_RATE


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """The sizes of one profile. `small_batches` in rising order; `seeds` and `steps` but for the parts that
    have their own."""

    data: str
    seeds: int
    net_seeds: int
    lag_seeds: int
    steps: int
    lag_steps: int
    lr: float = LR  # for mini-batches of LR_BATCH; the lag has a grid of its own
    init_std: float = 0.1
    hidden: int = 100
    depth: int = 3
    batch_size: int = 60
    population_batches: int
    lag_batches: int  # Algorithm 2's in the lag
    small_batches: tuple[int, ...] = (4, 8, 16)
    fold_batches: tuple[int, ...] = (1, 60, 1000)
    repetitions: int


PROFILES = {
    "smoke": Profile(
        data="digits",
        seeds=2,
        net_seeds=3,
        lag_seeds=3,
        steps=100,
        lag_steps=100,
        hidden=20,
        population_batches=10,
        lag_batches=10,
        small_batches=(4,),
        fold_batches=(1, 100),
        repetitions=5,
    ),
    "cpu": Profile(
        data="mnist",
        seeds=5,
        net_seeds=15,
        lag_seeds=8,
        steps=10_000,
        lag_steps=1000,
        population_batches=500,
        lag_batches=100,
        repetitions=30,
    ),
    "paper": Profile(
        data="mnist",
        seeds=10,
        net_seeds=20,
        lag_seeds=20,
        steps=50_000,
        lag_steps=10_000,
        population_batches=1000,
        lag_batches=100,
        repetitions=100,
    ),
}

KNOBS = (
    knobs.learning_rate("learning rate for mini-batches of 60; the lag has its own"),
    knobs.init_std(),
    knobs.batch_size(),
    knobs.hidden(),
    knobs.depth(),
    knobs.Knob("population_batches", 2, 5000, "mini-batches that Algorithm 2 averages over"),
    knobs.seeds("runs of each", turn=knobs.at_once("seeds", "net_seeds", "lag_seeds")),
    knobs.steps("of every training but that of the lag"),
    knobs.steps("of the lag's training", "lag_steps"),
)


def main(profile: Profile, choice: None = None) -> dict[tuple[str, ...], Config]:
    """The configurations by part and what it varies: ("net", "bn"), ("small", m), ("lag", lr),
    ("count", "bn") and ("fold", images)."""

    def trained(part: str, variant: str, m: int = profile.batch_size) -> Config:
        return Config(
            variant=variant,
            data=profile.data,
            batch_size=m,
            steps=profile.steps,
            part=part,
            lr=profile.lr * m / LR_BATCH,
            init_std=profile.init_std,
            hidden=profile.hidden,
            depth=profile.depth,
            population_batches=profile.population_batches,
        )

    net = {("net", "bn"): trained("net", "net_bn")}
    small = {("small", str(m)): trained("small", f"small_{m}", m) for m in profile.small_batches}
    lag = {
        ("lag", f"{lr:g}"): dataclasses.replace(
            trained("lag", f"lag_{lr:g}"),
            lr=lr,
            steps=profile.lag_steps,
            population_batches=profile.lag_batches,
        )
        for lr in LAG_LRS
    }
    count = {("count", "bn"): dataclasses.replace(trained("count", "count"), population_batches=max(COUNTS))}
    fold = {
        ("fold", str(images)): Measurement(
            variant=f"fold_{images}",
            recipe=2,  # the first read the wall clock, which other processes disturb
            batch_size=images,
            steps=profile.repetitions,
            part="fold",
            hidden=profile.hidden,
            depth=profile.depth,
        )
        for images in profile.fold_batches
    }
    return net | small | lag | count | fold


def seeds(profile: Profile, config: Config) -> range:
    """The seeds of a configuration: those parts have more that a claim needs more of."""
    return range({"net": profile.net_seeds, "lag": profile.lag_seeds}.get(config.part, profile.seeds))


def traces(steps: int) -> list[Config]:
    """What is trained, on the embedded digits, for replay; times are no trace."""
    configs = main(PROFILES["smoke"]).values()
    return [dataclasses.replace(one, steps=steps) for one in configs if one.part != "fold"]


GRID = grid.Grid(main, seeds=seeds)
choose, jobs, plan, results = GRID.choose, GRID.jobs, GRID.plan, GRID.results
