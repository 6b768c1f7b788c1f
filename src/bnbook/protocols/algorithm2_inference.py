"""Section 3.1: from which numbers a batch-normalized network should answer once it is trained.

Three parts:

- *net*: the network of Section 4.1, trained once a seed and asked along the way with population statistics
  (Algorithm 2), with moving averages, and with the statistics of test batches.
- *small*: the same network trained on mini-batches of m images, and at the end the population statistics
  with and without the factor m / (m - 1), and with the mean gain that training had.
- *fold*: the time of an answer with batch normalization as a layer, and folded into the layer before it.

Nothing is chosen here. Learning rate and initialisation are those that Section 4.1's validation split chose
for the network with batch normalization; mini-batches of m images take m / 60 of that learning rate.
"""

import dataclasses

from bnbook.config import RunConfig
from bnbook.protocols import grid

EXPERIMENT = "algorithm2_inference"
STAGES = grid.STAGES
DATA = ("mnist", "digits")

# Moving averages by name; the number is that of the mini-batches that they look back on, 1 / momentum.
MOVING = {"moving_10": 0.1, "moving_100": 0.01, "moving_1000": 0.001, "moving_all": None}
FEW = {"population_1": 1, "population_10": 10}  # Algorithm 2 with few mini-batches
TEST_BATCHES = {"test_60": 60, "test_8": 8}
# Every way of asking, the paper's first. "test_sorted": test batches of 60 of one digit, but for a few.
WAYS = ("population", *FEW, *MOVING, *TEST_BATCHES, "test_1", "test_sorted")

# Of the variance: with the factor m / (m - 1), without it, and the one that gives training's mean gain.
ESTIMATES = ("unbiased", "biased", "gain")
# The m at which the factor is judged. Not 2: two values are divided by their difference, which may be as
# small as its rounding error, so that another processor trains another network.
JUDGED = 4

LR, LR_BATCH = 1.0, 60  # the learning rate for mini-batches of 60


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """One run of one part. Of the fold, `batch_size` is the number of images answered at once and `steps`
    that of the repetitions of the clock."""

    experiment: str = EXPERIMENT
    recipe: int = 1
    train_on: str = "train+validation"
    part: str  # "net", "small" or "fold"
    lr: float = 0.0  # constant; plain SGD
    hidden: int
    depth: int = 3
    eps: float = 1e-5
    init_std: float = 0.1
    population_batches: int = 0  # training mini-batches that Algorithm 2 averages over


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """The sizes of one profile. `small_batches` in rising order."""

    data: str
    seeds: int
    steps: int
    hidden: int = 100
    batch_size: int = 60
    population_batches: int
    small_batches: tuple[int, ...] = (4, 8, 16)
    fold_batches: tuple[int, ...] = (1, 60, 1000)
    repetitions: int


PROFILES = {
    "smoke": Profile(
        data="digits",
        seeds=2,
        steps=100,
        hidden=20,
        population_batches=10,
        small_batches=(4,),
        fold_batches=(1, 100),
        repetitions=5,
    ),
    "cpu": Profile(data="mnist", seeds=5, steps=10_000, population_batches=500, repetitions=30),
    "paper": Profile(data="mnist", seeds=10, steps=50_000, population_batches=1000, repetitions=100),
}


def main(profile: Profile, choice: None = None) -> dict[tuple[str, ...], Config]:
    """The configurations by ("net", "bn"), ("small", m) and ("fold", images)."""

    def trained(part: str, variant: str, m: int) -> Config:
        return Config(
            variant=variant,
            data=profile.data,
            batch_size=m,
            steps=profile.steps,
            part=part,
            lr=LR * m / LR_BATCH,
            hidden=profile.hidden,
            population_batches=profile.population_batches,
        )

    net = {("net", "bn"): trained("net", "net_bn", profile.batch_size)}
    small = {("small", str(m)): trained("small", f"small_{m}", m) for m in profile.small_batches}
    fold = {
        ("fold", str(images)): Config(
            variant=f"fold_{images}",
            recipe=2,  # the first read the wall clock, which other processes disturb
            data="digits",  # none is looked at
            batch_size=images,
            steps=profile.repetitions,
            part="fold",
            hidden=profile.hidden,
        )
        for images in profile.fold_batches
    }
    return net | small | fold


def traces(steps: int) -> list[Config]:
    """What is trained, on the embedded digits, for replay; times are no trace."""
    configs = main(PROFILES["smoke"]).values()
    return [dataclasses.replace(one, steps=steps) for one in configs if one.part != "fold"]


GRID = grid.Grid(main)
choose, jobs, plan, results = GRID.choose, GRID.jobs, GRID.plan, GRID.results
