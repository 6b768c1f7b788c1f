"""Section 4.1: what is measured in the records of the MNIST networks."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from bnbook import stats
from bnbook.experiments.mnist_activation_shift import protocol
from bnbook.experiments.mnist_activation_shift.protocol import (
    CURVE_BATCHES,
    MARGIN,
    SETTINGS,
    VARIANTS,
    Profile,
    Results,
)
from bnbook.measures import (
    Crossing,
    Estimate,
    accuracies,
    crossing,
    curve,
    data_name,
    interval,
    moving_accuracies,
    moving_curve,
    one_image,
    prefixed,
    quantity,
    steps_ratio,
)
from bnbook.measures import target as highest
from bnbook.paper import Number, effect
from bnbook.records import Record

INPUTS = {"binarised": True, "grey": False}
MOMENTS = {"first": 100, "early": 2000}  # steps at which chapters look at the curves
PROFILE_FROM = 50  # percent: from where on steps are compared, at every accuracy, from 90 on every tenth
PROFILE_SHOWN = (80.0, 90.0)  # of them those that chapters name
NAMES = {
    "plain": {"ko": "기준 모델", "en": "without batch normalization"},
    "bn": {"ko": "배치 정규화", "en": "with it"},
}

Cell = tuple[float, float]  # (lr, init_std)


def settings(results: Results) -> tuple[str, ...]:
    """The settings to compare at: "tuned" alone where both networks' own best setting is the shared one."""
    return SETTINGS if len({results.choice.shared, *results.choice.tuned.values()}) > 1 else SETTINGS[:1]


def unit_drifts(record: Record, name: str = "input_percentiles") -> np.ndarray:
    """Drift of every unit of the last hidden layer; see `protocol.drift`. Empty where the run diverged.

    `name` is "input_percentiles" (what the sigmoids receive) or, with BN, "wu_percentiles" (before BN).
    """
    return np.array([]) if record.diverged else protocol.drift(record.arrays[name])


def median_drift(record: Record, name: str = "input_percentiles") -> float:
    """The median over units; NaN where the run diverged or no unit's input varies."""
    drifts = unit_drifts(record, name)
    return float(np.nanmedian(drifts)) if np.isfinite(drifts).any() else float("nan")


def cells(results: Results, binarise: bool) -> dict[str, dict[Cell, list[Record]]]:
    """The multiverse's records by variant and (lr, init_std), for one kind of input."""
    found: dict[str, dict[Cell, list[Record]]] = {variant: {} for variant in VARIANTS}
    for record in results.multiverse:
        config = record.config
        if config["binarise"] == binarise:
            found[config["variant"]].setdefault((config["lr"], config["init_std"]), []).append(record)
    return found


def best_cell(of: dict[Cell, list[Record]], seeds: int) -> Cell:
    """The cell with the best mean validation accuracy over the first `seeds` seeds, which choose; ties go to
    the smaller learning rate."""
    return max(sorted(of), key=lambda cell: np.mean([protocol.validation(r) for r in of[cell][:seeds]]))


def retuned_cells(of: dict[Cell, list[Record]], seeds: int) -> list[Cell]:
    """For each init_std its best cell: its own learning rate."""
    stds = sorted({std for _, std in of})
    return [best_cell({cell: found for cell, found in of.items() if cell[1] == std}, seeds) for std in stds]


def spread(of: dict[Cell, list[Record]], chosen: Sequence[Cell]) -> np.ndarray:
    """Range (largest minus smallest) of test accuracy over the `chosen` cells, in points, by seed."""
    return np.ptp([accuracies(of[cell]) for cell in chosen], axis=0)


def gaps(results: Results, binarise: bool) -> dict[Cell, np.ndarray]:
    """Test accuracy with BN minus without, in points, by seed, in each cell of the multiverse."""
    found = cells(results, binarise)
    return {cell: accuracies(found["bn"][cell]) - accuracies(found["plain"][cell]) for cell in found["bn"]}


def clear(values: Sequence[np.ndarray], effect: float) -> tuple[np.ndarray, np.ndarray]:
    """Which gaps lie clearly above `effect` and which clearly below -`effect`: two boolean arrays.

    Clearly: one-sided t tests, Holm's correction over all of them in both directions, at 5%.
    """
    p = [stats.p_greater(sign * gap, effect) for sign in (1, -1) for gap in values]
    rejected = stats.holm(p) < 1 - stats.CONFIDENCE
    return rejected[: len(values)], rejected[len(values) :]


# Statistics: each takes all results and says how large the paper's claim turns out here


