"""What a claim's page shows of the values behind its interval, and the form in which a reader judges it by
another effect or another level. judge.js computes as stats.py and `claims.verdict` do, to which a test holds
it.
"""

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import numpy as np

from bnbook.claims import ClaimResult
from bnbook.measures import UNITS, amount
from bnbook.paper import Text
from bnbook.sphinxext.claims import VERDICTS
from bnbook.sphinxext.editions import joined
from bnbook.sphinxext.html import script
from bnbook.stats import CONFIDENCE, Sample

LEVELS = [*(level / 100 for level in range(50, 100)), 0.995, 0.999]
SHOWN = 15  # values in a table that is not folded
COUNTED = 200  # values from which on equal ones are counted
RATIO = 1.02  # between two effects on the slider, where they are ratios
STEPS = 150  # about so many effects on the slider otherwise

WORDS: dict[str, Text] = {
    "title": {"ko": "직접 판정해 보기", "en": "Judge it yourself"},
    "own": {
        "ko": "기준과 신뢰 수준을 바꾸면 같은 값으로 다시 판정한다. 여기서 나오는 것은 "
        "**읽는 사람의 판정**이고, 등록된 판정은 바뀌지 않는다. 결과를 본 뒤에 고른 기준은 "
        "미리 정한 기준만큼 무게가 있지 않다.",
        "en": "Choose another smallest effect or another level, and the same values are judged again. What "
        "comes out is **your own judgement**; the registered verdict does not change. An effect chosen with "
        "the results in sight does not weigh as much as one set beforehand.",
    },
    "family": {
        "ko": "함께 판정하는 다른 주장의 기준은 등록된 대로 두고 홀름의 방법으로 판정한다.",
        "en": "Judged by Holm's method, the effects of the family's other claims staying as registered.",
    },
    "fixed": {
        "ko": "이 구간은 시드별 값만으로는 다시 계산할 수 없어서 신뢰 수준을 바꿀 수 없다.",
        "en": "This interval cannot be computed again from values by seed alone: the level stays as it is.",
    },
    "certain": {
        "ko": "정의에서 따라 나오는 것은 값 하나가 기준을 넘는지만 확인하므로 신뢰 수준이 없다.",
        "en": "What follows from the definitions is only checked to exceed the effect, so there is no level.",
    },
    "effect": {"ko": "의미 있는 가장 작은 효과(기준)", "en": "Smallest effect that matters"},
    "level": {"ko": "신뢰 수준", "en": "Confidence level"},
    "reset": {"ko": "등록된 값으로", "en": "As registered"},
    "reader": {"ko": "읽는 사람의 판정", "en": "Your judgement"},
    "registered": {"ko": "등록된 판정", "en": "Registered verdict"},
    "none": {
        "ko": "{middle} ({level} 신뢰 구간 {low}~{high})",
        "en": "{middle} ({level} interval {low} to {high})",
    },
    "lower": {
        "ko": "적어도 {low} ({level} 신뢰 구간의 아래 끝)",
        "en": "at least {low} (lower end, {level})",
    },
    "upper": {"ko": "많아야 {high} ({level} 신뢰 구간의 위 끝)", "en": "at most {high} (upper end, {level})"},
    "both": {"ko": "이 실행들로는 알 수 없다", "en": "not to be told from these runs"},
    "definition": {"ko": "확인한 값 {middle}", "en": "Checked: {middle}"},
    "asked": {"ko": "기준", "en": "asked for"},
    "order": {"ko": "순서", "en": "No."},
    "first": {"ko": "첫째", "en": "First"},
    "second": {"ko": "둘째", "en": "Second"},
    "difference": {"ko": "차이", "en": "Difference"},
    "ratio": {"ko": "비", "en": "Ratio"},
    "value": {"ko": "값", "en": "Value"},
    "count": {"ko": "개수", "en": "How many"},
    "table": {"ko": "값의 표", "en": "Table of the values"},
    "plot": {
        "ko": "점은 시드별 값, 굵은 선은 평균과 {level} 신뢰 구간, 점선은 기준이다.",
        "en": "Dots are the values by seed, the bar is mean and {level} interval, the dashed line the "
        "smallest effect asked for.",
    },
    "plot_other": {
        "ko": "굵은 선은 평균과 {level} 신뢰 구간, 점선은 기준이다. 값에 따른 개수는 표에 있다.",
        "en": "The bar is mean and {level} interval, the dashed line the smallest effect asked for. How "
        "often each value is there stands in the table.",
    },
    "plot_checked": {
        "ko": "점은 시드별 값, 검은 점은 평균, 점선은 넘어야 하는 기준이다.",
        "en": "Dots are the values by seed, the dark one their mean; the dashed line has to be exceeded.",
    },
}
OUTCOMES = ("reproduced", "not reproduced", "inconclusive", "holds", "fails")


