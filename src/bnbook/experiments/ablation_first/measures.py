"""Section 4.2.1's first registration: what each of the seven changes seemed to be worth."""

import functools
import math
from collections.abc import Callable

import numpy as np

from bnbook import stats
from bnbook.experiments.ablation_first.protocol import CHANGES, FULL, Config, Profile
from bnbook.experiments.inception_first.measures import accuracy_at_chosen_step, best, learned
from bnbook.experiments.inception_first.protocol import BASELINE
from bnbook.experiments.protocol import ChosenResults as Results
from bnbook.measures import (
    Crossing,
    Estimate,
    accuracies,
    crossing,
    grid_factor,
    interval,
    one_image,
    prefixed,
    target,
    verdict,
)
from bnbook.paper import Number, Text
from bnbook.stats import Compared, Interval

LRN_ALPHA, LRN_BETA = Config.lrn_alpha, 0.75
# The smallest that mattered, by change: of the learning rate times the steps, of the others points. Of the
# one that is not needed it is what may be lost without it.
EFFECTS = {change: 0.5 for change in CHANGES} | {"learning_rate": 1.2, "lrn": -0.5}
RATE = "learning_rate"  # judged by steps, the other six by accuracy


def goal(results: Results) -> float:
    """The accuracy in percent to be reached: that of Section 4.2, the baseline's maximum."""
    return target(results.main[BASELINE])


def learned_goal(results: Results) -> float:
    """The same over the seeds with which the baseline learned: a seed at chance pulls the goal down to where
    all networks are quick. Not part of any claim's rule, and looked at only after such a seed was seen."""
    return target(learned(results.main[BASELINE]) or results.main[BASELINE])


def crossings(results: Results, name: str, line: float) -> list[Crossing]:
    """When each seed of the network rose above `line`, in percent."""
    return [crossing(record, line) for record in results.main[name]]


def gains(results: Results) -> dict[str, np.ndarray]:
    """By change and seed: maximum test accuracy of BN-x5 minus that with the change undone, in points."""
    full = np.array([best(record) for record in results.main[FULL]])
    return {change: full - [best(record) for record in results.main[change]] for change in CHANGES}


def log_ratios(results: Results, line: float) -> dict[str, np.ndarray]:
    """By change and seed: logarithm of the steps to `line` with the change undone over those of BN-x5.

    A network that never gets there counts with all its steps.
    """
    full, *undone = (np.log([c.step for c in crossings(results, name, line)]) for name in (FULL, *CHANGES))
    return {change: logs - full for change, logs in zip(CHANGES, undone, strict=True)}


def gain_intervals(results: Results) -> dict[str, Interval]:
    """What each change adds to the maximum accuracy, in points; the seven hold together (Bonferroni)."""
    step = _gain_resolution(results)
    return {change: _together(values, step) for change, values in gains(results).items()}


def ratio_intervals(results: Results, line: float) -> dict[str, Interval]:
    """How many times the steps to `line` grow where a change is undone; the seven hold together."""
    return {
        change: stats.exponential(_together(logs, _log_resolution(results, change, line)))
        for change, logs in log_ratios(results, line).items()
    }


def _together(values: np.ndarray, resolution: float = 0.0) -> Interval:
    return stats.mean_interval(values, 1 - (1 - stats.CONFIDENCE) / len(CHANGES), resolution)


def _gain_resolution(results: Results) -> float:
    """Of a gain, the difference of two accuracies."""
    return 2 * one_image(results.main[FULL])


def _log_resolution(results: Results, change: str, line: float) -> float:
    """Of a log ratio of steps to `line`: either of the two lies in a gap between evaluations."""
    found = [c for name in (change, FULL) for c in crossings(results, name, line)]
    return 2 * math.log(grid_factor(found))


def judged(results: Results) -> dict[str, Compared]:
    """The family of seven that is judged, each against the effect of its claim: how many times shorter the
    higher learning rate makes the way to the goal (logarithms), what the other six changes add (points)."""
    line = goal(results)
    samples = gains(results) | {RATE: log_ratios(results, line)[RATE]}
    grids = dict.fromkeys(samples, _gain_resolution(results)) | {RATE: _log_resolution(results, RATE, line)}
    effects = {change: EFFECTS[change] for change in samples}
    effects[RATE] = math.log(effects[RATE])
    found = stats.compared(
        *(list(of.values()) for of in (samples, effects)), resolutions=list(grids.values())
    )
    return dict(zip(samples, found, strict=True))


def end_gain(results: Results, change: str) -> Interval:
    """What a change adds at the end of training by Algorithm 2, in points: beside the registered measure, the
    maximum by moving averages."""
    return stats.paired_difference(accuracies(results.main[FULL]), accuracies(results.main[change]))


def lrn_change(alpha: float) -> float:
    """By what share local response normalization shrinks a map: 1 - (1 + alpha/2)^-beta, 1/2 being the mean
    square of a rectified standard normal, which batch normalization and ReLU give."""
    return 1 - (1 + alpha / 2) ** -LRN_BETA


def missed(results: Results, name: str, line: float) -> int:
    """How many seeds of the network never reach `line`."""
    return sum(not c.reached for c in crossings(results, name, line))


