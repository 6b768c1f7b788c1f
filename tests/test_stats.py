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


def test_one_value_shows_nothing():
    assert stats.p_greater([9], 0) == 1
    assert stats.p_greater([9], 0, resolution=1) == 1


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


@pytest.mark.parametrize("n", [3, 6, 10])
def test_family_wise_error_at_the_boundary(n):
    """Seven means that are exactly the effect: every verdict is wrong, and at most 1 family in 20 has one.
    (Families ordered and stopped by "the mean is 0" gave 12% at ten seeds.)"""
    rng, trials = np.random.default_rng(n), 2000
    wrong = 0
    for _ in range(trials):
        family = stats.compared(list(rng.normal(0.5, 1.0, (7, n))), [0.5] * 7)
        wrong += any(min(one.p_above, one.p_below) < 0.025 for one in family)
    assert 0.02 < wrong / trials < 0.05 + 2 * math.sqrt(0.05 * 0.95 / trials)


def test_a_familys_interval_beyond_the_effect_has_a_small_p_value():
    rng = np.random.default_rng(0)
    decided = 0
    for _ in range(200):
        effects = [0.5, 0.0, -0.5]
        family = stats.compared([rng.normal(m, 1.0, 6) for m in (2.5, 0.0, -2.5)], effects)
        for one, effect in zip(family, effects, strict=True):
            if one.interval.low > effect:
                assert one.p_above < 0.025 < one.p_below
            if one.interval.high < effect:
                assert one.p_below < 0.025 < one.p_above
            decided += min(one.p_above, one.p_below) < 0.025
            decided -= not one.interval.low <= effect <= one.interval.high
    assert decided > 0  # Holm finds more than its intervals show


def test_a_family_may_mix_units_and_grids():
    points, logs = [1.0, 1.1, 1.3], [0.7, 0.7, 0.7]
    found = stats.compared([points, logs], [0.5, 0.2], resolutions=[0.0, 0.1])
    assert found[0].interval == stats.mean_interval(points, 0.975)
    assert found[1].interval == stats.mean_interval(logs, 0.975, 0.1)
    assert found[1].p_above == pytest.approx(2 * stats.p_greater(logs, 0.2, 0.1))


# Values on a grid


def test_equal_values_on_a_grid_leave_a_doubt():
    found = stats.mean_interval([5.0, 5.0, 5.0], resolution=1.0)
    assert (found.low, found.high) == (4.5, 5.5)
    # Half a step nearer, and a spread of sqrt(1/12): t = 0.5 / (0.2887 / sqrt(3)) = 3
    assert stats.p_greater([5.0] * 3, 4.0, resolution=1.0) == pytest.approx(reference.t.sf(3, 2))
    assert stats.p_greater([5.0] * 3, 4.9, resolution=1.0) > 0.5  # within the step


def test_equal_values_without_a_grid_are_exact():
    assert stats.mean_interval([5.0, 5.0]) == stats.Interval(5.0, 5.0, 5.0, 2)
    assert stats.p_greater([1, 1], 0.5) == 0
    assert stats.p_greater([1, 1], 1) == 1


@pytest.mark.parametrize("n", [3, 8])
@pytest.mark.parametrize("spread", [0.1, 0.4, 1.0, 3.0])
def test_the_interval_covers_the_truth_behind_a_grid(n, spread):
    """Normal values around a mean anywhere between two marks, read to the nearest; a plain t interval covers
    17% at three seeds and a spread of a tenth of a step."""
    rng, trials = np.random.default_rng(0), 2000
    truth = rng.uniform(0, 1, trials)
    read = np.round(rng.normal(truth[:, None], spread, (trials, n)))
    found = [stats.mean_interval(x, resolution=1.0) for x in read]
    assert np.mean([one.low <= mean <= one.high for one, mean in zip(found, truth, strict=True)]) > 0.945


def test_a_difference_of_two_readings_is_known_to_a_whole_step():
    a, b = [3.0, 5.0, 4.0], [1.0, 1.0, 2.0]
    plain, read = stats.paired_difference(a, b), stats.paired_difference(a, b, resolution=0.5)
    assert read.high == pytest.approx(plain.high + 0.5) and read.low == pytest.approx(plain.low - 0.5)
    plain, read = stats.paired_ratio(a, b), stats.paired_ratio(a, b, resolution=2)
    assert read.high == pytest.approx(2 * plain.high) and read.low == pytest.approx(plain.low / 2)


def test_p_and_interval_agree_on_a_grid():
    x = [0.0, 1.0, 1.0, 2.0]
    edge = stats.mean_interval(x, resolution=1.0).low
    assert stats.p_greater(x, edge, resolution=1.0) == pytest.approx(0.025)


# Steps to a target, some of them cut off


SLOW = stats.Arrivals([300, 400, 500, 500], [True, True, False, False])
FAST = stats.Arrivals([100, 150, 200, 500], [True, True, True, True])


