"""Van Laarhoven 2017, Hoffer et al. 2018: what does weight decay do where there is batch normalization?

BN(Wu) does not know how large W is, so that decay cannot make the function simpler. What the size decides is
how far a step turns W: the effective rate lr / ||W||^2. Decay keeps W small, and so sets a rate. Two
questions:

1. *grid*: weight decay by learning rate, with BN. In equilibrium the effective rate is a function of the
   product lr x decay alone; does accuracy go by the product? A smaller grid without BN is there for 2.
2. *main*, by new seeds, at the cell of the grid where decay gains most over none at the same rate (without
   BN, where it does not help a training this short, where it changes most): the same run ("decay"); the same
   without decay ("none"); and without decay, the weights of each layer held at their
   initial norm, at rates that make the effective one what it was ("matched"). These rates are a plain
   function of the step, made from the norms that the grid's seeds had. With BN "matched" should be "decay";
   without BN, where the size of W is a part of the function, it need not.

To hold the norms at what they were *with* decay would show nothing: to shrink the weights after each step is
what decay does, with BN and without, and it would be the same run under another name.

The network is a small convolutional one on CIFAR-10, of two epochs at a rate that falls tenfold: there decay
changes accuracy by points, while Section 4.1's network on MNIST hardly feels its rate. Learning rate and
decay are those of the convolutions' weights, the ones before BN; biases, gamma, beta and the output layer
have a rate of their own and no decay, so that nothing but these weights tells the runs apart.
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import numpy as np

from bnbook.config import TrainingConfig
from bnbook.experiments import knobs
from bnbook.experiments import protocol as grid
from bnbook.records import Record

EXPERIMENT = "weight_decay"
STAGES = grid.CONFIRMED_STAGES
DATA = ("cifar10-jpeg", "cifar10", "digits")
# Of the code that builds and trains, what the notebook shows.
SHOWN = (
    "networks.ConvLayer",
    "networks.ConvNet",
    "networks.MatchedSGD",
    "training.optimizer",
    "training.train_run",
    "train.loop.train",
)

NETWORKS = ("plain", "bn")
ARMS = ("decay", "matched", "none")
NORM_POINTS = 20  # equal parts of a run, at whose ends norms are written down
DECAY = 0.1  # of the learning rates over a run


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainingConfig):
    """One run. `lr` and `weight_decay` are those of the convolutions' weights."""

    experiment: str = EXPERIMENT
    recipe: int = 1
    train_on: str = "train"
    norm: bool
    maps: tuple[int, ...]  # of each layer
    lr: float  # at the start
    rest_lr: float  # of all other parameters
    decay: float = DECAY  # of all rates over the run, exponentially
    weight_decay: float
    mimicked: float = 0.0  # the weight decay in whose place rates are matched and norms held; 0: neither
    # Squared norms of the weights under that decay over the initial ones, which the rates are matched to: of
    # the first layer at the start and after each of NORM_POINTS parts of the run, then of the second, ...
    shrinking: tuple[float, ...] = ()
    tested: bool = False  # on test images, with a curve; else on the validation images, at the end
    curve_images: int  # images of the test set, of all classes, that the curve is taken on
    population_batches: int  # training mini-batches that Algorithm 2 averages over


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """The sizes of one profile. `lrs` by network."""

    data: str
    seeds: dict[str, int]  # of the grid
    new_seeds: dict[str, int]  # of the main runs
    steps: int
    lrs: dict[str, tuple[float, ...]]
    weight_decays: tuple[float, ...]  # 0 the first
    batch_size: int = 64
    maps: tuple[int, ...] = (16, 32, 64)
    rest_lr: float = 0.1
    curve_images: int = 2000
    population_batches: int = 20


def _of_both(field: str) -> Callable[[Profile, int], Profile]:
    """What turns the number of either network's seeds."""
    return lambda profile, count: dataclasses.replace(profile, **{field: dict.fromkeys(NETWORKS, count)})


PROFILES = {
    "smoke": Profile(
        data="digits",
        seeds={"plain": 2, "bn": 2},
        new_seeds={"plain": 2, "bn": 3},
        steps=40,
        lrs={"plain": (0.1,), "bn": (0.1, 0.4)},
        weight_decays=(0.0, 0.2, 0.8),
        batch_size=32,
        maps=(4, 8),
        curve_images=100,
        population_batches=4,
    ),
    "cpu": Profile(
        data="cifar10-jpeg",
        seeds={"plain": 3, "bn": 5},
        new_seeds={"plain": 10, "bn": 24},
        steps=1500,
        lrs={"plain": (0.1,), "bn": (0.1, 0.2, 0.4, 0.8)},
        weight_decays=(0.0, 0.005, 0.01, 0.02, 0.04),
    ),
    "paper": Profile(
        data="cifar10",
        seeds={"plain": 5, "bn": 10},
        new_seeds={"plain": 40, "bn": 40},
        steps=20_000,
        lrs={"plain": (0.05, 0.1), "bn": (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)},
        weight_decays=(0.0, 0.0005, 0.001, 0.002, 0.004, 0.008),
        maps=(32, 64, 128),
    ),
}

