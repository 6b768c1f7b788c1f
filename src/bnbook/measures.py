"""What claims, figures and chapters measure in records: here what all experiments share, and a module an
experiment with its own measures, the statistics of its claims (STATISTICS) and its `numbers`.

Accuracies are in percent here.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from bnbook import paths, stats
from bnbook.paper import LANGUAGES, Number, Text
from bnbook.records import Record
from bnbook.stats import Compared, Interval

DATA_NAMES: dict[str, Text] = {
    "mnist": {"ko": "MNIST", "en": "MNIST"},
    "cifar10": {"ko": "CIFAR-10", "en": "CIFAR-10"},
    "cifar10-jpeg": {"ko": "CIFAR-10 사본(JPEG)", "en": "CIFAR-10 (JPEG copy)"},
    "digits": {"ko": "scikit-learn의 8×8 숫자 이미지", "en": "8×8 digits (scikit-learn)"},
}
TEST_IMAGES = {"mnist": 10_000, "cifar10": 10_000, "cifar10-jpeg": 10_000, "digits": 360}


def committed(records: Sequence[Record]) -> bool:
    """Whether all of `records` are the book's own; else somebody's own run is among them."""
    return all(record.path.is_relative_to(paths.RESULTS) for record in records)


def diverged(records: Sequence[Record]) -> str:
    """What to say where nothing can be drawn or judged since runs diverged; "" where none did."""
    lost = sum(record.diverged for record in records)
    return f"{lost} of these {len(records)} runs diverged: not enough is left to show" if lost else ""


@dataclasses.dataclass(frozen=True)
class Unit:
    """What an effect is measured in: the word after a number, how the number is written, and no effect."""

    word: Text
    decimals: int  # at most
    signed: bool = False
    neutral: float = 0.0


UNITS = {
    "percent": Unit({"ko": "%", "en": "%"}, 1),  # a share
    "points": Unit({"ko": "%p", "en": " points"}, 2, signed=True),
    "times": Unit({"ko": "배", "en": " times"}, 2, neutral=1.0),
    "digits": Unit({"ko": "자리", "en": " digits"}, 1),
    "decades": Unit({"ko": "자릿수", "en": " decades"}, 2, signed=True),  # powers of ten
}


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a statistic found.

    With `bound` "lower" (or "upper") the truth is known only to lie at or above (below) it, with "both" not
    even that. `detail` is what a reader should know beside it, `caveat` what nobody should read it without;
    `over` says what the interval's n values are, where they are not seeds. `family` decides in the interval's
    place where the claim is judged as one of several.
    """

    interval: Interval
    detail: Text
    bound: str | None = None
    over: Text | None = None
    caveat: Text | None = None
    family: Compared | None = None


def verdict(estimate: Estimate, effect: float, confidence: float = stats.CONFIDENCE) -> str:
    """reproduced: the truth lies beyond `effect`; not reproduced: it lies short of it; else inconclusive.

    The interval says so, being wholly on one side, or, for one of a family, Holm's p-values do, at the same
    level. A bound decides only what it implies: "at least" can reproduce, but not refute.
    """
    above, below = estimate.interval.low > effect, estimate.interval.high < effect
    if estimate.family:
        doubt = (1 - confidence) / 2
        above, below = estimate.family.p_above < doubt, estimate.family.p_below < doubt
    if above and estimate.bound in (None, "lower"):
        return "reproduced"
    if below and estimate.bound in (None, "upper"):
        return "not reproduced"
    return "inconclusive"


@dataclasses.dataclass(frozen=True)
class Crossing:
    """When a run reached a target: at `step`, or, `reached` being false, not within its `step` steps.

    It may have been there at any step after `previous`, the evaluation before.
    """

    step: int
    reached: bool
    previous: int | None = None


def data_name(records: Sequence[Record], lang: str = "en") -> str:
    """The data set's name as figures and sentences in `lang` have it."""
    return DATA_NAMES[records[0].config["data"]][lang]


