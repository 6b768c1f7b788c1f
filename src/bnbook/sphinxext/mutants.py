"""The directive `mutants`: mistakes made on purpose, and which check noticed which (results/mutants.json)."""

from collections.abc import Sequence
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from bnbook import mutants
from bnbook.mutants import Mutant
from bnbook.paper import Text
from bnbook.sphinxext import numbers
from bnbook.sphinxext.claims import Cell, blocks, row, table
from bnbook.sphinxext.editions import pair
from bnbook.sphinxext.html import tag

MISTAKE = {"ko": "실수", "en": "Mistake"}
HEADS: dict[str, Text] = {
    "layer": {"ko": "층에 묻기", "en": "Questions to the layer"},
    "tests": {"ko": "단위 테스트", "en": "Unit tests"},
    "replay": {"ko": "첫 스텝 재실행", "en": "Replay"},
    "claims": {"ko": "주장 다시 계산", "en": "Claims, recomputed"},
}
NOTICED = ("mended", {"ko": "알아챔", "en": "noticed"})
ALONE = ("mended", {"ko": "이것만 알아챔", "en": "the only one"})
MISSED = ("still", {"ko": "모름", "en": "not noticed"})
SEEN = {"ko": "나온 곳", "en": "seen"}
HOLE = {
    "ko": "처음에는 어떤 검사도 알아채지 못해 테스트를 더했다.",
    "en": "At first no check noticed it; a test was added.",
}

log = logging.getLogger(__name__)


class MutantsDirective(SphinxDirective):
    """```` ```{mutants} layer ``` ````: a row for each mutant of the kinds named, those of a kind together; a
    column for each check that was held against one of them."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        numbers.note_dependency(self.env)
        kinds, found = self.arguments[0].split(), mutants.found()
        if unknown := sorted(set(kinds) - set(mutants.KINDS)):
            log.warning("mutants: no kind %s", ", ".join(unknown), location=self.get_location())
            return []
        shown = [one for one in mutants.known().values() if one.kind in kinds]
        if missing := [one.id for one in shown if one.id not in found]:
            words = "mutants: %s not tried yet: `bnbook mutants`"
            log.warning(words, ", ".join(missing), location=self.get_location())
            return []
        checks = [name for name in HEADS if any(name in found[one.id]["checks"] for one in shown)]
        columns = {"mistake": MISTAKE} | {name: HEADS[name] for name in checks}
        bodies = [
            [
                row(self.cells(one, found[one.id]["checks"], checks), "mutant", columns, self.config.edition)
                for one in shown
                if one.kind == kind
            ]
            for kind in kinds
        ]
        return [table("mutants", columns, *bodies)]

    def cells(self, mutant: Mutant, tried: dict[str, Any], checks: Sequence[str]) -> list[Cell]:
        alone = len(mutants.noticing(tried)) == 1
        return [self.mistake(mutant), *(_answer(tried.get(name), alone) for name in checks)]

    def mistake(self, mutant: Mutant) -> Cell:
        """Its name, what it does, where it was seen, and whether it found a hole."""
        said = [
            tag("strong", *blocks(self, mutant.name)),
            tag("div", *blocks(self, mutant.does), classes="bn-mutant-does"),
        ]
        if mutant.hole:
            said.append(tag("div", *blocks(self, HOLE), classes="bn-mutant-hole"))
        if mutant.seen:
            said.append(tag("a", *pair(SEEN), classes="bn-mutant-seen", href=mutant.seen))
        return said


def _answer(tried: dict[str, Any] | None, alone: bool) -> Cell:
    """Whether a check noticed, and by what; a dash where it was not asked."""
    if tried is None:
        return [nodes.Text("–")]
    name, words = (ALONE if alone else NOTICED) if tried["by"] else MISSED
    said: list[nodes.Node] = [tag("span", *pair(words), classes=f"bn-verdict bn-status-{name}")]
    if tried["by"]:
        said.append(tag("div", tried["by"], classes="bn-mutant-by"))
    return said


def setup(app: Sphinx) -> None:
    app.add_directive("mutants", MutantsDirective)
