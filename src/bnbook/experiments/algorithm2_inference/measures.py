"""Section 3.1: what is measured of a network's answers by different statistics."""

from collections.abc import Callable, Sequence

import numpy as np

from bnbook import paper, paths, records, stats
from bnbook.experiments.algorithm2_inference.protocol import (
    COUNTS,
    ESTIMATES,
    JUDGED,
    LAGGING,
    LR,
    MODES,
    MOVING,
    TEST_BATCHES,
    Profile,
)
from bnbook.experiments.protocol import Results
from bnbook.measures import Estimate, data_name, interval, one_image, prefixed
from bnbook.paper import Number
from bnbook.records import Record

USUAL = "moving_10"  # momentum 0.1, which most libraries have
STARTED = 50  # steps until less than 1% of its start is left in that average: 0.9^50 is 0.5%
LEARNS = 50  # percent of the test images
FIRST_EPOCH = ("unprotected_parameters", "bn_x5", "60630a7da037")  # experiment, variant, run id
SETTLED = 0.1  # moving averages are judged after this share of the steps


def net(results: Results) -> list[Record]:
    """The runs that were asked along the way and did not diverge."""
    return [record for record in results.main["net", "bn"] if not record.diverged]


def column(record: Record, name: str) -> np.ndarray:
    """A column of the answers' curve, shares in percent."""
    values = np.array(record.curves["answers"][name], dtype=float)
    return values if name == "step" else 100 * values


def ends(results: Results, name: str) -> np.ndarray:
    """The last value of a column, by seed."""
    return np.array([column(record, name)[-1] for record in net(results)])


def tracking_error(record: Record, mode: str) -> float:
    """Mean size in points of the difference between the accuracies by `mode` and by the population
    statistics, over the evaluations after the first tenth of the steps."""
    steps = column(record, "step")
    late = steps > SETTLED * steps[-1]
    gap = column(record, f"{mode}_accuracy") - column(record, "population_accuracy")
    return float(np.abs(gap[late]).mean())


def small_batches(results: Results) -> list[int]:
    """The sizes of training's mini-batches, the usual one last."""
    return sorted(record.config["batch_size"] for record, *_ in _trained(results).values())


def small(results: Results, m: int, name: str) -> np.ndarray:
    """A final number of the networks trained on mini-batches of m, by seed; of diverged ones NaN."""
    (found,) = (found for found in _trained(results).values() if found[0].config["batch_size"] == m)
    return np.array([record.final.get(name, np.nan) for record in found])


def _trained(results: Results) -> dict[tuple[str, ...], list[Record]]:
    return {key: found for key, found in results.main.items() if key[0] in ("net", "small")}


def fold_batches(results: Results) -> list[int]:
    return sorted(int(key[1]) for key in results.main if key[0] == "fold")


def times_folded(results: Results, images: int) -> np.ndarray:
    """Time of an answer with batch normalization as a layer over that with it folded away, by seed."""
    return np.array([record.final["times_folded"] for record in results.main["fold", str(images)]])


# Statistics


def test_batch_loss(results: Results) -> Estimate:
    company = ends(results, "test_8_company").mean()
    return Estimate(
        stats.paired_difference(
            ends(results, "population_accuracy"),
            ends(results, "test_8_accuracy"),
            resolution=one_image(net(results)),
        ),
        {
            "ko": f"테스트 배치의 구성만 바꾸어도 이미지의 {company:.1f}%에서 답이 달라진다.",
            "en": f"Other company in the test batch alone changes the answer to {company:.1f}% of images.",
        },
    )


def nearer_variance(results: Results) -> Estimate:
    off = {
        name: 100 * np.abs(small(results, JUDGED, f"{name}_variance") - 1) for name in ("biased", "unbiased")
    }
    return Estimate(
        stats.paired_difference(off["biased"], off["unbiased"]),
        {
            "ko": f"참값에서 벗어난 정도: 곱하지 않으면 {off['biased'].mean():.1f}%, "
            f"곱하면 {off['unbiased'].mean():.1f}%.",
            "en": f"Off the truth by {off['biased'].mean():.1f}% without the factor, "
            f"by {off['unbiased'].mean():.1f}% with it.",
        },
    )


