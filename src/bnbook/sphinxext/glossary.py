"""The book's terms, out of book/glossary.yml: one spelling each, a tip where a page first uses one, and a
page that lists them.

The spellings and words that it says to avoid fail the build. Checked are the chapters, the Markdown cells of
the notebooks and the texts of book/*.yml, as they are written, without code and math. An avoided spelling
that is part of a right word is no mistake (`레이어` is avoided, `플레이어` is right); such words are listed
under `allow`. A term stands as 한글(English) once in the book, where its `gloss` says, if at all.
"""

import dataclasses
import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from bnbook.paper import LANGUAGES
from bnbook.sphinxext import data
from bnbook.sphinxext.builder import address
from bnbook.sphinxext.editions import Phrase, inside, languages
from bnbook.sphinxext.html import Tag, tag

FENCE = re.compile(r"\s*(`{3,}|~{3,})(.*)")
CODE_DIRECTIVES = ("{code", "{math", "{raw")
# Math, code spans (but not the roles ko and en), comments, addresses.
NO_PROSE = re.compile(
    r"\$\$.*?\$\$|(?<![\\$])\$[^$\n]+\$"
    r"|(?<!\{ko\})(?<!\{en\})(?<!`)(?P<ticks>`+)(?!`)[^\n]+?(?<!`)(?P=ticks)(?!`)"
    r"|^%[^\n]*$|https?://\S+",
    re.MULTILINE | re.DOTALL,
)

PAGE = "book/glossary"
DOUBLED = re.compile(r"[가-힣]\*{0,2}\(([A-Za-z][A-Za-z' -]+)[,)]")
# What may follow a Korean term, so that 학습 is none in 학습된: the beginnings of particles.
PARTICLES = "은는이가을를의에로으과와도만나마까부보처인란라들별당조밖뿐"
# Where a term gets no tip: it would be a link in a link, or in what is no sentence.
NO_TIPS = (
    *(nodes.title, nodes.reference, addnodes.pending_xref, nodes.literal, nodes.math, nodes.raw),
    *(nodes.table, nodes.figure, nodes.citation),
)
log = logging.getLogger(__name__)


@functools.cache
def rules(path: Path) -> tuple[re.Pattern, dict[str, str]]:
    """A pattern of all right and all avoided words, the longest first; what to write instead of the latter.

    Right words take part so that the longest word wins: nothing inside of one is a mistake.
    """
    terms = data.read(path)
    instead = {bad: term["ko"] for term in terms for bad in term.get("avoid", [])}
    right = {word for term in terms for word in [term["ko"], *term.get("allow", [])]} - {*instead}
    words = sorted({*instead, *right}, key=len, reverse=True)
    # A space may be a line break in the source.
    return re.compile("|".join(re.escape(word).replace(r"\ ", r"\s+") for word in words)), instead


def prose(text: str) -> str:
    """`text` without code, math, comments and addresses; lines keep their numbers."""
    lines = []
    open_fences: list[tuple[str, bool]] = []  # marks, and whether code stands inside
    for line in text.splitlines():
        marks, word = match.groups() if (match := FENCE.match(line)) else ("", "")
        in_code = bool(open_fences) and open_fences[-1][1]
        if marks and open_fences and not word.strip() and marks.startswith(open_fences[-1][0]):
            open_fences.pop()
        elif marks and not in_code:
            open_fences.append((marks, not word.startswith("{") or word.startswith(CODE_DIRECTIVES)))
        lines.append("" if in_code else line[len(marks) :])
    return NO_PROSE.sub(lambda match: "\n" * match[0].count("\n") or " ", "\n".join(lines))


def mistakes(text: str, glossary: Path, page: str = "") -> Iterator[tuple[int, str, str]]:
    """(line, avoided spelling, right spelling) for every avoided spelling in MyST `text`, and for every
    한글(English) that the page `page` may not write."""
    pattern, instead = rules(glossary)
    checked = prose(text)
    for match in pattern.finditer(checked):
        word = re.sub(r"\s", " ", match[0])
        if word in instead:
            yield checked.count("\n", 0, match.start()) + 1, word, instead[word]
    glossed = {term["en"].lower() for term in data.read(glossary) if page and term.get("gloss") == page}
    names = {term["en"]: term["ko"] for term in data.read(glossary) if "en" in term}
    for match in DOUBLED.finditer(checked):
        english = match[1].strip()
        if english.lower() in glossed:
            glossed.remove(english.lower())
        # A capital is most often a name's: 기준 모델(Inception) is right, 인셉션(Inception) is not.
        elif english.islower() or checked.endswith(names.get(english, "\0"), 0, match.start() + 1):
            yield checked.count("\n", 0, match.start()) + 1, f"({english})", "the Korean alone"


def check(text: str, where: str, glossary: Path, page: str = "") -> None:
    """Warns of every mistake, as `where`:line."""
    for line, bad, right in mistakes(text, glossary, page):
        log.warning("glossary: write %r, not %r", right, bad, location=f"{where}:{line}")


