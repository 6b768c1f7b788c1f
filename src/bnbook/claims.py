"""From records to verdicts, and to every number that the book's text may use.

Each claim of the paper stands in paper.yml with the rule that decides it, from before its results. `board`
holds the records against the rules; `numbers` gives the measured numbers by key.
"""

import dataclasses
import importlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from bnbook import paper, paths
from bnbook.config import digest
from bnbook.measures import UNITS, Estimate, prefixed, quantity
from bnbook.paper import LANGUAGES, Number, Text
from bnbook.protocols import EXPERIMENTS
from bnbook.records import MissingRecord
from bnbook.stats import CONFIDENCE

RULE_FIELDS = ("experiment", "statistic", "effect", "unit", "type", "rule")
NEUTRAL = {"points": 0.0, "times": 1.0, "digits": 0.0, "decades": 0.0}  # no effect

# The `Results` of each experiment, by its name.
AllResults = dict[str, Any]


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
    # reproduced, not reproduced, inconclusive, not judged (a magnitude), not testable here, not run yet
    verdict: str
    figure: str | None
    chapter: str
    text: Text  # our result in a line
    detail: Text | None  # what a reader should know beside it
    note: Text | None
    rule_changed: bool  # after its last registration
    registrations: int  # more than one where the runs were made again by another rule


@dataclasses.dataclass(frozen=True)
class Agreement:
    """One row of the table that compares a rerun with the committed results."""

    id: str
    committed: str
    fresh: str
    agreement: str  # direction agrees, differs, too small to say


def results(profile: str = "cpu", folders: Sequence[Path] | None = None) -> AllResults:
    """The records of `profile`, from `folders` (runs folders), of every experiment that has them all.

    By default the committed records for "cpu", which the book shows; for the others also build/results.
    Raises MissingRecord where no experiment is complete.
    """
    if folders is None:
        places = [paths.RESULTS] if profile == "cpu" else [paths.RESULTS, paths.BUILD_RESULTS]
        folders = [paths.runs(place) for place in places]
    found, missing = {}, []
    for name, experiment in EXPERIMENTS.items():
        try:
            found[name] = experiment.protocol.results(experiment.protocol.PROFILES[profile], folders)
        except MissingRecord as error:
            missing.append(error)
    if not found:
        raise missing[0]
    return found


def measured_by(experiment: str) -> ModuleType:
    """The module of `bnbook.measures` that measures the experiment's records."""
    return importlib.import_module(f"bnbook.measures.{experiment}")


def numbers(results: AllResults) -> dict[str, Number]:
    """Our numbers by key, each with its experiment's short name first: "mnist.main.tuned.bn.accuracy".

    An experiment without results has only its sizes: those of the profile that is to be committed.
    """
    found: dict[str, Number] = {}
    for name, experiment in EXPERIMENTS.items():
        own, module = results.get(name), measured_by(name)
        profile = own.profile if own else experiment.protocol.PROFILES["cpu"]
        known = module.sizes(profile) | (module.numbers(own) if own else {})
        found |= prefixed(experiment.short, known)
    return {key: value.item() if isinstance(value, np.generic) else value for key, value in found.items()}


# Rules


def rule_hash(claim: str) -> str:
    """The digest of the fields that decide a claim."""
    entry = paper.claims()[claim]
    return digest({field: entry.get(field) for field in RULE_FIELDS})


def register(again: Sequence[str] = (), file: Path | None = None) -> None:
    """Write the rules' hashes to results/rules.json, before the main runs. What is there stays, so a rule
    changed later shows on the board; only the claims named in `again`, whose runs are to be made again by
    another rule, get a hash more, and the board says that theirs is a second registration."""
    file = file or paths.RESULTS / "rules.json"
    known = registered(file)
    for name, entry in paper.claims().items():
        if "statistic" not in entry:
            continue
        hashes = known.setdefault(name, [])
        if not hashes or (name in again and hashes[-1] != rule_hash(name)):
            hashes.append(rule_hash(name))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def registered(file: Path | None = None) -> dict[str, list[str]]:
    """The hashes that `register` wrote, by claim, the one in force last; none where it never ran."""
    file = file or paths.RESULTS / "rules.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


# The board


def verdict(estimate: Estimate, effect: float) -> str:
    """reproduced: the truth lies beyond `effect`; not reproduced: it lies short of it; else inconclusive.

    The interval says so, being wholly on one side, or, for one of a family, Holm's p-values do, at the same
    level. A bound decides only what it implies: "at least" can reproduce, but not refute.
    """
    above, below = estimate.interval.low > effect, estimate.interval.high < effect
    if estimate.family:
        doubt = (1 - CONFIDENCE) / 2
        above, below = estimate.family.p_above < doubt, estimate.family.p_below < doubt
    if above and estimate.bound in (None, "lower"):
        return "reproduced"
    if below and estimate.bound in (None, "upper"):
        return "not reproduced"
    return "inconclusive"


def board(results: AllResults) -> list[ClaimResult]:
    """All claims in the order of the paper, with their verdicts."""
    known = registered()
    return [_judge(name, entry, results, known) for name, entry in paper.claims().items()]


def _judge(name: str, entry: dict[str, Any], results: AllResults, known: dict[str, list[str]]) -> ClaimResult:
    if estimate := _measured(entry, results):
        judged = entry["type"] == "order"
        outcome = verdict(estimate, entry["effect"]) if judged else "not judged"
        text = _headline(entry, estimate)
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
        # A figure of records that are not there is not in the book.
        figure=entry.get("figure") if estimate else None,
        chapter=entry["chapter"],
        text=text,
        detail=estimate and estimate.detail,
        note=entry.get("note"),
        rule_changed=known.get(name, [rule_hash(name)])[-1] != rule_hash(name),
        registrations=len(known.get(name, [])),
    )


def _measured(entry: dict[str, Any], results: AllResults) -> Estimate | None:
    """What the claim's statistic finds; None where it has none, or records that it needs are missing."""
    if entry.get("experiment") not in results or "statistic" not in entry:
        return None
    try:
        return measured_by(entry["experiment"]).STATISTICS[entry["statistic"]](results[entry["experiment"]])
    except MissingRecord:
        return None


def _filled(text: Text) -> Text:
    return {lang: paper.fill(text[lang], {"": paper.numbers()}) for lang in LANGUAGES}


def _headline(entry: dict[str, Any], estimate: Estimate) -> Text:
    n = estimate.interval.n
    over = estimate.over or {"ko": f"시드 {n}개", "en": f"{n} seeds"}
    return {lang: f"{quantity(estimate, entry['unit'], lang)}, {over[lang]}." for lang in LANGUAGES}


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
    form = {"points": "{:+.2f}", "times": "{:.2f}", "digits": "{:.1f}", "decades": "{:+.2f}"}[claim.unit]
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
