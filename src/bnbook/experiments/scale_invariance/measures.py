"""Section 3.3: what is measured of the weights' scale, and of the learning rates that work."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from bnbook import stats
from bnbook.experiments.protocol import Results
from bnbook.experiments.scale_invariance.protocol import EPSILONS, FAST, SLOW, VARIANTS, Profile
from bnbook.measures import Estimate, data_name, interval, prefixed
from bnbook.paper import Number
from bnbook.records import Record

QUANTITIES = ("output", "input_gradient", "weight_gradient")
TOLERANCE = 0.01  # a relation holds where its two sides differ by no more than this, relatively
WORKS = 90.0  # percent of validation accuracy from which a learning rate is said to work
STRICT = 95.0  # the same, asked more strictly: does the answer hang on the threshold?


# The relations


def column(record: Record, name: str) -> np.ndarray:
    """A column of the relations: "scale", or a quantity with "_size" or "_error"."""
    return np.array(record.curves["relations"][name], dtype=float)


def worst_error(record: Record) -> np.ndarray:
    """Of the three relations, by a."""
    return np.max([column(record, f"{name}_error") for name in QUANTITIES], axis=0)


def reach(record: Record) -> tuple[float, bool]:
    """The factor by which the weights can be multiplied, and divided, before a relation is off by more than
    TOLERANCE, interpolated; and whether that happens within the grid at all."""
    scale, error = column(record, "scale"), worst_error(record)
    sides = [_broken(scale[scale > 1], error[scale > 1]), _broken(1 / scale[scale < 1], error[scale < 1])]
    return min(sides), min(sides) < scale.max()


def _broken(factor: np.ndarray, error: np.ndarray) -> float:
    """The smallest factor at which `error` passes TOLERANCE, or the largest of all."""
    order = np.argsort(factor)
    factor, error = factor[order], error[order]
    beyond = int(np.argmax(error > TOLERANCE))
    if error[beyond] <= TOLERANCE:
        return float(factor[-1])
    if beyond == 0:
        return float(factor[0])
    pair = slice(beyond - 1, beyond + 1)
    return math.exp(np.interp(math.log(TOLERANCE), np.log(error[pair]), np.log(factor[pair])))


# The sweep


def rates(results: Results) -> np.ndarray:
    return np.array(sorted({float(key[2]) for key in results.main if key[0] == "sweep"}))


def grid_step(results: Results) -> float:
    """How many times a rate of the grid is the one below it, at most."""
    return float(np.max(rates(results)[1:] / rates(results)[:-1]))


def runs(results: Results, variant: str, rate: float) -> list[Record]:
    return results.main["sweep", variant, f"{rate:g}"]


def validation(record: Record) -> float:
    """Validation accuracy in percent at the end; chance where the run diverged."""
    return 100 * record.final["chance_accuracy" if record.diverged else "validation_accuracy"]


def accuracies(results: Results, variant: str) -> np.ndarray:
    """(rates, seeds): validation accuracy in percent."""
    return np.array([[validation(r) for r in runs(results, variant, rate)] for rate in rates(results)])


def highest_working(results: Results, variant: str, works: float = WORKS) -> np.ndarray:
    """(seeds,): the highest rate that works; one step below the grid where none does."""
    tried = rates(results)
    working = accuracies(results, variant) >= works
    return np.where(working, tried[:, None], tried[0] / grid_step(results)).max(0)


def working_decades(results: Results, variant: str) -> np.ndarray:
    """(seeds,): how many decades of rates work: the rates that do, each for a mean step of the grid."""
    tried = rates(results)
    step = math.log10(tried[-1] / tried[0]) / (len(tried) - 1)
    return (accuracies(results, variant) >= WORKS).sum(0) * step


def square_norm(record: Record) -> np.ndarray:
    """(rows,): ||w||^2 of a unit's weights, averaged over a layer's units and geometrically over layers; the
    first before training. NaN where it is not finite."""
    norms = record.curves["norms"]
    layers = [name for name in norms if name.startswith("layer_")]
    columns = np.array([norms[name] for name in layers], dtype=float)
    return np.exp(np.log(columns).mean(0))


def effective_rates(record: Record) -> np.ndarray:
    """Learning rate over ||w||^2, (rows,)."""
    return record.config["lr"] / square_norm(record)


def last(values: np.ndarray) -> float:
    """The last that is finite."""
    return float(values[np.isfinite(values)][-1])


def spreads(results: Results) -> np.ndarray:
    """(seeds,): with batch normalization, the effective rate at the end of training at FAST over that at
    SLOW."""
    fast, slow = (
        np.array([last(effective_rates(r)) for r in runs(results, "bn", rate)]) for rate in (FAST, SLOW)
    )
    return fast / slow


# Statistics


def relation_reach(results: Results) -> Estimate:
    """The reach at the usual eps."""
    found = results.main["relations", "usual"]
    factors, broken = zip(*(reach(r) for r in found), strict=True)
    upward = max(100 * worst_error(r)[-1] for r in found)
    exact = max(worst_error(r).max() for r in results.main["relations", "none"])
    return Estimate(
        stats.paired_ratio(factors, [1.0] * len(factors)),
        {
            "ko": "식이 성립하지 않는 것은 가중치를 줄일 때다. "
            f"10,000배로 키워도 오차는 {upward:.4f}%를 넘지 않는다. "
            f"ε이 0이면 항상 반올림 오차({exact:.0e}) 안에서 성립한다.",
            "en": f"It is with smaller weights that they break; with weights 10,000 times as large they are "
            f"off by {upward:.4f}% at most. With ε = 0 they hold everywhere to within rounding "
            f"({exact:.0e}).",
        },
        None if all(broken) else "lower",
    )


def usable_rates(results: Results) -> Estimate:
    """Highest learning rate that works, with BN over without; known to a step of the grid."""
    tried, step = rates(results), grid_step(results)
    plain, bn = (highest_working(results, variant) for variant in VARIANTS)
    low = bool((plain < tried[0]).any() or (bn == tried[-1]).any())  # the truth may be larger
    high = bool((bn < tried[0]).any() or (plain == tried[-1]).any())  # or smaller
    bounds = {(False, False): None, (True, False): "lower", (False, True): "upper", (True, True): "both"}
    wide = [float(np.mean(working_decades(results, variant))) for variant in ("bn", "plain")]
    return Estimate(
        stats.paired_ratio(bn, plain, resolution=step),
        {
            "ko": f"학습이 되는 학습률은 배치 정규화 {_range(bn, tried)}, "
            f"기준 모델 {_range(plain, tried)}까지다. "
            f"그 범위는 각각 평균 {wide[0]:.2f}자릿수, {wide[1]:.2f}자릿수다. "
            f"격자의 한 칸은 {step:.2f}배다. "
            "3.2절의 합성곱 네트워크는 가장 높은 학습률에서 반대로 배치 정규화가 없는 쪽이 학습된다.",
            "en": f"Rates up to {_range(bn, tried)} work with, {_range(plain, tried)} without; "
            f"{wide[0]:.2f} and {wide[1]:.2f} decades of them on average. "
            f"A step of the grid is {step:.2f} times. In the convolutional network of Section 3.2 it is the "
            "one without that learns at the highest rate tried.",
        },
        bounds[low, high],
    )


def _range(highest: np.ndarray, tried: np.ndarray) -> str:
    """Highest working rates over seeds, in words: "3.2" or "3.2–5.6"; below the grid, "<0.001"."""
    words = [f"{x:g}" if x >= tried[0] else f"<{tried[0]:g}" for x in (highest.min(), highest.max())]
    return "–".join(dict.fromkeys(words))


def grown(results: Results, variant: str, rate: float) -> np.ndarray:
    """(seeds,): how many times ||w||^2 has grown by the end of training."""
    return np.array([last(square_norm(r)) / square_norm(r)[0] for r in runs(results, variant, rate)])


def usable(results: Results, *variants: str) -> list[float]:
    """The rates that work with every seed of these networks; all, in trainings that are too short for any."""
    working = np.all([accuracies(results, variant) >= WORKS for variant in variants], axis=(0, 2))
    return rates(results)[working if working.any() else ~working].tolist()


def growth_ratio(results: Results, tried: list[float]) -> stats.Interval:
    """How many times more the weights grow without batch normalization than with it, geometric mean over
    these rates."""
    plain, bn = (
        np.exp(np.mean([np.log(grown(results, variant, rate)) for rate in tried], axis=0))
        for variant in VARIANTS
    )
    return stats.paired_ratio(plain, bn)


def steadied_growth(results: Results) -> Estimate:
    """At the rates that work with batch normalization."""
    (bn, plain), (bn_fast, plain_fast) = (
        [_geometric_mean(grown(results, variant, rate)) for variant in reversed(VARIANTS)]
        for rate in (1.0, FAST)
    )
    return Estimate(
        growth_ratio(results, usable(results, "bn")),
        {
            "ko": f"학습률 1에서 ‖w‖²은 배치 정규화를 쓰면 {bn:.1f}배, 쓰지 않으면 {plain:.1f}배, "
            f"학습률 {FAST:g}에서는 각각 {bn_fast:.0f}배, {plain_fast:.1f}배가 된다.",
            "en": f"At the rate 1, ‖w‖² becomes {bn:.1f} times as large with batch normalization and "
            f"{plain:.1f} without; at the rate {FAST:g}, {bn_fast:.0f} and {plain_fast:.1f} times.",
        },
    )


# By the name that paper.yml gives.
STATISTICS: dict[str, Callable[[Results], Estimate]] = {
    "relation_reach": relation_reach,
    "usable_rates": usable_rates,
    "steadied_growth": steadied_growth,
}


def sizes(profile: Profile) -> dict[str, Number]:
    """What is known before any run."""
    return {
        "seeds": profile.seeds,
        "steps": profile.steps,
        "rates": len(profile.lrs),
        "lowest_rate": min(profile.lrs),
        "highest_rate": max(profile.lrs),
        "works": WORKS,
        "strict": STRICT,
        "tolerance": 100 * TOLERANCE,
        "slow": SLOW,
        "fast": FAST,
    }


def numbers(results: Results) -> dict[str, Number]:
    """Our numbers by key; accuracies in percent."""
    everything = results.records("main")
    found: dict[str, Number] = {
        "data": data_name(everything),
        "runs": len(everything),
        "grid_step": grid_step(results),
    }
    for name in EPSILONS:
        found |= prefixed(f"relations.{name}", _relation_numbers(results.main["relations", name]))
    for variant in VARIANTS:
        found |= prefixed(f"sweep.{variant}", _sweep_numbers(results, variant))
    found |= interval("ratio", usable_rates(results).interval)
    plain, bn = (highest_working(results, variant, STRICT) for variant in VARIANTS)
    found["ratio_strict"] = _geometric_mean(bn / plain)
    named = {"slow": SLOW, "middle": 1.0, "fast": FAST, "top": float(rates(results)[-1])}
    for variant in VARIANTS:
        for name, rate in named.items():
            found |= prefixed(f"norms.{variant}.{name}", _norm_numbers(runs(results, variant, rate)))
    found["norms.spread"] = _geometric_mean(spreads(results))
    working = usable(results, "bn")
    found |= {"growth.lowest": min(working), "growth.highest": max(working)}
    found |= interval("growth.ratio", growth_ratio(results, working))
    found["growth.shared"] = growth_ratio(results, usable(results, *VARIANTS)).estimate
    return found


def _relation_numbers(records: list[Record]) -> dict[str, Number]:
    return {
        "reach": float(np.median([reach(r)[0] for r in records])),
        "variance": float(np.median([r.final["variance"] for r in records])),
        "cosine": max(r.final["cosine"] for r in records),
        "worst": 100 * max(worst_error(r).max() for r in records),
        "smallest_gradient_times": float(np.median([column(r, "weight_gradient_size")[0] for r in records])),
    }


def _norm_numbers(records: list[Record]) -> dict[str, Number]:
    """How many times ||w||^2 grows, and the effective rate at the end: geometric means over seeds."""
    return {
        "grown": _geometric_mean([last(square_norm(r)) / square_norm(r)[0] for r in records]),
        "effective": _geometric_mean([last(effective_rates(r)) for r in records]),
    }


def _geometric_mean(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))


def _sweep_numbers(results: Results, variant: str) -> dict[str, Number]:
    found, tried = accuracies(results, variant), rates(results)
    means = found.mean(1)
    working = [rate for rate, row in zip(tried, found, strict=True) if (row >= WORKS).any()]
    best = int(means.argmax())
    return {
        "highest": float(np.median(highest_working(results, variant))),
        "lowest": float(min(working, default=math.nan)),
        "decades": float(np.mean(working_decades(results, variant))),
        "best": float(means[best]),
        "best_rate": float(tried[best]),
        "at_slow": float(means[tried == SLOW][0]),
        "at_fast": float(means[tried == FAST][0]),
        "at_top": float(means[-1]),
        "diverged": sum(r.diverged for rate in tried for r in runs(results, variant, rate)),
    }