class Tips(SphinxPostTransform):
    """The first use of a term in a page's sentences, in each language, is a link to its entry, with its
    meaning as title. It opens by touch and by keyboard, and needs no script."""

    default_priority = 30  # after references are links, and after those have their language

    def run(self, **kwargs: Any) -> None:
        if PAGE not in self.env.found_docs or self.env.docname == PAGE:
            return
        known = {lang: words(_glossary(self.app), lang) for lang in LANGUAGES}
        met: set[tuple[str, str]] = set()
        for text in list(self.document.findall(nodes.Text)):
            if (lang := self.spoken(text)) and inside(text, (nodes.paragraph,)) and not self.barred(text):
                parts = self.with_tips(str(text), lang, known[lang], met)
                if len(parts) > 1:
                    text.parent.replace(text, parts)

    def spoken(self, text: nodes.Text) -> str | None:
        """Of the edition, or of the half of the side-by-side one in which `text` stands."""
        if len(languages(self.config.edition)) == 1:
            return str(self.config.edition)
        node = text.parent
        while node is not None:
            if isinstance(node, Tag) and "lang" in node["html"]:
                return str(node["html"]["lang"])
            node = node.parent
        return None

    def barred(self, text: nodes.Text) -> bool:
        in_table = any(node["name"] in ("a", "table", "figure", "summary") for node in _tags_around(text))
        return in_table or inside(text, NO_TIPS)

    def with_tips(self, text: str, lang: str, known: "Words", met: set[tuple[str, str]]) -> list[nodes.Node]:
        """`text` in parts, the first uses of terms among them as links."""
        parts: list[nodes.Node] = []
        end = 0
        for match in known.pattern.finditer(text):
            term = known.terms.get(match["term"].lower())
            if term is None or (lang, term["en"]) in met:
                continue
            met.add((lang, term["en"]))
            href = f"{self.app.builder.get_relative_uri(self.env.docname, PAGE)}#{anchor(term)}"
            link = tag("a", match[0], classes="bn-term", href=href, title=term["meaning"][lang])
            parts += [nodes.Text(text[end : match.start()]), link]
            end = match.end()
        return [*parts, nodes.Text(text[end:])]


def _tags_around(node: nodes.Node) -> Iterator[Tag]:
    while node := node.parent:
        if isinstance(node, Tag):
            yield node


@dataclasses.dataclass(frozen=True)
class Words:
    """How to find terms in sentences of one language: a pattern of all, and those that get a tip by their
    word in small letters."""

    pattern: re.Pattern
    terms: dict[str, dict[str, Any]]


@functools.cache
def words(path: Path, lang: str) -> Words:
    """Terms without a tip take part, so that the longest word wins."""
    every = [term for term in data.read(path) if "en" in term]
    tipped = {
        term[lang].lower(): term for term in every if "meaning" in term and lang in term.get("tip", LANGUAGES)
    }
    longest = "|".join(re.escape(w) for w in sorted((t[lang] for t in every), key=len, reverse=True))
    edges = {
        "ko": (r"(?<![가-힣A-Za-z])", rf"(?![가-힣])|(?=[{PARTICLES}])"),
        "en": (r"(?<![\w-])", r"(?:e?s)?(?![\w-])"),
    }
    before, after = edges[lang]
    flags = re.IGNORECASE if lang == "en" else re.NOFLAG
    return Words(re.compile(f"{before}(?P<term>{longest})(?:{after})", flags), tipped)


def anchor(term: dict[str, Any]) -> str:
    """The id of a term's entry, from its English name: a permanent address."""
    return nodes.make_id(f"term-{term['en']}")


class GlossaryTableDirective(SphinxDirective):
    """```` ```{glossary-table} ``` ````: the terms that have a meaning, in the order of the edition's first
    language."""

    def run(self) -> list[nodes.Node]:
        lang = languages(self.config.edition)[0]
        terms = [term for term in data.read(_glossary(self.env.app)) if "meaning" in term]
        entries = [self.entry(term, lang) for term in sorted(terms, key=lambda term: term[lang].lower())]
        return [tag("dl", *entries, classes="bn-glossary")]

    def entry(self, term: dict[str, Any], lang: str) -> Tag:
        """The term in both languages, that of the edition first, then its meaning."""
        first, second = (
            tag("span", term[one], lang=one) for one in sorted(LANGUAGES, key=lambda x: x != lang)
        )
        meanings = [Phrase("", "", nodes.Text(term["meaning"][one]), lang=one) for one in LANGUAGES]
        name = tag("dt", tag("dfn", first), nodes.Text(" "), tag("small", second))
        return tag("div", name, tag("dd", meanings[0], nodes.Text(" "), meanings[1]), ids=anchor(term))


def _check_page(app: Sphinx, docname: str, source: list[str]) -> None:
    path = app.env.doc2path(docname)
    app.env.note_dependency(str(_glossary(app)))
    if not path.endswith(".ipynb"):
        check(source[0], path, _glossary(app), address(docname))
        return
    for number, cell in enumerate(json.loads(source[0])["cells"], start=1):
        if cell["cell_type"] == "markdown":
            check("".join(cell["source"]), f"{path}: cell {number}", _glossary(app))


def _check_data(app: Sphinx) -> None:
    """The texts of tables, once a build: they are not pages of their own."""
    for path in sorted((Path(app.srcdir) / "book").glob("*.yml")):
        if path != _glossary(app):
            check(path.read_text(encoding="utf-8"), str(path), _glossary(app))


def _glossary(app: Sphinx) -> Path:
    return Path(app.srcdir) / "book" / "glossary.yml"


def setup(app: Sphinx) -> None:
    app.add_directive("glossary-table", GlossaryTableDirective)
    app.add_post_transform(Tips)
    app.connect("builder-inited", _check_data)
    # Before the notebooks are swapped for their executed copies, whose cells are those of the source.
    app.connect("source-read", _check_page, priority=100)
