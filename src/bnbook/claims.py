"""From records to verdicts, and to every number that the book's text may use.

Each claim of the paper stands in paper.yml with the rule that decides it, from before its results. `board`
holds the records against the rules; `numbers` gives the measured numbers by key.
"""

import dataclasses
import itertools
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bnbook import benchmarks, costs, durations, files, josa, mutants, paper, paths, stats
from bnbook.config import digest
from bnbook.experiments import EXPERIMENTS, PLANNED
from bnbook.measures import (
    UNITS,
    Estimate,
    amount,
    excluded,
    in_korean,
    interval,
    prefixed,
    quantity,
    verdict,
)
from bnbook.paper import LANGUAGES, Number, Text
from bnbook.records import MissingRecord

RULE_FIELDS = ("experiment", "statistic", "effect", "unit", "type", "rule")
# What kind of claim it is: of the paper, or of a later one. What holds by definition is no finding: our
# implementation was checked.
KINDS = ("measured", "after", "definition", "shown")
VERDICTS = {
    "measured": ("reproduced", "not reproduced", "inconclusive", "not run yet"),
    "after": ("reproduced", "not reproduced", "inconclusive", "not run yet"),
    "definition": ("holds", "fails", "not run yet"),
    "shown": ("not judged", "not testable here", "not run yet"),
}

# Whether a rerun points the way of the committed results; the last two, of what one of them cannot tell.
AGREEMENTS = ("direction agrees", "differs", "open in the committed results", "too small at this scale")

DECIDED = ("reproduced", "not reproduced", "inconclusive")

# The `Results` of each experiment, by its name.
AllResults = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class ClaimResult:
    """One row of the board: a claim and what became of it here."""

    id: str
    kind: str  # one of KINDS
    section: str  # of the paper, a key of `paper.sections`
    statement: Text
    source: str | None  # whose claim it is where it is not the paper's, a key of references.bib
    paper: Text  # what the paper says, or that source
    measures: Text | None  # what the number is, of what against what
    why: Text | None  # it was not reproduced; its numbers are to be filled in
    rule: Text | None
    estimate: float | None
    low: float | None
    high: float | None
    bound: str | None  # of the estimate, see `Estimate`
    unit: str | None  # a key of UNITS
    effect: float | None  # the smallest that matters
    verdict: str  # one of its kind's VERDICTS
    figure: str | None
    chapter: str
    text: Text  # our result in a line or two, with what must not be read without
    detail: Text | None  # what a reader should know beside it
    note: Text | None
    found: Estimate | None  # what estimate, interval and bound are of, with the values it was made of
    hashes: tuple[str, ...]  # of its rule, as they were registered, the one in force last
    rule_changed: bool  # after its last registration
    registrations: int  # more than one where the runs were made again by another rule


@dataclasses.dataclass(frozen=True)
class Agreement:
    """One row of the table that compares a rerun with the committed results."""

    id: str
    statement: str
    committed: str
    fresh: str
    agreement: str  # one of AGREEMENTS


def results(profile: str = "cpu", folders: Sequence[Path] | None = None, data: str = "") -> AllResults:
    """The records of `profile`, from `folders` (runs folders), of every experiment that has them all, and of
    first registrations.

    By default the committed records for "cpu", which the book shows; for the others also build/results. With
    `data` those of the plans on that data set, of each experiment that can be run on it. Raises MissingRecord
    where no experiment is complete.
    """
    if folders is None:
        places = [paths.RESULTS] if profile == "cpu" else [paths.RESULTS, paths.BUILD_RESULTS]
        folders = [paths.runs(place) for place in places]
    found, missing = {}, []
    for name, experiment in PLANNED.items():
        try:
            found[name] = experiment.protocol.results(experiment.sizes(profile, data), folders)
        except MissingRecord as error:
            missing.append(error)
    if not found:
        raise missing[0]
    return found