def factor_gain(results: Results) -> Estimate:
    with_it, without, gain = (100 * small(results, JUDGED, f"{name}_accuracy") for name in ESTIMATES)
    return Estimate(
        stats.paired_difference(with_it, without, resolution=one_image(net(results))),
        {
            "ko": f"곱하면 {with_it.mean():.1f}%, 곱하지 않으면 {without.mean():.1f}%, "
            f"학습할 때의 평균 배율을 쓰면 {gain.mean():.1f}%.",
            "en": f"{with_it.mean():.1f}% with the factor, {without.mean():.1f}% without it, "
            f"{gain.mean():.1f}% with the mean gain of training.",
        },
    )


def tracking(results: Results) -> Estimate:
    errors = [tracking_error(record, USUAL) for record in net(results)]
    slow = np.mean([tracking_error(record, "moving_1000") for record in net(results)])
    return Estimate(
        stats.mean_interval([-error for error in errors], resolution=one_image(net(results))),
        {
            "ko": f"모멘텀 0.1에서. 0.001이면 평균 {slow:.2f}%p 어긋난다.",
            "en": f"With momentum 0.1; with 0.001 they are off by {slow:.2f} points on average.",
        },
    )


def learning_rates(results: Results) -> list[float]:
    """The learning rates of the lag, in rising order."""
    return sorted(found[0].config["lr"] for key, found in results.main.items() if key[0] == "lag")


def lagging(results: Results, lr: float) -> list[Record]:
    """The lag's runs at `lr`, by seed."""
    return results.main["lag", f"{lr:g}"]


def learns(records: Sequence[Record]) -> bool:
    """Whether every run ends above LEARNS percent by Algorithm 2."""
    return learned(records) == len(records)


def learned(records: Sequence[Record]) -> int:
    """How many runs do; a run that diverged is at chance."""
    return sum(100 * record.accuracy > LEARNS for record in records)


def highest_rate(results: Results) -> float:
    """The highest learning rate of the lag at which the network learns; the lowest where it never does."""
    rates = learning_rates(results)
    return max((lr for lr in rates if learns(lagging(results, lr))), default=rates[0])


def missed(record: Record, mode: str) -> tuple[np.ndarray, np.ndarray]:
    """(steps, points of accuracy by which the moving average `mode` stays below Algorithm 2), of the lag."""
    truth = column(record, f"population_{record.config['population_batches']}_accuracy")
    return column(record, "step"), truth - column(record, f"{mode}_accuracy")


def mean_missed(record: Record, mode: str) -> float:
    """The mean of `missed` over the evaluations from STARTED on."""
    steps, points = missed(record, mode)
    return float(points[steps >= STARTED].mean())


def lag(results: Results) -> Estimate:
    lr = highest_rate(results)
    points = [mean_missed(record, USUAL) for record in lagging(results, lr)]
    usual = np.mean([mean_missed(record, USUAL) for record in lagging(results, LR)])
    return Estimate(
        stats.mean_interval(points),
        {
            "ko": f"학습률 {lr:g}에서. 4.1절의 학습률 {LR:g}에서는 평균 {usual:+.2f}%p.",
            "en": f"At learning rate {lr:g}; at Section 4.1's, {LR:g}, {usual:+.2f} points on average.",
        },
    )


def shifts(results: Results, count: int) -> dict[float, np.ndarray]:
    """By accuracy in percent: the step at which a curve by Algorithm 2 with `count` mini-batches crosses it,
    over that with the most, by seed. From half of the images on, as far as every run gets by either curve."""
    found: dict[float, np.ndarray] = {}
    for half in range(100, 200):
        goal = half / 2
        few, many = (_crossings(results, goal, number) for number in (count, COUNTS[-1]))
        if None in few or None in many:
            break
        found[goal] = np.array(few) / np.array(many)
    return found