def remarks(claim: ClaimResult) -> list[Text]:
    """What a reader should know before judging."""
    assert claim.found
    known = {
        "own": True,
        "family": claim.found.family is not None,
        "certain": claim.kind == "definition",
        "fixed": claim.kind != "definition" and not claim.found.interval.sample,
    }
    return [WORDS[name] for name, true in known.items() if true]


def _said(name: str, edition: str) -> str:
    return escape(joined(WORDS[name], edition))


# The form


def form(claim: ClaimResult, edition: str) -> str:
    """Sliders and a line for the outcome, hidden until judge.js is there; with all that it computes from."""

    def slider(name: str, low: int, high: int, value: int) -> str:
        return (
            f'<label class="bn-judge-row"><span>{_said(name, edition)}</span>'
            f'<input type="range" name="{name}" min="{low}" max="{high}" value="{value}">'
            f'<span class="bn-judge-value" data-of="{name}" aria-hidden="true"></span></label>'
        )

    known = data(claim, edition)
    sliders = slider("effect", known["from"], known["to"], 0)
    if known["levels"]:
        sliders += slider("level", 0, len(LEVELS) - 1, LEVELS.index(CONFIDENCE))
    name, words = VERDICTS[claim.verdict]
    return (
        f'<form class="bn-judge" hidden>{sliders}'
        f'<p class="bn-judge-outcome" role="status"><b>{_said("reader", edition)}</b> '
        '<span class="bn-verdict"></span> <span class="bn-judge-words"></span></p>'
        f'<p class="bn-judge-registered"><b>{_said("registered", edition)}</b> '
        f'<span class="bn-verdict bn-verdict-{name}">{joined(words, edition)}</span> '
        f'<button type="reset" class="bn-button bn-judge-reset">{_said("reset", edition)}</button></p></form>'
        + script("application/json", known, "bn-judge-data")
    )


def data(claim: ClaimResult, edition: str) -> dict[str, Any]:
    """What judge.js computes from: see its head."""
    found = claim.found
    assert found and claim.unit is not None and claim.effect is not None
    sample, unit = found.interval.sample, UNITS[claim.unit]
    known: dict[str, Any] = {
        "definition": claim.kind == "definition",
        "unit": {
            "word": joined(unit.word, edition),
            "decimals": unit.decimals,
            "signed": unit.signed,
        },
        "ratio": bool(unit.neutral),
        "effect": claim.effect,
        "bound": found.bound,
        "interval": [
            _finite(end) for end in (found.interval.estimate, found.interval.low, found.interval.high)
        ],
        "confidence": CONFIDENCE,
        "levels": LEVELS if sample and claim.kind != "definition" else None,
        "sample": _sample(sample) if sample else None,
        "others": found.family.others if found.family else None,
        "words": {
            name: joined(WORDS[name], edition) for name in ("none", "lower", "upper", "both", "definition")
        },
        "verdicts": {one: [VERDICTS[one][0], joined(VERDICTS[one][1], edition)] for one in OUTCOMES},
    }
    return known | _effects(claim)


def _sample(sample: Sample) -> dict[str, Any]:
    known: dict[str, Any] = {
        "logs": sample.logs,
        "resolution": sample.resolution,
        # How many times more often than asked for its interval may err: less, where it is one of a family.
        "share": (1 - sample.confidence) / (1 - CONFIDENCE),
    }
    if sample.values is None:
        assert sample.terms
        return known | {"groups": [term.tolist() for term in sample.terms]}
    values, counts = _counted(sample.values)
    return known | {"values": values.tolist(), "counts": counts.tolist()}


