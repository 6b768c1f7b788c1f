"""The directives `claims`, the board of verdicts, and `unstated`, what the paper leaves open."""

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from bnbook import claims
from bnbook.paper import LANGUAGES, Text
from bnbook.sphinxext import data, numbers
from bnbook.sphinxext.editions import Block, joined, pair
from bnbook.sphinxext.html import Tag, inline, tag

VERDICTS = {
    "reproduced": ("reproduced", {"ko": "재현됨", "en": "reproduced"}),
    "not reproduced": ("not-reproduced", {"ko": "재현되지 않음", "en": "not reproduced"}),
    "inconclusive": ("inconclusive", {"ko": "결론 없음", "en": "inconclusive"}),
    "measured again": ("pending", {"ko": "다시 재는 중", "en": "measured again"}),
    "holds": ("holds", {"ko": "정의에서 따름", "en": "holds by definition"}),
    "fails": ("not-reproduced", {"ko": "구현이 어긋남", "en": "our implementation fails"}),
    "not judged": ("unjudged", {"ko": "판정하지 않음", "en": "shown, not judged"}),
    "not testable here": ("untestable", {"ko": "여기서 시험할 수 없음", "en": "not testable here"}),
    "not run yet": ("pending", {"ko": "아직 실행하지 않음", "en": "not run yet"}),
}
KINDS = {
    "measured": (
        {"ko": "측정한 주장", "en": "Measured"},
        {"ko": "실험으로 판정할 수 있는 주장이다.", "en": "What experiments can decide."},
    ),
    "definition": (
        {"ko": "정의에서 따라 나오는 주장", "en": "Holds by definition"},
        {
            "ko": "수식에서 바로 따라 나오므로 실험으로 판정하지 않는다. "
            "이 책의 구현이 수식대로 작동하는지만 확인했다.",
            "en": "These follow from the definitions, which leaves an experiment nothing to decide. "
            "What was checked is our implementation.",
        },
    ),
    "shown": (
        {"ko": "판정하지 않고 논문과 나란히 적은 것", "en": "Shown beside the paper"},
        {
            "ko": "몇 배인지는 네트워크와 데이터의 규모에 따라 다르고, ImageNet의 기록은 여기서 잴 수 없다. "
            "그래서 판정하지 않는다.",
            "en": "How many times depends on the scale of network and data, and the record on ImageNet "
            "is out of reach here. No verdicts.",
        },
    ),
}
CLAIM_COLUMNS = {
    "statement": {"ko": "주장", "en": "Claim"},
    "paper": {"ko": "논문", "en": "Paper"},
    "ours": {"ko": "이 책", "en": "This book"},
    "verdict": {"ko": "판정", "en": "Verdict"},
}
UNSTATED_COLUMNS = {
    "what": {"ko": "항목", "en": "What"},
    "paper": {"ko": "논문", "en": "Paper"},
    "ours": {"ko": "이 책", "en": "This book"},
    "why": {"ko": "이유", "en": "Why"},
}
SILENT = {"ko": "언급 없음", "en": "not stated"}
CHAPTER = {"ko": "자세히", "en": "details"}
RULE = {"ko": "판정 규칙", "en": "The rule"}
MEASURED_AGAIN = {
    "ko": "값은 첫 등록의 것이다. 측정 방법이 잘못되어 규칙을 새로 등록했다.",
    "en": "The value is the first registration's. It was measured wrongly, and another rule is registered.",
}
WHY_AGAIN = {"ko": "무엇이 틀렸나", "en": "what was wrong"}
REGISTERED_AGAIN = {
    "ko": "규칙을 다시 등록했다. 첫 등록도 남겨 두었다.",
    "en": "Its rule was registered again; the first registration is kept.",
}
RULE_CHANGED = {
    "ko": "이 규칙은 등록한 뒤에 바뀌었다.",
    "en": "This rule was changed after it was registered.",
}

log = logging.getLogger(__name__)

Cell = Sequence[nodes.Node]


@functools.cache
def board() -> list[claims.ClaimResult]:
    """All claims, judged once a build."""
    return claims.board(numbers.results())


class BoardDirective(SphinxDirective):
    """```` ```{claims} c-4.1 ``` ````: the claims whose id starts with the argument, with their rules.

    Without one, all claims by kind, a line each.
    """

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        numbers.note_dependency(self.env)
        prefix = self.arguments[0] if self.arguments else ""
        shown = [claim for claim in board() if claim.id.startswith(prefix)]
        if not shown:
            log.warning("no claim starts with %r", prefix, location=self.get_location())
        if prefix:
            return [self.table(shown)]
        return [
            node
            for kind, words in KINDS.items()
            if (own := [claim for claim in shown if claim.kind == kind])
            for node in (self.heading(*words), self.table(own))
        ]

    def heading(self, title: Text, what: Text) -> Tag:
        """What kind of claims a table holds."""
        title_line = tag("strong", *pair(title), classes="bn-claims-title")
        return tag("div", title_line, *blocks(self, what), classes="bn-claims-kind")

    def table(self, shown: Iterable[claims.ClaimResult]) -> Tag:
        rows = [
            row(self.cells(claim), "claim", CLAIM_COLUMNS, self.config.edition, claim.id) for claim in shown
        ]
        return table("claims", CLAIM_COLUMNS, rows)

    def cells(self, claim: claims.ClaimResult) -> list[Cell]:
        name, words = VERDICTS[claim.verdict]
        verdict: list[nodes.Node] = [tag("span", *pair(words), classes=f"bn-verdict bn-verdict-{name}")]
        if claim.figure:
            verdict += [
                nodes.Text(" "),
                reference("numref", claim.figure, [nodes.literal("", claim.figure)], "figure"),
            ]
        if claim.chapter != self.env.docname:
            verdict += [nodes.Text(" "), reference("doc", f"/{claim.chapter}", pair(CHAPTER), "chapter")]
        identity = tag("span", claim.id, classes="bn-claim-id")
        statement, paper, ours = (blocks(self, texts) for texts in (claim.statement, claim.paper, claim.text))
        if self.arguments and claim.rule:
            statement.append(self.rule(claim))
        if self.arguments and claim.detail:
            ours.append(tag("div", *blocks(self, claim.detail), classes="bn-claim-detail"))
        if claim.verdict == "measured again":
            why = reference("doc", "/book/first-registration", pair(WHY_AGAIN), "chapter")
            said = [*blocks(self, MEASURED_AGAIN), nodes.Text(" ")] if self.arguments else []
            verdict.append(tag("div", *said, why, classes="bn-claim-changed"))
        remarks = ((claim.registrations > 1, REGISTERED_AGAIN), (claim.rule_changed, RULE_CHANGED))
        verdict += [
            tag("div", *blocks(self, words), classes="bn-claim-changed") for true, words in remarks if true
        ]
        return [[*statement, identity], paper, ours, verdict]

    def rule(self, claim: claims.ClaimResult) -> Tag:
        """How the claim is decided, to be opened by whoever wants to know."""
        return tag("details", tag("summary", *pair(RULE)), *blocks(self, claim.rule), classes="bn-claim-rule")


