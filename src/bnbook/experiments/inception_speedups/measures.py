"""Section 4.2: what is measured in the records of the Inception networks."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats as distributions

from bnbook import architecture, stats
from bnbook.experiments.inception_speedups import protocol
from bnbook.experiments.inception_speedups.protocol import (
    INITIALS,
    LEARNS,
    PRECISION_DECAYS,
    PRECISION_LR,
    TRAINING_IMAGES,
    Profile,
    Results,
)
from bnbook.measures import (
    Crossing,
    Estimate,
    crossing,
    data_name,
    grid_factor,
    interval,
    one_image,
    prefixed,
)
from bnbook.paper import Number
from bnbook.photometric import STRENGTHS
from bnbook.records import MissingRecord, Record
from bnbook.stats import Arrivals, Interval

SEED = 2  # the one that stayed at chance in the first registration
ALIVE = 2.0  # times chance: what a network has to end above to count as one that learns
GRID_STEP = 2.0  # between the learning rates of the survival runs
LONG = ("bn_x5_long", "bn_x5_long_r2", "bn_x5_long_r")  # as long as the baseline, with r^6, r^2 and r
# Slow and fast arm of the ratios of steps, and higher and lower one of the gaps at the end, that pages tell.
RATIOS = (
    ("inception", "bn_baseline"),
    ("inception", "bn_x5"),
    ("bn_baseline", "bn_x5"),
    ("bn_baseline", "bn_x1_changed"),
    ("bn_x1_changed", "bn_x5"),
    ("bn_x30", "bn_x5"),
)
GAPS = (
    ("bn_baseline", "inception"),
    ("bn_x5", "inception"),
    *((arm, "bn_baseline") for arm in ("bn_x5", *LONG, "bn_x1_changed")),
    ("bn_x5_long", "bn_x5"),
    ("bn_x30", "bn_x5"),
    ("bn_x30_slow", "bn_x5"),
    ("bn_x30_slow", "bn_x30"),
)
PROFILE_FROM = 40  # percent: from where on steps are compared at every accuracy


def accuracies(records: Sequence[Record]) -> np.ndarray:
    """Validation accuracy in percent at the end, by seed; chance where the run diverged."""
    return 100 * np.array([protocol.validation(record) for record in records])


def learned(records: Sequence[Record]) -> int:
    """How many seeds learn."""
    return sum(map(protocol.learns, records))


def survivors(records: Sequence[Record]) -> Interval:
    """The share of seeds that learn (0 to 1), with Clopper and Pearson's exact interval."""
    found = distributions.binomtest(learned(records), len(records))
    within = found.proportion_ci(stats.CONFIDENCE, method="exact")
    return Interval(found.statistic, float(within.low), float(within.high), len(records))


def same_survival(one: Sequence[Record], other: Sequence[Record]) -> float:
    """Two-sided p-value of the exact test (Fisher's) that both learn with the same share of seeds."""
    table = [[learned(found), len(found) - learned(found)] for found in (one, other)]
    return float(distributions.fisher_exact(table).pvalue)


# The main stage


def chance(record: Record) -> float:
    return 100 * record.final["chance_accuracy"]


def ends_learned(records: Sequence[Record]) -> np.ndarray:
    """By seed, whether the network ends above ALIVE times chance."""
    return np.array([100 * record.accuracy > ALIVE * chance(record) for record in records])


def crossings(results: Results, arm: str, goal: float | None = None) -> list[Crossing]:
    """When each seed of the arm reached `goal` percent; by default the registered target."""
    goal = results.choice.target if goal is None else goal
    return [crossing(record, goal) for record in results.arm(arm)]


def arrivals(found: Sequence[Crossing]) -> Arrivals:
    return Arrivals([one.step for one in found], [one.reached for one in found])


@dataclasses.dataclass(frozen=True)
class Profiled:
    """The ratio of steps, slow over fast, at one accuracy in percent."""

    accuracy: float
    ratio: Interval


