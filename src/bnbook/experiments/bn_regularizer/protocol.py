"""Section 3.4: does the noise that an example gets from its mini-batch regularize, and does it spare Dropout?

Three parts:

noise: the network of Section 4.1, trained on all training images at the learning rate that the experiment of
    Section 4.1 chose on validation images. Then each of some training images is put into many random
    mini-batches of each size, and the spread of its normalized values is measured.
dropout: networks that overfit, since each is trained on a few images alone (a subset of its own by seed),
    with and without BN, by rate of Dropout. They have Section 4.1's shape with ReLUs for sigmoids:
    Inception, from which the paper removed Dropout, has ReLUs.
statistics: the networks with BN and no Dropout, their statistics taken over ever smaller groups of the
    mini-batch, and over a `larger_group`, of which the mini-batch is a part: ever more noise,
    and nearly none. The gradient step remains that of the mini-batch, so that nothing changes but the noise.

Every network of the last two is trained at every learning rate of the profile; the one with the best mean
validation accuracy over seeds counts, and the test images have no say. The learning rates with BN are higher:
on one grid for both, the best of one would lie on the edge.

What the claims compare is then run again by new seeds, at what the others chose: BN as it is, with its best
rate of Dropout, and with nearly no noise.
"""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from bnbook.config import TrainingConfig
from bnbook.experiments import knobs
from bnbook.experiments import protocol as grid
from bnbook.records import Record

EXPERIMENT = "bn_regularizer"
STAGES = grid.CONFIRMED_STAGES
DATA = ("mnist", "digits")
# Of the code that builds and trains, what the notebook shows.
SHOWN = (
    "networks.GhostBatchNorm",
    "training.loss",
    "training.network",
    "training.train_run",
    "train.loop.train",
)
NETWORKS = ("plain", "bn")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainingConfig):
    """One run of one part; `sizes`, `examples` and `companies` are what the noise is measured with."""

    experiment: str = EXPERIMENT
    recipe: int = 1
    train_on: str = "train"
    part: str  # "noise" or "net"
    activation: str
    group: int  # examples that BN takes its statistics over, perhaps more than the mini-batch; 0: no BN
    dropout: float = 0.0  # share dropped behind each hidden layer's nonlinearity
    images: int  # trained on; 0: all
    lr: float  # constant; plain SGD
    hidden: int
    depth: int = 3
    init_std: float = 0.1
    eps: float = 1e-5
    population_batches: int = 200  # that Algorithm 2 averages over, each of `group` examples
    sizes: tuple[int, ...] = ()  # of mini-batches
    examples: int = 0
    companies: int = 0  # mini-batches an example is put into, of each size


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """The sizes of one profile; `steps` are those of the networks that overfit."""

    data: str
    seeds: int
    new_seeds: int
    new_seeds_company: int  # of the network with nearly no noise, which costs most
    steps: int
    noise_steps: int
    images: int
    hidden: int = 100
    batch_size: int = 60
    rates: tuple[float, ...]
    groups: tuple[int, ...]  # smaller than the mini-batch
    larger_group: int  # larger
    lrs: dict[str, tuple[float, ...]]  # by network
    sizes: tuple[int, ...]
    examples: int
    companies: int