def _counted(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values and how often each is there: each by itself, unless there are very many."""
    if len(values) < COUNTED:
        return values, np.ones(len(values), dtype=int)
    return np.unique(values, return_counts=True)


def _is_counted(sample: Sample) -> bool:
    return sample.values is not None and len(sample.values) >= COUNTED


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _effects(claim: ClaimResult) -> dict[str, float]:
    """The effects on the slider: so many steps from the registered one, of one size or, of ratios, factor."""
    low, high = _range(claim)
    effect = claim.effect
    assert effect is not None and claim.unit
    if UNITS[claim.unit].neutral:
        ends = (math.log(end / effect) / math.log(RATIO) for end in (low, high))
        step = RATIO
    else:
        size = (high - low) / STEPS
        power = 10.0 ** math.floor(math.log10(size))
        step = next(nice * power for nice in (1, 2, 5, 10) if nice * power >= size)
        ends = ((end - effect) / step for end in (low, high))
    first, last = ends
    return {"step": step, "from": math.floor(first), "to": math.ceil(last)}


def _range(claim: ClaimResult) -> tuple[float, float]:
    """From where to where effects, values and interval lie, and no effect; values that are counted lie too
    far away."""
    found = claim.found
    assert found and claim.unit and claim.effect is not None
    interval, neutral = found.interval, UNITS[claim.unit].neutral
    ends = [interval.estimate, claim.effect, neutral]
    if claim.kind != "definition":
        ends += [end for end in (interval.low, interval.high) if math.isfinite(end)]
    if interval.sample and not _is_counted(interval.sample):
        ends += _shown(interval.sample).tolist()
    if neutral:
        low, high = math.log(min(ends)), math.log(max(ends))
        room = 0.08 * (high - low)
        return math.exp(low - room), math.exp(high + room)
    room = 0.08 * (max(ends) - min(ends))
    return min(ends) - room, max(ends) + room


# The values


def _shown(sample: Sample) -> np.ndarray:
    """The values in the unit of the claim; none of two groups."""
    if sample.values is None:
        return np.array([])
    values, _ = _counted(sample.values)
    return np.exp(values) if sample.logs else values


def values(claim: ClaimResult, edition: str) -> str:
    """The values as dots and as a table."""
    assert claim.found and claim.found.interval.sample
    sample = claim.found.interval.sample
    return plot(claim, sample, edition) + table(claim, sample, edition)


def table(claim: ClaimResult, sample: Sample, edition: str) -> str:
    """The values by seed, in their order, with the two that each comes from; equal ones counted where there
    are very many."""

    columns: dict[str, Sequence[str]] = {}
    if sample.values is not None:
        shown, counts = _shown(sample), _counted(sample.values)[1]
        unit = claim.unit or ""
        columns[_said(("ratio" if sample.logs else "difference") if sample.terms else "value", edition)] = [
            f"{amount(value, unit)}" for value in shown
        ]
        if counts.max() > 1:
            columns[_said("count", edition)] = [f"{count:,}" for count in counts]
    if sample.terms and not np.all(sample.terms[1] == 1):
        names = _terms(claim, edition)
        columns = {name: _column(term) for name, term in zip(names, sample.terms, strict=True)} | columns
    length = max(map(len, columns.values()))
    if _said("count", edition) not in columns:
        columns = {_said("order", edition): [str(number) for number in range(1, length + 1)]} | columns
    head = "".join(f'<th scope="col">{name}</th>' for name in columns)
    rows = "".join(
        "<tr>"
        + "".join(f"<td>{column[row] if row < len(column) else ''}</td>" for column in columns.values())
        + "</tr>"
        for row in range(length)
    )
    made = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    is_open = " open" if length <= SHOWN else ""
    return (
        f'<details class="bn-claim-values"{is_open}><summary>{_said("table", edition)}</summary>'
        f'<div class="bn-claim-columns" tabindex="0">{made}</div></details>'
    )


def _terms(claim: ClaimResult, edition: str) -> tuple[str, str]:
    """What the two columns are called: as the claim says what it measures, "(one − other)", or in order."""
    names: list[Text] = [WORDS["first"], WORDS["second"]]
    halves = {lang: _halves(text) for lang, text in (claim.measures or {}).items()}
    if halves and all(halves.values()):
        names = [{lang: two[place] for lang, two in halves.items() if two} for place in (0, 1)]
    one, other = (escape(joined(name, edition)) for name in names)
    return one, other


def _halves(text: str) -> tuple[str, str] | None:
    inner = text.rpartition("(")[2].rstrip(") ")
    for sign in (" − ", " ÷ "):
        if inner.count(sign) == 1:
            one, other = inner.split(sign)
            return one, other
    return None


def _column(values: Sequence[float]) -> list[str]:
    """Numbers below one another, all with the decimals of the longest."""
    decimals = max(len(f"{value:.6g}".partition(".")[2]) for value in values)
    return [f"{value:,.{decimals}f}".replace("-", "−").replace("inf", "∞") for value in values]


WIDE, HIGH, EDGE, TOP = 360, 150, 14, 26


def plot(claim: ClaimResult, sample: Sample, edition: str) -> str:
    """Dots of the values over their mean and interval. Colours are the page's; judge.js has marks of its own
    in it."""
    assert claim.found and claim.unit and claim.effect is not None
    low, high = _range(claim)
    logs = bool(UNITS[claim.unit].neutral)
    scale = math.log if logs else float

    def x(value: float) -> float:
        share = (scale(value) - scale(low)) / (scale(high) - scale(low))
        return round(EDGE + min(max(share, 0), 1) * (WIDE - 2 * EDGE), 1)

    interval, bottom, y = claim.found.interval, TOP + 86, TOP + 68
    ends = [min(max(interval.low, low), high), min(interval.high, high)]
    if claim.kind == "definition":
        ends = [interval.estimate] * 2
    at, unit = x(claim.effect), joined(UNITS[claim.unit].word, edition).strip()
    asked = f"{joined(WORDS['asked'], edition)} {_tick(claim.effect)}"
    label = _caption(claim, sample, edition)
    sized = {"low": low, "high": high, "edge": EDGE, "wide": WIDE, "logs": int(logs)}
    return "".join(
        (
            '<figure class="bn-claim-plot">',
            f'<svg viewBox="0 0 {WIDE} {HIGH}" role="img" aria-label="{label}"',
            *(f' data-{name}="{value!r}"' for name, value in sized.items()),
            f'><path class="bn-plot-none" d="M{x(UNITS[claim.unit].neutral)} {TOP}V{bottom}"/>',
            f'<g class="bn-plot-dots">{_dots(sample, x)}</g>',
            f'<path class="bn-plot-bar" d="M{x(ends[0])} {y}H{x(ends[1])}"/>',
            f'<circle class="bn-plot-mean" cx="{x(interval.estimate)}" cy="{y}" r="4.5"/>',
            f'<path class="bn-plot-effect" d="M{at} {TOP - 8}V{bottom}"/>',
            f'<text x="{at}" y="{TOP - 12}" text-anchor="{"start" if at < WIDE / 2 else "end"}">',
            f'{escape(asked)}</text><g class="bn-plot-axis"><path d="M{EDGE} {bottom}H{WIDE - EDGE}"/>',
            *(
                f'<path d="M{x(tick)} {bottom}v4"/><text x="{x(tick)}" y="{bottom + 16}">{_tick(tick)}</text>'
                for tick in _ticks(low, high, logs)
            ),
            f'<text x="{WIDE / 2}" y="{bottom + 33}">{escape(unit)}</text></g>',
            f'<g class="bn-plot-own" hidden><path class="bn-plot-bar" d="M0 {y + 10}H0"/>',
            f'<path class="bn-plot-effect" d="M0 {TOP - 8}V{bottom}"/></g></svg>',
            f"<figcaption>{label}</figcaption></figure>",
        )
    )


def _dots(sample: Sample, x: Callable[[float], float]) -> str:
    """A dot a value, in rows so that near ones part."""
    if sample.values is None or _is_counted(sample):
        return ""
    shown = _shown(sample)
    rows = min(7, math.ceil(len(shown) / 6))
    dots = []
    for number, value in enumerate(shown):
        y = TOP + 32 + 7 * (number % rows - (rows - 1) / 2)
        dots.append(f'<circle cx="{x(value)}" cy="{y:g}" r="3"/>')
    return "".join(dots)


def _caption(claim: ClaimResult, sample: Sample, edition: str) -> str:
    name = "plot_checked" if claim.kind == "definition" else "plot"
    if _is_counted(sample):
        name = "plot_other"
    said = {lang: text.format(level=f"{CONFIDENCE:.0%}") for lang, text in WORDS[name].items()}
    return escape(joined(said, edition))


def _ticks(low: float, high: float, logs: bool) -> list[float]:
    """Some four round numbers within; of ratios at 1, 2, 5 of each decade, or at decades alone."""
    if logs and high / low > 3:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        found = [nice * 10.0**power for power in decades for nice in (1, 2, 5)]
        found = [tick for tick in found if low <= tick <= high]
        return found if len(found) <= 6 else [tick for tick in found if math.log10(tick) % 1 == 0]
    size = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(size))
    step = next(nice * power for nice in (1, 2, 5, 10) if nice * power >= size)
    return [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _tick(value: float) -> str:
    return f"{value:.6g}".replace("-", "−")