def profile(results: Results, slow: str, fast: str) -> list[Profiled]:
    """S(T): the ratio of steps at every accuracy from PROFILE_FROM percent on that all seeds of both networks
    reach which learn at all. Geometric means, paired by seed."""
    pairs = paired(results, slow, fast)
    found = []
    for goal in range(PROFILE_FROM, 100):
        both = [(crossing(a, goal), crossing(b, goal)) for a, b in pairs]
        if not both or not all(a.reached and b.reached for a, b in both):
            break
        steps = [[one.step for one in side] for side in zip(*both, strict=True)]
        factor = grid_factor([one for pair in both for one in pair])
        found.append(Profiled(goal, stats.paired_ratio(*steps, resolution=factor)))
    return found


def paired(results: Results, one: str, other: str) -> list[tuple[Record, Record]]:
    """The records of two arms, of the seeds that both have and that learn in both."""
    by_seed = {record.seed: record for record in results.arm(other)}
    pairs = [(record, by_seed[record.seed]) for record in results.arm(one) if record.seed in by_seed]
    return [pair for pair in pairs if ends_learned(pair).all()]


def best(record: Record) -> float:
    """The highest test accuracy in percent over the epochs' ends, on all images: the paper's own measure."""
    curve = record.curves["epochs"]
    name = "test_accuracy_population" if "test_accuracy_population" in curve else "test_accuracy"
    return 100 * max(curve.get(name, []), default=record.final["chance_accuracy"])


def sigmoid_rate(results: Results) -> str:
    """The arm of Inception-Sigmoid at the one of its rates with the best mean validation accuracy."""
    arms = [name for name in protocol.ARMS if name.startswith("inception_sigmoid")]
    return max(arms, key=lambda name: accuracies(results.arm(name)).mean())


# Statistics: each takes the results and says how large the paper's claim turns out here


def speedup(results: Results, slow: str, fast: str) -> Estimate:
    """Restricted mean steps to the target, of `slow` over `fast`."""
    names = (protocol.ARMS[slow].name, protocol.ARMS[fast].name)
    return times_the_steps(crossings(results, slow), crossings(results, fast), names, results.choice.target)


def times_the_steps(
    slow: Sequence[Crossing], fast: Sequence[Crossing], names: tuple[str, str], goal: float
) -> Estimate:
    """Restricted mean steps to `goal` percent, slow over fast, up to the most steps that all runs had."""
    pair = (arrivals(slow), arrivals(fast))
    budget = stats.common_budget(*pair)
    shares = [f"{sum(one.reached)}/{len(one.reached)}" for one in pair]
    # A reader may have a single seed: then there is nothing to permute.
    p = stats.permutation_p(*pair, budget) if min(len(slow), len(fast)) > 1 else 1.0
    return Estimate(
        stats.restricted_mean_ratio(*pair, budget, resolution=grid_factor([*slow, *fast])),
        {
            "ko": f"목표 {goal:.2f}%. 이른 시드: {names[0]} {shares[0]}, {names[1]} {shares[1]}. "
            f"{budget:,}스텝까지의 제한 평균, 순열 검정 p = {p:.4f}.",
            "en": f"Target {goal:.2f}%. Seeds that get there: {shares[0]} of {names[0]}, {shares[1]} of "
            f"{names[1]}. Restricted means up to {budget:,} steps, permutation test p = {p:.4f}.",
        },
    )


def instrument_shifts(results: Results) -> np.ndarray:
    """How far a finer instrument moves crossings: of each run that was measured twice, at every accuracy from
    PROFILE_FROM percent on that both of its curves reach, the later step over the one used here."""
    found = []
    for name, finer in results.stages["instrument"].items():
        by_seed = {record.seed: record for record in results.arm(name)}
        for record, goal in itertools.product(finer, range(PROFILE_FROM, 100)):
            here, there = crossing(by_seed[record.seed], goal), crossing(record, goal)
            if here.reached and there.reached:
                found.append(there.step / here.step)
    return np.array(found)


def end_gaps(results: Results, higher: str, lower: str) -> np.ndarray:
    """Test accuracy of `higher` at the end minus that of `lower`, in points, by the seeds that learn in
    both."""
    return np.array([100 * (one.accuracy - other.accuracy) for one, other in paired(results, higher, lower)])


