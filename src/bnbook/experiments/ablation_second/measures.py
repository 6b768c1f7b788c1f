"""Section 4.2.1's second registration: what each of the seven changes is worth, by undoing it."""

import functools
from collections.abc import Callable

import numpy as np

from bnbook import paper, stats
from bnbook.experiments.ablation_second.protocol import CHANGES, FULL, RATE, Profile, Results
from bnbook.experiments.inception_speedups.measures import times_the_steps
from bnbook.measures import Crossing, Estimate, accuracies, crossing, one_image
from bnbook.paper import Number
from bnbook.stats import Compared

FAMILY = [change for change in CHANGES if change != RATE]  # judged together


def gains(results: Results) -> dict[str, np.ndarray]:
    """By change and seed: test accuracy of BN-x5 at the end minus that with the change undone, in points."""
    full = accuracies(results.main[FULL])
    return {change: full - accuracies(results.main[change]) for change in CHANGES}


def crossings(results: Results, name: str) -> list[Crossing]:
    """When each seed of the network reached the target of Section 4.2."""
    return [crossing(record, results.choice.target) for record in results.main[name]]


def judged(results: Results) -> dict[str, Compared]:
    """The family of six, each against the effect of its claim; intervals hold together."""
    rules = paper.claims() | paper.registered_again()
    effects = [rules[f"c-4.2.1-{change}"]["effect"] for change in FAMILY]
    samples = gains(results)
    grid = 2 * one_image(results.main[FULL])
    found = stats.compared([samples[change] for change in FAMILY], effects, resolutions=[grid] * len(FAMILY))
    return dict(zip(FAMILY, found, strict=True))


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
    """What is known before any run: nothing that a page tells yet."""
    return {}


def numbers(results: Results) -> dict[str, Number]:
    """Our numbers by key: none that a page tells, until all runs are made."""
    return {}
