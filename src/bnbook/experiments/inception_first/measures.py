"""Section 4.2's first registration: what was measured in the records of the Inception networks."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from bnbook import architecture, stats
from bnbook.experiments.inception_first import protocol
from bnbook.experiments.inception_first.protocol import (
    BASELINE,
    FIGURE_VARIANTS,
    TRAINING_IMAGES,
    VARIANTS,
    Profile,
    Results,
)
from bnbook.measures import (
    Crossing,
    Estimate,
    crossing,
    curve,
    data_name,
    interval,
    one_image,
    prefixed,
    steps_ratio,
    target,
    verdict,
)
from bnbook.paper import Number
from bnbook.photometric import STRENGTHS
from bnbook.records import MissingRecord, Record

LEARNS = 2.0  # times chance: what counts as learning at all


@dataclasses.dataclass(frozen=True)
class Row:
    """One network in the table of Section 4.2.2, beside the paper's row. `crossings` are by seed."""

    variant: str
    lr: float
    crossings: list[Crossing]  # of the baseline's maximum
    best: np.ndarray  # maximum test accuracy in percent, by seed
    best_steps: np.ndarray  # the steps to it
    chosen: np.ndarray  # test accuracy in percent at the step with the best validation accuracy
    seconds_per_step: float  # see `undisturbed`
    diverged: int
    at_chance: int  # seeds that never learned anything to speak of


def chance(records: Sequence[Record]) -> float:
    return 100 * records[0].final["chance_accuracy"]


def best(record: Record) -> float:
    """The highest test accuracy in percent during training: the paper's measure; chance at least."""
    return float(curve(record)[1].max(initial=chance([record])))


def best_step(record: Record) -> int:
    """The first step at which the highest test accuracy was measured; 0 where none was."""
    steps, values = curve(record)
    return int(steps[values.argmax()]) if len(values) else 0


