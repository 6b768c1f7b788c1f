"""The directive `claim-pages`: a page of its own for every claim, `claims/<id>`, its permanent address.

The pages are no documents. The page with the directive parses their texts, which are taken out of it again
and written when all documents are (Sphinx's `html-collect-pages`); so no contents list them, and the search,
which is told of them, weighs them low. judge.js lets a reader judge by another effect and another level.
"""

from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import new_document

import bnbook
from bnbook import measures
from bnbook.claims import ClaimResult
from bnbook.figures import LICENCE
from bnbook.paper import Text
from bnbook.sphinxext import citations as citing
from bnbook.sphinxext import judging, metadata, numbers
from bnbook.sphinxext.board import KINDS, place
from bnbook.sphinxext.builder import relative
from bnbook.sphinxext.claims import (
    REGISTERED_AGAIN,
    RULE_CHANGED,
    VERDICTS,
    ClaimsDirective,
    anchor,
    blocks,
    board,
    page,
    pill,
    recomputed,
    reference,
)
from bnbook.sphinxext.editions import joined, languages, pair
from bnbook.sphinxext.html import Tag, script, tag
from bnbook.sphinxext.theme import shortened
from bnbook.sphinxext.versions import AUTHOR

PARTS: dict[str, Text] = {
    "paper": {"ko": "논문", "en": "The paper"},
    "ours": {"ko": "이 책", "en": "This book"},
    "excludes": {"ko": "구간이 배제하는 것", "en": "What the interval excludes"},
    "why": {"ko": "이유", "en": "Why"},
    "note": {"ko": "덧붙임", "en": "Note"},
    "rule": {"ko": "판정 규칙", "en": "The rule"},
    "registered": {"ko": "등록", "en": "Registered"},
    "recomputed": {"ko": "다시 계산", "en": "Computed again"},
    "figure": {"ko": "그림", "en": "Figure"},
    "chapter": {"ko": "설명하는 곳", "en": "Explained in"},
    "values": {"ko": "시드별 값", "en": "Values by seed"},
    "values_other": {"ko": "값", "en": "Values"},
    "cite": {"ko": "이 주장 인용하기", "en": "Cite this claim"},
}
BOARD = {"ko": "모든 주장의 판정표", "en": "The board of all claims"}
BEFORE = {
    "ko": "본 실험을 하기 전에 등록했고, 그 뒤로 바뀌지 않았다.",
    "en": "Registered before the main runs, and unchanged since.",
}
HASHES = {"ko": "results/rules.json에 적힌 해시:", "en": "Its hash in results/rules.json:"}
CITED = {"ko": "배치 정규화의 주장 “{}”: {}", "en": "A claim of batch normalization, “{}”: {}"}
RULE = {"ko": "규칙", "en": "rule"}
# What a verdict is worth; those that are not here are no answer to the paper.
RATINGS = {"not reproduced": 1, "inconclusive": 2, "reproduced": 3}


class ClaimPage(nodes.General, nodes.Element):
    """The page `name`, to be taken out of the document; `claim` is its id."""


class Row(nodes.Inline, nodes.Element):
    """A link to the claim's row in its chapter, by the title of the page `docname`."""