def numbers(results: AllResults) -> dict[str, Number]:
    """Our numbers by key, each with its experiment's name first:
    "mnist_activation_shift.main.tuned.bn.accuracy".

    An experiment without results has only its sizes: those of the profile that is to be committed. The name
    of its data set is "data", and "data_ko" in Korean sentences. How many claims got which verdict has the
    name "board"; a claim's estimate and interval as the board has them, "claim.<id>", "_low" and "_high".
    """
    judged = board(results)
    found: dict[str, Number] = prefixed("board", tally(judged))
    for claim in judged:
        if claim.found:
            found |= interval(f"claim.{claim.id}", claim.found.interval)
    for name, experiment in PLANNED.items():
        own, module = results.get(name), experiment.measures
        profile = own.profile if own else experiment.protocol.PROFILES["cpu"]
        known = module.sizes(profile) | (module.numbers(own) if own else {})
        if "data" in known:  # a data set's name, which has a Korean one
            known["data_ko"] = in_korean(known["data"])
        found |= prefixed(name, known)
    return {key: value.item() if isinstance(value, np.generic) else value for key, value in found.items()}


def all_numbers(results: AllResults) -> dict[str, Number]:
    """These; what was measured of time, by the benchmark ("bench.") and by the records ("durations."), and
    what follows from both ("costs."); and what mistakes made on purpose showed ("mutants.")."""
    measured = benchmarks.numbers() | durations.numbers() | costs.numbers() | mutants.numbers()
    return numbers(results) | measured


# Rules


def rule_hash(claim: str) -> str:
    """The digest of the fields that decide a claim and, after a "+", of the constants in code that do."""
    entry = paper.claims()[claim]
    return "+".join(digest(part) for part in ({f: entry.get(f) for f in RULE_FIELDS}, constants(claim)))


def constants(claim: str) -> dict[str, Any]:
    """The constants in code that decide `claim`, by name: the confidence, and those that paper.yml names.
    Raises KeyError where there is none of that name."""
    entry = paper.claims()[claim]
    places = (EXPERIMENTS[entry["experiment"]].measures, EXPERIMENTS[entry["experiment"]].protocol, stats)

    found = {}
    for name in ("CONFIDENCE", *entry.get("constants", ())):
        place = next((place for place in places if hasattr(place, name)), None)
        if place is None:
            raise KeyError(f"{claim}: no constant {name} in its measures, its protocol or the statistics")
        found[name] = getattr(place, name)
    return found


def register(again: Sequence[str] = (), file: Path | None = None) -> None:
    """Write the rules' hashes to results/rules.json, before the main runs. What is there stays, so a rule
    changed later shows on the board; only the claims named in `again`, whose runs are to be made again by
    another rule, get a hash more, and the board says that theirs is a second registration.

    A hash without constants dates from before they were hashed: it is completed, its rule being the same.
    """
    file = file or paths.RESULTS / "rules.json"
    known = registered(file)
    for name, entry in paper.claims().items():
        if "statistic" not in entry:
            continue
        hashes, today = known.setdefault(name, []), rule_hash(name)
        if not hashes or _completes(hashes[-1], today) or (name in again and hashes[-1] != today):
            hashes.append(today)
    files.write(file, json.dumps(known, indent=1, sort_keys=True) + "\n")


def _completes(early: str, late: str) -> bool:
    """Whether `late` is the same rule as `early`, now with its constants."""
    return late.startswith(early + "+")


def registrations(hashes: Sequence[str]) -> int:
    """How often a rule with these hashes was registered."""
    return len(hashes) - sum(_completes(*pair) for pair in itertools.pairwise(hashes))


def registered(file: Path | None = None) -> dict[str, list[str]]:
    """The hashes that `register` wrote, by claim, the one in force last; none where it never ran."""
    file = file or paths.RESULTS / "rules.json"
    return files.read_json(file) if file.exists() else {}


# The board


