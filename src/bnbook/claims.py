"""From records to verdicts, and to every number that the book's text may use.

Each claim of the paper stands in paper.yml with the rule that decides it, from before its results. `board`
holds the records against the rules; `numbers` gives the measured numbers by key, `paper` the paper's.
"""

import dataclasses
import functools
import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from bnbook import measures, paths, stats
from bnbook.config import digest
from bnbook.protocols import EXPERIMENTS
from bnbook.protocols import mnist_activation_shift as protocol
from bnbook.protocols.mnist_activation_shift import SETTINGS, VARIANTS, Results
from bnbook.records import Record
from bnbook.stats import Interval

Text = dict[str, str]  # {"ko", "en"}
Number = float | int | str | list

LANGUAGES = ("ko", "en")
RULE_FIELDS = ("experiment", "statistic", "effect", "unit", "type", "rule")
UNITS = {"points": {"ko": "%p", "en": " points"}, "times": {"ko": "배", "en": " times"}}
NEUTRAL = {"points": 0.0, "times": 1.0}  # no effect
INPUTS = {"binarised": True, "grey": False}
MOMENTS = {"first": 100, "early": 2000}  # steps at which chapters look at the curves
PLACEHOLDER = re.compile(r"\[\[(?:(\w+):)?([^\]|]+)(?:\|([^\]]*))?\]\]")


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a statistic found. With `bound` "lower" (or "upper") the truth is known only to lie at or above
    (below) it, with "both" not even that. `detail` is what a reader should know beside it."""

    interval: Interval
    detail: Text
    bound: str | None = None


@dataclasses.dataclass(frozen=True)
class ClaimResult:
    """One row of the board: a claim of the paper and what became of it here."""

    id: str
    section: str
    statement: Text
    paper: Text
    rule: Text | None
    estimate: float | None
    low: float | None
    high: float | None
    unit: str | None  # a key of UNITS
    effect: float | None  # the smallest that matters
    verdict: str  # reproduced, not reproduced, inconclusive, not testable here, not run yet
    figure: str | None
    chapter: str
    text: Text  # our result in a line
    detail: Text | None  # what a reader should know beside it
    note: Text | None
    rule_changed: bool


@dataclasses.dataclass(frozen=True)
class Agreement:
    """One row of the table that compares a rerun with the committed results."""

    id: str
    committed: str
    fresh: str
    agreement: str  # direction agrees, differs, too small to say


def results(profile: str = "cpu", folders: Sequence[Path] | None = None) -> Results:
    """The records of `profile`, from `folders` (runs folders); raises MissingRecord.

    By default the committed records for "cpu", which the book shows; for the others also build/results.
    """
    if folders is None:
        places = [paths.RESULTS] if profile == "cpu" else [paths.RESULTS, paths.BUILD_RESULTS]
        folders = [paths.runs(place) for place in places]
    return protocol.results(protocol.PROFILES[profile], folders)


_results = results  # `results` is also the name of a parameter below

# The paper's side


@functools.cache
def _paper_file() -> dict[str, Any]:
    return yaml.safe_load((Path(__file__).parent / "paper.yml").read_text(encoding="utf-8"))


def paper() -> dict[str, Number]:
    """The paper's numbers by dotted key, such as "mnist.batch_size"."""

    def flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Number]]:
        for key, value in values.items():
            if isinstance(value, dict):
                yield from flat(value, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}", value

    return dict(flat(_paper_file()["numbers"]))


def fill(text: str, sources: dict[str, dict[str, Number]]) -> str:
    """`text` with `[[key]]`, `[[key|.2f]]` and `[[name:key]]` replaced by numbers.

    A key without a name is looked up in sources[""]. Raises KeyError where it is not there.
    """

    def number(match: re.Match) -> str:
        name, key, form = match[1] or "", match[2].strip(), match[3]
        if key not in sources.get(name, {}):
            raise KeyError(f"no number {match[0]} in: {text[:60]}")
        return shown(sources[name][key], form or "")

    return PLACEHOLDER.sub(number, text)


def shown(value: Number, form: str = "") -> str:
    """A number as text; without a format 50000 is "50,000" and 0.98341 is "0.9834"."""
    if isinstance(value, list):
        return ", ".join(shown(item, form) for item in value)
    return format(value, form or {int: ",d", float: ",.4g"}.get(type(value), ""))


# Rules


