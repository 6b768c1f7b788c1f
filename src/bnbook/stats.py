"""Statistics over seeds: intervals, pairs, families of comparisons, steps to a target.

Seeds are few (3 to 40), so intervals are Student's: the bootstrap of so few values is far too narrow.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats as distributions

CONFIDENCE = 0.95
IN_A_ROW = 3  # evaluations above a target that make a crossing: one alone may be luck
EXACT = 200_000  # arrangements up to which a permutation test goes through them all: ten seeds against ten


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """What an interval was made of, for a page in which a reader makes another.

    Of a mean: its `values`, (n,), and their `resolution`, as `mean_interval` has it; of a ratio, of its
    `logs`. `terms` are the two columns that were paired, (n,) each, or, without values, the steps of two
    groups of runs (`restricted_mean_ratio`), whose resolution is that of the logarithm.
    """

    values: np.ndarray | None
    resolution: float
    confidence: float
    terms: tuple[np.ndarray, np.ndarray] | None = None
    logs: bool = False


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval, from `n` values; its `sample`, where they make it again."""

    estimate: float
    low: float
    high: float
    n: int
    sample: Sample | None = dataclasses.field(default=None, compare=False, repr=False)


def mean_interval(
    values: Sequence[float], confidence: float = CONFIDENCE, resolution: float = 0.0
) -> Interval:
    """Mean and Student t interval of `values`. Raises ValueError where there are none.

    `resolution` is the step of the grid on which they were read, in their unit: each is known to half a step.
    All seeds share the grid, so its error need not average out, and both ends move out by that half: the
    worst case, as Manski's bounds have it for data known only to intervals. From three seeds on, intervals of
    95% then cover the truth as often as they say, whatever the spread; equal values would otherwise leave no
    width at all. Without a resolution values are taken for exact.

    Of a single value, which says nothing of the spread, the interval is infinitely wide.
    """
    x = np.asarray(values, dtype=float)
    if x.size == 0:
        raise ValueError("no values to take an interval of")
    mean, sample = float(x.mean()), Sample(x, resolution, confidence)
    if x.size == 1:
        return Interval(mean, -math.inf, math.inf, 1, sample)
    error = float(x.std(ddof=1)) / math.sqrt(x.size)
    half = float(distributions.t.ppf((1 + confidence) / 2, x.size - 1)) * error + resolution / 2
    return Interval(mean, mean - half, mean + half, x.size, sample)


def paired_difference(
    a: Sequence[float], b: Sequence[float], confidence: float = CONFIDENCE, resolution: float = 0.0
) -> Interval:
    """Mean of a - b with its t interval; `a` and `b` pair by position (the same seeds in the same order).

    Both are known to half of `resolution`, so their difference to a whole one.
    """
    pair = _pairs(a), _pairs(b, like=a)
    return _of(mean_interval(pair[0] - pair[1], confidence, 2 * resolution), terms=pair)


def paired_ratio(
    a: Sequence[float], b: Sequence[float], confidence: float = CONFIDENCE, resolution: float = 1.0
) -> Interval:
    """Geometric mean of a / b with the t interval of the log ratio, both as ratios; all values positive.

    `resolution` is the factor from one value of their grid to the next.
    """
    pair = _pairs(a), _pairs(b, like=a)
    logs = paired_difference(np.log(pair[0]), np.log(pair[1]), confidence, math.log(resolution))
    return exponential(_of(logs, terms=pair))


def exponential(logs: Interval) -> Interval:
    """The interval of a ratio from that of its logarithm."""
    low, middle, high = (math.exp(x) for x in (logs.low, logs.estimate, logs.high))
    return _of(Interval(middle, low, high, logs.n, logs.sample), logs=True)


def _of(interval: Interval, **known: Any) -> Interval:
    """The interval, with what else is known of its sample."""
    if interval.sample is None:
        return interval
    return dataclasses.replace(interval, sample=dataclasses.replace(interval.sample, **known))


