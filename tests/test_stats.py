"""Statistics against hand-computed values and against simulations of a known truth."""

import math

import numpy as np
import pytest
from scipy import stats as reference

from bnbook import stats


def test_mean_interval_by_hand():
    # mean 2, standard deviation 1, n 3: half width is t(0.975, 2) / sqrt(3) = 4.3027 / 1.7321
    found = stats.mean_interval([1, 2, 3])
    assert found.estimate == 2
    assert found.high - 2 == pytest.approx(2.4841, abs=1e-4)
    assert 2 - found.low == pytest.approx(2.4841, abs=1e-4)


def test_one_value_has_an_infinite_interval():
    found = stats.mean_interval([0.5])
    assert (found.estimate, found.low, found.high, found.n) == (0.5, -math.inf, math.inf, 1)
    assert stats.paired_ratio([2.0], [1.0]) == stats.Interval(2.0, 0.0, math.inf, 1)


def test_no_values_are_refused():
    with pytest.raises(ValueError, match="no values"):
        stats.mean_interval([])


def test_pairing_removes_what_seeds_share():
    seed = np.array([0.0, 10.0, -7.0, 3.0])
    noise = np.array([0.1, -0.1, 0.1, -0.1])
    paired = stats.paired_difference(seed + 1 + noise, seed)
    assert paired.estimate == pytest.approx(1)
    assert paired.high - paired.low < 0.5


def test_unequal_numbers_of_seeds_are_refused():
    with pytest.raises(ValueError, match="3 and 2 values cannot be paired"):
        stats.paired_difference([1, 2, 3], [1, 2])


def test_ratio_is_geometric_and_symmetric():
    a, b = [2.0, 8.0, 4.0], [1.0, 1.0, 1.0]
    forward, backward = stats.paired_ratio(a, b), stats.paired_ratio(b, a)
    assert forward.estimate == pytest.approx(4)
    assert forward.low == pytest.approx(1 / backward.high)
    assert forward.high == pytest.approx(1 / backward.low)


def test_p_greater_agrees_with_scipy():
    x = np.random.default_rng(0).normal(1, 1, 6)
    expected = reference.ttest_1samp(x, 0.2, alternative="greater").pvalue
    assert stats.p_greater(x, 0.2) == pytest.approx(expected)


def test_p_greater_without_spread():
    assert stats.p_greater([1, 1], 0.5) == 0
    assert stats.p_greater([1, 1], 1) == 1
    assert stats.p_greater([9], 0) == 1


def test_holm_by_hand():
    # Sorted 0.01, 0.03, 0.04 times 3, 2, 1, and never decreasing.
    assert stats.holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert stats.holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1, 2, 2, 2], 30),
        ([0, 2, 2, 1, 2], None),  # never three in a row
        ([0, 2, 0, 2, 2, 2, 0], 40),
        ([0, 1, 1, 1], None),  # equal is not above
        ([2, 2], None),
        ([], None),
    ],
)
def test_steps_to_target(values, expected):
    assert stats.steps_to_target([10, 20, 30, 40, 50, 60, 70], values, target=1) == expected


@pytest.mark.parametrize("n", [2, 3, 5])
def test_the_interval_covers_what_it_says(n):
    assert stats.coverage(n, np.random.default_rng(n)) == pytest.approx(0.95, abs=0.01)
    assert stats.coverage(n, np.random.default_rng(n), confidence=0.5) == pytest.approx(0.5, abs=0.02)


def test_holm_intervals_exclude_0_just_where_holm_rejects():
    rng = np.random.default_rng(0)
    for effect in (0.0, 0.5, 1.5):
        samples = [rng.normal(effect * (k % 3), 1.0, 6) for k in range(7)]
        doubts = [2 * min(stats.p_greater(x, 0.0), stats.p_greater(-x, 0.0)) for x in samples]
        rejected = stats.holm(doubts) < 0.05
        found = stats.holm_intervals(samples)
        assert [not x.low <= 0 <= x.high for x in found] == rejected.tolist()


def test_holm_intervals_are_at_least_as_wide_as_single_ones_and_at_most_bonferronis():
    samples = np.random.default_rng(1).normal(1.0, 1.0, (7, 5))
    for x, found in zip(samples, stats.holm_intervals(list(samples)), strict=True):
        alone, strict = stats.mean_interval(x), stats.mean_interval(x, 1 - 0.05 / 7)
        assert strict.low <= found.low <= alone.low and alone.high <= found.high <= strict.high