def rule_hash(claim: str) -> str:
    """The digest of the fields that decide a claim."""
    entry = _paper_file()["claims"][claim]
    return digest({field: entry.get(field) for field in RULE_FIELDS})


def register(file: Path | None = None) -> None:
    """Write the rules' hashes to results/rules.json, before the main runs. A hash once there stays, so a rule
    changed later shows on the board."""
    file = file or paths.RESULTS / "rules.json"
    judged = [name for name, entry in _paper_file()["claims"].items() if "statistic" in entry]
    rules = {name: rule_hash(name) for name in judged} | registered(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(rules, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def registered(file: Path | None = None) -> dict[str, str]:
    """The hashes that `register` wrote, by claim; none where it never ran."""
    file = file or paths.RESULTS / "rules.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


# Statistics: each takes all results and says how large the paper's claim turns out here


def accuracy_gap(results: Results, setting: str = "tuned") -> Estimate:
    """Final test accuracy with BN minus without, in points."""
    pair = [measures.accuracies(results.main[setting, variant]) for variant in ("bn", "plain")]
    with_bn, without = (float(x.mean()) for x in pair)
    return Estimate(
        stats.paired_difference(*pair),
        {
            "ko": f"{with_bn:.2f}% 대 {without:.2f}%.",
            "en": f"{with_bn:.2f}% against {without:.2f}%.",
        },
    )


def speedup(results: Results, setting: str = "tuned") -> Estimate:
    """Steps to the plain network's final accuracy, without BN over with BN."""
    goal = measures.target(results.main[setting, "plain"])
    found = {v: [measures.crossing(r, goal) for r in results.main[setting, v]] for v in VARIANTS}
    ratio = stats.paired_ratio(*([c.step for c in found[variant]] for variant in ("plain", "bn")))
    missed = {variant: sum(not c.reached for c in found[variant]) for variant in VARIANTS}
    n = ratio.n
    detail = {"ko": f"목표 {goal:.2f}%.", "en": f"Target {goal:.2f}%."}
    names = {
        "plain": {"ko": "기준 모델", "en": "without batch normalization"},
        "bn": {"ko": "배치 정규화", "en": "with it"},
    }
    for variant in VARIANTS:
        if k := missed[variant]:
            name = names[variant]
            detail["ko"] += f" {name['ko']}: 시드 {n}개 가운데 {k}개는 목표에 이르지 못해 전체 스텝으로 셌다."
            detail["en"] += f" {k} of {n} runs {name['en']} never reach it and count with all their steps."
    bounds = {(0, 0): None, (1, 0): "lower", (0, 1): "upper", (1, 1): "both"}
    return Estimate(ratio, detail, bounds[bool(missed["plain"]), bool(missed["bn"])])


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
    return [measures.median_drift(record, name) for record in results.main[setting, variant]]


def initialisation_freedom(results: Results) -> Estimate:
    """Range of test accuracy over initialisations, each with its own learning rate: without BN minus with BN,
    in points."""
    found = measures.cells(results, binarise=True)
    plain, bn = (measures.spread(found[v], measures.retuned_cells(found[v])) for v in VARIANTS)
    return Estimate(
        stats.paired_difference(plain, bn),
        {
            "ko": f"초기화에 따른 차이: 기준 모델 {plain.mean():.2f}%p, 배치 정규화 {bn.mean():.2f}%p.",
            "en": f"Range: {plain.mean():.2f} points without, {bn.mean():.2f} with batch normalization.",
        },
    )


STATISTICS: dict[str, Callable[[Results], Estimate]] = {
    function.__name__: function for function in (accuracy_gap, speedup, drift_ratio, initialisation_freedom)
}
# Those that are measured at both settings; the tuned one decides.
AT_BOTH_SETTINGS = {"accuracy_gap", "speedup", "drift_ratio"}


# The board


def verdict(estimate: Estimate, effect: float) -> str:
    """reproduced: the interval lies wholly beyond `effect`; not reproduced: wholly short of it.

    Otherwise inconclusive. A bound decides only what it implies: "at least" can reproduce, but not refute.
    """
    if estimate.interval.low > effect and estimate.bound in (None, "lower"):
        return "reproduced"
    if estimate.interval.high < effect and estimate.bound in (None, "upper"):
        return "not reproduced"
    return "inconclusive"


def board(profile: str = "cpu", results: Results | None = None) -> list[ClaimResult]:
    """All claims in the order of the paper, with their verdicts; raises MissingRecord."""
    results = results or _results(profile)
    known = registered()
    return [_judge(name, entry, results, known) for name, entry in _paper_file()["claims"].items()]


def _judge(name: str, entry: dict[str, Any], results: Results, known: dict[str, str]) -> ClaimResult:
    estimate = detail = None
    if entry.get("experiment") in EXPERIMENTS and "statistic" in entry:
        estimate = STATISTICS[entry["statistic"]](results)
        outcome, text = verdict(estimate, entry["effect"]), _headline(entry, estimate)
        detail = _detail(entry, estimate, results)
    elif "experiment" in entry:
        outcome, text = "not run yet", {"ko": "아직 실행하지 않았다.", "en": "Not run yet."}
    else:
        outcome, text = "not testable here", entry["note"]
    interval = estimate.interval if estimate else None
    return ClaimResult(
        id=name,
        section=entry["section"],
        statement=_filled(entry["statement"]),
        paper=_filled(entry["paper"]),
        rule=entry.get("rule"),
        estimate=interval and interval.estimate,
        low=interval and interval.low,
        high=interval and interval.high,
        unit=entry.get("unit"),
        effect=entry.get("effect"),
        verdict=outcome,
        figure=entry.get("figure"),
        chapter=entry["chapter"],
        text=text,
        detail=detail,
        note=entry.get("note"),
        rule_changed=known.get(name, rule_hash(name)) != rule_hash(name),
    )


def _filled(text: Text) -> Text:
    return {lang: fill(text[lang], {"": paper()}) for lang in LANGUAGES}


def _headline(entry: dict[str, Any], estimate: Estimate) -> Text:
    n = estimate.interval.n
    seeds = {"ko": f"시드 {n}개", "en": f"{n} seeds"}
    return {lang: f"{quantity(estimate, entry['unit'], lang)}, {seeds[lang]}." for lang in LANGUAGES}


def _detail(entry: dict[str, Any], estimate: Estimate, results: Results) -> Text:
    """What the headline rests on, and what comes out at the shared setting where that is another."""
    if entry["statistic"] not in AT_BOTH_SETTINGS or len(measures.settings(results)) == 1:
        return estimate.detail
    shared = STATISTICS[entry["statistic"]](results, "shared")
    at = {"ko": "같은 설정에서는", "en": "At one shared setting:"}
    there = {lang: f"{at[lang]} {quantity(shared, entry['unit'], lang)}." for lang in LANGUAGES}
    return {lang: f"{estimate.detail[lang]} {there[lang]} {shared.detail[lang]}" for lang in LANGUAGES}


def quantity(estimate: Estimate, unit: str, lang: str) -> str:
    """ "2.1 times (95% interval 1.8 to 2.4)", or the same in Korean."""
    form = {"points": "+.2f", "times": ".2f"}[unit]
    middle, low, high = (
        format(value, form).replace("inf", "∞").replace("-", "−")
        for value in (estimate.interval.estimate, estimate.interval.low, estimate.interval.high)
    )
    word = UNITS[unit][lang]
    if lang == "ko":
        bound = {None: "", "lower": " 이상", "upper": " 이하", "both": " 안팎"}[estimate.bound]
        return f"{middle}{word}{bound} (95% 신뢰 구간 {low}~{high})"
    bound = {None: "", "lower": "at least ", "upper": "at most ", "both": "about "}[estimate.bound]
    return f"{bound}{middle}{word} (95% interval {low} to {high})"


def agreement(committed: list[ClaimResult], fresh: list[ClaimResult]) -> list[Agreement]:
    """Whether a rerun points the same way, claim by claim; claims without a result are left out.

    A result points somewhere where its whole interval lies on one side of "no effect".
    """
    again = {claim.id: claim for claim in fresh}
    rows = []
    for claim in committed:
        other = again.get(claim.id)
        if claim.estimate is None or other is None or other.estimate is None:
            continue
        ours, theirs = _direction(claim), _direction(other)
        words = "direction agrees" if ours == theirs else "differs"
        words = words if ours and theirs else "too small to say"
        rows.append(Agreement(claim.id, _short(claim), _short(other), words))
    return rows


def _direction(claim: ClaimResult) -> int:
    neutral = NEUTRAL[claim.unit]
    return int(claim.low > neutral) - int(claim.high < neutral)


def _short(claim: ClaimResult) -> str:
    form = {"points": "{:+.2f}", "times": "{:.2f}"}[claim.unit]
    middle, low, high = (form.format(value) for value in (claim.estimate, claim.low, claim.high))
    return f"{middle}{UNITS[claim.unit]['en']} ({low} to {high})"


README_BLOCK = re.compile(r"(?<=held by a test -->\n).*?(?=<!-- /claims -->)", re.DOTALL)


def readme(board: list[ClaimResult], text: str) -> str:
    """The README's `text` with its table of claims as `board` has it; both languages."""
    rows = [
        f"| {claim.statement['ko']}<br>{claim.statement['en']} | {claim.text['en']} | **{claim.verdict}** |\n"
        for claim in board
    ]
    head = "| 주장 · claim | 이 책 · this book | 판정 · verdict |\n|---|---|---|\n"
    return README_BLOCK.sub(lambda _: head + "".join(rows), text)


# Every number a chapter may want


def numbers(profile: str = "cpu", results: Results | None = None) -> dict[str, Number]:
    """Our numbers by key; accuracies in percent, gaps in points. Raises MissingRecord.

    Keys: data, runs, hours, versions.<library>; main.<setting>.<variant>.accuracy (_low, _high) and so on;
    gap.<setting>.points, speed.<setting>.ratio, drift.<setting>.ratio, each with _low and _high;
    initialisation.<...>, typical.<variant>.<...>, multiverse.<input>.<...>.
    """
    results = results or _results(profile)
    found = dict(_general(results, profile))
    for setting in SETTINGS:
        for variant in VARIANTS:
            found |= _prefixed(f"main.{setting}.{variant}", _run_numbers(results, setting, variant))
        found |= _prefixed(f"gap.{setting}", _interval("points", accuracy_gap(results, setting).interval))
        found |= _prefixed(f"speed.{setting}", _speed_numbers(results, setting))
        found |= _prefixed(f"drift.{setting}", _drift_numbers(results, setting))
    for name, binarise in INPUTS.items():
        found |= _prefixed(f"multiverse.{name}", _multiverse_numbers(results, binarise))
    found |= _prefixed("initialisation", _initialisation_numbers(results))
    for variant in VARIANTS:
        found |= _prefixed(f"typical.{variant}", _typical_numbers(results.main["tuned", variant][0]))
    return {key: value.item() if isinstance(value, np.generic) else value for key, value in found.items()}


def effect(claim: str) -> float:
    """The smallest effect that matters for `claim`, as its rule has it."""
    return _paper_file()["claims"][claim]["effect"]


def _prefixed(prefix: str, values: dict[str, Number]) -> dict[str, Number]:
    return {f"{prefix}.{key}": value for key, value in values.items()}


def _interval(name: str, interval: Interval) -> dict[str, Number]:
    return {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _general(results: Results, profile: str) -> Iterator[tuple[str, Number]]:
    distinct = {(r.run_id, r.seed): r for r in itertools.chain(*results.main.values(), results.multiverse)}
    first = results.main["tuned", "plain"][0]
    yield "profile", profile
    yield "data", measures.data_name([first])
    yield "runs", len(distinct)
    yield "hours", sum(r.provenance["seconds"] for r in distinct.values()) / 3600
    yield "hardware", first.provenance["hardware"]
    yield from ((f"versions.{library}", v) for library, v in first.provenance["versions"].items())
    yield "main.seeds", results.profile.seeds
    yield "main.steps", results.profile.steps
    yield from ((f"main.{name}_step", _step_near(results, step)) for name, step in MOMENTS.items())
    yield from _prefixed("grid", _ends("lr", results.profile.lrs)).items()
    yield from _prefixed("grid", _ends("init_std", results.profile.init_stds)).items()
    yield "main.shared.lr", results.choice.shared[0]
    yield "main.shared.init_std", results.choice.shared[1]
    yield "multiverse.seeds", results.profile.multiverse_seeds
    yield "multiverse.steps", results.profile.multiverse_steps
    yield "multiverse.cells", len(results.profile.lrs) * len(results.profile.init_stds)
    for name in ("accuracy", "speed", "drift", "initialisation"):
        yield f"effect.{name}", float(effect(f"c-4.1-{name}"))


def _ends(name: str, values: Sequence[float]) -> dict[str, Number]:
    return {f"{name}_lowest": min(values), f"{name}_highest": max(values)}


def _step_near(results: Results, step: int) -> int:
    """The evaluation nearest to `step`."""
    steps, _ = measures.curve(results.main["tuned", "plain"][0])
    return int(steps[np.abs(steps - step).argmin()])


def _run_numbers(results: Results, setting: str, variant: str) -> dict[str, Number]:
    found = results.main[setting, variant]
    lr, init_std = results.choice.of(setting, variant)
    numbers = {"lr": lr, "init_std": init_std, "diverged": sum(r.diverged for r in found)}
    numbers |= _interval("accuracy", stats.mean_interval(measures.accuracies(found)))
    numbers |= _interval("accuracy_moving", stats.mean_interval(measures.moving_accuracies(found)))
    for name, step in MOMENTS.items():
        then = [_accuracy_at(r, _step_near(results, step)) for r in found]
        numbers |= _interval(f"accuracy_{name}", stats.mean_interval(then))
    numbers["accuracy_min"] = measures.accuracies(found).min()
    numbers["accuracy_max"] = measures.accuracies(found).max()
    numbers["best"] = measures.target(found)
    numbers["drift"] = float(np.median(_median_drifts(results, setting, variant)))
    if variant == "bn":
        numbers["wu_drift"] = float(np.median(_median_drifts(results, setting, variant, "wu_percentiles")))
    numbers["seconds"] = float(np.median([r.provenance["seconds"] for r in found]))
    return numbers


def _accuracy_at(record: Record, step: int) -> float:
    """Test accuracy in percent at evaluation `step`; chance where the run had diverged by then."""
    steps, values = measures.curve(record)
    return float(values[steps == step][0]) if step in steps else 100 * record.final["chance_accuracy"]


def _speed_numbers(results: Results, setting: str) -> dict[str, Number]:
    goal = measures.target(results.main[setting, "plain"])
    numbers = {"target": goal} | _interval("ratio", speedup(results, setting).interval)
    for variant in VARIANTS:
        found = [measures.crossing(r, goal) for r in results.main[setting, variant]]
        numbers[f"{variant}_steps"] = int(np.median([c.step for c in found]))
        numbers[f"{variant}_reached"] = sum(c.reached for c in found)
    return numbers


def _drift_numbers(results: Results, setting: str) -> dict[str, Number]:
    plain = _median_drifts(results, setting, "plain")
    before = _median_drifts(results, setting, "bn", "wu_percentiles")
    ratio = _interval("ratio", drift_ratio(results, setting).interval)
    return ratio | _interval("wu_ratio", stats.paired_ratio(plain, before))


def _multiverse_numbers(results: Results, binarise: bool) -> dict[str, Number]:
    gaps = list(measures.gaps(results, binarise).values())
    means = np.array([gap.mean() for gap in gaps])
    smallest = effect("c-4.1-accuracy")
    above, below = measures.clear(gaps, smallest)
    numbers = {
        "higher": int((means > smallest).sum()),
        "lower": int((means < -smallest).sum()),
        "within": int((np.abs(means) <= smallest).sum()),
        "higher_holm": int(above.sum()),
        "lower_holm": int(below.sum()),
        "largest_gain": means.max(),
        "largest_loss": means.min(),
    }
    for variant, of in measures.cells(results, binarise).items():
        numbers |= _prefixed(variant, _cell_numbers(of))
    return numbers


def _cell_numbers(of: dict[measures.Cell, list[Record]]) -> dict[str, Number]:
    """Best cell (chosen on validation), worst cell, and how many come near the best or stay near chance."""
    means = {cell: measures.accuracies(found).mean() for cell, found in of.items()}
    chance = 100 * next(iter(of.values()))[0].final["chance_accuracy"]
    best, worst = measures.best_cell(of), min(means, key=means.get)
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
    numbers = _interval("points", initialisation_freedom(results).interval)
    for variant, of in measures.cells(results, binarise=True).items():
        lr, _ = results.choice.tuned[variant]
        tuned = [cell for cell in of if cell[0] == lr]
        retuned = stats.mean_interval(measures.spread(of, measures.retuned_cells(of)))
        fixed = stats.mean_interval(measures.spread(of, tuned))
        numbers |= _prefixed(variant, _interval("spread", retuned) | _interval("spread_fixed", fixed))
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