def accuracy_gap(results: Results, setting: str = "tuned") -> Estimate:
    """Final test accuracy with BN minus without, in points."""
    pair = [accuracies(results.main[setting, variant]) for variant in ("bn", "plain")]
    with_bn, without = (float(x.mean()) for x in pair)
    return Estimate(
        stats.paired_difference(*pair, resolution=one_image(results.main[setting, "bn"])),
        {
            "ko": f"{with_bn:.2f}% 대 {without:.2f}%.",
            "en": f"{with_bn:.2f}% against {without:.2f}%.",
        },
    )


def target(results: Results) -> float:
    """The test accuracy in percent that main runs are timed to: the final one of the pilot's plain networks,
    averaged over its seeds, less MARGIN. The margin is one and a half times the smallest difference in
    accuracy that matters, and wider than seeds differ, so that nearly every run of the plain network gets
    there: its own highest accuracy most runs of a network do not reach, and time ends before they do."""
    return float(accuracies(results.pilot["plain"]).mean()) - MARGIN


def speedup(results: Results, setting: str = "tuned") -> Estimate:
    """Steps to the target, without BN over with BN."""
    goal = target(results)
    return _with_target(_steps_ratio(_pair(results, setting), goal), goal)


def _pair(results: Results, setting: str) -> dict[str, list[Record]]:
    return {variant: results.main[setting, variant] for variant in VARIANTS}


def _steps_ratio(pair: dict[str, list[Record]], goal: float) -> Estimate:
    """Steps to `goal` percent, without BN over with BN, of records by variant that pair by seed."""
    return _ratio({variant: [crossing(record, goal) for record in pair[variant]] for variant in VARIANTS})


def _ratio(crossings: dict[str, list[Crossing]]) -> Estimate:
    return steps_ratio(crossings["plain"], crossings["bn"], (NAMES["plain"], NAMES["bn"]))


def _with_target(ratio: Estimate, goal: float) -> Estimate:
    goals = {"ko": f"목표 {goal:.2f}%.", "en": f"Target {goal:.2f}%."}
    detail = {lang: goals[lang] + ratio.detail[lang] for lang in goals}
    return dataclasses.replace(ratio, detail=detail)


def speedup_profile(results: Results, setting: str = "tuned") -> list[tuple[float, Estimate]]:
    """(accuracy in percent, ratio of steps to it), as far as every run with BN gets and any without does.
    Where some without do not, the ratio is a lower bound."""
    pair, found = _pair(results, setting), []
    for goal in (*range(PROFILE_FROM, 90), *(tenth / 10 for tenth in range(900, 1000))):
        crossings = {v: [crossing(record, goal) for record in pair[v]] for v in VARIANTS}
        if not all(c.reached for c in crossings["bn"]) or not any(c.reached for c in crossings["plain"]):
            break
        found.append((float(goal), _ratio(crossings)))
    return found


def drift_ratio(results: Results, setting: str = "tuned") -> Estimate:
    """Median drift of the last layer's sigmoid inputs, without BN over with BN."""
    plain, bn = (_median_drifts(results, setting, variant) for variant in VARIANTS)
    wu = stats.paired_ratio(plain, _median_drifts(results, setting, "bn", "wu_percentiles")).estimate
    return Estimate(
        stats.paired_ratio(plain, bn),
        {
            "ko": f"정규화하기 전의 Wu로 재면 {wu:.2f}배.",
            "en": f"Measured on Wu, before normalization: {wu:.2f} times.",
        },
    )


def _median_drifts(
    results: Results, setting: str, variant: str, name: str = "input_percentiles"
) -> list[float]:
    """The median over units of the drift, by seed."""
    return [median_drift(record, name) for record in results.main[setting, variant]]


def initialisation_freedom(results: Results) -> Estimate:
    """Range of test accuracy over initialisations, each with its own learning rate: without BN minus with BN,
    in points."""
    found, chosen_by = cells(results, binarise=True), results.profile.multiverse_seeds
    plain, bn = (spread(found[v], retuned_cells(found[v], chosen_by)) for v in VARIANTS)
    rest = (plain - bn)[chosen_by:].mean()
    return Estimate(
        # Each range is a difference of two accuracies.
        stats.paired_difference(plain, bn, resolution=2 * one_image(results.multiverse)),
        {
            "ko": f"초기화에 따른 차이: 기준 모델 {plain.mean():.2f}%p, 배치 정규화 {bn.mean():.2f}%p. "
            f"고를 때 쓰지 않은 시드만 세면 {rest:+.2f}%p.",
            "en": f"Range: {plain.mean():.2f} points without, {bn.mean():.2f} with batch normalization. "
            f"Over the seeds that chose nothing alone: {rest:+.2f} points.",
        },
    )


