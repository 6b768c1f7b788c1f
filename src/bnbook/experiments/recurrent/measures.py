"""What is measured of the recurrent networks: steps to a target, where they end, the gradient through time.

Networks are compared by new seeds alone; the target is the pilot's.
"""

from collections.abc import Callable, Sequence

import numpy as np

from bnbook import stats
from bnbook.experiments.protocol import Results
from bnbook.experiments.recurrent.protocol import (
    ARMS,
    FOLLOWED,
    MARGIN,
    SMALL_GAMMA,
    Profile,
    select,
    validation,
)
from bnbook.measures import (
    Crossing,
    Estimate,
    accuracies,
    amount,
    data_name,
    grid_factor,
    interval,
    one_image,
    prefixed,
    steps_ratio,
)
from bnbook.paper import Number, Text
from bnbook.records import Record
from bnbook.stats import Interval

USUAL_GAMMA = 1.0
WITHOUT: Text = {"ko": "기준 모델", "en": "without batch normalization"}
WITH: Text = {"ko": "배치 정규화", "en": "with it"}
NORMALIZED = tuple(arm for arm in ARMS if arm != "plain")


# Curves and the target


def new(results: Results, arm: str) -> list[Record]:
    """The records that are compared, by seed."""
    return results.main["new", arm]


def held(results: Results) -> list[Record]:
    """The plain network by the same seeds at the rate of the one with BN on the input."""
    return results.main.get(("held", "plain"), new(results, "plain"))


def pilot(results: Results, arm: str) -> list[Record]:
    """Those of the pilot at the rate that was chosen."""
    return results.main["pilot", arm, f"{select(results)[arm]:g}"]