class ClaimPagesDirective(ClaimsDirective):
    """```` ```{claim-pages} ``` ````, once in the book: nothing to be seen, and a page for every claim."""

    optional_arguments = 0
    option_spec = None

    def run(self) -> list[nodes.Node]:
        numbers.note_dependency(self.env)
        return [ClaimPage("", self.page(claim), name=page(claim.id), claim=claim.id) for claim in board()]

    def page(self, claim: ClaimResult) -> nodes.section:
        """The whole page; what is of numbers or for machines is raw HTML, which the search does not find."""
        section = nodes.section("", nodes.title("", "", *pair(claim.statement)), ids=[anchor(claim.id)])
        section += [self.head(claim), self.facts(claim)]
        if claim.found and claim.found.interval.sample:
            words = PARTS["values_other" if claim.found.over else "values"]
            section += part("values", words, raw(judging.values(claim, self.config.edition)))
        if claim.found:
            section += part("judge", judging.WORDS["title"], *self.judge(claim))
        section += part("cite", PARTS["cite"], raw(self.cited(claim)))
        section += raw(json_ld(claim, self.env.app))
        return section

    def head(self, claim: ClaimResult) -> Tag:
        name = tag("code", claim.id)
        kind = tag("span", *pair(KINDS[claim.kind]))
        back = reference("ref", "start-claims", pair(BOARD), "chapter")
        said = [pill(claim.verdict), name, tag("span", *pair(place(claim.section))), kind, back]
        return tag("div", *said, classes="bn-claim-head")

    def facts(self, claim: ClaimResult) -> Tag:
        known = {
            "paper": self.paper(claim),
            "ours": self.ours(claim),
            "excludes": self.excludes(claim),
            "why": self.why(claim) if claim.why else [],
            "note": blocks(self, claim.note) if claim.note and claim.note != claim.text else [],
            "rule": blocks(self, claim.rule) if claim.rule else [],
            "registered": self.registered(claim),
            "recomputed": blocks(self, words) if (words := recomputed(claim.id)) else [],
            "figure": self.figure(claim),
            "chapter": [Row(docname=claim.chapter, anchor=anchor(claim.id))],
        }
        rows = [
            tag("div", tag("dt", *pair(PARTS[name])), tag("dd", *said))
            for name, said in known.items()
            if said
        ]
        return tag("dl", *rows, classes="bn-claim-facts")

    def excludes(self, claim: ClaimResult) -> list[nodes.Node]:
        """In words, where the result does not say so already; nothing of a bound, nor of what was checked."""
        if not claim.found or claim.found.bound or claim.kind == "definition":
            return []
        words = measures.excluded(claim.found.interval, claim.unit, claim.effect)
        return blocks(self, words) if words["ko"] not in claim.text["ko"] else []

    def figure(self, claim: ClaimResult) -> list[nodes.Node]:
        if not claim.figure:
            return []
        return [reference("numref", claim.figure, [nodes.literal("", claim.figure)], "figure")]

    def registered(self, claim: ClaimResult) -> list[nodes.Node]:
        """Whether the rule came before the runs, and its hashes, the one in force last."""
        if not claim.hashes:
            return []
        remarks = (
            (claim.rule_changed, RULE_CHANGED),
            (not claim.rule_changed, BEFORE),
            (claim.registrations > 1, REGISTERED_AGAIN),
        )
        said = [tag("div", *blocks(self, words)) for true, words in remarks if true]
        # One may have been completed by the constants in code: the longer says it all.
        after = (*claim.hashes[1:], "")
        whole = [one for one, late in zip(claim.hashes, after, strict=True) if not late.startswith(f"{one}+")]
        spaced = [node for one in whole for node in (nodes.Text(" "), tag("code", one))]
        return [*said, tag("div", *pair(HASHES), *spaced, classes="bn-claim-hashes")]

    def judge(self, claim: ClaimResult) -> list[nodes.Node]:
        said = [tag("div", *blocks(self, words)) for words in judging.remarks(claim)]
        return [*said, raw(judging.form(claim, self.config.edition))]

    def cited(self, claim: ClaimResult) -> str:
        year = str(self.config.copyright)
        return citing.lists(self.env.app, lambda lang, address: citations(claim, lang, address, year))


def part(name: str, title: Text, *content: nodes.Node) -> nodes.section:
    return nodes.section("", nodes.title("", "", *pair(title)), *content, ids=[name])


def raw(html: str) -> nodes.raw:
    return nodes.raw("", html, format="html")


# To be cited


def citations(claim: ClaimResult, lang: str, address: str, year: str) -> dict[str, str]:
    """Ready-made citations in one language, by name."""
    url = f"{address}/{page(claim.id)}.html"
    title = CITED[lang].format(claim.statement[lang].rstrip("."), VERDICTS[claim.verdict][1][lang])
    rule = f", {RULE[lang]} {claim.hashes[-1]}" if claim.hashes else ""
    version = f"{citing.WORDS['results'][lang]} {bnbook.__version__}{rule}, {LICENCE}"
    word = citing.WORDS["source"][lang]
    entry = {"author": AUTHOR, "title": title, "year": year, "url": url, "note": version}
    return {
        "Markdown": f"[{citing.markdown_alt(title)}]({url}) ({AUTHOR}, {version})",
        "BibTeX": citing.bibtex("misc", f"bnbook-{claim.id}-{lang}", entry),
        word: f"{word}: {AUTHOR}, {title}, {url}, {version}",
    }