def _crossings(results: Results, goal: float, count: int) -> list[int | None]:
    return [
        stats.steps_to_target(column(r, "step"), column(r, f"population_{count}_accuracy"), goal)
        for r in results.main["count", "bn"]
    ]


def first_epoch() -> list[Record]:
    """The committed runs of BN-x5 through its first epoch on CIFAR-10, by seed: those whose accuracies by
    moving averages and by Algorithm 2 showed that the first registration's curves misled."""
    folder = paths.runs(paths.RESULTS).joinpath(*FIRST_EPOCH)
    return [records.read(file) for file in sorted(folder.glob("seed-*.json"))]


def folding(results: Results) -> Estimate:
    otherwise = [100 * record.final["fold_otherwise"] for record in net(results)]
    worst = max(record.final["fold_difference"] for record in net(results))
    images = fold_batches(results)[0]
    faster = np.median(times_folded(results, images))
    return Estimate(
        stats.mean_interval([-share for share in otherwise]),
        {
            "ko": f"로짓의 차이는 많아야 가장 큰 로짓의 {1e6 * worst:.1f}ppm이다. "
            f"한 번에 {images}장씩 추론하면 합치지 않은 쪽이 {faster:.2f}배 걸린다.",
            "en": f"Logits differ by at most {1e6 * worst:.1f} millionths of the largest. "
            f"Unfolded, an answer to {images} at once takes {faster:.2f} times as long.",
        },
    )


# By the name that paper.yml gives.
STATISTICS: dict[str, Callable[[Results], Estimate]] = {
    "test_batch_loss": test_batch_loss,
    "nearer_variance": nearer_variance,
    "factor_gain": factor_gain,
    "tracking": tracking,
    "lag": lag,
    "folding": folding,
}


def sizes(profile: Profile) -> dict[str, Number]:
    """What is known before any run."""
    return {
        "seeds": profile.seeds,
        "net.seeds": profile.net_seeds,
        "lag.seeds": profile.lag_seeds,
        "steps": profile.steps,
        "lag.steps": profile.lag_steps,
        "lag.started": STARTED,
        "lag.batches": profile.lag_batches,
        "population_batches": profile.population_batches,
        "judged": JUDGED,
        "effect.tracking": -paper.effect("c-3.1-moving-average"),
        "effect.lag": paper.effect("c-3.1-lag"),
        "repetitions": profile.repetitions,
    }


def numbers(results: Results) -> dict[str, Number]:
    """Our numbers by key; accuracies and disagreements in percent, times as ratios."""
    everything = results.records("main")
    found: dict[str, Number] = {
        "data": data_name(results.main["net", "bn"]),
        "runs": len(everything),
        "fold.millionths": 1e6 * max(record.final["fold_difference"] for record in net(results)),
    }
    for mode in MODES:
        found |= prefixed(f"net.{mode}", _mode(results, mode))
    for m in small_batches(results):
        for name in ESTIMATES:
            found |= prefixed(f"small.{m}.{name}", _small(results, m, name))
    found |= prefixed("lag", _lag(results))
    for count in COUNTS[:-1]:
        found |= prefixed(f"count.{count}", _count(results, count))
    found["count.most"] = COUNTS[-1]
    found |= prefixed("cifar", _first_epoch())
    for images in fold_batches(results):
        found |= prefixed(f"fold.{images}", _fold(results.main["fold", str(images)]))
    return found


def _mode(results: Results, mode: str) -> dict[str, Number]:
    known: dict[str, Number] = interval("accuracy", stats.mean_interval(ends(results, f"{mode}_accuracy")))
    known["disagreement"] = float(ends(results, f"{mode}_disagreement").mean())
    known["tracking"] = float(np.mean([tracking_error(record, mode) for record in net(results)]))
    if mode != MODES[0]:
        gap = ends(results, f"{mode}_accuracy") - ends(results, f"{MODES[0]}_accuracy")
        known |= interval("gap", stats.mean_interval(gap))
    if mode in TEST_BATCHES:
        known["company"] = float(ends(results, f"{mode}_company").mean())
    if mode in MOVING:
        known["first"] = float(_first(net(results), mode))
    return known


