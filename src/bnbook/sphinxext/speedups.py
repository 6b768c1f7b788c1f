"""The directive `speedups`: the table of Section 4.2.2, the paper's numbers beside ours."""

from collections.abc import Sequence

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from bnbook import paper
from bnbook.experiments.inception_first import measures as inception
from bnbook.experiments.inception_first.protocol import BASELINE, EXPERIMENT, VARIANTS, Results
from bnbook.measures import Estimate
from bnbook.sphinxext import numbers
from bnbook.sphinxext.claims import Cell, blocks, row, table
from bnbook.sphinxext.html import tag

COLUMNS = {
    "network": {"ko": "네트워크", "en": "Network"},
    "rate": {"ko": "처음 학습률", "en": "Initial rate"},
    "steps": {"ko": "목표까지의 스텝", "en": "Steps to the target"},
    "speedup": {"ko": "몇 배 빠른가 (95% 신뢰 구간)", "en": "Speedup (95% interval)"},
    "accuracy": {"ko": "최고 정확도 (최저–최고 시드)", "en": "Maximum accuracy (lowest–highest seed)"},
    "best-steps": {"ko": "최고 정확도까지의 스텝", "en": "Steps to the maximum"},
}
# The paper's keys, where they differ from ours.
PAPER_NAMES = {"inception": "baseline", "inception_sigmoid": "sigmoid"}
SIDES = {"here": {"ko": "이 책", "en": "here"}, "paper": {"ko": "논문", "en": "paper"}}
NEVER = {"ko": "이르지 못함", "en": "never"}
SILENT = {"ko": "언급 없음", "en": "not stated"}
DIVERGED = {"ko": "{k}/{n} 발산", "en": "{k} of {n} diverged"}

SEEDS = " · "  # between the values of one seed and the next

Text = dict[str, str]

log = logging.getLogger(__name__)


class SpeedupsDirective(SphinxDirective):
    """```` ```{speedups} ``` ````: for each network a row of ours and one of the paper's, which on a phone
    are the columns of a card."""

    def run(self) -> list[nodes.Node]:
        numbers.note_dependency(self.env)
        results, edition = numbers.results().get(EXPERIMENT), self.config.edition
        if results is None:
            log.warning("speedups: %s has no complete results", EXPERIMENT, location=self.get_location())
            return []
        networks = [
            [
                row(self.cells(VARIANTS[found.variant].name, side, texts), "speedups", COLUMNS, edition)
                for side, texts in (
                    ("here", our_cells(results, found)),
                    ("paper", paper_cells(found.variant)),
                )
            ]
            for found in inception.table(results)
        ]
        return [table("speedups", COLUMNS, *networks)]

    def cells(self, name: str, side: str, texts: Sequence[Text]) -> list[Cell]:
        """The network's name and whose row it is, then the entries."""
        named = [nodes.strong("", name), nodes.Text(" "), *blocks(self, SIDES[side])]
        return [
            [tag("div", *content, classes=f"bn-{side}-side")]
            for content in (named, *(self.entry(text) for text in texts))
        ]

    def entry(self, text: Text) -> list[nodes.Node]:
        """A number once, words in each language."""
        return [nodes.Text(text["en"])] if text["ko"] == text["en"] else blocks(self, text)


def our_cells(results: Results, found: inception.Row) -> list[Text]:
    """Rate, steps, speedup, maximum accuracy and the steps to it, as measured here."""
    n = len(found.crossings)
    reached = [c.step for c in found.crossings if c.reached]
    if found.diverged:
        steps = _formatted(DIVERGED, k=found.diverged, n=n)
    elif not reached:
        steps = NEVER
    else:
        steps = _same(
            SEEDS.join(f"{c.step:,}" if c.reached else f">\u00a0{c.step:,}" for c in found.crossings)
        )
    if found.variant == BASELINE:
        speedup = _same("1")
    elif reached:
        speedup = _same(_ratio(inception.speedup(results, BASELINE, found.variant)))
    else:
        speedup = _same("–")
    accuracy = _same(f"{found.best.mean():.1f}% ({found.best.min():.1f}–{found.best.max():.1f})")
    best_steps = SEEDS.join(f"{step:,}" for step in found.best_steps)
    return [_same(f"{found.lr:g}"), steps, speedup, accuracy, _same(best_steps)]


def paper_cells(variant: str) -> list[Text]:
    """The same from the paper, with its words for what it does not state."""
    name, numbers_ = PAPER_NAMES.get(variant, variant), paper.numbers()
    known: dict[str, paper.Number] = {
        field: numbers_[key]
        for field in ("lr", "steps_to_72_2", "accuracy", "steps_to_accuracy")
        if (key := f"inception.{name}.{field}") in numbers_
    }
    steps = known.get("steps_to_72_2")
    accuracy, baseline = known.get("accuracy"), numbers_["inception.baseline.steps_to_72_2"]
    if variant == "inception_x5":
        return [SILENT, {"ko": "발산", "en": "diverges"}, _same("–"), SILENT, SILENT]
    never = accuracy is not None and accuracy < numbers_["inception.target_accuracy"]
    return [
        _same(f"{known['lr']:g}") if "lr" in known else SILENT,
        _same(f"{steps:,}") if steps else NEVER if never else SILENT,
        _same(f"{baseline / steps:.1f}") if steps else _same("–"),
        _same(f"{accuracy:g}%") if accuracy is not None else SILENT,
        _same(f"{known['steps_to_accuracy']:,}") if "steps_to_accuracy" in known else SILENT,
    ]


def _ratio(found: Estimate) -> str:
    """Of a bound, where runs that never arrived count with all their steps, only what it implies."""
    ratio = found.interval
    whole = f"{ratio.estimate:.1f} ({ratio.low:.1f}–{ratio.high:.1f})"
    return {
        None: whole,
        "lower": f"≥\u00a0{ratio.low:.1f}",
        "upper": f"≤\u00a0{ratio.high:.1f}",
        "both": "?",
    }[found.bound]


def _same(text: str) -> Text:
    return {"ko": text, "en": text}


def _formatted(text: Text, **values: Sequence | int) -> Text:
    return {lang: text[lang].format(**values) for lang in text}


def setup(app: Sphinx) -> None:
    app.add_directive("speedups", SpeedupsDirective)
