"""Section 2: what is measured where the gradient does not go through the normalization, and of whitening."""

from collections.abc import Callable

import numpy as np

from bnbook import stats
from bnbook.experiments.outside_the_gradient.protocol import (
    COST_VARIANTS,
    NET_VARIANTS,
    TOY_VARIANTS,
    Profile,
)
from bnbook.experiments.protocol import Results
from bnbook.measures import Estimate, data_name, interval, prefixed
from bnbook.paper import Number
from bnbook.records import Record

WHITEN, UNITS = "whiten_through", "mean_std_through"


def column(record: Record, name: str) -> np.ndarray:
    """A column of the toy's curve: "step", "loss", "weight" or "bias"."""
    return np.array(record.curves["toy"][name], dtype=float)


def growth(record: Record) -> float:
    """Size of the toy's bias at the end over that at the last measured step of the first half; 1 where there
    is no bias to speak of."""
    steps, bias = column(record, "step"), np.abs(column(record, "bias"))
    half = np.searchsorted(steps, steps[-1] / 2, side="right") - 1
    return float(bias[-1] / bias[half]) if bias[half] > 1e-3 else 1.0


def leap(record: Record) -> float:
    """The largest loss of the toy's run over the smallest."""
    loss = column(record, "loss")
    return float(loss.max() / loss.min())


def widths(results: Results) -> list[int]:
    return sorted({int(key[2]) for key in results.main if key[0] == "cost"})


def costs(results: Results, variant: str) -> np.ndarray:
    """(widths, seeds): time of a normalized layer over the bare layer's."""
    return np.array(
        [
            [r.final["times_bare"] for r in results.main["cost", variant, str(width)]]
            for width in widths(results)
        ]
    )


def test_accuracies(results: Results, variant: str) -> np.ndarray:
    """Of the network, in percent at the end, by seed."""
    return 100 * np.array([record.accuracy for record in results.main["net", variant]])


# Statistics


def bias_growth(results: Results) -> Estimate:
    found = results.main["toy", "mean_ignored"]
    last = float(np.mean([abs(r.final["bias"]) for r in found]))
    moved = max(100 * (leap(r) - 1) for r in found)
    return Estimate(
        stats.paired_ratio([growth(r) for r in found], [1.0] * len(found)),
        {
            "ko": f"편향은 평균 {last:.1f}까지 커졌고, 그동안 손실은 많아야 {moved:.3f}% 변했다.",
            "en": f"The bias grew to {last:.1f} on average, while the loss changed by at most {moved:.3f}%.",
        },
    )


def loss_leap(results: Results) -> Estimate:
    both, mean = (
        [leap(r) for r in results.main["toy", name]] for name in ("mean_std_ignored", "mean_ignored")
    )
    worst = max(both)
    net = results.main["net", "mean_std_ignored"]
    diverged, n = sum(r.diverged for r in net), len(net)
    ignored, through = (
        test_accuracies(results, name).mean() for name in ("mean_std_ignored", "mean_std_through")
    )
    return Estimate(
        stats.paired_ratio(both, mean),
        {
            "ko": f"표준 편차까지 상수로 취급하면 손실이 최대 {worst:.1f}배까지 커진다.",
            "en": f"With the standard deviation ignored too, the loss leaps by up to {worst:.1f} times.",
        },
        caveat={
            "ko": f"작은 예에서 잰 것이다. 4.1절의 네트워크에서는 시드 {n}개 가운데 {diverged}개가 "
            f"발산했고, 정확도는 {ignored:.1f}%였다(통계량까지 역전파하면 {through:.1f}%).",
            "en": f"Measured in a small example. In the network of Section 4.1, {diverged} of {n} seeds "
            f"diverged, and accuracy was {ignored:.1f}% ({through:.1f}% with the gradient through).",
        },
    )


def whitening_cost(results: Results) -> Estimate:
    whiten, units = (costs(results, name)[-1] for name in (WHITEN, UNITS))
    width = widths(results)[-1]
    return Estimate(
        stats.paired_ratio(whiten, units),
        {
            "ko": f"유닛 {width}개인 층. 정규화하지 않은 층에 비해 화이트닝은 {np.median(whiten):.1f}배, "
            f"유닛별 정규화는 {np.median(units):.1f}배의 시간이 걸린다.",
            "en": f"A layer of {width} units: {np.median(whiten):.1f} times the bare layer's time for "
            f"whitening, {np.median(units):.1f} times for normalizing each unit.",
        },
    )


# By the name that paper.yml gives.
STATISTICS: dict[str, Callable[[Results], Estimate]] = {
    "bias_growth": bias_growth,
    "loss_leap": loss_leap,
    "whitening_cost": whitening_cost,
}


def sizes(profile: Profile) -> dict[str, Number]:
    """What is known before any run."""
    return {"seeds": profile.seeds, "toy_steps": profile.toy_steps, "steps": profile.steps}


def numbers(results: Results) -> dict[str, Number]:
    """Our numbers by key; accuracies in percent, times as ratios to the bare layer."""
    everything = results.records("main")
    found: dict[str, Number] = {
        "data": data_name(results.main["net", "none"]),
        "runs": len(everything),
        "widest": widths(results)[-1],
        "narrowest": widths(results)[0],
    }
    for name in TOY_VARIANTS:
        records = results.main["toy", name]
        toy = {
            "bias": float(np.mean([abs(r.final["bias"]) for r in records])),
            "leap": float(np.max([leap(r) for r in records])),
        }
        found |= prefixed(f"toy.{name}", toy)
    for name in NET_VARIANTS:
        records = results.main["net", name]
        net: dict[str, Number] = {"diverged": sum(r.diverged for r in records)}
        net |= interval("accuracy", stats.mean_interval(test_accuracies(results, name)))
        if not all(r.diverged for r in records):
            net["bias"] = float(np.mean([r.final["bias"] for r in records if not r.diverged]))
        found |= prefixed(f"net.{name}", net)
    for name in COST_VARIANTS:
        times = np.median(costs(results, name), axis=1)
        found |= prefixed(f"cost.{name}", {"narrowest": float(times[0]), "widest": float(times[-1])})
    return found