def board(results: AllResults) -> list[ClaimResult]:
    """All claims in the order of the paper, with their verdicts."""
    known = registered()
    return [_judge(name, entry, results, known.get(name, [])) for name, entry in paper.claims().items()]


def tally(board: Sequence[ClaimResult]) -> dict[str, int]:
    """How many claims there are of each kind, and how many of the measured got which verdict; of those of
    later papers by names that begin with "after."."""
    found = {kind: sum(claim.kind == kind for claim in board) for kind in KINDS}
    for kind, start in (("measured", ""), ("after", "after.")):
        verdicts = [claim.verdict for claim in board if claim.kind == kind]
        found |= {start + name.replace(" ", "_"): verdicts.count(name) for name in VERDICTS[kind]}
    found["holds"] = sum(claim.verdict == "holds" for claim in board)
    return found | {"claims": len(board)}


def _judge(name: str, entry: dict[str, Any], results: AllResults, hashes: list[str]) -> ClaimResult:
    kind = entry.get("class") or ("measured" if entry["type"] == "order" else "shown")
    estimate = measured(entry, results)
    interval = estimate.interval if estimate else None
    outcome = _outcome(kind, entry, estimate)
    return ClaimResult(
        id=name,
        kind=kind,
        section=entry["section"],
        statement=_filled(entry["statement"]),
        source=entry.get("source"),
        paper=_filled(entry["paper"]),
        measures=entry.get("measures") if estimate else None,
        why=entry.get("why"),
        rule=entry.get("rule"),
        estimate=interval.estimate if interval else None,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        bound=estimate.bound if estimate else None,
        unit=entry.get("unit"),
        effect=entry.get("effect"),
        verdict=outcome,
        # A figure of records that are not there is not in the book.
        figure=entry.get("figure") if estimate else None,
        chapter=entry["chapter"],
        text=_text(entry, estimate, outcome),
        detail=_detail(estimate, entry["effect"]) if estimate else None,
        note=entry.get("note"),
        found=estimate,
        hashes=tuple(hashes),
        rule_changed=bool(hashes) and hashes[-1] != rule_hash(name),
        registrations=registrations(hashes),
    )


def measured(entry: dict[str, Any], results: AllResults) -> Estimate | None:
    """What the claim's statistic finds; None where it has none, or records that it needs are missing."""
    if entry.get("experiment") not in results or "statistic" not in entry:
        return None
    try:
        statistics = EXPERIMENTS[entry["experiment"]].measures.STATISTICS
        return statistics[entry["statistic"]](results[entry["experiment"]])
    except MissingRecord:
        return None


def _outcome(kind: str, entry: dict[str, Any], estimate: Estimate | None) -> str:
    """The verdict, one of the kind's."""
    if estimate is None:
        return "not run yet" if "experiment" in entry else "not testable here"
    if kind in ("measured", "after"):
        return verdict(estimate, entry["effect"])
    if kind == "shown":
        return "not judged"
    return "holds" if estimate.interval.estimate > entry["effect"] else "fails"


# What the board says of a result


def _filled(text: Text) -> Text:
    return {lang: paper.fill(text[lang], {"": paper.numbers()}) for lang in LANGUAGES}


def _text(entry: dict[str, Any], estimate: Estimate | None, outcome: str) -> Text:
    if estimate is None:
        silent = {"ko": "아직 실행하지 않았다.", "en": "Not run yet."}
        return silent if "experiment" in entry else entry["note"]
    parts = [_headline(entry, estimate, outcome)]
    if outcome == "inconclusive" and not estimate.bound:
        parts.append(excluded(estimate.interval, entry["unit"], entry["effect"]))
    parts.append(estimate.caveat or {"ko": "", "en": ""})
    return {lang: " ".join(part[lang] for part in parts if part[lang]) for lang in LANGUAGES}


