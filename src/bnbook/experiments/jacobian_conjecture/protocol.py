"""Section 3.3: are the singular values of the Jacobians between normalized layers close to 1?

Two parts, none of which has to choose anything:

1. `linear`: the paper's own argument, a linear network of Gaussian inputs. Its layers are whitened, as the
   argument supposes (`whiten`), or normalized unit by unit, as batch normalization does (`bn`). Beside them
   `null`: random matrices with rows of length 1. Their mean square singular value is 1 by construction,
   though the values themselves go from near 0 to about 2. So a mean near 1 proves nothing, and every
   spectrum is judged by how much of it lies near 1, against this null.
2. `net`: the network of Section 4.1, with sigmoids and with ReLUs, without and with batch normalization, its
   spectra taken all through training. Sigmoids train at the learning rate that validation chose in Section
   4.1 for both networks; ReLUs, which nothing was chosen for, at a tenth of it, both the same. The second
   recipe looks more often, and takes accuracy by Algorithm 2 as well, so that networks can be compared where
   they are equally accurate; training is that of the first.
"""

import dataclasses

from bnbook.config import NO_DATA, NO_RATE, TrainingConfig
from bnbook.experiments import knobs
from bnbook.experiments import protocol as grid

EXPERIMENT = "jacobian_conjecture"
STAGES = grid.STAGES
# A share of singular values counts them: one more or less within bounds, and it jumps. Held loosely, then.
DATA = ("mnist", "digits")
# Of the code that builds and trains, what the notebook shows.
SHOWN = (
    "training.linear_jacobians",
    "networks.jacobians",
    "training.network",
    "training.net",
    "train.loop.train",
)

POPULATION_BATCHES = 20  # training mini-batches beyond a run's own, for Algorithm 2's statistics
NEAR = (0.5, 2.0)  # a singular value between these is near 1: no direction is halved or doubled
LEVELS = tuple(level / 40 for level in range(41))  # of the spectra's quantiles, which the records keep

LINEAR = {"null": "rows", "bn": "bn", "whiten": "whiten"}  # normalization by name
ACTIVATIONS = {"sigmoid": 1.0, "relu": 0.1}  # learning rates, times the profile's
NORMALIZATIONS = {"plain": "none", "bn": "bn"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainingConfig):
    """One run of one part. Of the linear networks, `batch_size` is the number of Gaussian examples."""

    experiment: str = EXPERIMENT
    recipe: int = 1
    train_on: str = "train+validation"  # the choices were made in Section 4.1
    part: str  # "linear" or "net"
    activation: str  # "linear", "sigmoid" or "relu"
    normalization: str  # "none", "bn", "whiten", or "rows": random matrices with rows of length 1
    lr: float
    hidden: int  # units a layer
    depth: int  # hidden layers
    init_std: float = 0.1
    eps: float = 1e-5
    reference: int = 0  # training images of the reference batch, whose statistics are the constants
    examples: int = 0  # of them, those at which the Jacobian is taken
    probe_growth: float = 3.0
    probe_every: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement(Config):
    """The linear networks, which are not trained."""

    data: str = NO_DATA
    lr: float = NO_RATE


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """The sizes of one profile; `depth` is that of the linear networks."""

    data: str
    seeds: int
    steps: int
    lr: float = 1.0  # of sigmoids
    init_std: float = 0.1
    hidden: int
    depth: int
    net_depth: int = 3
    batch_size: int = 60
    reference: int = 1000
    examples: int


PROFILES = {
    "smoke": Profile(data="digits", seeds=2, steps=200, hidden=20, depth=4, examples=8),
    "cpu": Profile(data="mnist", seeds=5, steps=10_000, hidden=100, depth=10, examples=50),
    "paper": Profile(data="mnist", seeds=20, steps=50_000, hidden=100, depth=10, examples=200),
}

KNOBS = (
    knobs.learning_rate("learning rate with sigmoids; ReLUs have a tenth of it"),
    knobs.init_std("standard deviation of the networks' initial weights"),
    knobs.batch_size(),
    knobs.Knob("hidden", 2, 300, "units in each layer"),
    knobs.Knob("depth", 2, 50, "layers of the linear networks"),
    knobs.Knob("net_depth", 2, 20, "hidden layers of the others"),
    knobs.seeds("runs of each"),
    knobs.steps("of the networks' training"),
)


def main(profile: Profile, choice: None = None) -> dict[tuple[str, ...], Config]:
    """The configurations by ("linear", normalization) and ("net", activation, normalization)."""
    linear = {
        ("linear", name): Measurement(
            variant=f"linear_{name}",
            batch_size=20 * profile.hidden,
            steps=0,
            part="linear",
            activation="linear",
            normalization=normalization,
            hidden=profile.hidden,
            depth=profile.depth,
            eps=1e-9,
        )
        for name, normalization in LINEAR.items()
    }
    net = {
        ("net", activation, name): Config(
            recipe=2,
            variant=f"net_{activation}_{name}",
            data=profile.data,
            batch_size=profile.batch_size,
            steps=profile.steps,
            part="net",
            activation=activation,
            normalization=normalization,
            lr=lr * profile.lr,
            init_std=profile.init_std,
            hidden=profile.hidden,
            depth=profile.net_depth,
            reference=profile.reference,
            examples=profile.examples,
            probe_growth=1.5,
            probe_every=max(1, profile.steps // 5),
        )
        for activation, lr in ACTIVATIONS.items()
        for name, normalization in NORMALIZATIONS.items()
    }
    return linear | net


def traces(steps: int) -> list[Config]:
    """The networks of each variant on the embedded digits, for replay; nothing else is trained."""
    configs = main(PROFILES["smoke"]).values()
    return [dataclasses.replace(one, steps=steps) for one in configs if one.part == "net"]


GRID = grid.Grid(main)
choose, jobs, plan, results = GRID.choose, GRID.jobs, GRID.plan, GRID.results
