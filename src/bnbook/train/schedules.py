"""On which steps things happen, and at what learning rate."""

import dataclasses
from collections.abc import Callable


def log_then_even(steps: int, growth: float, every: int) -> list[int]:
    """Steps 1 to `steps`: each about `growth` times the last until they are `every` apart, evenly from there.

    Early training changes fast and late training slowly; the last step is always there.

    >>> log_then_even(100, growth=2.0, every=25)
    [1, 2, 4, 8, 16, 25, 50, 75, 100]
    """
    if growth <= 1 or every < 1:
        raise ValueError(f"growth is {growth} and every {every}; they must be above 1 and at least 1")
    chosen, step = [], 1.0
    # Past every / (growth - 1), log-spaced steps would lie further apart than `every`.
    while step < min(steps, every / (growth - 1)):
        chosen.append(round(step))
        step = max(step + 1, step * growth)
    first_even = (chosen[-1] // every + 1) * every if chosen else every
    return sorted({*chosen, *range(first_even, steps + 1, every), steps})


@dataclasses.dataclass(frozen=True)
class Schedule:
    """When a run is measured: steps that grow by `growth`, then `parts` of the run, evenly.

    >>> Schedule(growth=2.0, parts=4)(100)
    [1, 2, 4, 8, 16, 25, 50, 75, 100]
    """

    growth: float
    parts: int

    def __call__(self, steps: int) -> list[int]:
        return log_then_even(steps, self.growth, max(1, steps // self.parts))


# For what costs more than a step, or moves slowly; for what costs little; and where the first steps matter.
SPARSE = Schedule(growth=2.0, parts=10)
MEDIUM = Schedule(growth=1.6, parts=10)
DENSE = Schedule(growth=1.3, parts=20)
DENSEST = Schedule(growth=1.2, parts=20)


def exponential(initial: float, per_epoch: float, steps_per_epoch: int) -> Callable[[int], float]:
    """The learning rate at each step, from 0: falling smoothly, by the factor `per_epoch` every epoch.

    >>> rate = exponential(0.1, per_epoch=0.5, steps_per_epoch=10)
    >>> rate(0), rate(10), rate(20)
    (0.1, 0.05, 0.025)
    """
    return lambda step: initial * per_epoch ** (step / steps_per_epoch)
