"""Van Laarhoven 2017, Hoffer et al. 2018: what weight decay does with BN, and whether a rate does it."""

from collections.abc import Callable, Sequence

import numpy as np

from bnbook import paper, stats
from bnbook.experiments.protocol import Results
from bnbook.experiments.weight_decay import protocol
from bnbook.experiments.weight_decay.protocol import ARMS, NETWORKS, NORM_POINTS, Profile, validation
from bnbook.measures import Estimate, accuracies, curve, data_name, interval, one_image, prefixed
from bnbook.paper import Number
from bnbook.records import Record
from bnbook.stats import Interval

MARGIN = 0.3  # points of accuracy within which two curves are the same
MATTERS = 0.6  # points, twice as many, that decay has to change, or there is nothing for a rate to do

Cell = tuple[float, float]  # learning rate and weight decay


# The grid


def cells(results: Results, network: str = "bn") -> dict[Cell, list[Record]]:
    """The grid's records by cell, those of smaller rates and decays first."""
    found = {
        (float(key[1]), float(key[2])): records for key, records in results.main.items() if key[0] == network
    }
    return dict(sorted(found.items()))


def rates(results: Results, network: str = "bn") -> list[float]:
    return sorted({lr for lr, _ in cells(results, network)})


def decays(results: Results, network: str = "bn") -> list[float]:
    """0 the first."""
    return sorted({decay for _, decay in cells(results, network)})


def pairs(results: Results) -> list[tuple[Cell, Cell, Cell]]:
    """(a cell, that at a higher rate on its iso-line, that at the same higher rate with the same decay), for
    all that the grid has: by how much accuracy differs along iso-lines and across them."""
    found = [cell for cell in cells(results) if cell[1]]

    def at(lr: float, weight_decay: float) -> Cell | None:
        return next((cell for cell in found if np.allclose(cell, (lr, weight_decay))), None)

    return [
        (begin, along, across)
        for begin in found
        for lr in rates(results)
        if lr > begin[0] and (along := at(lr, begin[1] * begin[0] / lr)) and (across := at(lr, begin[1]))
    ]


def spread(results: Results, seeds: Sequence[int], along: bool, product: float | None = None) -> float:
    """Root mean square, in points, of the difference in validation accuracy between the cells of the pairs,
    `along` iso-lines or across them; each cell's accuracy is the mean over `seeds`. No less than an image is
    worth. With `product`, of the pairs that begin on its iso-line."""
    found = {cell: validation(records)[list(seeds)].mean() for cell, records in cells(results).items()}
    ends = [
        (begin, pair[0 if along else 1])
        for begin, *pair in pairs(results)
        if product is None or np.isclose(begin[0] * begin[1], product)
    ]
    size = float(np.sqrt(np.mean([(found[end] - found[begin]) ** 2 for begin, end in ends])))
    return max(size, one_image(next(iter(cells(results).values()))))


def products(results: Results) -> list[float]:
    """Rate times decay of the iso-lines that have pairs, the smallest first."""
    return sorted({float(f"{begin[0] * begin[1]:.6g}") for begin, *_ in pairs(results)})


def quickened(results: Results, product: float) -> float:
    """How many times as large the effective rate becomes where the rate is doubled and the product stays:
    geometric mean over the pairs, layers and points of training. 2 where the norms stay as they began, 1 in
    equilibrium."""
    found = {cell: protocol.shrinking(records)[:, 1:] for cell, records in cells(results).items()}
    doublings = [
        np.log(along[0] / found[along] * found[begin] / begin[0]).mean() / np.log2(along[0] / begin[0])
        for begin, along, _ in pairs(results)
        if np.isclose(begin[0] * begin[1], product)
    ]
    return float(np.exp(np.mean(doublings)))


def decayed(results: Results, product: float) -> float:
    """Rate times decay, summed over the steps of a training whose rates fall: 1 where decay alone would have
    made the weights e times shorter."""
    steps = results.profile.steps
    falls = protocol.DECAY ** (np.arange(steps) / steps)
    return product * float(falls.sum())


def product_ratio(results: Results) -> Interval:
    """The spread across iso-lines over that along them, of means over seeds, since the noise of single runs
    would be in both; its interval is by the jackknife, in the logarithm."""
    everyone = range(results.profile.seeds["bn"])

    def ratio(seeds: Sequence[int]) -> float:
        return float(np.log(spread(results, seeds, along=False) / spread(results, seeds, along=True)))

    n, whole = len(everyone), ratio(everyone)
    without = [ratio([seed for seed in everyone if seed != left]) for left in everyone]
    return stats.exponential(stats.mean_interval([n * whole - (n - 1) * one for one in without]))