def gain(results: Results, higher: str, lower: str, beside: Sequence[str] = ()) -> Estimate:
    """The mean of `end_gaps`, and beside it that of other arms over the same `lower`; raises MissingRecord
    where fewer than two seeds learn in both."""
    pairs = paired(results, higher, lower)
    if len(pairs) < 2:
        raise MissingRecord(f"fewer than two seeds learn in {higher} and in {lower}")
    tops = [np.array([100 * record.accuracy for record in side]) for side in zip(*pairs, strict=True)]
    highest = [np.mean([best(record) for record in side]) for side in zip(*pairs, strict=True)]
    shares = [_share(results, arm) for arm in (higher, lower)]
    names = [protocol.ARMS[arm].name for arm in (higher, lower)]
    means = [float(values.mean()) for values in tops]
    return Estimate(
        stats.paired_difference(*tops, resolution=2 * one_image(pairs[0])),
        {
            "ko": f"{names[0]} {means[0]:.2f}%, {names[1]} {means[1]:.2f}%. 학습된 시드는 {shares[0]}, "
            f"{shares[1]}. 학습하는 동안의 최고 정확도로는 {highest[0]:.2f}%와 {highest[1]:.2f}%."
            + "".join(f" {name}: {value:+.2f}%p." for name, value in _beside(results, beside, lower)),
            "en": f"{names[0]} {means[0]:.2f}%, {names[1]} {means[1]:.2f}%; {shares[0]} and {shares[1]} of "
            f"the seeds learn. By the highest accuracy in training {highest[0]:.2f}% and {highest[1]:.2f}%."
            + "".join(f" {name}: {value:+.2f} points." for name, value in _beside(results, beside, lower)),
        },
    )


def _beside(results: Results, arms: Sequence[str], lower: str) -> list[tuple[str, float]]:
    """Each arm's name and its mean gap to `lower`."""
    return [(protocol.ARMS[arm].name, float(end_gaps(results, arm, lower).mean())) for arm in arms]


def _share(results: Results, arm: str) -> str:
    learned = ends_learned(results.arm(arm))
    return f"{learned.sum()}/{learned.size}"


def sigmoid_gain(results: Results) -> Estimate:
    """BN-x5-Sigmoid minus Inception-Sigmoid at its best rate, at the end; here chance is an answer too."""
    lower = sigmoid_rate(results)
    seeds = {record.seed: record for record in results.arm("bn_x5_sigmoid")}
    plain = [record for record in results.arm(lower) if record.seed in seeds]
    tops = [[100 * found.accuracy for found in side] for side in ([seeds[r.seed] for r in plain], plain)]
    name = protocol.ARMS[lower].name
    return Estimate(
        stats.paired_difference(*tops, resolution=2 * one_image(plain)),
        {
            "ko": f"BN-x5-Sigmoid {np.mean(tops[0]):.2f}%, {name} {np.mean(tops[1]):.2f}%.",
            "en": f"BN-x5-Sigmoid {np.mean(tops[0]):.2f}%, {name} {np.mean(tops[1]):.2f}%.",
        },
    )


def usable(results: Results, norm: bool) -> np.ndarray:
    """By seed, the highest rate of the grid at which the network learns in its epoch; half the lowest where
    it never does. Raises MissingRecord where the survival runs have not been made."""
    if "survival" not in results.stages:
        raise MissingRecord("the survival runs of Section 4.2 have not been made yet")
    cells = {lr: found for (with_norm, lr), found in results.stages["survival"].items() if with_norm == norm}
    learns = {lr: [protocol.learns(record) for record in found] for lr, found in cells.items()}
    seeds = range(len(next(iter(learns.values()))))
    return np.array(
        [max((lr for lr in learns if learns[lr][seed]), default=min(learns) / 2) for seed in seeds]
    )