def p_greater(values: Sequence[float], threshold: float, resolution: float = 0.0) -> float:
    """One-sided p-value of the t test against "the mean is at most `threshold`"; without a `resolution` below
    (1 - confidence) / 2 just where `mean_interval` lies wholly above it.

    Of values read on a grid the mean may lie half a step lower, and their spread is taken for no less than
    that of an error anywhere within a step, resolution / sqrt(12) (the uniform distribution of the Guide to
    the Expression of Uncertainty in Measurement, 4.3.7): equal readings are no certainty, and a family asks
    for p-values so small that half a step alone would not answer for them.

    1 for a single value, which can show nothing; 0 or 1 for equal values without a resolution.
    """
    x = np.asarray(values, dtype=float)
    if x.size < 2:
        return 1.0
    error = max(float(x.std(ddof=1)), resolution / math.sqrt(12)) / math.sqrt(x.size)
    beyond = x.mean() - resolution / 2 - threshold
    if error == 0:
        return 0.0 if beyond > 0 else 1.0
    return float(distributions.t.sf(beyond / error, x.size - 1))


# Families of comparisons


@dataclasses.dataclass(frozen=True)
class Compared:
    """A mean as one of a family: `interval` holds together with those of the others (Bonferroni), and Holm's
    adjusted p-values are against "the mean is at most the effect" and "it is at least the effect".

    An interval beyond the effect goes with a small p-value, but for values on a grid, where the p-values are
    the stricter. The reverse need not hold: Holm's procedure finds more than Bonferroni's, and has no
    intervals of its own.
    """

    interval: Interval
    p_above: float
    p_below: float
    others: tuple[tuple[float, float], ...] = ()  # the others' p-values (above, below), not adjusted


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's adjusted p-values, in the order given: below alpha where the family's hypothesis is rejected."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    adjusted = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    result = np.empty_like(p)
    result[order] = np.minimum(adjusted, 1.0)
    return result


def compared(
    samples: Sequence[Sequence[float]],
    effects: Sequence[float],
    confidence: float = CONFIDENCE,
    resolutions: Sequence[float] | None = None,
) -> list[Compared]:
    """A family of means, each against the effect that matters for it; they need not share a unit.

    With p-values held to (1 - confidence) / 2 in either direction, the chance that any verdict of the family
    is wrong is at most 1 - confidence, whatever the true means.
    """
    grids = [0.0] * len(samples) if resolutions is None else list(resolutions)
    known = list(zip(samples, effects, grids, strict=True))
    alone = [
        (p_greater(x, effect, grid), p_greater([-value for value in x], -effect, grid))
        for x, effect, grid in known
    ]
    above, below = (holm(p).tolist() for p in zip(*alone, strict=True))
    within = 1 - (1 - confidence) / len(samples)
    return [
        Compared(mean_interval(x, within, grid), up, down, (*alone[:place], *alone[place + 1 :]))
        for place, ((x, _, grid), up, down) in enumerate(zip(known, above, below, strict=True))
    ]


# Steps to a target


class Arrivals(NamedTuple):
    """When the runs of a network reached a target: (runs,) steps, and whether they did; one that did not
    was cut off at its step."""

    steps: Sequence[int]
    reached: Sequence[bool]


def kaplan_meier(arrivals: Arrivals) -> tuple[np.ndarray, np.ndarray]:
    """The share of runs that have reached the target by each step, where some are cut off before (Kaplan and
    Meier's estimate): (steps, shares), a staircase that starts at (0, 0) and stays at each share until the
    next step. Beyond the last run's step it says nothing."""
    found = distributions.ecdf(_censored(arrivals)).cdf
    return np.append(0, found.quantiles).astype(int), np.append(0.0, found.probabilities)