def curve(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """(steps, validation accuracy in percent) while training; by Algorithm 2 where there is BN."""
    columns = record.curves["evaluation"]
    values = columns.get("validation_accuracy_population", columns.get("validation_accuracy", []))
    return np.array(columns["step"], dtype=int), 100 * np.array(values, dtype=float)


def target(results: Results) -> float:
    """Percent: where the plain network's curve ends in the pilot, averaged over its seeds, less MARGIN."""
    ends = [curve(record)[1][-1:] for record in pilot(results, "plain")]
    return float(np.mean([end[0] if end.size else 0.0 for end in ends])) - MARGIN


def crossing(record: Record, goal: float) -> Crossing:
    """When `record` rises above `goal` percent: the first of three evaluations in a row above it."""
    steps, values = (column.tolist() for column in curve(record))
    step = stats.steps_to_target(steps, values, goal)
    if step is None:
        return Crossing(record.config["steps"], reached=False)
    return Crossing(step, reached=True, previous=max((s for s in steps if s < step), default=1))


def crossings(results: Results, arm: str) -> list[Crossing]:
    """By new seed."""
    return crossings_of(results, new(results, arm))


def crossings_of(results: Results, records: Sequence[Record]) -> list[Crossing]:
    """Of `records` in their order."""
    goal = target(results)
    return [crossing(record, goal) for record in records]


def faster(results: Results, arm: str, than: str = "plain") -> Estimate:
    """How many times fewer steps `arm` takes to the target."""
    return steps_ratio(crossings(results, than), crossings(results, arm), (WITHOUT, WITH))


def faster_than_held(results: Results, arm: str) -> Estimate:
    """The same against the plain network at the rate of the one with BN on the input."""
    return steps_ratio(crossings_of(results, held(results)), crossings(results, arm), (WITHOUT, WITH))


def gained(results: Results, arm: str) -> Interval:
    """Points of test accuracy at the end, with minus without normalization, by new seed."""
    pair = (accuracies(new(results, name)) for name in (arm, "plain"))
    return stats.paired_difference(*pair, resolution=one_image(new(results, arm)))


# The gradient through time


def gammas(results: Results) -> list[float]:
    return list(followed(results, "identity")[0].config["gammas"])


def followed(results: Results, name: str) -> list[Record]:
    return results.main["gradient", name]


def paths(results: Results, name: str, gamma: float | None) -> np.ndarray:
    """(seeds, steps): the gradient by the state after each step, over that by the last one, as a power of
    ten; without normalization for a gamma of None."""
    row = 0 if gamma is None else 1 + gammas(results).index(gamma)
    found = np.stack([record.arrays["gradient"][row] for record in followed(results, name)]).astype(float)
    return found - found[:, -1:]


def lost(results: Results, name: str, gamma: float | None) -> np.ndarray:
    """(seeds,): decades that the gradient loses from the last step back to the first; below 0 it grows."""
    return -paths(results, name, gamma)[:, 0]


def predicted(gamma: float, steps: int) -> float:
    """Decades that the gradient loses over `steps` where what tanh receives is Gaussian and the state alone
    decides its size: one step back multiplies by the derivative of tanh and by gamma over the deviation."""
    z, weights = np.polynomial.hermite_e.hermegauss(100)
    weights /= weights.sum()
    state = np.tanh(gamma * z)
    factor = gamma * np.sqrt(weights @ (1 - state**2) ** 2 / (weights @ state**2))
    return float(-steps * np.log10(factor))


# Statistics


def speedup(arm: str) -> Callable[[Results], Estimate]:
    def statistic(results: Results) -> Estimate:
        found = faster(results, arm)
        plain, own = (accuracies(new(results, name)).mean() for name in ("plain", arm))
        goal, gain = target(results), gained(results, arm)
        low, high = (amount(end, "points") for end in (gain.low, gain.high))
        ko = f"목표는 검증 정확도 {goal:.1f}%다.{found.detail['ko']} 학습이 끝났을 때의 테스트 정확도는 "
        ko += f"{own:.2f}%, 기준 모델은 {plain:.2f}%다(차이 {low}~{high}%p)."
        en = f"The target is {goal:.1f}% of validation accuracy.{found.detail['en']} Test accuracy ends at "
        en += f"{own:.2f}%, without at {plain:.2f}% (a difference of {low} to {high} points)."
        return Estimate(found.interval, {"ko": ko, "en": en}, found.bound)

    return statistic


def vanishing(results: Results) -> Estimate:
    """Decades that the gradient loses with gamma 1, minus those with the small one."""
    small, usual = (lost(results, "identity", gamma) for gamma in (SMALL_GAMMA, USUAL_GAMMA))
    other = [
        amount(-lost(results, "orthogonal", gamma).mean(), "decades") for gamma in (USUAL_GAMMA, SMALL_GAMMA)
    ]
    steps = followed(results, "identity")[0].arrays["gradient"].shape[1]
    return Estimate(
        stats.paired_difference(usual, small),
        {
            "ko": f"{steps}스텝을 거슬러 오는 동안 γ가 {USUAL_GAMMA:g}이면 {usual.mean():.1f}자릿수, "
            f"{SMALL_GAMMA:g}이면 {small.mean():.1f}자릿수가 줄어든다. 순환 가중치를 항등 행렬 대신 "
            f"직교 행렬로 하면 각각 {other[0]}, {other[1]}자릿수 "
            "변한다(+는 커진다는 뜻).",
            "en": f"Back through {steps} steps it loses {usual.mean():.1f} decades with γ = {USUAL_GAMMA:g} "
            f"and {small.mean():.1f} with {SMALL_GAMMA:g}. With orthogonal recurrent weights instead of the "
            f"identity it changes by {other[0]} and {other[1]} decades "
            "(+ is growth).",
        },
    )


# By the name that paper.yml gives.
STATISTICS: dict[str, Callable[[Results], Estimate]] = {
    "input_speedup": speedup("input"),
    "within_speedup": speedup("within"),
    "vanishing": vanishing,
}


def sizes(profile: Profile) -> dict[str, Number]:
    """What is known before any run."""
    return {
        "pilot_seeds": profile.seeds,
        "seeds": profile.new_seeds,
        "gradient_seeds": profile.gradient_seeds,
        "steps": profile.steps,
        "batch_size": profile.batch_size,
        "hidden": profile.hidden,
        "rates": len(profile.lrs),
        "lrs": list(profile.lrs),
        "gammas": list(profile.gammas),
        "small_gamma": SMALL_GAMMA,
        "margin": MARGIN,
        "curve_images": profile.curve_images,
        "every": profile.evaluate_every,
    }


def numbers(results: Results) -> dict[str, Number]:
    """Our numbers by key; accuracies in percent, gradients in decades."""
    found: dict[str, Number] = {
        "data": data_name(new(results, "plain")),
        "runs": len(results.records("main")),
        "target": target(results),
        "grid_step": grid_factor([one for arm in ARMS for one in crossings(results, arm)]),
    }
    for arm in ARMS:
        found |= prefixed(f"arm.{arm}", _of_runs(results, new(results, arm)))
    for arm in NORMALIZED:
        found |= interval(f"faster.{arm}", faster(results, arm).interval)
        found |= interval(f"gained.{arm}", gained(results, arm))
    found |= interval("faster.gamma", faster(results, "within", "within_one").interval)
    found |= interval("faster.within_than_input", faster(results, "within", "input").interval)
    found |= prefixed("held", _of_runs(results, held(results)))
    for arm in NORMALIZED:
        found |= interval(f"held.faster.{arm}", faster_than_held(results, arm).interval)
    for (stage, arm, *rate), records in results.main.items():
        if stage == "pilot":
            found[f"pilot.{arm}.{_word(float(rate[0]))}"] = validation(records)
    found |= interval("vanishing", vanishing(results).interval)
    steps_back = followed(results, "orthogonal")[0].arrays["gradient"].shape[1] - 1
    for gamma in gammas(results):
        found[f"predicted.{_word(gamma)}"] = predicted(gamma, steps_back)
    for name in FOLLOWED:
        found[f"gradient.{name}.steps"] = followed(results, name)[0].arrays["gradient"].shape[1]
        found[f"gradient.{name}.plain"] = float(lost(results, name, None).mean())
        for gamma in gammas(results):
            found[f"gradient.{name}.{_word(gamma)}"] = float(lost(results, name, gamma).mean())
    return found


def _word(gamma: float) -> str:
    """A gamma in a key, which has no other dots."""
    return f"{gamma:g}".replace(".", "_")


def _of_runs(results: Results, records: Sequence[Record]) -> dict[str, Number]:
    ends, found = accuracies(records), crossings_of(results, records)
    steps = [one.step for one in found]
    return interval("accuracy", stats.mean_interval(ends)) | {
        "lr": records[0].config["lr"],
        "steps": float(np.exp(np.mean(np.log(steps)))),
        "reached": sum(one.reached for one in found),
        "diverged": sum(record.diverged for record in records),
    }
