"""The directives `board`, all claims at a glance, and `tally`, how many of them got which verdict.

board.js chooses among the claims of a board; without it all of them are there. It is loaded on boards' pages
alone.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from bnbook import paper
from bnbook.claims import ClaimResult
from bnbook.paper import LANGUAGES, Text
from bnbook.sphinxext import numbers
from bnbook.sphinxext.claims import VERDICTS, ClaimsDirective, board, pill, slug
from bnbook.sphinxext.editions import joined, pair
from bnbook.sphinxext.html import Tag, tag

CLASS = "bn-board"
KINDS: dict[str, Text] = {
    "measured": {"ko": "측정한 주장", "en": "Measured"},
    "after": {"ko": "논문 이후의 주장", "en": "After the paper"},
    "definition": {"ko": "정의에서 따라 나오는 주장", "en": "Following from the definitions"},
    "shown": {"ko": "판정하지 않은 것", "en": "Not judged"},
}
ALL = {"ko": "모두", "en": "All"}
FILTERS = {"ko": "표에서 볼 주장", "en": "Claims to show in the table"}
SECTION = {"ko": "{}절", "en": "Section {}"}
SECTIONS = {"ko": "논문의 절", "en": "Section of the paper"}
EVERY_SECTION = {"ko": "모든 절", "en": "All sections"}


class BoardDirective(ClaimsDirective):
    """```` ```{board} ``` ````: all claims, folded by section of the paper; buttons and a list of sections
    choose among them."""

    optional_arguments = 0
    option_spec = None
    in_full = False

    def run(self) -> list[nodes.Node]:
        numbers.note_dependency(self.env)
        folds = [
            self.fold(section, own)
            for section in paper.sections()
            if (own := [claim for claim in board() if claim.section == section])
        ]
        return [tag("div", self.filters(board()), *folds, classes=CLASS)]

    def fold(self, section: str, claims: Sequence[ClaimResult]) -> Tag:
        """The claims of a section, those of a kind together; its summary counts the verdicts."""
        counts = [
            part
            for verdict, count in by_verdict(claims)
            for part in (nodes.Text(" "), pill(verdict, *counted(VERDICTS[verdict][1], count)))
        ]
        summary = tag("summary", tag("strong", *pair(place(section))), *counts, classes="bn-place")
        kinds = {kind: [claim for claim in claims if claim.kind == kind] for kind in KINDS}
        bodies = [[heading(kind), *self.rows("claims", own)] for kind, own in kinds.items() if own]
        table = self.table("claims", *bodies)
        return tag("details", summary, table, classes="bn-fold", data_section=slug(section))

    def filters(self, claims: Sequence[ClaimResult]) -> Tag:
        """A button for each kind, and for each verdict of what was measured. The place of one has an address,
        as "#claims-reproduced", which presses it."""
        buttons = [choice("all", ALL, len(claims), "*")]
        for kind, words in KINDS.items():
            own = [claim for claim in claims if claim.kind == kind]
            if own:
                buttons.append(choice(kind, words, len(own), f"[data-kind={kind}]"))
            for verdict, count in by_verdict(own) if kind == "measured" else ():
                name, words = VERDICTS[verdict]
                chosen = f"[data-kind={kind}][data-verdict={slug(verdict)}]"
                buttons.append(choice(slug(verdict), words, count, chosen, f"bn-verdict bn-verdict-{name}"))
        label = joined(FILTERS, self.config.edition)
        sections = self.sections(claims)
        return tag("div", *buttons, sections, classes="bn-choices", role="group", aria_label=label)

    def sections(self, claims: Sequence[ClaimResult]) -> Tag:
        """A list of the sections of the paper, one of which is to be left."""
        own = [name for name in paper.sections() if any(claim.section == name for claim in claims)]
        options = [tag("option", joined(EVERY_SECTION, self.config.edition), value="")]
        for name in own:
            options.append(tag("option", joined(place(name), self.config.edition), value=slug(name)))
        label = joined(SECTIONS, self.config.edition)
        return tag("select", *options, classes="bn-choice-section", hidden="", aria_label=label)


class TallyDirective(SphinxDirective):
    """```` ```{tally} ``` ````: how many of the measured claims got which verdict, as a bar and a list whose
    entries lead to these claims on the board of the same page."""

    def run(self) -> list[nodes.Node]:
        numbers.note_dependency(self.env)
        counts = by_verdict(claim for claim in board() if claim.kind == "measured")
        parts, entries = [], []
        for verdict, count in counts:
            name, words = VERDICTS[verdict]
            parts.append(tag("span", classes=f"bn-verdict-{name}", style=f"flex-grow: {count}"))
            link = tag("a", *counted(words, count), href=f"#claims-{slug(verdict)}")
            entries.append(tag("li", pill(verdict, link)))
        bar = tag("div", *parts, classes="bn-tally-bar", aria_hidden="true")
        return [tag("div", bar, tag("ul", *entries), classes="bn-tally")]


def by_verdict(claims: Iterable[ClaimResult]) -> list[tuple[str, int]]:
    """How many of `claims` have which verdict, of those that any has, in the order of VERDICTS."""
    found = Counter(claim.verdict for claim in claims)
    return [(verdict, found[verdict]) for verdict in VERDICTS if found[verdict]]


def counted(words: Text, count: int) -> list[nodes.Node]:
    return [*pair(words), nodes.Text(" "), tag("b", str(count))]


def place(section: str) -> Text:
    """What the section is called; what came after the paper has no number of its."""
    titles = paper.sections()[section]
    return {
        lang: f"{SECTION[lang].format(section)} {titles[lang]}" if section[0].isdigit() else titles[lang]
        for lang in LANGUAGES
    }


def heading(kind: str) -> Tag:
    """Above the claims of a kind."""
    return tag("tr", tag("th", *pair(KINDS[kind]), colspan="4", scope="rowgroup"), classes="bn-claims-kind")


def choice(name: str, words: Text, count: int, chosen: str, classes: str = "") -> Tag:
    """A button that leaves the rows that the selector `chosen` fits; board.js shows it."""
    button = tag(
        "button",
        *counted(words, count),
        classes=classes,
        type="button",
        hidden="",
        aria_pressed="true" if name == "all" else "false",
        data_chosen=chosen,
    )
    return tag("span", button, ids=f"claims-{name}")


def _load(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    if doctree is not None and any(CLASS in box["classes"] for box in doctree.findall(Tag)):
        app.add_js_file("board.js", loading_method="defer")


def setup(app: Sphinx) -> None:
    app.add_directive("board", BoardDirective)
    app.add_directive("tally", TallyDirective)
    app.connect("html-page-context", _load)
