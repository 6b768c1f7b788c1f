"""Section 3, Algorithm 1: is the gradient right, and how exact is the transform in a computer's numbers?

Three parts, none of which trains anything or looks at any data: mini-batches are random numbers.

- "input": mini-batches of some mean and spread go through four ways to compute Algorithm 1 and its gradient
  in three precisions, each held against the exact result for the same rounded input;
- "variance": two ways to compute the variance (and this book's), as the mean moves away from zero;
- "differences": the gradient by hand against finite differences, by the stride of the differences.
"""

import dataclasses

from bnbook.config import RunConfig
from bnbook.experiments import knobs
from bnbook.experiments import protocol as grid

EXPERIMENT = "algorithm1_line_by_line"
STAGES = grid.STAGES
DATA = ("digits",)
# Of the code that builds and trains, what the notebook shows.
SHOWN = (
    "networks.printed",
    "networks.naive",
    "nn.batchnorm.BatchNormFunction",
    "networks.forward_backward",
    "networks.differences",
)

# Mean and standard deviation of the input, by name, from easy to badly scaled.
INPUTS = {
    "0 ± 1": (0.0, 1.0),
    "0 ± 1000": (0.0, 1000.0),
    "0 ± 0.01": (0.0, 0.01),
    "10 ± 1": (10.0, 1.0),
    "100 ± 1": (100.0, 1.0),
    "100 ± 0.01": (100.0, 0.01),
    "10000 ± 1": (10_000.0, 1.0),
    "10000 ± 0.01": (10_000.0, 0.01),
}
EASY, FAR = "0 ± 1", "10000 ± 1"
DTYPES = ("float64", "float32", "bfloat16")
IMPLEMENTATIONS = ("ours", "torch", "printed", "naive")
VARIANCES = ("ours", "deviations", "naive")

# Distances of the mean from zero, in standard deviations, and strides of the differences, likewise.
# Rounded, so that the configurations are the same on every machine.
DISTANCES = tuple(float(f"{10 ** (exponent / 2):.2g}") for exponent in range(13))
STRIDES = tuple(float(f"{10 ** (-exponent / 2):.2g}") for exponent in range(2, 25))
# About the cube root of float64's precision: there the error of the formula, which falls with the square of
# the stride, meets that of rounding, which rises as the stride gets smaller.
STRIDE = STRIDES[8]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """One mini-batch of one part: x of this mean and std, (batch_size, channels)."""

    experiment: str = EXPERIMENT
    recipe: int = 1
    steps: int = 1
    part: str  # "input", "variance" or "differences"
    mean: float
    std: float
    channels: int
    sweep: tuple[float, ...] = ()  # the distances, or the strides
    eps: float = 1e-5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """The sizes of one profile."""

    data: str
    seeds: int
    batch_size: int
    channels: int
    eps: float = 1e-5


PROFILES = {
    "smoke": Profile(data="digits", seeds=2, batch_size=12, channels=4),
    "cpu": Profile(data="digits", seeds=5, batch_size=60, channels=100),
    "paper": Profile(data="digits", seeds=20, batch_size=60, channels=400),
}

KNOBS = (
    knobs.batch_size("values of each channel in a mini-batch"),
    knobs.Knob("channels", 1, 5000, "channels of a mini-batch"),
    knobs.Knob("eps", 1e-12, 1.0, "what is added to the variance"),
    knobs.seeds("mini-batches of each kind"),
)


def main(profile: Profile, choice: None = None) -> dict[tuple[str, ...], Config]:
    """The configurations by ("input", name), ("variance",) and ("differences",)."""

    def config(variant: str, part: str, mean: float = 0.0, std: float = 1.0, **more) -> Config:
        return Config(
            variant=variant,
            batch_size=profile.batch_size,
            channels=profile.channels,
            eps=profile.eps,
            part=part,
            mean=mean,
            std=std,
            **more,
        )

    inputs = {
        ("input", name): config(f"input_{mean:g}_{std:g}", "input", mean, std)
        for name, (mean, std) in INPUTS.items()
    }
    return inputs | {
        ("variance",): config("variance", "variance", sweep=DISTANCES),
        ("differences",): config("differences", "differences", sweep=STRIDES),
    }


def traces(steps: int) -> list[Config]:
    """None: nothing is trained, and the rounding errors that are measured are the processor's own."""
    return []


GRID = grid.Grid(main)
choose, jobs, plan, results = GRID.choose, GRID.jobs, GRID.plan, GRID.results
