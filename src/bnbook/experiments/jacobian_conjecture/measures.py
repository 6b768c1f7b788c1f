"""Section 3.3: how near 1 the singular values of the layer Jacobians lie."""

import dataclasses
from collections.abc import Callable

import numpy as np

from bnbook import stats
from bnbook.experiments.jacobian_conjecture.protocol import (
    ACTIVATIONS,
    LEVELS,
    LINEAR,
    NORMALIZATIONS,
    Profile,
)
from bnbook.experiments.protocol import Results
from bnbook.measures import Estimate, curve, data_name, interval, prefixed
from bnbook.paper import Number
from bnbook.records import Record

TINY = 1e-6  # a singular value below it is 0
EARLY = 80  # steps, when networks of sigmoids without batch normalization have not begun to learn
MANY_LAYERS = 20  # to see what a gain a layer comes to
MATCHED = (80, 90, 95)  # percent of test accuracy at which networks are compared beside equal steps


def near(record: Record) -> float:
    """Percent of singular values within NEAR at the end; 0 where the network diverged."""
    return 0.0 if record.diverged else record.final["near"]


def shares(results: Results, *key: str) -> np.ndarray:
    """`near` of the runs at `key`, by seed."""
    return np.array([near(record) for record in results.main[key]])


def early(record: Record) -> tuple[float, float]:
    """Percent of singular values within NEAR, and test accuracy in percent, after EARLY steps."""
    taken, accuracies = curve(record)
    shares = record.curves["spectra"]["near"]
    return float(np.interp(EARLY, taken, shares)), float(np.interp(EARLY, taken, accuracies))


def near_at(record: Record, accuracy: float) -> float:
    """Percent of singular values within NEAR when the network first has this test accuracy (percent), between
    two evaluations on the line that joins them; NaN where it never has."""
    accuracies, shares = curve(record)[1], np.array(record.curves["spectra"]["near"])
    beyond = np.flatnonzero(accuracies >= accuracy)
    if not beyond.size:
        return float("nan")
    pair = slice(max(beyond[0] - 1, 0), beyond[0] + 1)
    return float(np.interp(accuracy, accuracies[pair], shares[pair]))


def matched(results: Results, activation: str, name: str, accuracy: float) -> np.ndarray:
    """`near_at` by seed."""
    return np.array([near_at(record, accuracy) for record in results.main["net", activation, name]])


def at(spectrum: np.ndarray, level: float) -> float:
    """The quantile `level` of a spectrum (LEVELS,)."""
    return float(np.interp(level, LEVELS, spectrum))


def steps(record: Record) -> list[int]:
    """When the spectra were taken."""
    return record.curves["spectra"]["step"]


def linear_spectrum(results: Results, name: str) -> np.ndarray:
    """(LEVELS,): the spectrum of the linear networks, averaged over seeds."""
    return np.mean([record.arrays["spectrum"] for record in results.main["linear", name]], axis=0)


def end_spectrum(results: Results, activation: str, name: str) -> np.ndarray:
    """(LEVELS,): the spectrum of the trained networks that did not diverge, averaged over seeds."""
    found = [r.arrays["spectra"][-1] for r in results.main["net", activation, name] if not r.diverged]
    return np.mean(found, axis=0) if found else np.zeros(len(LEVELS))


# Statistics


def _beside(own: np.ndarray, other: np.ndarray, names: tuple[tuple[str, str], tuple[str, str]]) -> Estimate:
    """The difference of two shares, and both of them in words; `names` are (ko, en) of each."""
    (ko, en), (ko_other, en_other) = names
    a, b = own.mean(), other.mean()
    return Estimate(
        stats.paired_difference(own, other),
        {
            "ko": f"특잇값이 1/2과 2 사이에 드는 비율. {ko} {a:.1f}%, {ko_other} {b:.1f}%.",
            "en": f"Singular values between 1/2 and 2: {a:.1f}% {en}, {b:.1f}% {en_other}.",
        },
    )


NULL = ("무작위 행렬", "of random matrices")
WITH, WITHOUT = ("배치 정규화", "with batch normalization"), ("배치 정규화 없음", "without")