def _headline(entry: dict[str, Any], estimate: Estimate, outcome: str) -> Text:
    unit, n, effect = entry["unit"], estimate.interval.n, entry["effect"]
    bare = f"{effect:g}".replace("-", "−")
    asked = bare + UNITS[unit].word["ko"]
    if outcome in VERDICTS["definition"]:  # what was checked, and no interval: nothing is left to chance
        found = {lang: amount(estimate.interval.estimate, unit, lang, effect) for lang in LANGUAGES}
        return {
            "ko": f"확인한 값은 {josa.with_particle(found['ko'], '이다')}. "
            f"{josa.with_particle(asked, '을')} 넘어야 한다.",
            "en": f"Checked: {found['en']}; it has to exceed {bare}.",
        }
    over = estimate.over or {"ko": f"시드 {n}개", "en": f"{n} seeds"}
    against = {"ko": f" 기준은 {josa.with_particle(asked, '이다')}.", "en": f" Asked for: more than {bare}."}
    return {
        lang: f"{quantity(estimate, unit, lang, effect)}, {over[lang]}."
        + (against[lang] if outcome in DECIDED else "")
        for lang in LANGUAGES
    }


# Holm's procedure decides more than simultaneous intervals show, see `stats.Compared`.
BY_HOLM = {
    "ko": "판정은 홀름의 방법으로 보정한 p값으로 한다. 구간은 한 무리의 주장에 동시에 성립하도록 "
    "넓게 잡았으므로 판정과 달라 보일 수 있다.",
    "en": "The verdict is by Holm's adjusted p-values. The interval, made to hold together with those of the "
    "family's other claims, need not show the same.",
}


def _detail(estimate: Estimate, effect: float) -> Text:
    """The statistic's own, with a word where a family's p-values and its interval do not say the same."""
    alone = dataclasses.replace(estimate, family=None)
    if verdict(estimate, effect) == verdict(alone, effect):
        return estimate.detail
    return {lang: f"{estimate.detail[lang]} {BY_HOLM[lang]}" for lang in LANGUAGES}


def headline(board: Sequence[ClaimResult]) -> Text:
    """The board in a sentence or two, for the README (합쇼체)."""
    n = tally(board)
    waiting = {"ko": "", "en": ""}
    if n["not_run_yet"]:
        waiting = {
            "ko": f" {n['not_run_yet']}개는 아직 실행하지 않았습니다.",
            "en": f" {n['not_run_yet']} are not run yet.",
        }
    later = _later(n)
    return {
        "ko": f"**측정한 주장 {n['measured']}개 가운데 {n['reproduced']}개가 재현되었고, "
        f"{n['not_reproduced']}개는 재현되지 않았으며, {n['inconclusive']}개는 결론이 나지 않았습니다.**"
        f"{waiting['ko']} 정의에서 따라 나오는 {n['definition']}개는 이 책의 구현이 정의대로 움직이는지만 "
        f"확인했고, 나머지 {n['shown']}개는 판정하지 않고 논문과 나란히 적었습니다.{later['ko']}",
        "en": f"**Of {n['measured']} measured claims {n['reproduced']} are reproduced, "
        f"{n['not_reproduced']} are not, and {n['inconclusive']} are inconclusive.**{waiting['en']} "
        f"{n['definition']} more hold by definition: there only our implementation was checked. "
        f"{n['shown']} are shown beside the paper without a verdict.{later['en']}",
    }


def _later(n: dict[str, int]) -> Text:
    """Of the claims of later papers, counted by `tally`: of those that were run, how many are reproduced."""
    run, waiting = n["after"] - n["after.not_run_yet"], n["after.not_run_yet"]
    told = {"ko": "", "en": ""}
    if run:
        told["ko"] += (
            f" 뒤에 나온 논문들의 주장 {run}개 가운데서는 {n['after.reproduced']}개가 재현되었습니다."
        )
        told["en"] += f" Of {run} claims of later papers {n['after.reproduced']} are reproduced."
    if waiting:
        told["ko"] += f" 뒤에 나온 논문들의 주장 {waiting}개는 규칙만 등록했고 아직 실행하지 않았습니다."
        told["en"] += f" {waiting} claims of later papers are registered, and not run yet."
    return told