KNOBS = (
    knobs.learning_rate(
        "the only learning rate of the convolutions' weights in the grid",
        "those of the profile",
        lambda profile, lr: dataclasses.replace(profile, lrs=dict.fromkeys(NETWORKS, (lr,))),
    ),
    knobs.learning_rate("learning rate of all other parameters", name="rest_lr"),
    knobs.batch_size(),
    knobs.seeds("runs of each cell of the grid", turn=_of_both("seeds")),
    knobs.seeds("main runs of each", "new_seeds", turn=_of_both("new_seeds")),
    knobs.steps("of training"),
)

Key = tuple[str, ...]


def run(profile: Profile, network: str, lr: float, weight_decay: float) -> Config:
    """A cell of the grid."""
    return Config(
        variant=network,
        data=profile.data,
        batch_size=profile.batch_size,
        steps=profile.steps,
        norm=network == "bn",
        maps=profile.maps,
        lr=lr,
        rest_lr=profile.rest_lr,
        weight_decay=weight_decay,
        curve_images=profile.curve_images,
        population_batches=profile.population_batches,
    )


def main(profile: Profile) -> dict[Key, Config]:
    """The grid's configurations by (network, learning rate, weight decay)."""
    return {
        (network, f"{lr:g}", f"{weight_decay:g}"): run(profile, network, lr, weight_decay)
        for network in NETWORKS
        for lr, weight_decay in itertools.product(profile.lrs[network], profile.weight_decays)
    }


def seeds(profile: Profile, config: Config) -> range:
    return range(profile.seeds["bn" if config.norm else "plain"])


# What the grid chooses


@dataclasses.dataclass(frozen=True)
class Choice:
    """Of one network: learning rate and decay, and how its weights shrink there (see `Config.shrinking`)."""

    lr: float
    weight_decay: float
    shrinking: np.ndarray  # (layers, points)


def validation(records: Sequence[Record]) -> np.ndarray:
    """Validation accuracy in percent at the end, by seed; chance for a run that diverged."""
    return 100 * np.array(
        [r.final["chance_accuracy" if r.diverged else "validation_accuracy"] for r in records]
    )


def gains(results: grid.Results, network: str) -> dict[tuple[float, float], float]:
    """Points of validation accuracy that decay gains over none at the same rate, by (rate, decay)."""
    means = {
        (float(key[1]), float(key[2])): validation(found).mean()
        for key, found in results.main.items()
        if key[0] == network
    }
    return {(lr, decay): mean - means[lr, 0.0] for (lr, decay), mean in means.items() if decay}


def select(results: grid.Results) -> dict[str, Choice]:
    """With BN the cell where decay gains most, without BN where it changes most; ties go to the smaller rate
    and decay."""
    found = {}
    for network in NETWORKS:
        won = gains(results, network)
        if network == "plain":
            won = {cell: abs(points) for cell, points in won.items()}
        lr, decay = max(sorted(won), key=won.__getitem__)
        records = results.main[network, f"{lr:g}", f"{decay:g}"]
        found[network] = Choice(lr, decay, shrinking(records))
    return found


def shrinking(records: Sequence[Record]) -> np.ndarray:
    """(layers, points): the squared norms of the weights over the initial ones, geometric mean over the runs
    that did not diverge."""
    norms = [
        [values for name, values in record.curves["norms"].items() if name != "step"]
        for record in records
        if not record.diverged
    ]
    logs = np.log(np.array(norms, dtype=float))
    return np.exp((logs - logs[:, :, :1]).mean(0))


def arms(profile: Profile, network: str, choice: Choice) -> dict[str, Config]:
    """The main runs of a network by arm."""
    # The first recipe had its curves on the first images of a test set that lies sorted by class.
    decayed = dataclasses.replace(
        run(profile, network, choice.lr, choice.weight_decay), tested=True, recipe=2
    )
    without = dataclasses.replace(decayed, weight_decay=0.0)
    return {
        "decay": decayed,
        "matched": dataclasses.replace(
            without,
            variant=f"{network}_matched",
            mimicked=choice.weight_decay,
            shrinking=tuple(float(f"{ratio:.5g}") for ratio in choice.shrinking.flat),
        ),
        "none": without,
    }


def confirm(profile: Profile, choice: dict[str, Choice]) -> dict[Key, tuple[Config, int]]:
    """The main configurations by ("new", network, arm), and by how many new seeds they are run."""
    return {
        ("new", network, arm): (config, profile.new_seeds[network])
        for network in NETWORKS
        for arm, config in arms(profile, network, choice[network]).items()
    }


def traces(steps: int) -> list[Config]:
    """Both networks with decay and with matched rates on the embedded digits, for replay."""
    short = dataclasses.replace(PROFILES["smoke"], steps=steps)
    fallen = 0.98 ** np.arange(NORM_POINTS + 1)
    choice = Choice(0.1, 0.2, np.tile(fallen, (len(short.maps), 1)))
    return [arms(short, network, choice)[arm] for network in NETWORKS for arm in ("decay", "matched")]


GRID = grid.Confirmed(main, select, confirm, seeds=seeds)
choose, jobs, plan, results = GRID.choose, GRID.jobs, GRID.plan, GRID.results