def common_budget(*networks: Arrivals) -> int:
    """The most steps that all runs were given: those of the shortest that was cut off; where none was, the
    last arrival."""
    steps = np.concatenate([arrivals.steps for arrivals in networks])
    cut = ~np.concatenate([np.asarray(arrivals.reached, dtype=bool) for arrivals in networks])
    return int(steps[cut].min() if cut.any() else steps.max())


def restricted_mean(arrivals: Arrivals, budget: int) -> float:
    """Mean steps up to the target, or up to `budget` for a run that is not there by then: the area over the
    Kaplan-Meier curve. Never more than the mean without a budget would be.

    Raises ValueError where a run was cut off before `budget`: nothing is known of it from there on.
    """
    return float(_restricted(arrivals, budget).mean())


def restricted_mean_ratio(
    slow: Arrivals,
    fast: Arrivals,
    budget: int,
    confidence: float = CONFIDENCE,
    resolution: float = 1.0,
) -> Interval:
    """Restricted mean steps of `slow` over those of `fast`, with an interval; seeds need not pair. `n` is the
    number of runs of the smaller group.

    The interval is Student's for the logarithm of the ratio: relative errors of the two means by the delta
    method, degrees of freedom after Welch and Satterthwaite. Inverting a permutation test would assume that
    the two differ by a factor alone, which a budget destroys, and gives no finite interval of three runs.
    `resolution` is the factor between evaluations (see `mean_interval`): the ratio is known to one step.
    """
    pair = [_restricted(arrivals, budget) for arrivals in (slow, fast)]
    n, estimate = min(y.size for y in pair), math.log(pair[0].mean() / pair[1].mean())
    sample = Sample(None, math.log(resolution), confidence, (pair[0], pair[1]))
    if n == 1:
        return exponential(Interval(estimate, -math.inf, math.inf, 1, sample))
    squares = np.array([y.var(ddof=1) / y.size / y.mean() ** 2 for y in pair])  # of the relative errors
    half = math.log(resolution)
    if squares.any():
        freedom = squares.sum() ** 2 / sum(q**2 / (y.size - 1) for q, y in zip(squares, pair, strict=True))
        half += float(distributions.t.ppf((1 + confidence) / 2, freedom)) * math.sqrt(squares.sum())
    return exponential(Interval(estimate, estimate - half, estimate + half, n, sample))


def permutation_p(slow: Arrivals, fast: Arrivals, budget: int) -> float:
    """Two-sided p-value of "both networks reach the target alike", by the ratio of restricted means over all
    ways to deal the runs to the two; beyond EXACT of them over as many drawn at random."""
    pair = [_restricted(arrivals, budget) for arrivals in (slow, fast)]
    return float(
        distributions.permutation_test(
            pair,
            lambda x, y, axis: np.log(x.mean(axis=axis) / y.mean(axis=axis)),
            vectorized=True,
            n_resamples=EXACT,
            rng=np.random.default_rng(0),
        ).pvalue
    )


def logrank_p(slow: Arrivals, fast: Arrivals) -> float:
    """Two-sided p-value of "both networks reach the target alike" by the logrank test, which asks at each
    arrival how many of either were still on their way. It needs no budget, and is an approximation for many
    runs: of few, `permutation_p` is the one to trust."""
    return float(distributions.logrank(_censored(slow), _censored(fast)).pvalue)


def _restricted(arrivals: Arrivals, budget: int) -> np.ndarray:
    steps, reached = np.asarray(arrivals.steps, dtype=float), np.asarray(arrivals.reached, dtype=bool)
    if (early := steps[~reached & (steps < budget)]).size:
        raise ValueError(f"a run was cut off at step {early.min():g}, before the budget of {budget}")
    return np.minimum(steps, budget)


def _censored(arrivals: Arrivals) -> distributions.CensoredData:
    return distributions.CensoredData.right_censored(
        np.asarray(arrivals.steps, dtype=float), ~np.asarray(arrivals.reached, dtype=bool)
    )


def steps_to_target(
    steps: Sequence[int], values: Sequence[float], target: float, in_a_row: int = IN_A_ROW
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