def _first(records: Sequence[Record], mode: str) -> float:
    """The step from which on the accuracy by `mode` stays within a point of that by the population
    statistics, the mean over seeds; the last step where it never does."""
    found = []
    for record in records:
        gap = np.abs(column(record, f"{mode}_accuracy") - column(record, "population_accuracy"))
        off = np.flatnonzero(gap > 1)
        steps = column(record, "step")
        found.append(steps[min(off[-1] + 1, len(steps) - 1)] if len(off) else steps[0])
    return float(np.mean(found))


def _small(results: Results, m: int, name: str) -> dict[str, Number]:
    own, with_factor = (100 * small(results, m, f"{one}_accuracy") for one in (name, ESTIMATES[0]))
    known: dict[str, Number] = interval("accuracy", stats.mean_interval(own))
    known |= interval("gap", stats.paired_difference(own, with_factor))  # to Algorithm 2 as it stands
    return known | {
        "variance": float(small(results, m, f"{name}_variance").mean()),
        "loss": float(small(results, m, f"{name}_loss").mean()),
    }


def _lag(results: Results) -> dict[str, Number]:
    """ "at_<lr>.<moving>": points missed, the mean over seeds; "at_<lr>.learned": how many seeds learn;
    "highest": the learning rate that is judged, "judged.<moving>" likewise there; "peak", "peak_step": the
    most that the usual average misses there after its start, as the mean over seeds; "start", "start_step":
    the most at Section 4.1's learning rate, its start included."""
    found: dict[str, Number] = {"highest": highest_rate(results)}
    for lr in learning_rates(results):
        found[f"at_{lr:g}.learned"] = learned(lagging(results, lr))
    for mode in LAGGING:
        for lr in learning_rates(results):
            points = [mean_missed(record, mode) for record in lagging(results, lr)]
            known = interval(mode, stats.mean_interval(points))
            found |= prefixed(f"at_{lr:g}", known)
            found |= prefixed("judged", known) if lr == found["highest"] else {}
    for name, lr, first in (("peak", found["highest"], STARTED), ("start", LR, 0)):
        runs = [missed(record, USUAL) for record in lagging(results, lr)]
        steps, points = runs[0][0], np.mean([points for _, points in runs], axis=0)
        later = steps >= first
        found[name] = float(points[later].max())
        found[f"{name}_step"] = int(steps[later][points[later].argmax()])
    return found


def _count(results: Results, count: int) -> dict[str, Number]:
    """How far, in percent, a crossing moves where Algorithm 2 averages over `count` mini-batches only: the
    geometric mean over seeds, then the mean and the largest over accuracies; and "moved", how many percent of
    single crossings are at another evaluation at all."""
    found = shifts(results, count)
    if not found:
        return {}
    sizes = [100 * abs(np.exp(np.log(ratios).mean()) - 1) for ratios in found.values()]
    moved = 100 * np.mean([ratios != 1 for ratios in found.values()])
    return {"shift": np.mean(sizes), "largest": max(sizes), "moved": moved, "to": max(found)}


def _first_epoch() -> dict[str, Number]:
    found = first_epoch()
    return {
        "step": found[0].outcome["step"],
        "seeds": len(found),
        "moving": [100 * record.final["test_accuracy"] for record in found],
        "population": [100 * record.final["test_accuracy_population"] for record in found],
    }


def _fold(records: Sequence[Record]) -> dict[str, Number]:
    return {
        "times": float(np.median([record.final["times_folded"] for record in records])),
        "microseconds": float(np.median([record.final["microseconds"] for record in records])),
    }