def validation_curve(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """(steps, validation accuracy in percent), an evaluation an epoch."""
    columns = record.curves["validation"]
    return np.array(columns["step"], dtype=int), 100 * np.array(columns.get("validation_accuracy", []))


def accuracy_at_chosen_step(record: Record) -> float:
    """Test accuracy in percent at the evaluation nearest to the step with the best validation accuracy.

    The maximum over the test curve is the paper's measure, but picks its step by the test set.
    """
    steps, values = validation_curve(record)
    if not len(values):
        return chance([record])
    tested, accuracy = curve(record)
    return float(accuracy[np.abs(tested - steps[values.argmax()]).argmin()])


def goal(results: Results) -> float:
    """The accuracy in percent to be reached: the baseline's maximum, averaged over seeds."""
    return target(results.main[BASELINE])


def crossings(results: Results, variant: str) -> list[Crossing]:
    """When each seed of `variant` reached the goal."""
    return [crossing(record, goal(results)) for record in results.main[variant]]


def table(results: Results) -> list[Row]:
    """The table of Section 4.2.2 and the two networks that the paper mentions beside it."""
    return [_row(results, variant) for variant in VARIANTS]


def _row(results: Results, variant: str) -> Row:
    found = results.main[variant]
    return Row(
        variant=variant,
        lr=found[0].config["lr"],
        crossings=crossings(results, variant),
        best=np.array([best(r) for r in found]),
        best_steps=np.array([best_step(r) for r in found]),
        chosen=np.array([accuracy_at_chosen_step(r) for r in found]),
        seconds_per_step=undisturbed(found),
        diverged=sum(r.diverged for r in found),
        at_chance=sum(best(r) <= LEARNS * chance([r]) for r in found),
    )


def undisturbed(records: Sequence[Record]) -> float:
    """Seconds of a step: the tenth percentile over the stretches between evaluations, of all seeds; NaN where
    there is none. Other work on the same cores only ever makes a stretch longer, so the quick ones tell what
    a step takes. Of each run the longer half of the stretches, since a few steps are too short to tell."""
    found: list[float] = []
    for record in records:
        columns = record.curves["evaluation"]
        steps, seconds = (np.diff(columns.get(name, [])) for name in ("step", "train_seconds"))
        if len(seconds):
            long = steps >= np.median(steps)
            found += list(seconds[long] / steps[long])
    return float(np.quantile(found, 0.1)) if found else float("nan")


def end_validation(record: Record) -> float:
    """Validation accuracy in percent at the end of a run; chance where it diverged."""
    return 100 * protocol.validation(record)


def highest_usable(results: Results, norm: bool) -> np.ndarray:
    """By seed, the highest learning rate of the grid at which the network learns; 0 where it never does."""
    lrs = sorted({lr for kind, lr in results.rates if kind == norm})
    seeds = range(len(results.rates[norm, lrs[0]]))
    learns = {lr: [_learns(record) for record in results.rates[norm, lr]] for lr in lrs}
    return np.array([max((lr for lr in lrs if learns[lr][seed]), default=0.0) for seed in seeds])


def _learns(record: Record) -> bool:
    return end_validation(record) > LEARNS * chance([record])


def matched_gaps(results: Results) -> dict[float, np.ndarray]:
    """By learning rate: validation accuracy with BN minus without, in points, by seed, all else equal."""
    return {
        lr: np.array([end_validation(r) for r in results.rates[True, lr]])
        - np.array([end_validation(r) for r in results.rates[False, lr]])
        for lr in sorted({lr for _, lr in results.rates})
    }


def best_rate(results: Results, norm: bool) -> float:
    """The learning rate of the grid with the best mean validation accuracy; ties go to the smaller."""
    lrs = sorted({lr for kind, lr in results.rates if kind == norm})
    return max(lrs, key=lambda lr: np.mean([end_validation(r) for r in results.rates[norm, lr]]))


def float32_pair(results: Results) -> dict[str, tuple[float, float]]:
    """By variant of the float32 pair: its highest test accuracy in percent, and that of the main run of the
    same seed."""
    return {
        name: (best(record), best(results.main[name][record.seed]))
        for name, record in results.float32.items()
    }


def learned(records: Sequence[Record]) -> list[Record]:
    """Those whose network got anywhere."""
    return [record for record in records if best(record) > LEARNS * chance([record])]


def where_the_baseline_learned(results: Results) -> Results:
    """Only the seeds with which the baseline got anywhere. A seed at chance pulls the goal down; this shows
    by how much. Not part of any claim's rule, and looked at only after such a seed was seen."""
    seeds = {record.seed for record in learned(results.main[BASELINE])}
    kept = {name: [r for r in found if r.seed in seeds] for name, found in results.main.items()}
    return dataclasses.replace(results, main=kept)


# Statistics: each takes the results and says how large the paper's claim turns out here


def speedup(results: Results, slow: str, fast: str) -> Estimate:
    """Steps to the baseline's maximum, of `slow` over `fast`."""
    names = tuple({"ko": VARIANTS[v].name, "en": f"of {VARIANTS[v].name}"} for v in (slow, fast))
    ratio = steps_ratio(crossings(results, slow), crossings(results, fast), names)
    reached = goal(results)
    goals = {"ko": f"목표 {reached:.2f}%.", "en": f"Target {reached:.2f}%."}
    return Estimate(ratio.interval, {lang: goals[lang] + ratio.detail[lang] for lang in goals}, ratio.bound)


def gain(results: Results, higher: str, lower: str) -> Estimate:
    """Maximum test accuracy of `higher` minus that of `lower`, in points."""
    pair = [np.array([best(r) for r in results.main[variant]]) for variant in (higher, lower)]
    chosen = [
        np.mean([accuracy_at_chosen_step(r) for r in results.main[variant]]) for variant in (higher, lower)
    ]
    top, bottom = (float(x.mean()) for x in pair)
    return Estimate(
        stats.paired_difference(*pair, resolution=one_image(results.main[higher])),
        {
            "ko": f"{top:.2f}% 대 {bottom:.2f}%. 검증 정확도로 고른 스텝에서는 "
            f"{chosen[0]:.2f}% 대 {chosen[1]:.2f}%.",
            "en": f"{top:.2f}% against {bottom:.2f}%; at the steps chosen on validation accuracy "
            f"{chosen[0]:.2f}% against {chosen[1]:.2f}%.",
        },
    )


def sigmoid_gain(results: Results) -> Estimate:
    """Maximum test accuracy of the sigmoids with BN minus that without, in points."""
    found = gain(results, "bn_x5_sigmoid", "inception_sigmoid")
    bn, plain = (results.main[name][0].config["lr"] for name in ("bn_x5_sigmoid", "inception_sigmoid"))
    return dataclasses.replace(
        found,
        caveat={
            "ko": f"두 네트워크 모두 학습률 하나로만 돌렸고(배치 정규화 {bn:g}, 기준 모델 {plain:g}), "
            "시그모이드에 맞추어 튜닝하지 않았다.",
            "en": f"Both at a single learning rate ({bn:g} with, {plain:g} without), not tuned for sigmoids.",
        },
    )


def usable_rates(results: Results) -> Estimate:
    """Highest learning rate at which the network learns, with BN over without, known to a step of the grid;
    raises MissingRecord where the control has not been made."""
    if not results.controlled:
        raise MissingRecord("the control of Section 4.2 has not been made yet")
    lrs = np.unique([lr for _, lr in results.rates])
    top, step = lrs[-1], float(np.max(lrs[1:] / lrs[:-1]))
    plain, bn = (highest_usable(results, norm) for norm in (False, True))
    bounds = {(0, 0): None, (0, 1): "lower", (1, 0): "upper", (1, 1): "both"}
    # A network that learns nowhere counts with half of the lowest rate.
    floor = lrs[0] / 2
    diverged = sum(r.diverged for r in results.main["inception_x5"])
    at_chance = _row(results, "inception_x5").at_chance
    n = len(results.main["inception_x5"])
    return Estimate(
        stats.paired_ratio(np.maximum(bn, floor), np.maximum(plain, floor), resolution=step),
        {
            "ko": f"학습된 시드가 있는 가장 높은 학습률은 배치 정규화 {bn.max():g}, 기준 모델 {plain.max():g}"
            f"(격자의 끝 {top:g}). "
            f"Inception-x5: 시드 {n}개 가운데 {at_chance}개가 무작위 수준에서 끝나고, "
            f"그 가운데 {diverged}개는 발산했다.",
            "en": f"The highest rate at which any seed learns is {bn.max():g} with, {plain.max():g} without "
            f"(the grid ends at {top:g}). "
            f"Inception-x5: {at_chance} of {n} seeds end at chance, {diverged} of them by diverging.",
        },
        bounds[bool((plain == top).any()), bool((bn == top).any())],
    )


# By the name that paper.yml gives.
STATISTICS: dict[str, Callable[[Results], Estimate]] = {
    "usable_rates": usable_rates,
    "same_rate_speedup": lambda results: speedup(results, BASELINE, "bn_baseline"),
    "bundle_speedup": lambda results: speedup(results, BASELINE, "bn_x5"),
    "changes_speedup": lambda results: speedup(results, "bn_baseline", "bn_x5"),
    "higher_rate_gain": lambda results: gain(results, "bn_x30", "bn_x5"),
    "sigmoid_gain": sigmoid_gain,
    "bundle_gain": lambda results: gain(results, "bn_x5", BASELINE),
}

# By claim the statistic that judged it, and the smallest effect that mattered: what its rule was before the
# second registration's took its place in paper.yml.
RULES = {
    "c-3.3-learning-rate": ("usable_rates", 2.0),
    "c-4.2-same-rate": ("same_rate_speedup", 1.2),
    "c-4.2-speedup": ("bundle_speedup", 1.2),
    "c-4.2-changes": ("changes_speedup", 1.2),
    "c-4.2-ends-higher": ("bundle_gain", 0.5),
    "c-4.2-accuracy": ("higher_rate_gain", 0.5),
    "c-4.2-sigmoid": ("sigmoid_gain", 0.5),
}
SHOWN = ("c-4.2-speedup",)  # beside the paper, and not judged


def judged(results: Results) -> dict[str, Number]:
    """By claim what the first registration came to: estimate, interval and verdict; how many it judged, and
    left open. A claim that needs the control is not there before it is made."""
    found: dict[str, Number] = {}
    for claim, (statistic, effect) in RULES.items():
        if statistic == "usable_rates" and not results.controlled:
            continue
        estimate = STATISTICS[statistic](results)
        found |= interval(f"claim.{claim}", estimate.interval)
        found[f"verdict.{claim}"] = "not judged" if claim in SHOWN else verdict(estimate, effect)
    outcomes = [found[name] for name in found if name.startswith("verdict.") and found[name] != "not judged"]
    return found | {"judged": len(outcomes), "inconclusive": outcomes.count("inconclusive")}


# Every number a chapter may want


def sizes(profile: Profile) -> dict[str, Number]:
    """What is known before any run."""
    found: dict[str, Number] = {
        "width": profile.width,
        "seeds": profile.seeds,
        "epochs": profile.epochs,
        "changed_epochs": profile.changed_epochs,
        "steps_per_epoch": profile.steps_per_epoch,
        "batch_size": profile.batch_size,
        "training_images": TRAINING_IMAGES[profile.data],
    }
    for name, strength in STRENGTHS.items():
        found[f"photometric.{name}"] = round(100 * strength.brightness)  # in percent
    for name, width in (("parameters", profile.width), ("full_parameters", 1.0)):
        for kind, norm in (("plain", False), ("bn", True)):
            found[f"{name}.{kind}"] = architecture.parameters(width, norm)
    return found


def numbers(results: Results) -> dict[str, Number]:
    """Our numbers by key; accuracies in percent, gaps in points."""
    choice = results.choice
    made = [r for stage in ("main", "rates", "tuning") for r in results.records(stage)]
    everything = {(r.run_id, r.seed): r for r in [*made, *results.float32.values()]}.values()
    first = results.main[BASELINE][0]
    found: dict[str, Number] = {
        "data": data_name([first]),
        "runs": len(everything),
        "hardware": first.provenance["hardware"],
        "precision": first.provenance["precision"],
        "lr": choice.lr,
        "lr_decay": choice.lr_decay,
        "weight_decay": choice.weight_decay,
        "goal": goal(results),
    }
    for row in table(results):
        found |= prefixed(row.variant, _row_numbers(row))
    for variant in FIGURE_VARIANTS[1:]:
        found |= prefixed(
            f"speedup.{variant}", interval("ratio", speedup(results, BASELINE, variant).interval)
        )
    found |= prefixed("learned", _learned_numbers(where_the_baseline_learned(results)))
    found |= prefixed("rates", _rate_sizes(results) | (_rate_numbers(results) if results.controlled else {}))
    for name, (float32, main) in float32_pair(results).items():
        found |= prefixed(f"float32.{name}", {"best": float32, "main": main, "gap": main - float32})
    return found | judged(results)


def _row_numbers(row: Row) -> dict[str, Number]:
    numbers = {
        "lr": row.lr,
        "diverged": row.diverged,
        "at_chance": row.at_chance,
        "reached": sum(c.reached for c in row.crossings),
        "steps": int(np.median([c.step for c in row.crossings])),
        "best_steps": int(np.median(row.best_steps)),
        "milliseconds": 1000 * row.seconds_per_step,
    }
    for name, values in (("best", row.best), ("chosen", row.chosen)):
        numbers |= interval(name, stats.mean_interval(values))
    return numbers | {"best_min": float(row.best.min()), "best_max": float(row.best.max())}


def _learned_numbers(learned: Results) -> dict[str, Number]:
    found: dict[str, Number] = {"seeds": len(learned.main[BASELINE])}
    if not found["seeds"]:
        return found
    found["goal"] = goal(learned)
    slow = [c.step for c in crossings(learned, BASELINE)]
    found["baseline_reached"] = sum(c.reached for c in crossings(learned, BASELINE))
    for variant in FIGURE_VARIANTS[1:]:
        fast = crossings(learned, variant)
        ratios = np.divide(slow, [c.step for c in fast])
        found |= {
            f"{variant}.reached": sum(c.reached for c in fast),
            f"{variant}.ratio": float(np.exp(np.log(ratios).mean())),
            f"{variant}.ratio_min": float(ratios.min()),
            f"{variant}.ratio_max": float(ratios.max()),
        }
    return found


def _rate_sizes(results: Results) -> dict[str, Number]:
    lrs = [lr for _, lr in results.rates]
    return {
        "lowest": min(lrs),
        "highest": max(lrs),
        "seeds": len(results.rates[False, min(lrs)]),
        "epochs": results.profile.rates_epochs,
    }


def _rate_numbers(results: Results) -> dict[str, Number]:
    gaps = matched_gaps(results)
    plain, bn = best_rate(results, False), best_rate(results, True)
    return {
        "plain.best_lr": plain,
        "bn.best_lr": bn,
        "plain.best": _mean_end(results, False, plain),
        "bn.best": _mean_end(results, True, bn),
        "gap_at_lowest": float(gaps[min(gaps)].mean()),
        "gap_at_plain_best": float(gaps[plain].mean()),
        # What batch normalization gains when it may leave the rate that is best for the baseline.
        "gain_of_own_rate": _mean_end(results, True, bn) - _mean_end(results, True, plain),
        "plain.usable": float(np.median(highest_usable(results, False))),
        "bn.usable": float(np.median(highest_usable(results, True))),
    }


def _mean_end(results: Results, norm: bool, lr: float) -> float:
    return float(np.mean([end_validation(r) for r in results.rates[norm, lr]]))
