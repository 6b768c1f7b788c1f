"""The abstract and Section 3.3: how far off may the scale of the initial weights be, with batch normalization
and without?

A map: scale of the initial weights by depth of the network, plain and with BN, of ReLUs and of sigmoids. Each
cell is a short training of a small network at each of a few learning rates. One record is one *row* of the
map, all scales and rates of one depth: a cell takes a fraction of a second, and a record of its own would be
provenance and little else.

Beside the map a few *controls*, rows with BN whose freedom should end where theory says that it does: with a
smaller epsilon, with an output layer of standard weights, and with both.

The scale 1 is the initialization made for ReLUs, N(0, 2 / inputs) in every layer (He et al. 2015); a cell's
weights, those of the output layer too but for the controls, are `scale` times as large.
"""

import dataclasses

from bnbook.config import TrainingConfig
from bnbook.experiments import knobs
from bnbook.experiments import protocol as grid

EXPERIMENT = "careless_initialization"
STAGES = grid.STAGES
DATA = ("mnist", "digits")
# Of the code that builds and trains, what the notebook shows.
SHOWN = (
    "training.network",
    "training.train_cell",
    "training.train_run",
    "train.loop.train",
)

ACTIVATIONS = ("relu", "sigmoid")
VARIANTS = ("plain", "bn")
# What a control changes in the configuration of a row with BN.
CONTROLS = {
    "epsilon": {"norm_eps": 1e-12},
    "output": {"scale_output": False},
    "both": {"norm_eps": 1e-12, "scale_output": False},
}
WORKS = 0.5  # a cell works where validation accuracy ends above it; fixed before the runs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainingConfig):
    """One row of the map; `steps` are those of each cell's training."""

    experiment: str = EXPERIMENT
    recipe: int = 1
    train_on: str = "train"
    activation: str  # "relu" or "sigmoid"
    norm: bool
    depth: int  # hidden layers
    hidden: int  # units a layer
    decades: int  # that the scales span, half of them to each side of 1
    per_decade: int
    lrs: tuple[float, ...]
    scale_output: bool = True  # else the output layer's weights are always those of scale 1
    norm_eps: float = 1e-5
    population_batches: int = 10  # for the statistics of Algorithm 2, by which a network with BN is judged

    @property
    def scales(self) -> list[float]:
        """From the smallest to the largest, 1 in the middle."""
        half = self.decades * self.per_decade // 2
        return [10 ** (k / self.per_decade) for k in range(-half, half + 1)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """The sizes of one profile."""

    data: str
    seeds: int
    steps: int
    batch_size: int
    hidden: int
    depths: tuple[int, ...]
    per_decade: int
    decades: int = 6
    lrs: tuple[float, ...] = (0.01, 0.1, 1.0)


PROFILES = {
    "smoke": Profile(
        data="digits",
        seeds=2,
        steps=60,
        batch_size=60,
        hidden=20,
        depths=(1, 5),
        decades=4,
        per_decade=1,
        lrs=(0.1, 1.0),
    ),
    "cpu": Profile(
        data="mnist", seeds=3, steps=400, batch_size=60, hidden=32, depths=(1, 3, 10, 20), per_decade=2
    ),
    "paper": Profile(
        data="mnist", seeds=5, steps=5000, batch_size=60, hidden=100, depths=(1, 2, 5, 10, 20), per_decade=4
    ),
}

KNOBS = (
    knobs.only_learning_rate("the only learning rate of each cell"),
    knobs.depth(
        "one depth more, in hidden layers",
        "none more",
        lambda profile, depth: dataclasses.replace(profile, depths=tuple(sorted({*profile.depths, depth}))),
    ),
    knobs.batch_size(),
    knobs.hidden(),
    knobs.seeds("runs of each"),
    knobs.steps("of each cell's training"),
)


def main(profile: Profile, choice: None = None) -> dict[tuple[str, ...], Config]:
    """The configurations by (activation, variant, depth); those of the controls, with ReLUs and at the depth
    next to the deepest, by ("control", name)."""
    rows = {
        (activation, variant, str(depth)): Config(
            variant=f"{activation}_{variant}_{depth}",
            data=profile.data,
            batch_size=profile.batch_size,
            steps=profile.steps,
            activation=activation,
            norm=variant == "bn",
            depth=depth,
            hidden=profile.hidden,
            decades=profile.decades,
            per_decade=profile.per_decade,
            lrs=profile.lrs,
        )
        for activation in ACTIVATIONS
        for variant in VARIANTS
        for depth in profile.depths
    }
    base = rows["relu", "bn", str(profile.depths[-2])]
    controls = {
        ("control", name): dataclasses.replace(base, variant=f"control_{name}", **changes)
        for name, changes in CONTROLS.items()
    }
    return rows | controls


def traces(steps: int) -> list[Config]:
    """Every row of the smallest profile on the embedded digits, for replay; at the lower rate alone, since
    rounding carries the higher one's cells away."""
    smoke = PROFILES["smoke"]
    smoke = dataclasses.replace(smoke, steps=steps, lrs=smoke.lrs[:1])
    return list(main(smoke).values())


GRID = grid.Grid(main)
choose, jobs, plan, results = GRID.choose, GRID.jobs, GRID.plan, GRID.results
