"""The directive `speedups`: the table of Section 4.2.2, the paper's numbers beside ours."""

from collections.abc import Sequence

import numpy as np
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from bnbook import paper
from bnbook.experiments.inception_speedups import measures as inception
from bnbook.experiments.inception_speedups.protocol import ARMS, BASELINE, EXPERIMENT, Results
from bnbook.measures import accuracies
from bnbook.sphinxext import numbers
from bnbook.sphinxext.claims import Cell, blocks, row, table
from bnbook.sphinxext.html import tag

COLUMNS = {
    "network": {"ko": "네트워크", "en": "Network"},
    "rate": {"ko": "처음 학습률", "en": "Initial rate"},
    "steps": {
        "ko": "목표까지의 스텝, 중앙값 (이른 시드)",
        "en": "Steps to the target, median (seeds that get there)",
    },
    "speedup": {"ko": "몇 배 적은가 (95% 신뢰 구간)", "en": "Times fewer (95% interval)"},
    "accuracy": {"ko": "정확도 (최저–최고 시드)", "en": "Accuracy (lowest–highest seed)"},
}
# The paper's networks by its keys, in the order of its Figure 3; "sigmoid" is ours at the best of its rates.
NETWORKS = {
    "baseline": BASELINE,
    "bn_baseline": "bn_baseline",
    "bn_x5": "bn_x5",
    "bn_x30": "bn_x30",
    "bn_x5_sigmoid": "bn_x5_sigmoid",
    "x5": "inception_x5",
    "sigmoid": "",
}
SIDES = {"here": {"ko": "이 책", "en": "here"}, "paper": {"ko": "논문", "en": "paper"}}
NEVER = {"ko": "이르지 못함", "en": "never"}
SILENT = {"ko": "언급 없음", "en": "not stated"}
DIVERGED = {"ko": "{k}/{n} 발산", "en": "{k} of {n} diverged"}
CHANCE = {"ko": "{k}/{n} 무작위 수준", "en": "{k} of {n} at chance"}

Text = dict[str, str]

log = logging.getLogger(__name__)


class SpeedupsDirective(SphinxDirective):
    """```` ```{speedups} ``` ````: for each network a row of ours and one of the paper's, which on a phone
    are the columns of a card."""

    def run(self) -> list[nodes.Node]:
        numbers.note_dependency(self.env)
        results, edition = numbers.results().get(EXPERIMENT), self.config.edition
        if results is None or not results.main:
            log.warning("speedups: %s has no complete results", EXPERIMENT, location=self.get_location())
            return []
        networks = []
        for known, arm in NETWORKS.items():
            arm = arm or inception.sigmoid_rate(results)
            name = ARMS[arm].name.partition(" at ")[0]  # rates have a column
            rows = {"here": our_cells(results, arm), "paper": paper_cells(known)}
            networks.append(
                [
                    row(self.cells(name, side, texts), "speedups", COLUMNS, edition)
                    for side, texts in rows.items()
                ]
            )
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


def our_cells(results: Results, arm: str) -> list[Text]:
    """Rate, steps, ratio of steps and accuracy at the end, as measured here."""
    records, found = results.main[arm], inception.crossings(results, arm)
    there = [one.step for one in found if one.reached]
    if diverged := sum(record.diverged for record in records):
        steps = _formatted(DIVERGED, k=diverged, n=len(records))
    elif there:
        steps = _same(f"{int(np.median(there)):,} ({len(there)}/{len(found)})")
    else:
        steps = NEVER
    ratio = "1" if arm == BASELINE else "–"
    if there and arm != BASELINE:
        times = inception.speedup(results, BASELINE, arm).interval
        ratio = f"{times.estimate:.1f} ({times.low:.1f}–{times.high:.1f})"
    rate = _same(f"{records[0].config['lr']:g}")
    return [rate, steps, _same(ratio), _accuracy(accuracies(records), inception.ends_learned(records))]


def _accuracy(ends: np.ndarray, learned: np.ndarray) -> Text:
    """Of the seeds that learn, and how many do not."""
    stopped = _formatted(CHANCE, k=(~learned).sum(), n=learned.size)
    if not learned.any():
        return stopped
    top = ends[learned]
    text = f"{top.mean():.1f}%" + (f" ({top.min():.1f}–{top.max():.1f})" if top.size > 1 else "")
    return _same(text) if learned.all() else {lang: f"{text}, {stopped[lang]}" for lang in stopped}


def paper_cells(network: str) -> list[Text]:
    """The same from the paper, its highest accuracy, with its words for what it does not state."""
    if network == "x5":
        return [SILENT, {"ko": "발산", "en": "diverges"}, _same("–"), SILENT]
    numbers_ = paper.numbers()
    known: dict[str, paper.Number] = {
        field: numbers_[key]
        for field in ("lr", "steps_to_72_2", "accuracy")
        if (key := f"inception.{network}.{field}") in numbers_
    }
    steps, accuracy = known.get("steps_to_72_2"), known.get("accuracy")
    never = accuracy is not None and accuracy < numbers_["inception.target_accuracy"]
    ratio = numbers_["inception.baseline.steps_to_72_2"] / steps if steps else None
    return [
        _same(f"{known['lr']:g}") if "lr" in known else SILENT,
        _same(f"{steps:,}") if steps else NEVER if never else SILENT,
        _same("–" if ratio is None else f"{ratio:.1f}" if ratio > 1 else "1"),
        _same(f"{accuracy:g}%") if accuracy is not None else SILENT,
    ]


def _same(text: str) -> Text:
    return {"ko": text, "en": text}


def _formatted(text: Text, **values: Sequence | int) -> Text:
    return {lang: text[lang].format(**values) for lang in text}


def setup(app: Sphinx) -> None:
    app.add_directive("speedups", SpeedupsDirective)