def at_both_settings(statistic: Callable[..., Estimate], unit: str) -> Callable[[Results], Estimate]:
    """The statistic at the tuned setting, which decides, with a word on the shared one where that is
    another."""

    def judged(results: Results) -> Estimate:
        found = statistic(results)
        if len(settings(results)) == 1:
            return found
        shared = statistic(results, "shared")
        at = {"ko": "같은 설정에서는", "en": "At one shared setting:"}
        detail = {
            lang: f"{found.detail[lang]} {at[lang]} {quantity(shared, unit, lang)}. {shared.detail[lang]}"
            for lang in at
        }
        return Estimate(found.interval, detail, found.bound)

    return judged


# By the name that paper.yml gives.
STATISTICS: dict[str, Callable[[Results], Estimate]] = {
    "accuracy_gap": at_both_settings(accuracy_gap, "points"),
    "speedup": at_both_settings(speedup, "times"),
    "drift_ratio": at_both_settings(drift_ratio, "times"),
    "initialisation_freedom": initialisation_freedom,
}


# Every number a chapter may want


def sizes(profile: Profile) -> dict[str, Number]:
    """What is known before any run, and no result says again."""
    return {}


def numbers(results: Results) -> dict[str, Number]:
    """Our numbers by key; accuracies in percent, gaps in points.

    Keys: data, runs, versions.<library>; main.<setting>.<variant>.accuracy (_low, _high) and so on;
    gap.<setting>.points, speed.<setting>.ratio, drift.<setting>.ratio, each with _low and _high;
    initialisation.<...>, typical.<variant>.<...>, multiverse.<input>.<...>; first.<...>, what the first
    registration found.
    """
    found = dict(_general(results))
    for setting in SETTINGS:
        for variant in VARIANTS:
            found |= prefixed(f"main.{setting}.{variant}", _run_numbers(results, setting, variant))
        found |= prefixed(f"gap.{setting}", interval("points", accuracy_gap(results, setting).interval))
        found |= prefixed(f"speed.{setting}", _speed_numbers(results, setting))
        found |= prefixed(f"drift.{setting}", _drift_numbers(results, setting))
    for name, binarise in INPUTS.items():
        found |= prefixed(f"multiverse.{name}", _multiverse_numbers(results, binarise))
    found |= prefixed("initialisation", _initialisation_numbers(results))
    found |= prefixed("first", _first_numbers(results.pilot))
    for variant in VARIANTS:
        found |= prefixed(f"typical.{variant}", _typical_numbers(results.main["tuned", variant][0]))
    return found


def _general(results: Results) -> Iterator[tuple[str, Number]]:
    everything = itertools.chain(results.records("speed"), results.multiverse)
    distinct = {(record.run_id, record.seed): record for record in everything}
    first = results.main["tuned", "plain"][0]
    yield "data", data_name([first])
    yield "runs", len(distinct)
    yield "hardware", first.provenance["hardware"]
    yield from ((f"versions.{library}", v) for library, v in first.provenance["versions"].items())
    yield "main.seeds", results.profile.seeds
    yield "main.steps", results.profile.steps
    yield from ((f"main.{name}_step", _step_near(results, step)) for name, step in MOMENTS.items())
    yield from prefixed("grid", _ends("lr", results.profile.lrs)).items()
    yield from prefixed("grid", _ends("init_std", results.profile.init_stds)).items()
    yield "main.shared.lr", results.choice.shared[0]
    yield "main.shared.init_std", results.choice.shared[1]
    yield "pilot.seeds", results.profile.pilot_seeds
    yield "margin", MARGIN
    yield "curve.batches", CURVE_BATCHES[first.config["recipe"]]
    yield "end.batches", first.config["population_batches"]
    yield "multiverse.seeds", results.profile.multiverse_seeds
    yield "multiverse.binarised.seeds", results.profile.binarised_seeds
    yield "multiverse.steps", results.profile.multiverse_steps
    yield "multiverse.cells", len(results.profile.lrs) * len(results.profile.init_stds)
    for name in ("accuracy", "speed", "drift", "initialisation"):
        yield f"effect.{name}", float(effect(f"c-4.1-{name}"))


def _ends(name: str, values: Sequence[float]) -> dict[str, Number]:
    return {f"{name}_lowest": min(values), f"{name}_highest": max(values)}