# Beside a rerun


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
        agrees, differs, is_open, too_small = AGREEMENTS
        words = agrees if ours == theirs else differs
        if not (ours and theirs):
            words = is_open if theirs else too_small
        rows.append(Agreement(claim.id, claim.statement["en"], _short(claim), _short(other), words))
    return rows


def _direction(claim: ClaimResult) -> int:
    if claim.kind == "definition":
        return 1 if claim.verdict == "holds" else -1
    unit, _, low, high = _numbers(claim)
    larger = low > UNITS[unit].neutral and claim.bound in (None, "lower")
    smaller = high < UNITS[unit].neutral and claim.bound in (None, "upper")
    return int(larger) - int(smaller)


def _numbers(claim: ClaimResult) -> tuple[str, float, float, float]:
    """Unit, estimate and interval of a claim that was measured."""
    assert claim.unit and claim.estimate is not None and claim.low is not None and claim.high is not None
    return claim.unit, claim.estimate, claim.low, claim.high


def _short(claim: ClaimResult) -> str:
    unit, *numbers = _numbers(claim)
    middle, low, high = (_rounded(value, unit) for value in numbers)
    word = UNITS[unit].word["en"]
    if claim.kind == "definition":
        return f"{middle}{word}"
    return {
        None: f"{middle}{word} ({low} to {high})",
        "lower": f"at least {low}{word}",
        "upper": f"at most {high}{word}",
        "both": "not to be told",
    }[claim.bound]


def _rounded(value: float, unit: str) -> str:
    """As `amount`; a ratio, which may be of any size, to three digits."""
    if UNITS[unit].neutral and math.isfinite(value):
        return f"{value:#.3g}".rstrip(".") if value < 1000 else f"{float(f'{value:.3g}'):,.0f}"
    return amount(value, unit)


def _measures(claim: ClaimResult) -> str:
    return f"{claim.measures['en']}: " if claim.measures else ""


README_NUMBER = re.compile(r"(<!-- (\[\[[^\]]+\]\]) -->).*?(?=<!-- -->)")
README_BLOCK = re.compile(r"(?<=held by a test -->\n).*?(?=<!-- /claims -->)", re.DOTALL)


KIND_TITLES = {
    "measured": "측정한 주장 · measured",
    "after": "논문 이후의 주장 · after the paper",
    "definition": "정의에서 따라 나오는 주장 · holds by definition",
    "shown": "판정하지 않고 논문과 나란히 적은 것 · shown beside the paper",
}


def readme(board: list[ClaimResult], text: str, known: dict[str, Number]) -> str:
    """The README's `text` with its headline and tables of claims as `board` has them, in both languages; and
    with today's numbers between `<!-- [[key|format]] -->` and `<!-- -->`. Raises KeyError where `known`
    (`all_numbers`) has none of that key."""

    def filled(match: re.Match) -> str:
        # In a table's cell a bar is escaped.
        return match[1] + paper.fill(match[2].replace("\\|", "|"), {"": known})

    text = README_NUMBER.sub(filled, text)
    words = headline(board)
    parts = [f"{words['ko']}\n\n{words['en']}\n"]
    for kind in (kind for kind in KINDS if any(claim.kind == kind for claim in board)):
        rows = [
            f"| {claim.statement['ko']}<br>{claim.statement['en']} "
            f"| {_measures(claim)}{claim.text['en']} | **{claim.verdict}** |\n"
            for claim in board
            if claim.kind == kind
        ]
        head = "| 주장 · claim | 이 책 · this book | 판정 · verdict |\n|---|---|---|\n"
        parts.append(f"### {KIND_TITLES[kind]}\n\n{head}{''.join(rows)}")
    return README_BLOCK.sub(lambda _: "\n" + "\n".join(parts), text)