def json_ld(claim: ClaimResult, app: Sphinx) -> str:
    """The claim and its review for machines (schema.org)."""
    lang = languages(app.config.edition)[0]
    verdict = VERDICTS[claim.verdict][1]
    rating: dict[str, Any] = {"@type": "Rating", "alternateName": joined(verdict, app.config.edition)}
    if claim.verdict in RATINGS:
        rating |= {"ratingValue": RATINGS[claim.verdict], "bestRating": 3, "worstRating": 1}
    review = {
        "@context": "https://schema.org",
        "@type": "ClaimReview",
        "claimReviewed": claim.statement[lang],
        "inLanguage": lang,
        "author": {"@type": "Organization", "name": AUTHOR},
        "itemReviewed": {
            "@type": "Claim",
            "identifier": claim.id,
            "name": claim.statement[lang],
            "appearance": metadata.linked_reference(app.bn_references[claim.source])
            if claim.source
            else metadata.linked_paper(app.bn_paper),
        },
        "reviewRating": rating,
        "reviewBody": claim.text[lang],
    }
    if address := app.config.html_baseurl.rstrip("/"):
        review["url"] = f"{address}/{page(claim.id)}.html"
    return script("application/ld+json", review)


# As pages


def _prepare(app: Sphinx) -> None:
    """`env.bn_claim_pages`: (page with the directive, claim's id, the page's section) by address."""
    if not hasattr(app.env, "bn_claim_pages"):
        app.env.bn_claim_pages = {}


def _purge(app: Sphinx, env: Any, docname: str) -> None:
    env.bn_claim_pages = {name: one for name, one in env.bn_claim_pages.items() if one[0] != docname}


def _take_out(app: Sphinx, doctree: nodes.document) -> None:
    for made in list(doctree.findall(ClaimPage)):
        made.parent.remove(made)
        for one in made.findall(addnodes.pending_xref):
            one["refdoc"] = made["name"]
        app.env.bn_claim_pages[made["name"]] = app.env.docname, made["claim"], made.children[0]


def _write(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    builder = app.builder
    for name, (_, claim, section) in app.env.bn_claim_pages.items():
        document = new_document(name)
        document.settings.env = app.env
        document.append(section.deepcopy())
        for row in list(document.findall(Row)):
            row.replace_self(_link(app, name, row["docname"], row["anchor"]))
        app.env.apply_post_transforms(document, name)
        title = document.next_node(nodes.title).astext()
        if builder.indexer is not None:
            builder.indexer.feed(name, "", title, document)
        builder.current_docname = name
        fragment = builder.render_partial(document.children[0])["fragment"]
        yield name, {"title": title, "body": fragment, "bn_claim": claim}, "page.html"


def _link(app: Sphinx, page: str, docname: str, anchor: str) -> nodes.reference:
    title = [child.deepcopy() for child in app.env.titles[docname].children]
    address = relative(app.builder, page, app.builder.get_target_uri(docname))
    return nodes.reference("", "", *title, refuri=f"{address}#{anchor}", internal=True)


def _complete(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    if "bn_claim" not in context:
        return
    claim = next(one for one in board() if one.id == context["bn_claim"])
    verdict = joined(VERDICTS[claim.verdict][1], app.config.edition)
    context["bn_description"] = shortened(f"{verdict}: {joined(claim.text, app.config.edition)}")
    app.add_css_file("judge.css", priority=802)
    app.add_js_file("judge.js", loading_method="defer")


def setup(app: Sphinx) -> None:
    app.add_directive("claim-pages", ClaimPagesDirective)
    app.add_node(ClaimPage)
    app.add_node(Row)
    app.connect("builder-inited", _prepare)
    app.connect("env-purge-doc", _purge)
    app.connect("doctree-read", _take_out, priority=100)  # before what Sphinx collects of titles and places
    app.connect("html-collect-pages", _write)
    app.connect("html-page-context", _complete, priority=950)  # after the theme's