def _step_near(results: Results, step: int) -> int:
    """The evaluation nearest to `step`."""
    steps, _ = curve(results.main["tuned", "plain"][0])
    return int(steps[np.abs(steps - step).argmin()])


def _run_numbers(results: Results, setting: str, variant: str) -> dict[str, Number]:
    found = results.main[setting, variant]
    lr, init_std = results.choice.of(setting, variant)
    numbers = {"lr": lr, "init_std": init_std, "diverged": sum(r.diverged for r in found)}
    numbers |= interval("accuracy", stats.mean_interval(accuracies(found)))
    numbers |= interval("accuracy_moving", stats.mean_interval(moving_accuracies(found)))
    for name, step in MOMENTS.items():
        then = [_accuracy_at(r, _step_near(results, step)) for r in found]
        numbers |= interval(f"accuracy_{name}", stats.mean_interval(then))
    numbers["accuracy_min"] = accuracies(found).min()
    numbers["accuracy_max"] = accuracies(found).max()
    numbers["best"] = highest(found)
    numbers["drift"] = float(np.median(_median_drifts(results, setting, variant)))
    if variant == "bn":
        numbers["wu_drift"] = float(np.median(_median_drifts(results, setting, variant, "wu_percentiles")))
    numbers["training_seconds"] = float(np.median([_training_seconds(record) for record in found]))
    numbers["measuring"] = float(np.median([_measuring(record) for record in found]))
    return numbers


def _training_seconds(record: Record) -> float:
    """Of the run's seconds, those not spent evaluating."""
    return max(record.curves["evaluation"]["train_seconds"], default=0.0)


def _measuring(record: Record) -> float:
    """Percent of the run's time that was not training."""
    return 100 * (1 - _training_seconds(record) / record.provenance["seconds"])


def _accuracy_at(record: Record, step: int) -> float:
    """Test accuracy in percent at evaluation `step`; chance where the run had diverged by then."""
    steps, values = curve(record)
    return float(values[steps == step][0]) if step in steps else 100 * record.final["chance_accuracy"]


def _speed_numbers(results: Results, setting: str) -> dict[str, Number]:
    pair, goal = _pair(results, setting), target(results)
    numbers = _timed(pair, goal) | {"moving": _by_moving_average(pair["bn"], goal)}
    return numbers | prefixed("profile", _profile_numbers(speedup_profile(results, setting)))


def _profile_numbers(points: list[tuple[float, Estimate]]) -> dict[str, Number]:
    """Of the ratio of steps at every accuracy: the "first", the "last" that every run reaches and the
    "smallest" between, each with its accuracy in percent, "<name>_at"; "end_at", the last accuracy that any
    plain run reaches; "at_<accuracy>" where chapters look. NaN where both networks reach none."""
    if not points:
        return dict.fromkeys(("first", "first_at", "last", "last_at", "end_at", "smallest"), float("nan"))
    whole = [point for point in points if point[1].bound is None] or points[:1]
    chosen = {"first": whole[0], "last": whole[-1]}
    chosen["smallest"] = min(whole, key=lambda point: point[1].interval.estimate)
    numbers: dict[str, Number] = {"end_at": points[-1][0]}
    for name, (accuracy, ratio) in chosen.items():
        numbers |= interval(name, ratio.interval) | {f"{name}_at": accuracy}
    for accuracy, ratio in points:
        if accuracy in PROFILE_SHOWN:
            numbers |= interval(f"at_{accuracy:g}", ratio.interval)
    return numbers


def _by_moving_average(records: Sequence[Record], goal: float) -> float:
    """How many times as many steps to `goal` the moving average shows as Algorithm 2 does."""
    found = [stats.steps_to_target(*moving_curve(record), goal) for record in records]
    by_moving = [step or record.config["steps"] for step, record in zip(found, records, strict=True)]
    return stats.paired_ratio(by_moving, [crossing(record, goal).step for record in records]).estimate


def _timed(pair: dict[str, list[Record]], goal: float) -> dict[str, Number]:
    """The target, the ratio of steps to it, the median of the steps and how many runs get there."""
    numbers = {"target": goal} | interval("ratio", _steps_ratio(pair, goal).interval)
    for variant, records in pair.items():
        found = [crossing(r, goal) for r in records]
        numbers[f"{variant}_steps"] = int(np.median([c.step for c in found]))
        numbers[f"{variant}_reached"] = sum(c.reached for c in found)
    return numbers


