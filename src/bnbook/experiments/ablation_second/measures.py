"""Section 4.2.1's second registration: what each of the seven changes is worth, by undoing it."""

import functools
from collections.abc import Callable

import numpy as np

from bnbook import paper, stats
from bnbook.experiments.ablation_second.protocol import CHANGES, FULL, RATE, SEEDS, Profile
from bnbook.experiments.accelerating_ablation.measures import lrn_change
from bnbook.experiments.inception_speedups.measures import times_the_steps
from bnbook.experiments.inception_speedups.protocol import LRN_ALPHA, arm_seeds
from bnbook.experiments.protocol import ChosenResults as Results
from bnbook.measures import Crossing, Estimate, accuracies, crossing, interval, one_image, prefixed
from bnbook.paper import Number
from bnbook.stats import Compared, Interval

FAMILY = [change for change in CHANGES if change != RATE]  # judged together


def gains(results: Results) -> dict[str, np.ndarray]:
    """By change and seed: test accuracy of BN-x5 at the end minus that with the change undone, in points."""
    full = accuracies(results.main[FULL])
    return {change: full - accuracies(results.main[change]) for change in CHANGES}


def crossings(results: Results, name: str) -> list[Crossing]:
    """When each seed of the network reached the target of Section 4.2."""
    return [crossing(record, results.choice.target) for record in results.main[name]]


def effect_of(change: str) -> float:
    """The smallest effect of it that matters, as its rule has it."""
    rules = paper.claims() | paper.registered_again()
    return rules[f"c-4.2.1-{change.replace('_', '-')}"]["effect"]


def judged(results: Results) -> dict[str, Compared]:
    """The family of six, each against the effect of its claim; intervals hold together."""
    samples, grid = gains(results), 2 * one_image(results.main[FULL])
    found = stats.compared(
        [samples[change] for change in FAMILY],
        [effect_of(change) for change in FAMILY],
        resolutions=[grid] * len(FAMILY),
    )
    return dict(zip(FAMILY, found, strict=True))


def gain_intervals(results: Results) -> dict[str, Interval]:
    """What each change adds to the accuracy at the end, in points: of the six that are judged by it the
    intervals that hold together, of the learning rate its own."""
    family, grid = judged(results), 2 * one_image(results.main[FULL])
    alone = stats.mean_interval(gains(results)[RATE], resolution=grid)
    return {change: family[change].interval if change in family else alone for change in CHANGES}


# Statistics


def gain(results: Results, change: str) -> Estimate:
    """What `change` adds to the accuracy at the end, in points."""
    found = judged(results)[change]
    full, undone = (accuracies(results.main[name]).mean() for name in (FULL, change))
    return Estimate(
        found.interval,
        {
            "ko": f"BN-x5 {full:.2f}%, 되돌리면 {undone:.2f}%.",
            "en": f"{full:.2f}% for BN-x5, {undone:.2f}% with this undone.",
        },
        family=found,
    )


def slowdown(results: Results, change: str) -> Estimate:
    """How many times the steps to the target grow where `change` is undone."""
    names = (f"BN-x5, {CHANGES[change]} undone", "BN-x5")
    return times_the_steps(crossings(results, change), crossings(results, FULL), names, results.choice.target)


# By the name that paper.yml gives.
STATISTICS: dict[str, Callable[[Results], Estimate]] = {
    f"{change}_gain": functools.partial(gain, change=change) for change in FAMILY
} | {f"{RATE}_slowdown": functools.partial(slowdown, change=RATE)}


def sizes(profile: Profile) -> dict[str, Number]:
    """What is known before any run."""
    return {
        "seeds": len(arm_seeds(profile, SEEDS)),
        "changes": len(CHANGES),
        "judged_together": len(FAMILY),
        "effect.points": float(effect_of("dropout")),
        "effect.times": float(effect_of(RATE)),
        "lrn_alpha": LRN_ALPHA,
        "lrn_change": 100 * lrn_change(LRN_ALPHA),  # percent
    }


def numbers(results: Results) -> dict[str, Number]:
    """Our numbers by key; accuracies in percent, gains in points, `ratio` the steps with a change undone over
    those of BN-x5."""
    own = [record for change in FAMILY for record in results.main[change]]
    intervals, values = gain_intervals(results), gains(results)
    config = results.main[FULL][0].config
    found: dict[str, Number] = {
        "runs": len(own),
        "steps": config["steps"],
        "epochs": config["steps"] // results.profile.steps_per_epoch,
        "target": results.choice.target,
        # The most that undoing a change gives back: is one of them to blame for where BN-x5 ends?
        "regained": max(-one.estimate for one in intervals.values()),
    }
    for name in (FULL, *CHANGES):
        reached = [one.reached for one in crossings(results, name)]
        numbers: dict[str, Number] = {
            "end": float(accuracies(results.main[name]).mean()),
            "reached": sum(reached),
            "seeds": len(reached),
        }
        if name in CHANGES:
            numbers |= interval("gain", intervals[name])
            numbers |= {"gain_min": float(values[name].min()), "gain_max": float(values[name].max())}
            numbers |= {"helped": int((values[name] > 0).sum())}  # seeds that end higher with the change
            numbers |= interval("ratio", slowdown(results, name).interval)
        found |= prefixed(name, numbers)
    return found