PROFILES = {
    "smoke": Profile(
        data="digits",
        seeds=2,
        new_seeds=3,
        new_seeds_company=2,
        steps=120,
        noise_steps=200,
        images=300,
        hidden=20,
        rates=(0.0, 0.3),
        groups=(6,),
        larger_group=240,
        lrs={"plain": (0.3, 1.0), "bn": (0.3, 1.0)},
        sizes=(2, 8, 60),
        examples=20,
        companies=5,
    ),
    "cpu": Profile(
        data="mnist",
        seeds=5,
        new_seeds=100,
        new_seeds_company=40,
        steps=1000,
        noise_steps=5000,
        images=2000,
        rates=(0.0, 0.1, 0.3, 0.5),
        groups=(3, 6, 15),
        larger_group=1000,
        lrs={"plain": (0.1, 0.3, 1.0), "bn": (0.3, 1.0, 3.0)},
        sizes=(2, 4, 8, 16, 32, 60, 120, 250, 500),
        examples=200,
        companies=20,
    ),
    "paper": Profile(
        data="mnist",
        seeds=20,
        new_seeds=100,
        new_seeds_company=40,
        steps=10_000,
        noise_steps=50_000,
        images=2000,
        rates=(0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
        groups=(2, 3, 4, 6, 10, 15, 30),
        larger_group=1000,
        lrs={"plain": (0.03, 0.1, 0.3, 1.0), "bn": (0.1, 0.3, 1.0, 3.0)},
        sizes=(2, 4, 8, 16, 32, 60, 120, 250, 500),
        examples=1000,
        companies=50,
    ),
}

KNOBS = (
    knobs.learning_rate(
        "the only learning rate of the networks that overfit",
        "those of the profile",
        lambda profile, lr: dataclasses.replace(profile, lrs=dict.fromkeys(NETWORKS, (lr,))),
    ),
    knobs.hidden(),
    knobs.Knob("images", 120, 50_000, "training images of the networks that overfit"),
    knobs.seeds("runs of each"),
    knobs.seeds("of what was chosen, but for the next", "new_seeds"),
    knobs.seeds("of the network with nearly no noise", "new_seeds_company"),
    knobs.steps("of the networks that overfit"),
    knobs.steps("of the network that the noise is measured in", "noise_steps"),
)


def larger_group(profile: Profile) -> int:
    """The images that statistics with nearly no noise are taken over: no more than there are."""
    return min(profile.larger_group, profile.images)


def noise(profile: Profile) -> Config:
    return Config(
        variant="noise",
        data=profile.data,
        batch_size=profile.batch_size,
        steps=profile.noise_steps,
        part="noise",
        activation="sigmoid",
        group=profile.batch_size,
        images=0,
        lr=1.0,
        hidden=profile.hidden,
        sizes=profile.sizes,
        examples=profile.examples,
        companies=profile.companies,
    )


def net(profile: Profile, variant: str, group: int, dropout: float, lr: float) -> Config:
    return Config(
        variant=variant,
        data=profile.data,
        batch_size=profile.batch_size,
        steps=profile.steps,
        part="net",
        activation="relu",
        group=group,
        dropout=dropout,
        images=profile.images,
        lr=lr,
        hidden=profile.hidden,
    )


def main(profile: Profile) -> dict[tuple[str, ...], Config]:
    """The grid's configurations by ("noise", "bn"), ("dropout", network, rate, learning rate) and
    ("statistics", group, learning rate); numbers as words. The group that is the whole mini-batch is BN
    without Dropout."""
    whole = profile.batch_size
    found = {("noise", "bn"): noise(profile)}
    for rate, name in itertools.product(profile.rates, NETWORKS):
        for lr in profile.lrs[name]:
            variant, group = f"{name}_dropout_{rate:g}", whole if name == "bn" else 0
            found["dropout", name, f"{rate:g}", f"{lr:g}"] = net(profile, variant, group, rate, lr)
    for group, lr in itertools.product((*profile.groups, larger_group(profile)), profile.lrs["bn"]):
        found["statistics", str(group), f"{lr:g}"] = net(profile, f"bn_statistics_{group}", group, 0.0, lr)
    for lr in profile.lrs["bn"]:
        found["statistics", str(whole), f"{lr:g}"] = net(profile, "bn_dropout_0", whole, 0.0, lr)
    return found


def traces(steps: int) -> list[Config]:
    """Each variant at one learning rate on the embedded digits, for replay."""
    lrs = {name: (0.3,) for name in NETWORKS}
    short = dataclasses.replace(PROFILES["smoke"], steps=steps, noise_steps=steps, lrs=lrs)
    return list(dict.fromkeys(main(short).values()))


# Which learning rate, and which rate of Dropout

Key = tuple[str, ...]


def validation(records: Sequence[Record]) -> float:
    """Mean validation accuracy in percent over seeds; chance for a run that diverged."""
    return 100 * float(
        np.mean([r.final.get("validation_accuracy", r.final["chance_accuracy"]) for r in records])
    )


def best(results: grid.Results, *network: str) -> Key:
    """The key of `network` ("dropout", name, rate) or ("statistics", group) at its best learning rate; ties
    go to the smaller."""
    keys = [key for key in results.main if key[:-1] == network]
    return max(keys, key=lambda key: (validation(results.main[key]), -float(key[-1])))


def best_dropout(results: grid.Results, network: str) -> Key:
    """The key of `network` at its best rate of Dropout above 0."""
    rates = {key[2] for key in results.main if key[:2] == ("dropout", network) and float(key[2])}
    return max(
        (best(results, "dropout", network, rate) for rate in sorted(rates, key=float)),
        key=lambda key: validation(results.main[key]),
    )


def select(results: grid.Results) -> dict[str, Key]:
    """The keys of what new seeds run: BN "alone", with its best "dropout", and in "company"."""
    return {
        "alone": best(results, "dropout", "bn", "0"),
        "dropout": best_dropout(results, "bn"),
        "company": best(results, "statistics", str(larger_group(results.profile))),
    }


def confirm(profile: Profile, choice: dict[str, Key]) -> dict[Key, tuple[Config, int]]:
    """The configurations by ("new", name), and by how many new seeds they are run: those of `choice`, as
    `profile` has them."""
    configs = main(profile)
    seeds = {"company": profile.new_seeds_company}
    return {
        ("new", name): (configs[_within(profile, name, key)], seeds.get(name, profile.new_seeds))
        for name, key in choice.items()
    }


def _within(profile: Profile, name: str, key: Key) -> Key:
    """The key of the same network in `profile`, which may have fewer images, or one learning rate alone."""
    *network, lr = key
    if name == "company":
        network = ["statistics", str(larger_group(profile))]
    rates = [f"{rate:g}" for rate in profile.lrs["bn"]]
    return (*network, lr if lr in rates else rates[0])


GRID = grid.Confirmed(main, select, confirm)
choose, jobs, plan, results = GRID.choose, GRID.jobs, GRID.plan, GRID.results