# The arms


def arm(results: Results, network: str, name: str) -> list[Record]:
    """The main runs, by seed."""
    return results.main["new", network, name]


def gap(results: Results, network: str, name: str) -> Interval:
    """Points of test accuracy of an arm minus those with decay, at the end, on all images."""
    found = arm(results, network, "decay")
    return stats.paired_difference(
        accuracies(arm(results, network, name)), accuracies(found), resolution=one_image(found)
    )


def curves(results: Results, network: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(steps,) and (seeds, steps): test accuracy in percent on the curve's images; chance where a run had
    diverged by then."""
    records = arm(results, network, name)
    steps = max((curve(record)[0] for record in records), key=len)
    values = np.full((len(records), len(steps)), 100 * records[0].final["chance_accuracy"])
    for row, record in zip(values, records, strict=True):
        own = curve(record)[1]
        row[: len(own)] = own
    return steps, values


def curve_gap(results: Results, network: str, name: str) -> Interval:
    """The same along the curve: the mean over its evaluations, by seed."""
    ours, decayed = (curves(results, network, one)[1].mean(1) for one in (name, "decay"))
    return stats.paired_difference(ours, decayed)


def within(found: Interval) -> Interval:
    """How far the absolute value of a difference stays below MARGIN: its interval is above 0 just where that
    of the difference lies within MARGIN to both sides (two one-sided tests), below 0 where it lies
    outside."""
    low, high = sorted((abs(found.low), abs(found.high)))
    nearest = 0.0 if found.low <= 0 <= found.high else low
    return Interval(MARGIN - abs(found.estimate), MARGIN - high, MARGIN - nearest, found.n)


def beyond(found: Interval) -> Interval:
    """The absolute value of a difference; its interval ends at 0 where the difference may be none."""
    inside = within(found)
    return Interval(abs(found.estimate), max(0.0, MARGIN - inside.high), MARGIN - inside.low, found.n)


# Statistics


def product(results: Results) -> Estimate:
    """The change across iso-lines over that along them."""
    across, along = (spread(results, range(results.profile.seeds["bn"]), way) for way in (False, True))
    best = max(
        (cell for cell in cells(results) if cell[1]), key=lambda c: validation(cells(results)[c]).mean()
    )
    return Estimate(
        product_ratio(results),
        {
            "ko": f"학습률을 높일 때 정확도는 λ를 그대로 두면 {across:.2f}%p, 곱이 같도록 λ를 줄이면 "
            f"{along:.2f}%p 달라진다. 가장 좋은 곱은 {best[0] * best[1]:.2g}다.",
            "en": f"At a higher rate accuracy differs by {across:.2f} points with the same λ, and by "
            f"{along:.2f} with λ lowered to the same product. The best product is {best[0] * best[1]:.2g}.",
        },
    )


def same_curve(results: Results) -> Estimate:
    """How far within MARGIN the matched runs stay with BN, at the end and in the mean along the curve,
    whichever is the less. Nothing is decided where decay does not change the accuracy by MATTERS."""
    end, mean = gap(results, "bn", "matched"), curve_gap(results, "bn", "matched")
    both = [within(end), within(mean)]
    found = Interval(
        *(min(getattr(one, name) for one in both) for name in ("estimate", "low", "high")), end.n
    )
    without = gap(results, "bn", "none")
    matters = beyond(without).low > MATTERS
    return Estimate(
        found,
        {
            "ko": f"λ = 0에서 학습률을 맞추면 끝에서 {end.estimate:+.2f}%p({end.low:+.2f}~{end.high:+.2f}), "
            f"곡선 평균으로 {mean.estimate:+.2f}%p({mean.low:+.2f}~{mean.high:+.2f}) 다르다. "
            f"맞추지 않으면 끝에서 {without.estimate:+.2f}%p 다르다.",
            "en": f"Without decay and at matched rates it differs by {end.estimate:+.2f} points at the end "
            f"({end.low:+.2f} to {end.high:+.2f}) and by {mean.estimate:+.2f} in the mean along the curve "
            f"({mean.low:+.2f} to {mean.high:+.2f}); unmatched by {without.estimate:+.2f} at the end.",
        },
        None if matters else "both",
    )


def other_without(results: Results) -> Estimate:
    """By how much the matched runs differ from those with decay without BN, at the end. Nothing is decided
    where decay does not change the accuracy by MATTERS there."""
    end, none = gap(results, "plain", "matched"), gap(results, "plain", "none")
    pair = [accuracies(arm(results, "plain", name)).mean() for name in ("matched", "decay", "none")]
    return Estimate(
        beyond(end),
        {
            "ko": f"학습률을 맞추면 {pair[0]:.2f}%, 가중치 감쇠를 쓰면 {pair[1]:.2f}%, 둘 다 하지 않으면 "
            f"{pair[2]:.2f}%다.",
            "en": f"{pair[0]:.2f}% at matched rates, {pair[1]:.2f}% with decay, {pair[2]:.2f}% with neither.",
        },
        None if beyond(none).low > MATTERS else "both",
    )


# By the name that paper.yml gives.
STATISTICS: dict[str, Callable[[Results], Estimate]] = {
    "product": product,
    "same_curve": same_curve,
    "other_without": other_without,
}


def sizes(profile: Profile) -> dict[str, Number]:
    """What is known before any run."""
    return {
        "seeds.bn": profile.seeds["bn"],
        "seeds.plain": profile.seeds["plain"],
        "new_seeds.bn": profile.new_seeds["bn"],
        "new_seeds.plain": profile.new_seeds["plain"],
        "steps": profile.steps,
        "batch_size": profile.batch_size,
        "lrs.bn": list(profile.lrs["bn"]),
        "lrs.plain": list(profile.lrs["plain"]),
        "decays": list(profile.weight_decays),
        "rest_lr": profile.rest_lr,
        "maps": list(profile.maps),
        "curve_images": profile.curve_images,
        "points": NORM_POINTS,
        "margin": MARGIN,
        "matters": MATTERS,
        "rates_fall": protocol.DECAY,
        "effect.product": paper.effect("c-after-decay-product"),
    }


def numbers(results: Results) -> dict[str, Number]:
    """Our numbers by key; accuracies in percent. "grid.<network>.": the grid; "<network>.": the cell that was
    chosen, and its arms; norms and effective rates as ratios to the initial ones."""
    everything = results.records("main")
    found: dict[str, Number] = {
        "data": data_name(everything),
        "runs": len({(r.run_id, r.seed) for r in everything}),
        "across": spread(results, range(results.profile.seeds["bn"]), along=False),
        "along": spread(results, range(results.profile.seeds["bn"]), along=True),
    }
    found |= interval("product", product_ratio(results))
    everyone = range(results.profile.seeds["bn"])
    for number, one in enumerate(products(results), start=1):
        found |= {
            f"by_product.{number}.product": one,
            f"by_product.{number}.decayed": decayed(results, one),
            f"by_product.{number}.quickened": quickened(results, one),
            f"by_product.{number}.along": spread(results, everyone, along=True, product=one),
            f"by_product.{number}.across": spread(results, everyone, along=False, product=one),
        }
    for network in NETWORKS:
        found |= prefixed(f"grid.{network}", _grid(results, network))
        found |= prefixed(network, _arms(results, network))
    return found


def _grid(results: Results, network: str) -> dict[str, Number]:
    found = {cell: float(validation(records).mean()) for cell, records in cells(results, network).items()}
    best, worst = max(found, key=found.__getitem__), min(found, key=found.__getitem__)
    return {
        "best": found[best],
        "best_lr": best[0],
        "best_decay": best[1],
        "best_product": best[0] * best[1],
        "worst": found[worst],
        "worst_lr": worst[0],
        "worst_decay": worst[1],
        "best_without": max(value for cell, value in found.items() if not cell[1]),
    }


def _arms(results: Results, network: str) -> dict[str, Number]:
    chosen = arm(results, network, "decay")[0].config
    found: dict[str, Number] = {"lr": chosen["lr"], "decay": chosen["weight_decay"]}
    for name in ARMS:
        records = arm(results, network, name)
        found[f"{name}.diverged"] = sum(record.diverged for record in records)
        found |= interval(f"{name}.accuracy", stats.mean_interval(accuracies(records)))
        if name != "decay":
            found |= interval(f"{name}.gap", gap(results, network, name))
            found |= interval(f"{name}.curve_gap", curve_gap(results, network, name))
    last = shrunk(results, network, "decay")[1][:, -1]
    found |= {"shrunk_least": float(last.max()), "shrunk_most": float(last.min())}
    return found | {"faster_most": float(1 / last.min()), "faster_least": float(1 / last.max())}


def shrunk(results: Results, network: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(points,) and (layers, points): steps, and the squared norms of the weights over the initial ones,
    geometric mean over the runs that did not diverge."""
    records = [record for record in arm(results, network, name) if not record.diverged]
    return np.array(records[0].curves["norms"]["step"]), protocol.shrinking(records)