def test_kaplan_meier_by_hand():
    steps, shares = stats.kaplan_meier(stats.Arrivals([10, 20, 20, 30], [True, True, False, True]))
    # One of four at 10; one of three at 20; then the one that is left
    assert steps.tolist() == [0, 10, 20, 30]
    assert shares.tolist() == pytest.approx([0, 1 / 4, 1 / 2, 1])
    assert stats.kaplan_meier(SLOW)[1][-1] == pytest.approx(1 / 2)


def test_restricted_mean_is_the_area_over_the_curve():
    assert stats.restricted_mean(SLOW, 450) == pytest.approx((300 + 400 + 450 + 450) / 4)
    for arrivals in (SLOW, FAST):
        steps, shares = stats.kaplan_meier(arrivals)
        area = np.sum((1 - shares[:-1]) * np.diff(steps))
        assert stats.restricted_mean(arrivals, 500) == pytest.approx(area)


def test_nothing_is_known_beyond_the_shortest_run_that_was_cut_off():
    assert stats.common_budget(SLOW, FAST) == 500
    assert stats.common_budget(FAST, FAST) == 500  # the last arrival
    short = stats.Arrivals([100, 200], [True, False])
    assert stats.common_budget(SLOW, short) == 200
    with pytest.raises(ValueError, match="cut off at step 200, before the budget of 300"):
        stats.restricted_mean(short, 300)


def test_restricted_ratio_is_symmetric():
    forward, backward = (stats.restricted_mean_ratio(*pair, 500) for pair in ((SLOW, FAST), (FAST, SLOW)))
    assert forward.estimate == pytest.approx(425 / 237.5)
    assert (forward.low, forward.high) == pytest.approx((1 / backward.high, 1 / backward.low))
    assert forward.n == 4


def test_restricted_ratio_of_what_has_no_spread():
    never = stats.Arrivals([500] * 3, [False] * 3)
    at_once = stats.Arrivals([100] * 3, [True] * 3)
    found = stats.restricted_mean_ratio(never, at_once, 500, resolution=1.07)
    assert (found.low, found.high) == pytest.approx((5 / 1.07, 5 * 1.07))
    assert stats.restricted_mean_ratio(stats.Arrivals([9], [True]), at_once, 500).high == math.inf


@pytest.mark.parametrize("n", [3, 8])
@pytest.mark.parametrize("spread", [0.1, 0.5])
@pytest.mark.parametrize("budget", [1000, 10**9])
def test_the_restricted_ratio_covers_the_truth(n, spread, budget):
    """Log-normal steps, 1,000 and 400 in the median; half of the slow runs are cut off, or none."""
    rng, trials = np.random.default_rng(1), 1000

    def means(median):
        return np.minimum(median * rng.lognormal(0, spread, 200_000), budget).mean()

    def runs(median):
        steps = median * rng.lognormal(0, spread, n)
        return stats.Arrivals(np.minimum(steps, budget), steps <= budget)

    truth = means(1000) / means(400)
    found = [stats.restricted_mean_ratio(runs(1000), runs(400), budget) for _ in range(trials)]
    assert 0.93 < np.mean([one.low <= truth <= one.high for one in found]) < 0.98


def test_permutation_p_by_hand():
    slow, fast = stats.Arrivals([300, 400, 500], [True] * 3), stats.Arrivals([100, 150, 200], [True] * 3)
    # Of the 20 ways to deal six runs to two groups, this one is the most extreme, with its mirror image.
    assert stats.permutation_p(slow, fast, 500) == pytest.approx(2 / 20)
    assert stats.permutation_p(slow, slow, 500) == 1


def test_permutation_p_is_exact_where_nothing_differs():
    rng = np.random.default_rng(0)
    p = [
        stats.permutation_p(*(stats.Arrivals(rng.lognormal(6, 0.5, 4), [True] * 4) for _ in range(2)), 10**6)
        for _ in range(400)
    ]
    assert np.mean(np.array(p) <= 0.05) < 0.05 + 2 * math.sqrt(0.05 * 0.95 / 400)
    assert np.mean(np.array(p) <= 0.5) == pytest.approx(0.5, abs=0.08)


def test_logrank_agrees_with_a_table_by_hand():
    # Before each arrival: at risk (slow, fast) 2,2 -> 2,1 -> 1,0; all four arrive, one at a time.
    slow, fast = stats.Arrivals([30, 40], [True] * 2), stats.Arrivals([10, 20], [True] * 2)
    expected = 2 / 4 + 1 / 3  # of the fast
    variance = 2 / 4 * 2 / 4 + 1 / 3 * 2 / 3
    z = (2 - expected) / math.sqrt(variance)
    assert stats.logrank_p(slow, fast) == pytest.approx(2 * reference.norm.sf(z))