def usable_rates(results: Results) -> Estimate:
    """Highest rate at which the network learns, with batch normalization over without, by seed."""
    bn, plain = usable(results, True), usable(results, False)
    tops = [max(lr for with_norm, lr in results.stages["survival"] if with_norm == norm) for norm in (1, 0)]
    bounds = {(0, 0): None, (1, 0): "lower", (0, 1): "upper", (1, 1): "both"}
    return Estimate(
        stats.paired_ratio(bn, plain, resolution=GRID_STEP),
        {
            "ko": f"시드의 중앙값: 배치 정규화 {np.median(bn):g}, 기준 모델 {np.median(plain):g}.",
            "en": f"Median over seeds: {np.median(bn):g} with, {np.median(plain):g} without.",
        },
        bounds[bool((bn == tops[0]).any()), bool((plain == tops[1]).any())],
        caveat={
            "ko": f"학습률을 {GRID_STEP:g}배 간격으로 시험해서 구간이 위아래로 {GRID_STEP:g}배씩 넓다.",
            "en": f"Rates were tried at factors of {GRID_STEP:g}, so either end of the interval lies "
            f"a factor of {GRID_STEP:g} further out.",
        },
    )


# By the name that paper.yml gives.
STATISTICS: dict[str, Callable[[Results], Estimate]] = {
    "same_rate_speedup": functools.partial(speedup, slow="inception", fast="bn_baseline"),
    "bundle_speedup": functools.partial(speedup, slow="inception", fast="bn_x5"),
    "changes_speedup": functools.partial(speedup, slow="bn_baseline", fast="bn_x5"),
    "bundle_gain": functools.partial(gain, higher="bn_x5", lower="inception"),
    "changes_gain": functools.partial(gain, higher="bn_x5", lower="bn_baseline", beside=LONG),
    "higher_rate_gain": functools.partial(gain, higher="bn_x30", lower="bn_x5", beside=["bn_x30_slow"]),
    "higher_rate_slowdown": functools.partial(speedup, slow="bn_x30", fast="bn_x5"),
    "sigmoid_gain": sigmoid_gain,
    "usable_rates": usable_rates,
}


def sizes(profile: Profile) -> dict[str, Number]:
    """What is known before any run."""
    found: dict[str, Number] = {
        "width": profile.width,
        "batch_size": profile.batch_size,
        "steps_per_epoch": profile.steps_per_epoch,
        "training_images": TRAINING_IMAGES[profile.data],
        "weight_decay": profile.weight_decay,
    }
    for name, strength in STRENGTHS.items():
        found[f"photometric.{name}"] = round(100 * strength.brightness)  # in percent
    for name, width in (("parameters", profile.width), ("full_parameters", 1.0)):
        for kind, norm in (("plain", False), ("bn", True)):
            found[f"{name}.{kind}"] = architecture.parameters(width, norm)
    return found | {
        "learns": 100 * LEARNS,
        "lr": PRECISION_LR,
        "decays": list(PRECISION_DECAYS),
        "below": protocol.BELOW,
        "plateau": protocol.PLATEAU,
        "statistics_batches": profile.statistics_batches,
        "curve_images": profile.curve_images,
        "seeds": max(arm.seeds for arm in protocol.ARMS.values()),
        "survival_seeds": profile.survival_seeds,
        "again_seeds": protocol.AGAIN_SEEDS,
        "epochs": profile.epochs,
        "norm_momentum": protocol.Config.norm_momentum,
        "pixel_spread": protocol.PIXEL_SPREAD,
        "lrn_alpha": protocol.LRN_ALPHA,
        "evaluate_from": protocol.Config.evaluate_from,
        "evaluate_growth": round(100 * (protocol.Config.evaluate_growth - 1)),  # in percent
    }


def numbers(results: Results) -> dict[str, Number]:
    """Our numbers by key; accuracies in percent."""
    found: dict[str, Number] = {}
    for stage, measure in (("precision", _precision), ("initial", _initial), ("survival", _survival)):
        if stage in results.stages:
            found |= {"data": data_name(results.records(stage))} | prefixed(stage, measure(results))
    if results.choice:
        found |= _choice(results)
    if results.main:
        found |= _main(results)
    if "instrument" in results.stages:
        found |= prefixed("instrument", _instrument(results))
    return found