class VerdictRole(SphinxRole):
    """``{verdict}`c-4.1-speed` ``: the claim's verdict as it stands today, in its colour."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        numbers.note_dependency(self.env)
        claim = next((one for one in board() if one.id == self.text), None)
        if claim is None:
            log.warning("no claim %r", self.text, location=self.get_location())
            return [nodes.Text("?")], []
        name, words = VERDICTS[claim.verdict]
        return [tag("span", *pair(words), classes=f"bn-verdict bn-verdict-{name}")], []


class UnstatedDirective(SphinxDirective):
    """```` ```{unstated} <experiment> ``` ````: what book/protocols.yml says of the experiment, as a table.

    Our side of it comes from the configurations.
    """

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        path = Path(self.env.srcdir) / "book" / "protocols.yml"
        self.env.note_dependency(str(path))
        numbers.note_dependency(self.env)
        experiments = data.read(path)
        if self.arguments[0] not in experiments:
            log.warning("%s has no %r", path.name, self.arguments[0], location=self.get_location())
            return []
        rows = []
        for index, entry in enumerate(experiments[self.arguments[0]], start=1):
            try:
                rows.append(row(self.cells(entry), "unstated", UNSTATED_COLUMNS, self.config.edition))
            except (ValueError, KeyError) as error:
                log.warning("%s, entry %d: %s", path.name, index, error, location=self.get_location())
        return [table("unstated", UNSTATED_COLUMNS, rows)]

    def cells(self, entry: dict[str, Any]) -> list[Cell]:
        """The paper's side may be missing: that is what the table is about."""
        paper = (
            self.side(entry["paper"])
            if entry.get("paper")
            else [tag("span", *self.side(SILENT), classes="bn-silent")]
        )
        return [self.side(entry["what"]), paper, self.side(entry["ours"]), self.side(entry["why"])]

    def side(self, text: str | int | dict[str, str]) -> list[nodes.Node]:
        """A text in both languages, or one that needs no translation; placeholders filled."""
        if isinstance(text, dict):
            return blocks(self, {lang: numbers.fill(text[lang], markdown=True) for lang in LANGUAGES})
        return inline(self, numbers.fill(str(text), markdown=True))


def blocks(directive: SphinxDirective, texts: dict[str, str]) -> list[nodes.Node]:
    """The two languages, for the edition to choose from, one under the other where it has both."""
    return [Block("", *inline(directive, texts[lang]), lang=lang, stacked=True) for lang in LANGUAGES]


def reference(kind: str, target: str, text: Iterable[nodes.Node], role: str) -> nodes.Element:
    """A link to a figure ("numref") or to a chapter ("doc")."""
    options = {
        "refdomain": "std",
        "reftype": kind,
        "reftarget": target,
        "refexplicit": kind == "doc",
        "refwarn": True,
    }
    return addnodes.pending_xref("", nodes.inline("", "", *text), classes=[f"bn-claim-{role}"], **options)


def row(
    cells: Iterable[Cell], name: str, columns: dict[str, dict[str, str]], edition: str, ids: str = ""
) -> Tag:
    """A table row; each cell knows its column's name, for narrow screens, which show rows as cards."""
    line = tag("tr", classes=f"bn-{name}", ids=ids)
    for (column, label), cell in zip(columns.items(), cells, strict=True):
        line += tag("td", *cell, classes=f"bn-{name}-{column}", data_label=joined(label, edition))
    return line


def table(name: str, columns: dict[str, dict[str, str]], rows: Iterable[Tag]) -> Tag:
    labels = [
        [Block("", nodes.Text(label[lang]), lang=lang, stacked=True) for lang in label]
        for label in columns.values()
    ]
    head = tag("thead", tag("tr", *(tag("th", *label, scope="col") for label in labels)))
    return tag(
        "div", tag("table", head, tag("tbody", *rows), classes=f"bn-{name}"), classes="bn-table-scroll"
    )


def setup(app: Sphinx) -> None:
    app.add_directive("claims", BoardDirective)
    app.add_directive("unstated", UnstatedDirective)
    app.add_role("verdict", VerdictRole())