def _first_numbers(pilot: dict[str, list[Record]]) -> dict[str, Number]:
    """What the first registration found: its target was the highest accuracy of the plain network, averaged
    over seeds, and its curves were by moving averages."""
    numbers = _timed(pilot, highest(pilot["plain"])) | {"seeds": len(pilot["plain"])}
    with_bn, without = (accuracies(pilot[variant]) for variant in ("bn", "plain"))
    numbers |= {"bn_accuracy": with_bn.mean(), "plain_accuracy": without.mean()}
    return numbers | interval("points", stats.paired_difference(with_bn, without))


def _drift_numbers(results: Results, setting: str) -> dict[str, Number]:
    plain = _median_drifts(results, setting, "plain")
    before = _median_drifts(results, setting, "bn", "wu_percentiles")
    ratio = interval("ratio", drift_ratio(results, setting).interval)
    return ratio | interval("wu_ratio", stats.paired_ratio(plain, before))


def _multiverse_numbers(results: Results, binarise: bool) -> dict[str, Number]:
    differences = list(gaps(results, binarise).values())
    means = np.array([gap.mean() for gap in differences])
    smallest = effect("c-4.1-accuracy")
    above, below = clear(differences, smallest)
    numbers = {
        "higher": int((means > smallest).sum()),
        "lower": int((means < -smallest).sum()),
        "within": int((np.abs(means) <= smallest).sum()),
        "higher_holm": int(above.sum()),
        "lower_holm": int(below.sum()),
        "largest_gain": means.max(),
        "largest_loss": means.min(),
    }
    for variant, of in cells(results, binarise).items():
        numbers |= prefixed(variant, _cell_numbers(of, results.profile.multiverse_seeds))
    return numbers


def _cell_numbers(of: dict[Cell, list[Record]], seeds: int) -> dict[str, Number]:
    """Best cell (chosen on validation, by the first `seeds` seeds), worst cell, and how many come near the
    best or stay near chance."""
    means = {cell: accuracies(found).mean() for cell, found in of.items()}
    chance = 100 * next(iter(of.values()))[0].final["chance_accuracy"]
    best, worst = best_cell(of, seeds), min(means, key=means.get)
    near = [cell for cell, mean in means.items() if mean > means[best] - effect("c-4.1-initialisation")]
    smallest, fastest = min(means), max(lr for lr, _ in means)
    at_fastest = [mean for (lr, _), mean in means.items() if lr == fastest]
    return {
        "smallest.accuracy": means[smallest],  # at the lowest learning rate and initial std
        "fastest.best": max(at_fastest),  # at the highest learning rate, over initialisations
        "fastest.worst": min(at_fastest),
        "best_accuracy": means[best],
        "best_lr": best[0],
        "best_init_std": best[1],
        "worst_accuracy": means[worst],
        "worst_lr": worst[0],
        "worst_init_std": worst[1],
        "near_best": len(near),  # within the smallest effect that matters for initialisation
        "near_best_lr_low": min(lr for lr, _ in near),
        "near_best_lr_high": max(lr for lr, _ in near),
        "not_learning": sum(mean < 2 * chance for mean in means.values()),
        "diverged": sum(r.diverged for found in of.values() for r in found),
    }


def _initialisation_numbers(results: Results) -> dict[str, Number]:
    """Range of accuracy over initialisations: with a learning rate for each, and at the tuned one."""
    numbers = interval("points", initialisation_freedom(results).interval)
    for variant, of in cells(results, binarise=True).items():
        lr, _ = results.choice.tuned[variant]
        tuned = [cell for cell in of if cell[0] == lr]
        retuned = stats.mean_interval(spread(of, retuned_cells(of, results.profile.multiverse_seeds)))
        fixed = stats.mean_interval(spread(of, tuned))
        numbers |= prefixed(variant, interval("spread", retuned) | interval("spread_fixed", fixed))
    return numbers


def _typical_numbers(record: Record) -> dict[str, Number]:
    """The unit of Figures 1b and 1c, in the first seed; empty where that run diverged."""
    if record.diverged:
        return {}
    percentiles = record.arrays["input_percentiles"]
    unit = protocol.typical_unit(percentiles)
    return {
        "unit": unit + 1,  # counted from one, for people
        "seed": record.seed,
        "drift": float(protocol.drift(percentiles)[unit]),
        "median_lowest": float(percentiles[:, 1, unit].min()),
        "median_highest": float(percentiles[:, 1, unit].max()),
        "lowest": float(percentiles[:, :, unit].min()),
        "highest": float(percentiles[:, :, unit].max()),
    }