def _main(results: Results) -> dict[str, Number]:
    """What the arms come to: of each when it reaches the target and where it ends, then ratios and gaps."""
    everything, choice = results.records("main"), results.choice.but_for(results.profile)
    found: dict[str, Number] = {
        "runs": len(everything),
        "on_a_gpu": sum("thread" not in record.provenance["hardware"] for record in everything),
        "moved": sum(" and " in record.provenance["hardware"] for record in everything),
        "long_epochs": choice.epochs,
        "short_epochs": max(1, choice.epochs // 3),
        "lr_decay": choice.lr_decay,
        "sigmoid_rate": results.arm(sigmoid_rate(results))[0].config["lr"],
    }
    for arm, records in results.main.items():
        found |= prefixed(arm, _arm(results, arm, records))
    for slow, fast in RATIOS:
        name = f"ratio.{fast}" if slow == "inception" else f"ratio.{slow}_over_{fast}"
        found |= prefixed(name, interval("steps", speedup(results, slow, fast).interval))
        if along := profile(results, slow, fast):
            found |= prefixed(name, _profiled(along))
    for higher, lower in GAPS:
        if len(gaps := end_gaps(results, higher, lower)) > 1:
            found |= prefixed(f"gap.{higher}_{lower}", interval("end", stats.mean_interval(gaps)))
    return found


def _instrument(results: Results) -> dict[str, Number]:
    """In percent: how far crossings move, by median, nine in ten and at most; how much later they are."""
    moved = np.log(instrument_shifts(results))
    median, nine_in_ten, most = np.quantile(np.abs(moved), (0.5, 0.9, 1))
    found = {"median": median, "nine_in_ten": nine_in_ten, "most": most, "later": moved.mean()}
    return {"crossings": len(moved)} | {name: 100 * float(np.expm1(value)) for name, value in found.items()}


def _arm(results: Results, arm: str, records: Sequence[Record]) -> dict[str, Number]:
    ends = 100 * np.array([record.accuracy for record in records])
    learned = ends[ends_learned(records)]
    arrived = [one.step for one in crossings(results, arm) if one.reached]
    found: dict[str, Number] = {
        "seeds": len(records),
        "lr": records[0].config["lr"],
        "steps": records[0].config["steps"],
        "learned": len(learned),
        "diverged": sum(record.diverged for record in records),
        "reached": len(arrived),
        "end": float(learned.mean() if learned.size else ends.mean()),
        "end_min": float(ends.min()),
        "end_max": float(ends.max()),
        "best": float(np.mean([best(record) for record in records])),
    }
    return found | ({"arrived": int(np.median(arrived))} if arrived else {})


def _profiled(along: Sequence[Profiled]) -> dict[str, Number]:
    """The ratio at the lowest and the highest accuracy that is compared, and its smallest and largest."""
    ratios = [one.ratio.estimate for one in along]
    return {
        "lowest_accuracy": along[0].accuracy,
        "highest_accuracy": along[-1].accuracy,
        "at_lowest": ratios[0],
        "at_highest": ratios[-1],
        "smallest": min(ratios),
        "largest": max(ratios),
    }


def _precision(results: Results) -> dict[str, Number]:
    cells = results.stages["precision"]
    found: dict[str, Number] = {}
    for (name, decay), records in cells.items():
        values = accuracies(records)
        found |= prefixed(
            f"{name}_{decay:g}",
            {
                "seeds": len(records),
                "learned": learned(records),
                "stopped": len(records) - learned(records),
                "mean": float(values.mean()),
            }
            | ({"seed": float(values[SEED])} if len(values) > SEED else {}),
        )
    runs = sum(map(len, cells.values()))
    stopped = runs - sum(map(learned, cells.values()))
    by_seed = list(zip(*cells.values(), strict=False))  # of the seeds that all cases have
    return found | {
        "runs": runs,
        "stopped": stopped,
        "stopped_in_any": sum(not all(map(protocol.learns, of)) for of in by_seed),
        "stopped_in_all": sum(not any(map(protocol.learns, of)) for of in by_seed),
        # How likely one of three seeds or more stop, if each does with the share seen here; in percent.
        "one_of_three": 100 * (1 - (1 - stopped / runs) ** 3),
        "p": min(same_survival(cells["float32", d], cells["bfloat16", d]) for d in PRECISION_DECAYS),
    }


def _initial(results: Results) -> dict[str, Number]:
    cells = results.stages["initial"]
    found: dict[str, Number] = {"seeds": len(cells[INITIALS[0]])}
    for (name, scale), records in cells.items():
        found |= prefixed(
            f"{name}_{scale:g}",
            {
                "learned": learned(records),
                "mean": float(accuracies(records).mean()),
                "first_loss": float(np.mean([record.first_losses[0] for record in records])),
            },
        )
    if wide := results.full_width.get("initial"):
        found["full_width.seeds"] = len(wide[INITIALS[0]])
        found |= {
            f"full_width.{name}_{scale:g}.learned": learned(records)
            for (name, scale), records in wide.items()
        }
    return found


def _survival(results: Results) -> dict[str, Number]:
    cells = results.stages["survival"]
    found: dict[str, Number] = _reach(cells)
    for (norm, lr), records in cells.items():
        found[f"{_side(norm)}_{lr:g}.mean"] = float(accuracies(records).mean())
    if wide := results.full_width.get("survival"):
        found |= prefixed("full_width", _reach(wide))
    return found


def _reach(cells: dict[tuple[bool, float], list[Record]]) -> dict[str, Number]:
    """How high the learning rate may be for all seeds to learn, and for any; 0 where none will do."""
    found: dict[str, Number] = {}
    for norm in (False, True):
        shares = {
            lr: learned(records) / len(records) for (side, lr), records in cells.items() if side == norm
        }
        found |= prefixed(
            _side(norm),
            {
                "seeds": len(cells[norm, min(shares)]),
                "all": max((lr for lr, share in shares.items() if share == 1), default=0),
                "any": max((lr for lr, share in shares.items() if share > 0), default=0),
            },
        )
    for key in ("all", "any"):
        if found[f"plain.{key}"]:
            found[f"ratio.{key}"] = found[f"bn.{key}"] / found[f"plain.{key}"]
    return found


def _side(norm: bool) -> str:
    return "bn" if norm else "plain"


def _choice(results: Results) -> dict[str, Number]:
    """What was chosen, the pilot that it came from, and how BN fares at the grid's rate nearest to 30 x1."""
    choice, pilot, cells = results.choice, results.stages["pilot"], results.stages["survival"]
    at_x1 = pilot[choice.lr]
    rise = accuracies(at_x1).mean() - np.mean([protocol.earlier(record) for record in at_x1])
    x30 = 30 * choice.lr
    nearest = min((lr for norm, lr in cells if norm), key=lambda lr: abs(np.log(lr / x30)))
    there = accuracies(cells[True, nearest])
    return (
        prefixed("pilot", {"seeds": len(at_x1), "rise": float(rise)})
        | {f"pilot.mean_{lr:g}": float(accuracies(records).mean()) for lr, records in pilot.items()}
        | prefixed("choice", {"lr": choice.lr, "epochs": choice.epochs, "target": choice.target})
        | prefixed(
            "x30",
            {
                "lr": round(x30, 6),
                "nearest": nearest,
                "learned": learned(cells[True, nearest]),
                "lowest": float(there.min()),
                "highest": float(there.max()),
            },
        )
        | prefixed("again", _again(results))
    )


def _again(results: Results) -> dict[str, Number]:
    """The chosen initial weights at PRECISION_LR were trained in two stages, alike but for the name and, for
    some seeds, the machine."""
    chosen = results.stages["initial"][results.choice.initial, results.choice.output_scale]
    pairs = list(zip(chosen, results.stages["survival"][False, PRECISION_LR], strict=False))
    moved = [pair for pair in pairs if len({record.provenance["hardware"] for record in pair}) > 1]
    values = np.array([accuracies(pair) for pair in pairs])
    apart = np.abs(values[:, 0] - values[:, 1])
    first, second = values[apart.argmax()]
    return {
        "elsewhere": len(moved),  # on another machine
        "equal": int((apart == 0).sum()),
        "first": float(first),
        "second": float(second),
    }
