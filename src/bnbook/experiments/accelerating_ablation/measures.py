"""Section 4.2.1: what each of the seven changes is worth, by undoing it."""

import functools
import operator
from collections.abc import Callable

import numpy as np

from bnbook import stats
from bnbook.experiments.ablation_first.measures import lrn_change
from bnbook.experiments.accelerating_ablation.protocol import CHANGES, FULL, NOTHING, RATE, SEEDS, Profile
from bnbook.experiments.inception_speedups.measures import times_the_steps
from bnbook.experiments.inception_speedups.protocol import LRN_ALPHA, arm_seeds
from bnbook.experiments.protocol import ChosenResults as Results
from bnbook.measures import (
    Crossing,
    Estimate,
    accuracies,
    crossing,
    interval,
    one_image,
    prefixed,
    verdict,
)
from bnbook.paper import Number, effect
from bnbook.stats import Compared, Interval

FAMILY = [change for change in CHANGES if change != RATE]  # judged together


# Functions that take `full` compare with BN-x5 as Section 4.2 has it, as the rules say, or with NOTHING
# undone, which was trained where the changes were undone.


def gains(results: Results, full: str = FULL) -> dict[str, np.ndarray]:
    """By change and seed: test accuracy of BN-x5 at the end minus that with the change undone, in points."""
    all_made = accuracies(results.main[full])
    return {change: all_made - accuracies(results.main[change]) for change in CHANGES}


def by_machine(results: Results) -> np.ndarray:
    """By seed: test accuracy of BN-x5 at the end minus that of BN-x5 once more, in points: what the machines
    that trained them may change."""
    return accuracies(results.main[FULL]) - accuracies(results.main[NOTHING])


def crossings(results: Results, name: str) -> list[Crossing]:
    """When each seed of the network reached the target of Section 4.2."""
    return [crossing(record, results.choice.target) for record in results.main[name]]


def judged(results: Results, full: str = FULL) -> dict[str, Compared]:
    """The family of six, each against the effect of its claim; intervals hold together."""
    samples, grid = gains(results, full), 2 * one_image(results.main[FULL])
    found = stats.compared(
        [samples[change] for change in FAMILY],
        [effect(f"c-4.2.1-{change}") for change in FAMILY],
        resolutions=[grid] * len(FAMILY),
    )
    return dict(zip(FAMILY, found, strict=True))


def gain_intervals(results: Results) -> dict[str, Interval]:
    """What each change adds to the accuracy at the end, in points, and what the machine does (NOTHING): of
    the six that are judged by it the intervals that hold together, of the others their own."""
    family, grid = judged(results), 2 * one_image(results.main[FULL])
    alone = {RATE: gains(results)[RATE], NOTHING: by_machine(results)}
    own = {name: stats.mean_interval(values, resolution=grid) for name, values in alone.items()}
    found = {name: one.interval for name, one in family.items()} | own
    return {name: found[name] for name in (*CHANGES, NOTHING)}


# Statistics


def gain(results: Results, change: str, full: str = FULL) -> Estimate:
    """What `change` adds to the accuracy at the end, in points."""
    found = judged(results, full)[change]
    made, undone = (accuracies(results.main[name]).mean() for name in (full, change))
    return Estimate(
        found.interval,
        {
            "ko": f"BN-x5 {made:.2f}%, 되돌리면 {undone:.2f}%.",
            "en": f"{made:.2f}% for BN-x5, {undone:.2f}% with this undone.",
        },
        family=found,
    )


def slowdown(results: Results, change: str) -> Estimate:
    """How many times the steps to the target grow where `change` is undone, or NOTHING."""
    names = (f"BN-x5, {CHANGES.get(change, NOTHING)} undone", "BN-x5")
    return times_the_steps(crossings(results, change), crossings(results, FULL), names, results.choice.target)


# By the name that paper.yml gives.
STATISTICS: dict[str, Callable[[Results], Estimate]] = {
    f"{change}_gain": functools.partial(gain, change=change) for change in FAMILY
} | {f"{RATE}_slowdown": functools.partial(slowdown, change=RATE)}


def verdicts(results: Results, full: str = FULL) -> dict[str, str]:
    """By change of the family; with NOTHING for `full`, whether they hang on which BN-x5 it is shows."""
    return {change: verdict(gain(results, change, full), effect(f"c-4.2.1-{change}")) for change in FAMILY}


def apart(results: Results) -> np.ndarray:
    """How far the first losses of BN-x5 are from those of BN-x5 once more, (seeds, steps)."""
    losses = [[one.first_losses for one in results.main[name]] for name in (FULL, NOTHING)]
    steps = min(len(own) for runs in losses for own in runs)  # a run that diverges has fewer
    first, again = (np.array([own[:steps] for own in runs]) for runs in losses)
    return np.abs(first - again)


def once_more(results: Results) -> dict[str, Number]:
    """Of BN-x5 once more: how its losses part from the first's ("apart.first" at most after a step,
    "apart.last" the median after "apart.steps"), and by change "<change>.gain" and ".verdict" with it in the
    place of BN-x5; how many verdicts are then "kept"."""
    parted, found = apart(results), judged(results, NOTHING)
    known: dict[str, Number] = {
        "apart.first": float(parted[:, 0].max()),
        "apart.last": float(np.median(parted[:, -1])),
        "apart.steps": parted.shape[1],
    }
    then, now = verdicts(results), verdicts(results, NOTHING)
    for change in FAMILY:
        known |= prefixed(change, interval("gain", found[change].interval)) | {
            f"{change}.verdict": now[change]
        }
    return known | {"kept": sum(map(operator.eq, then.values(), now.values()))}


def sizes(profile: Profile) -> dict[str, Number]:
    """What is known before any run."""
    return {
        "seeds": len(arm_seeds(profile, SEEDS)),
        "changes": len(CHANGES),
        "judged_together": len(FAMILY),
        "effect.points": float(effect("c-4.2.1-dropout")),
        "effect.times": float(effect("c-4.2.1-learning-rate")),
        "lrn_alpha": LRN_ALPHA,
        "lrn_change": 100 * lrn_change(LRN_ALPHA),  # percent
    }


def numbers(results: Results) -> dict[str, Number]:
    """Our numbers by key; accuracies in percent, gains in points, `ratio` the steps with a change undone over
    those of BN-x5."""
    own = [record for name in (*FAMILY, NOTHING) for record in results.main[name]]
    intervals, values = gain_intervals(results), gains(results) | {NOTHING: by_machine(results)}
    config = results.main[FULL][0].config
    found: dict[str, Number] = {
        "runs": len(own),
        "steps": config["steps"],
        "epochs": config["steps"] // results.profile.steps_per_epoch,
        "target": results.choice.target,
        # The most that undoing a change gives back: is one of them to blame for where BN-x5 ends?
        "regained": max(-intervals[change].estimate for change in CHANGES),
    } | prefixed("once_more", once_more(results))
    for name in (FULL, NOTHING, *CHANGES):
        reached = [one.reached for one in crossings(results, name)]
        numbers: dict[str, Number] = {
            "end": float(accuracies(results.main[name]).mean()),
            "reached": sum(reached),
            "seeds": len(reached),
        }
        if name != FULL:
            numbers |= interval("gain", intervals[name])
            numbers |= {"gain_min": float(values[name].min()), "gain_max": float(values[name].max())}
            # Seeds that end higher with the change, and lower.
            numbers |= {"helped": int((values[name] > 0).sum()), "hurt": int((values[name] < 0).sum())}
            numbers |= interval("ratio", slowdown(results, name).interval)
        found |= prefixed(name, numbers)
    return found