def linear_nearness(results: Results) -> Estimate:
    own, null = shares(results, "linear", "whiten"), shares(results, "linear", "null")
    return _beside(own, null, (("화이트닝한 선형 층", "of whitened linear layers"), NULL))


def nearness(results: Results) -> Estimate:
    own, null = shares(results, "net", "sigmoid", "bn"), shares(results, "linear", "null")
    return _beside(own, null, (WITH, NULL))


def nearness_gain(results: Results) -> Estimate:
    own, plain = (shares(results, "net", "sigmoid", name) for name in ("bn", "plain"))
    found = _beside(own, plain, (WITH, WITHOUT))
    level = MATCHED[1]
    bn, other = (matched(results, "sigmoid", name, level).mean() for name in ("bn", "plain"))
    return dataclasses.replace(
        found,
        detail={
            "ko": f"{found.detail['ko']} 학습 도중 정확도가 {level}%일 때는 {bn:.1f}%와 {other:.1f}%다.",
            "en": f"{found.detail['en']} On the way, at an accuracy of {level}%, {bn:.1f}% and {other:.1f}%.",
        },
    )


# By the name that paper.yml gives.
STATISTICS: dict[str, Callable[[Results], Estimate]] = {
    "linear_nearness": linear_nearness,
    "nearness": nearness,
    "nearness_gain": nearness_gain,
}


def sizes(profile: Profile) -> dict[str, Number]:
    """What is known before any run."""
    return {
        "seeds": profile.seeds,
        "steps": profile.steps,
        "hidden": profile.hidden,
        "depth": profile.depth,
        "examples": profile.examples,
        "reference": profile.reference,
        "early": EARLY,
        "many_layers": MANY_LAYERS,
    }


def numbers(results: Results) -> dict[str, Number]:
    """Our numbers by key. Shares and accuracies in percent; `low`, `median` and `high` are the 10th, 50th and
    90th percentiles of the singular values, `spread` the last over the first, `least` and `most` the
    outermost."""
    everything = results.records("main")
    found: dict[str, Number] = {
        "data": data_name(results.records("net")),
        "runs": len(everything),
    }
    for name in LINEAR:
        rms = float(np.mean([r.final["rms"] for r in results.main["linear", name]]))
        own = interval("near", stats.mean_interval(shares(results, "linear", name))) | {"rms": rms}
        found |= prefixed(f"linear.{name}", own | _described(linear_spectrum(results, name)))
    for activation in ACTIVATIONS:
        for name in NORMALIZATIONS:
            found |= prefixed(f"{activation}.{name}", _net(results, activation, name))
    return found


def _net(results: Results, activation: str, name: str) -> dict[str, Number]:
    records = results.main["net", activation, name]
    own: dict[str, Number] = {"diverged": sum(r.diverged for r in records)}
    own |= interval("near", stats.mean_interval(shares(results, "net", activation, name)))
    own |= {"accuracy": 100 * float(np.mean([r.accuracy for r in records]))}
    alive = [r for r in records if not r.diverged]
    for key in ("near_mean", "rms", "directions", "gain") if alive else ():
        own[key] = float(np.mean([r.final[key] for r in alive]))
    if alive:
        own["near_first"] = float(np.mean([r.curves["spectra"]["near"][0] for r in alive]))
        own["near_best"] = float(np.mean([max(r.curves["spectra"]["near"]) for r in alive]))
        own["gain_in_many"] = own["gain"] ** MANY_LAYERS
    own["near_early"], own["accuracy_early"] = np.mean([early(r) for r in records], axis=0)
    for level in MATCHED:
        own[f"near_at_{level}"] = float(matched(results, activation, name, level).mean())
    return own | _described(end_spectrum(results, activation, name))


def _described(spectrum: np.ndarray) -> dict[str, Number]:
    levels = {"least": 0.0, "low": 0.1, "median": 0.5, "high": 0.9, "most": 1.0}
    found = {name: at(spectrum, level) for name, level in levels.items()}
    if found["low"] > TINY:
        found["spread"] = found["high"] / found["low"]
    return found
