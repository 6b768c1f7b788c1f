"""Statistics over seeds: intervals, pairs, families of comparisons, steps to a target.

Seeds are few (3 to 20), so intervals are Student's: the bootstrap of so few values is far too narrow.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats as distributions

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval, from `n` values."""

    estimate: float
    low: float
    high: float
    n: int


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Mean and Student t interval of `values`; of a single value the interval is infinitely wide.

    Raises ValueError where there are none.
    """
    x = np.asarray(values, dtype=float)
    if x.size == 0:
        raise ValueError("no values to take an interval of")
    mean = float(x.mean())
    if x.size == 1:
        return Interval(mean, -math.inf, math.inf, 1)
    half = distributions.t.ppf((1 + confidence) / 2, x.size - 1) * x.std(ddof=1) / math.sqrt(x.size)
    return Interval(mean, float(mean - half), float(mean + half), x.size)


def paired_difference(a: Sequence[float], b: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Mean of a - b with its t interval; `a` and `b` pair by position (the same seeds in the same order)."""
    return mean_interval(_pairs(a) - _pairs(b, like=a), confidence)


def paired_ratio(a: Sequence[float], b: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Geometric mean of a / b with the t interval of the log ratio, both as ratios; all values positive."""
    logs = mean_interval(np.log(_pairs(a)) - np.log(_pairs(b, like=a)), confidence)
    return Interval(math.exp(logs.estimate), math.exp(logs.low), math.exp(logs.high), logs.n)


def p_greater(values: Sequence[float], threshold: float) -> float:
    """One-sided p-value of the t test against "the mean is at most `threshold`".

    1 for a single value, which can show nothing. Equal values leave no doubt: 0 above the threshold, else 1.
    """
    x = np.asarray(values, dtype=float)
    if x.size < 2:
        return 1.0
    error = x.std(ddof=1) / math.sqrt(x.size)
    if error == 0:
        return 0.0 if x.mean() > threshold else 1.0
    return float(distributions.t.sf((x.mean() - threshold) / error, x.size - 1))


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's adjusted p-values, in the order given: below alpha where the family's hypothesis is rejected."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    adjusted = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    result = np.empty_like(p)
    result[order] = np.minimum(adjusted, 1.0)
    return result


def holm_intervals(samples: Sequence[Sequence[float]], confidence: float = CONFIDENCE) -> list[Interval]:
    """t intervals of the means of a family of samples, as wide as Holm's procedure asks for: each excludes 0
    just where the family's hypothesis "its mean is 0" is rejected.

    The sample with the k-th smallest of m p-values gets the confidence 1 - (1 - confidence) / (m - k + 1);
    from the first that does not exclude 0 on, all get the same.
    """
    doubts = [2 * min(p_greater(x, 0.0), p_greater(np.negative(x), 0.0)) for x in samples]
    result: dict[int, Interval] = {}
    left, stopped = len(samples), False
    for place in np.argsort(doubts, kind="stable"):
        found = mean_interval(samples[place], 1 - (1 - confidence) / left)
        stopped = stopped or found.low <= 0 <= found.high
        left -= not stopped
        result[int(place)] = found
    return [result[place] for place in range(len(samples))]


def steps_to_target(
    steps: Sequence[int], values: Sequence[float], target: float, in_a_row: int = 3
) -> int | None:
    """The step of the first of `in_a_row` evaluations in a row above `target`; None where there is none."""
    run = 0
    for index, value in enumerate(values):
        run = run + 1 if value > target else 0
        if run == in_a_row:
            return steps[index - in_a_row + 1]
    return None


def coverage(n: int, rng: np.random.Generator, trials: int = 10_000, confidence: float = CONFIDENCE) -> float:
    """How often the t interval of `n` normal values holds their true mean, by simulation."""
    x = rng.standard_normal((trials, n))
    half = distributions.t.ppf((1 + confidence) / 2, n - 1) * x.std(axis=1, ddof=1) / math.sqrt(n)
    return float(np.mean(np.abs(x.mean(axis=1)) <= half))


def _pairs(values: Sequence[float], like: Sequence[float] | None = None) -> np.ndarray:
    x = np.asarray(values, dtype=float)
    if like is not None and len(like) != x.size:
        raise ValueError(f"{len(like)} and {x.size} values cannot be paired; give the same seeds of both")
    return x