# Statistics


def gain(results: Results, change: str) -> Estimate:
    """What `change` adds to the maximum accuracy, in points."""
    found = gain_intervals(results)[change]
    undone = np.mean([best(record) for record in results.main[change]])
    full = np.mean([best(record) for record in results.main[FULL]])
    return Estimate(
        found,
        {
            "ko": f"BN-x5 {full:.2f}%, 되돌리면 {undone:.2f}%." + _visible(found)["ko"],
            "en": f"{full:.2f}% for BN-x5, {undone:.2f}% with this undone." + _visible(found)["en"],
        },
        family=judged(results)[change] if change != RATE else None,
    )


def _visible(found: Interval) -> Text:
    """What the seeds could have shown, where they show nothing."""
    half = (found.high - found.low) / 2
    if not found.low <= 0 <= found.high or not np.isfinite(half):
        return {"ko": "", "en": ""}
    return {
        "ko": f" 시드 {found.n}개와 일곱 번의 비교로는 {half:.2f}%p보다 작은 차이를 볼 수 없다.",
        "en": f" With {found.n} seeds and seven comparisons nothing below {half:.2f} points can be seen.",
    }


def slowdown(results: Results, change: str) -> Estimate:
    """How many times the steps to the goal grow where `change` is undone."""
    line, n = goal(results), len(results.main[FULL])
    found = ratio_intervals(results, line)[change]
    late = {name: missed(results, name, line) for name in (change, FULL)}
    bounds = {(0, 0): None, (1, 0): "lower", (0, 1): "upper", (1, 1): "both"}
    return Estimate(
        found,
        {
            "ko": f"목표 {line:.2f}%. 이르지 못한 시드: 되돌린 쪽 {late[change]}/{n}, "
            f"BN-x5 {late[FULL]}/{n}.",
            "en": f"Target {line:.2f}%. Never reached by {late[change]} of {n} with this undone,"
            f" by {late[FULL]} of {n} of BN-x5.",
        },
        bounds[bool(late[change]), bool(late[FULL])],
        family=judged(results)[change] if change == RATE else None,
    )


# By the name that paper.yml gives.
STATISTICS: dict[str, Callable[[Results], Estimate]] = {
    f"{change}_{name}": functools.partial(measure, change=change)
    for change in CHANGES
    for name, measure in (("gain", gain), ("slowdown", slowdown))
}


def verdicts(results: Results) -> dict[str, Number]:
    """By claim what the first registration came to: estimate, interval and verdict; how many it judged, and
    left open."""
    found: dict[str, Number] = {}
    for change, effect in EFFECTS.items():
        claim = f"c-4.2.1-{change.replace('_', '-')}"
        estimate = STATISTICS[f"{change}_{'slowdown' if change == RATE else 'gain'}"](results)
        found |= interval(f"claim.{claim}", estimate.interval)
        found[f"verdict.{claim}"] = verdict(estimate, effect)
    outcomes = [found[name] for name in found if name.startswith("verdict.")]
    return found | {"judged": len(outcomes), "inconclusive": outcomes.count("inconclusive")}


def sizes(profile: Profile) -> dict[str, Number]:
    """What is known before any run."""
    return {"seeds": profile.seeds, "epochs": profile.changed_epochs, "changes": len(CHANGES)}


def numbers(results: Results) -> dict[str, Number]:
    """Our numbers by key; accuracies in percent, gains in points."""
    own = [record for change in CHANGES for record in results.main[change]]
    line, learned_line = goal(results), learned_goal(results)
    found: dict[str, Number] = {
        "runs": len(own),
        "goal": line,
        "learned.goal": learned_line,
        "effect.points": EFFECTS["dropout"],
        "effect.times": EFFECTS[RATE],
        "lrn_change": lrn_change(LRN_ALPHA),
        "lrn_alpha": LRN_ALPHA,
        "bfloat16_spacing": 2.0**-8,  # between 1 and the next number below it
    }
    gain_of = gain_intervals(results)
    # The most that undoing a change gives back: is one of them to blame for where BN-x5 ends?
    found["regained"] = max(-one.estimate for one in gain_of.values())
    ratio_of, learned_ratio_of = (ratio_intervals(results, at) for at in (line, learned_line))
    for name in (FULL, *CHANGES):
        records = results.main[name]
        own_numbers: dict[str, Number] = {
            "best": float(np.mean([best(record) for record in records])),
            "chosen": float(np.mean([accuracy_at_chosen_step(record) for record in records])),
            "steps": int(np.median([c.step for c in crossings(results, name, line)])),
            "missed": missed(results, name, line),
            "learned_missed": missed(results, name, learned_line),
        }
        if name in CHANGES:
            own_numbers |= interval("gain", gain_of[name]) | interval("ratio", ratio_of[name])
            own_numbers |= interval("learned_ratio", learned_ratio_of[name])
            own_numbers |= interval("end_gain", end_gain(results, name)) | {
                "end": float(accuracies(records).mean())
            }
        found |= prefixed(name, own_numbers)
    return found | verdicts(results)
