"""The directives `claims`, verdicts and what they come from, and `unstated`, what the paper leaves open; the
role `verdict`. The board of all claims is in board.py."""

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from bnbook import certificates, claims
from bnbook.claims import ClaimResult
from bnbook.paper import LANGUAGES
from bnbook.sphinxext import data, numbers
from bnbook.sphinxext.builder import relative
from bnbook.sphinxext.editions import Block, joined, pair
from bnbook.sphinxext.html import Tag, inline, tag

VERDICTS = {
    "reproduced": ("reproduced", {"ko": "재현됨", "en": "reproduced"}),
    "not reproduced": ("not-reproduced", {"ko": "재현되지 않음", "en": "not reproduced"}),
    "inconclusive": ("inconclusive", {"ko": "결론 없음", "en": "inconclusive"}),
    "holds": ("holds", {"ko": "정의에서 따름", "en": "holds by definition"}),
    "fails": ("not-reproduced", {"ko": "구현이 어긋남", "en": "our implementation fails"}),
    "not judged": ("unjudged", {"ko": "판정하지 않음", "en": "shown, not judged"}),
    "not testable here": ("untestable", {"ko": "여기서 시험할 수 없음", "en": "not testable here"}),
    "not run yet": ("pending", {"ko": "아직 실행하지 않음", "en": "not run yet"}),
    # In the ledger of verdicts alone: between a first registration and the runs of the second.
    "measured again": ("pending", {"ko": "다시 재는 중", "en": "measured again"}),
}
COLUMNS = {
    "statement": {"ko": "주장", "en": "Claim"},
    "paper": {"ko": "논문", "en": "Paper"},
    "ours": {"ko": "이 책", "en": "This book"},
    "why": {"ko": "이유", "en": "Why"},
    "verdict": {"ko": "판정", "en": "Verdict"},
}
# Tables of claims: their columns.
TABLES = {
    "claims": ("statement", "paper", "ours", "verdict"),
    "reasons": ("statement", "ours", "why", "verdict"),
}
NONE = {"ko": "지금은 없다.", "en": "None at present."}
UNSTATED_COLUMNS = {
    "what": {"ko": "항목", "en": "What"},
    "paper": {"ko": "논문", "en": "Paper"},
    "ours": {"ko": "이 책", "en": "This book"},
    "why": {"ko": "이유", "en": "Why"},
}
SILENT = {"ko": "언급 없음", "en": "not stated"}
CHAPTER = {"ko": "자세히", "en": "details"}
RULE = {"ko": "판정 규칙", "en": "The rule"}
REGISTERED_AGAIN = {
    "ko": "규칙을 다시 등록했다. 첫 등록도 남겨 두었다.",
    "en": "Its rule was registered again; the first registration is kept.",
}
# Of certificates: a machine, several, and where they do not agree.
RECOMPUTED = {
    1: {"ko": "컴퓨터 {}대에서 다시 계산했다.", "en": "Recomputed on {} machine."},
    2: {"ko": "컴퓨터 {}대에서 다시 계산했다.", "en": "Recomputed on {} machines."},
}
OTHERWISE = {
    "ko": " 그 가운데 {}대에서는 판정이 달랐다.",
    "en": " On {} of them the verdict was another.",
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


class ClaimsDirective(SphinxDirective):
    """```` ```{claims} c-4.1 ``` ````: the claims whose id starts with the argument, or with one of several,
    with their rules.

    With `:verdicts: not reproduced, inconclusive` and no argument, those that have one of these verdicts
    today, with the reason.
    """

    optional_arguments = 1
    final_argument_whitespace = True
    option_spec: ClassVar = {"verdicts": str}
    in_full = True  # with rules, and with what a reader should know beside a result

    def run(self) -> list[nodes.Node]:
        numbers.note_dependency(self.env)
        if "verdicts" in self.options:
            return [self.reasons([verdict.strip() for verdict in self.options["verdicts"].split(",")])]
        prefixes = self.arguments[0].split() if self.arguments else [""]
        shown = [claim for claim in board() if claim.id.startswith(tuple(prefixes))]
        for prefix in prefixes:
            if not any(claim.id.startswith(prefix) for claim in shown):
                log.warning("no claim starts with %r", prefix, location=self.get_location())
        return [self.table("claims", self.rows("claims", shown))]

    def reasons(self, verdicts: Sequence[str]) -> nodes.Node:
        for unknown in sorted(set(verdicts) - set(VERDICTS)):
            log.warning("no verdict %r, only %s", unknown, ", ".join(VERDICTS), location=self.get_location())
        self.in_full = False
        shown = [claim for claim in board() if claim.verdict in verdicts]
        return (
            self.table("reasons", self.rows("reasons", shown)) if shown else tag("div", *blocks(self, NONE))
        )

    def table(self, name: str, *bodies: Iterable[Tag]) -> Tag:
        return table(name, {column: COLUMNS[column] for column in TABLES[name]}, *bodies)

    def rows(self, name: str, shown: Iterable[ClaimResult]) -> list[Tag]:
        """A row for each of the claims. In its own chapter a row can be referred to by its `anchor`."""
        columns = {column: COLUMNS[column] for column in TABLES[name]}
        made = []
        for claim in shown:
            cells = [getattr(self, column)(claim) for column in columns]
            kinds = {"data_kind": slug(claim.kind), "data_verdict": slug(claim.verdict)}
            line = row(cells, "claim", columns, self.config.edition, anchor(claim.id), **kinds)
            if claim.chapter == self.env.docname:
                line["names"].append(anchor(claim.id))
                self.state.document.note_explicit_target(line)
            made.append(line)
        return made

    def statement(self, claim: ClaimResult) -> Cell:
        """The claim and its name, a link to its own page. Links of old lead to the place of the name itself,
        dots and all."""
        name = link(self.env, claim, [nodes.Text(claim.id)], "id")
        said = [tag("span", ids=claim.id), *blocks(self, claim.statement)]
        if self.in_full and claim.rule:
            said.append(self.rule(claim))
        return [*said, name]

    def paper(self, claim: ClaimResult) -> Cell:
        """What the paper says, or a later one that is named."""
        said = blocks(self, claim.paper)
        if claim.source:
            cited = inline(self, f"{{cite:t}}`{claim.source}`")
            said.insert(0, tag("div", *cited, classes="bn-claim-measures"))
        return said

    def ours(self, claim: ClaimResult) -> Cell:
        """What was measured, then what came out."""
        found: list[nodes.Node] = blocks(self, claim.text)
        if claim.measures:
            found.insert(0, tag("div", *blocks(self, claim.measures), classes="bn-claim-measures"))
        if self.in_full and claim.detail:
            found.append(tag("div", *blocks(self, claim.detail), classes="bn-claim-detail"))
        return found

    def why(self, claim: ClaimResult) -> Cell:
        if not claim.why:
            log.warning(
                "%s is %s: paper.yml says no `why`", claim.id, claim.verdict, location=self.get_location()
            )
            return []
        try:
            return blocks(self, {lang: numbers.fill(text, markdown=True) for lang, text in claim.why.items()})
        except (ValueError, KeyError) as error:
            log.warning("%s, why: %s", claim.id, error, location=self.get_location())
            return []

    def verdict(self, claim: ClaimResult) -> Cell:
        """The verdict, the ways to its figure and its chapter, and what must be known of its rule."""
        said: list[nodes.Node] = [pill(claim.verdict)]
        if claim.figure:
            named = [nodes.literal("", claim.figure)]
            said += [nodes.Text(" "), reference("numref", claim.figure, named, "figure")]
        if claim.chapter != self.env.docname:
            said += [nodes.Text(" "), reference("ref", anchor(claim.id), pair(CHAPTER), "chapter")]
        remarks = ((claim.registrations > 1, REGISTERED_AGAIN), (claim.rule_changed, RULE_CHANGED))
        said += [
            tag("div", *blocks(self, words), classes="bn-claim-changed") for true, words in remarks if true
        ]
        if words := recomputed(claim.id):
            said.append(tag("div", *blocks(self, words), classes="bn-claim-changed"))
        return said

    def rule(self, claim: ClaimResult) -> Tag:
        """How the claim is decided, to be opened by whoever wants to know."""
        return tag("details", tag("summary", *pair(RULE)), *blocks(self, claim.rule), classes="bn-claim-rule")


class VerdictRole(SphinxRole):
    """``{verdict}`c-4.1-speed` ``: the claim's verdict as it stands today, in its colour, with a link to its
    row. ``{verdict}`inception_first.verdict.c-4.2-changes` ``: one of an earlier day, a result by its key."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        numbers.note_dependency(self.env)
        earlier = numbers.sources()["result"].get(self.text)
        if isinstance(earlier, str) and earlier in VERDICTS:
            return [pill(earlier)], []
        claim = next((one for one in board() if one.id == self.text), None)
        if claim is None:
            log.warning("no claim %r", self.text, location=self.get_location())
            return [nodes.Text("?")], []
        words = pair(VERDICTS[claim.verdict][1])
        return [pill(claim.verdict, reference("ref", anchor(claim.id), words, "verdict"))], []


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


def recomputed(claim: str) -> dict[str, str] | None:
    """On how many machines the claim was computed again, in words; None where on none."""
    number, otherwise = certificates.machines(claim)
    if not number:
        return None
    words = RECOMPUTED[min(number, 2)]
    apart = OTHERWISE if otherwise else dict.fromkeys(LANGUAGES, "")
    return {lang: words[lang].format(number) + apart[lang].format(otherwise) for lang in LANGUAGES}


def anchor(claim: str) -> str:
    """The id of the claim's row: "claim-4-1-speed" of "c-4.1-speed". A dot would trip the theme's script,
    which takes an address for a selector."""
    return f"claim-{slug(claim.removeprefix('c-'))}"


def link(env: Any, claim: ClaimResult, words: Iterable[nodes.Node], role: str = "link") -> Tag:
    """A link to the claim's own page."""
    address = relative(env.app.builder, env.docname, f"{page(claim.id)}.html")
    return tag("a", *words, classes=f"bn-claim-{role}", href=address)


def page(claim: str) -> str:
    """The address of the claim's own page in an edition, without its suffix (claim_pages.py)."""
    return f"claims/{claim}"


def slug(words: str) -> str:
    """`words` for an id, an attribute's value or a class."""
    return nodes.make_id(f"x-{words}").removeprefix("x-")


def pill(verdict: str, *words: nodes.Node) -> Tag:
    """A verdict, or `words` in its place, in the verdict's colour and with its sign."""
    name, own = VERDICTS[verdict]
    return tag("span", *(words or pair(own)), classes=f"bn-verdict bn-verdict-{name}")


def blocks(directive: SphinxDirective, texts: dict[str, str]) -> list[nodes.Node]:
    """The two languages, for the edition to choose from, one under the other where it has both."""
    return [Block("", *inline(directive, texts[lang]), lang=lang, stacked=True) for lang in LANGUAGES]


def reference(kind: str, target: str, text: Iterable[nodes.Node], role: str) -> nodes.Element:
    """A link to a figure ("numref"), to a place by its label ("ref") or to a chapter ("doc")."""
    options = {
        "refdomain": "std",
        "reftype": kind,
        "reftarget": target,
        "refexplicit": kind != "numref",
        "refwarn": True,
    }
    return addnodes.pending_xref("", nodes.inline("", "", *text), classes=[f"bn-claim-{role}"], **options)


def row(
    cells: Iterable[Cell],
    name: str,
    columns: dict[str, dict[str, str]],
    edition: str,
    ids: str = "",
    **attributes: str,
) -> Tag:
    """A table row; each cell knows its column's name, for narrow screens, which show rows as cards."""
    line = tag("tr", classes=f"bn-{name}", ids=ids, **attributes)
    for (column, label), cell in zip(columns.items(), cells, strict=True):
        line += tag("td", *cell, classes=f"bn-{name}-{column}", data_label=joined(label, edition))
    return line


def table(name: str, columns: dict[str, dict[str, str]], *bodies: Iterable[Tag]) -> Tag:
    """A table; each of `bodies` are rows that belong together."""
    labels = [
        [Block("", nodes.Text(label[lang]), lang=lang, stacked=True) for lang in label]
        for label in columns.values()
    ]
    head = tag("thead", tag("tr", *(tag("th", *label, scope="col") for label in labels)))
    made = tag("table", head, *(tag("tbody", *rows) for rows in bodies), classes=f"bn-{name}")
    return tag("div", made, classes="bn-table-scroll")


def setup(app: Sphinx) -> None:
    app.add_directive("claims", ClaimsDirective)
    app.add_directive("unstated", UnstatedDirective)
    app.add_role("verdict", VerdictRole())