def in_korean(name: str) -> str:
    """The Korean name of the data set whose English one is `name`; `name` itself where it is none of ours."""
    return next((names["ko"] for names in DATA_NAMES.values() if names["en"] == name), name)


def one_image(records: Sequence[Record]) -> float:
    """What a test image is worth, in points: the step of the grid on which test accuracies lie."""
    return 100 / TEST_IMAGES[records[0].config["data"]]


def accuracies(records: Sequence[Record]) -> np.ndarray:
    """Test accuracy in percent at the end point (Algorithm 2 with BN), by seed."""
    return 100 * np.array([record.accuracy for record in records])


def moving_accuracies(records: Sequence[Record]) -> np.ndarray:
    """The same by the moving averages that the curves are drawn with."""
    return 100 * np.array(
        [r.final["chance_accuracy" if r.diverged else "test_accuracy"] for r in records], dtype=float
    )


def curve(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """(steps, test accuracy in percent) while training; shorter where the run diverged. With batch
    normalization by Algorithm 2's statistics, in records of the first recipes by moving averages."""
    columns = record.curves["evaluation"]
    by_statistics = columns.get("test_accuracy_population", columns.get("test_accuracy", []))
    return np.array(columns["step"], dtype=int), 100 * np.array(by_statistics)


def moving_curve(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """The same by moving averages, where they are what `model.eval()` would answer with."""
    columns = record.curves["evaluation"]
    return np.array(columns["step"], dtype=int), 100 * np.array(columns.get("test_accuracy", []))


def target(baseline: Sequence[Record]) -> float:
    """The plain network's highest test accuracy in percent, averaged over seeds."""
    return float(np.mean([curve(r)[1].max(initial=100 * r.final["chance_accuracy"]) for r in baseline]))


def crossing(record: Record, goal: float) -> Crossing:
    """When `record` rises above `goal` percent: the first of three evaluations in a row above it."""
    steps, values = (column.tolist() for column in curve(record))
    step = stats.steps_to_target(steps, values, goal)
    if step is None:
        return Crossing(record.config["steps"], reached=False)
    return Crossing(step, reached=True, previous=max((s for s in steps if s < step), default=1))


def grid_factor(crossings: Sequence[Crossing]) -> float:
    """The widest gap that a crossing lies in, as the ratio of the evaluations at its ends."""
    return max((c.step / c.previous for c in crossings if c.reached and c.previous), default=1.0)


def quantity(estimate: Estimate, unit: str, lang: str, effect: float | None = None) -> str:
    """ "2.1 times (95% interval 1.8 to 2.4)", or the same in Korean. Of a bound only the end of the interval
    that it leaves valid: "at least 1.8 times". Each number is seen to lie on its side of `effect`."""
    found = estimate.interval
    values = (found.estimate, found.low, found.high)
    middle, low, high = (amount(value, unit, lang, effect) for value in values)
    bare = [amount(value, unit, beside=effect) for value in values[1:]]
    return {
        None: {
            "ko": f"{middle} (95% 신뢰 구간 {bare[0]}~{bare[1]})",
            "en": f"{middle} (95% interval {bare[0]} to {bare[1]})",
        },
        "lower": {
            "ko": f"적어도 {low} (95% 신뢰 구간의 아래 끝)",
            "en": f"at least {low} (lower end of the 95% interval)",
        },
        "upper": {
            "ko": f"많아야 {high} (95% 신뢰 구간의 위 끝)",
            "en": f"at most {high} (upper end of the 95% interval)",
        },
        "both": {"ko": "이 실행들로는 알 수 없다", "en": "not to be told from these runs"},
    }[estimate.bound][lang]


def amount(value: float, unit: str, lang: str | None = None, beside: float | None = None) -> str:
    """A number to three digits, none beyond its unit's decimals, with the unit's word in `lang`:
    "+0.42 points", "+132 points". It gets more where rounding would make it one with `beside`."""
    sign, decimals = ("+" if UNITS[unit].signed else ""), UNITS[unit].decimals
    size = abs(round(value, decimals)) if math.isfinite(value) else 0
    decimals = max(0, decimals - (size >= 10) - (size >= 100))
    if beside is not None and value != beside and math.isfinite(value):
        while round(value, decimals) == round(beside, decimals):
            decimals += 1
    number = f"{value:{sign},.{decimals}f}" if value else "0"
    return number.replace("inf", "∞").replace("-", "−") + (UNITS[unit].word[lang] if lang else "")


def excluded(interval: Interval, unit: str, effect: float | None = None) -> Text:
    """What an interval that decides nothing rules out all the same; empty where it is infinitely wide.

    Statistics are so oriented that more is better for the paper's claim. Each end is seen to lie on its side
    of `effect`.
    """
    if not math.isfinite(interval.low) or not math.isfinite(interval.high):
        return {"ko": "", "en": ""}
    if UNITS[unit].neutral:
        low, high = (amount(end, unit, beside=effect) for end in (interval.low, interval.high))
        word = UNITS[unit].word
        return {
            "ko": f"{low}{word['ko']}보다 작거나 {high}{word['ko']}보다 큰 값은 배제된다.",
            "en": f"Less than {low} and more than {high}{word['en']} are excluded.",
        }
    if interval.low < 0 < interval.high:
        worse, better = (
            {lang: amount(end, unit, lang, effect).lstrip("+−") for lang in LANGUAGES}
            for end in (interval.low, interval.high)
        )
        return {
            "ko": f"{worse['ko']} 넘게 나빠지지도, {better['ko']} 넘게 좋아지지도 않는다.",
            "en": f"Not worse by more than {worse['en']}, nor better by more than {better['en']}.",
        }
    least, most = (
        {lang: amount(end, unit, lang, effect).lstrip("+−") for lang in LANGUAGES}
        for end in sorted((interval.low, interval.high), key=abs)
    )
    way = {"ko": "좋아진다", "en": "Better"} if interval.low >= 0 else {"ko": "나빠진다", "en": "Worse"}
    return {
        "ko": f"적어도 {least['ko']}, 많아야 {most['ko']} {way['ko']}.",
        "en": f"{way['en']} by {least['en']} at least and {most['en']} at most.",
    }


def steps_ratio(slow: Sequence[Crossing], fast: Sequence[Crossing], names: tuple[Text, Text]) -> Estimate:
    """Steps to a target, `slow` over `fast`, paired by seed, known to the widest gap between evaluations that
    a crossing lies in; a run that never gets there counts with all its steps, so that the ratio is only a
    bound. `names` are those of the two networks."""
    ratio = stats.paired_ratio(
        [c.step for c in slow], [c.step for c in fast], resolution=grid_factor([*slow, *fast])
    )
    detail = {"ko": "", "en": ""}
    missed = [sum(not c.reached for c in found) for found in (slow, fast)]
    for k, name in zip(missed, names, strict=True):
        if k:
            detail["ko"] += (
                f" {name['ko']}: 시드 {ratio.n}개 가운데 {k}개는 목표에 이르지 못해 전체 스텝으로 셌다."
            )
            detail["en"] += (
                f" {k} of {ratio.n} runs {name['en']} never reach it and count with all their steps."
            )
    bounds = {(0, 0): None, (1, 0): "lower", (0, 1): "upper", (1, 1): "both"}
    return Estimate(ratio, detail, bounds[bool(missed[0]), bool(missed[1])])


def prefixed(prefix: str, values: Mapping[str, Number]) -> dict[str, Number]:
    return {f"{prefix}.{key}": value for key, value in values.items()}


def interval(name: str, found: Interval) -> dict[str, Number]:
    """An interval as three numbers: `name`, `name`_low, `name`_high."""
    return {name: found.estimate, f"{name}_low": found.low, f"{name}_high": found.high}
