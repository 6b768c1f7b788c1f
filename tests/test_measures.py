"""What all experiments measure alike: quantities in words, steps to a target, the grids behind them."""

import math
import re

import pytest

from bnbook import measures
from bnbook.data.datasets import DIGITS_TEST
from bnbook.measures import Crossing, Estimate, quantity
from bnbook.paper import LANGUAGES
from bnbook.stats import Interval

NO_DETAIL = {"ko": "", "en": ""}
NAMES = ({"ko": "가", "en": "of one"}, {"ko": "나", "en": "of another"})


def estimate(bound: str | None, low: float = 0.59, high: float = 87.14) -> Estimate:
    return Estimate(Interval(7.17, low, high, 3), NO_DETAIL, bound)


def test_a_quantity_in_words():
    assert quantity(estimate(None), "times", "en") == "7.17 times (95% interval 0.59 to 87.1)"
    assert quantity(estimate(None), "times", "ko") == "7.17배 (95% 신뢰 구간 0.59~87.1)"
    assert quantity(estimate(None, -0.5), "points", "en") == "+7.17 points (95% interval −0.50 to +87.1)"
    assert "∞" in quantity(estimate(None, -math.inf, math.inf), "points", "ko")


def test_of_a_bound_only_what_it_implies():
    assert quantity(estimate("lower"), "times", "en") == "at least 0.59 times (lower end of the 95% interval)"
    assert quantity(estimate("lower"), "times", "ko") == "적어도 0.59배 (95% 신뢰 구간의 아래 끝)"
    assert quantity(estimate("upper"), "times", "en") == "at most 87.1 times (upper end of the 95% interval)"
    assert quantity(estimate("upper"), "times", "ko") == "많아야 87.1배 (95% 신뢰 구간의 위 끝)"


@pytest.mark.parametrize(
    ("value", "unit", "beside", "text"),
    [
        (32.8516, "times", None, "32.9"),
        (9.996, "times", None, "10.0"),
        (132.0, "points", None, "+132"),
        (-0.7205, "points", None, "−0.72"),
        (4.7049, "digits", None, "4.7"),
        (0.0, "points", None, "0"),
        (0.19634, "points", 0.2, "+0.196"),  # "+0.20" would look as if it reached 0.2
        (0.2, "points", 0.2, "+0.20"),
        (math.inf, "times", 0.2, "∞"),
    ],
)
def test_an_amount_has_the_digits_that_matter(value, unit, beside, text):
    assert measures.amount(value, unit, beside=beside) == text


@pytest.mark.parametrize("bound", ["lower", "upper", "both"])
@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_bound_never_stands_beside_the_other_end(bound, lang):
    text = quantity(estimate(bound), "times", lang)
    numbers = re.findall(r"\d+\.\d+", text)
    assert numbers == {"lower": ["0.59"], "upper": ["87.1"], "both": []}[bound]


@pytest.mark.parametrize(
    ("low", "high", "unit", "ko", "en"),
    [
        (-0.4, 1.2, "points", "0.40%p 넘게 나빠지지도, 1.20%p 넘게 좋아지지도 않는다.",
         "Not worse by more than 0.40 points, nor better by more than 1.20 points."),
        (0.1, 1.2, "points", "적어도 0.10%p, 많아야 1.20%p 좋아진다.",
         "Better by 0.10 points at least and 1.20 points at most."),
        (-1.2, -0.1, "decades", "적어도 0.10자릿수, 많아야 1.20자릿수 나빠진다.",
         "Worse by 0.10 decades at least and 1.20 decades at most."),
        (0.5, 2.0, "times", "0.50배보다 작거나 2.00배보다 큰 값은 배제된다.",
         "Less than 0.50 and more than 2.00 times are excluded."),
        (-math.inf, math.inf, "points", "", ""),
    ],
)  # fmt: skip
def test_what_an_interval_rules_out(low, high, unit, ko, en):
    assert measures.excluded(Interval(0.3, low, high, 3), unit) == {"ko": ko, "en": en}


def test_a_ratio_of_steps_is_known_to_the_gaps_between_evaluations():
    slow = [Crossing(200, True, 100), Crossing(100, True, 50)]
    fast = [Crossing(100, True, 80), Crossing(50, True, 40)]
    assert measures.grid_factor([*slow, *fast]) == 2
    found = measures.steps_ratio(slow, fast, NAMES).interval
    assert (found.low, found.estimate, found.high) == pytest.approx((1, 2, 4))  # the seeds agree on 2


def test_a_run_that_never_arrives_lies_in_no_gap():
    assert measures.grid_factor([Crossing(200, False)]) == 1
    found = measures.steps_ratio([Crossing(200, False)] * 2, [Crossing(50, True, 40)] * 2, NAMES)
    assert found.bound == "lower" and found.interval.low == pytest.approx(4 / 1.25)
    assert "2 of 2 runs of one never reach it" in found.detail["en"]


def test_a_test_image_is_the_step_of_accuracies():
    assert measures.TEST_IMAGES["digits"] == DIGITS_TEST
    assert set(measures.TEST_IMAGES) == set(measures.DATA_NAMES)
