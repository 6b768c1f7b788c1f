"""Two languages, one source: the roles and directives `ko` and `en`, and what an edition keeps of them.

Editions: `ko` and `en` hold one language each, `ko-en` holds both, side by side. Both languages are parsed in
every edition and the other one is taken out afterwards, so that ids, made from English words, are the same.
"""

import re
from collections.abc import Callable
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ConfigError
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from bnbook.paper import LANGUAGES
from bnbook.sphinxext.html import Tag, tag

EDITIONS = {"ko": ("ko",), "en": ("en",), "ko-en": LANGUAGES}
BILINGUAL = ("book/", "notebooks/")  # pages that must hold both languages
SEPARATOR = " · "  # between the two languages of a heading, and of the book's title in _config.yml
HANGUL = re.compile("[\uac00-\ud7a3]")

log = logging.getLogger(__name__)


class Block(nodes.General, nodes.Element):
    """Prose in one language (`lang`); its translation is the next sibling."""


class Phrase(nodes.Inline, nodes.TextElement):
    """A phrase in one language (`lang`), as in headings."""


# What the switch of editions finds again, by its number in the page (bnbook.js).
PLACES = (nodes.paragraph, nodes.bullet_list, nodes.enumerated_list, nodes.Admonition)

# Where Korean words may stand outside of pairs.
UNCHECKED = (Block, Phrase, Tag, nodes.literal, nodes.FixedTextElement, nodes.comment, nodes.raw)


class LanguageDirective(SphinxDirective):
    """`:::{ko}` ... `:::` directly followed by `:::{en}` ... `:::`."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        block = Block(lang=self.name)
        self.set_source_info(block)
        self.state.nested_parse(self.content, self.content_offset, block)
        return [block]


class LanguageRole(SphinxRole):
    """``{ko}`한글` {en}`English` ``."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        phrase = Phrase(lang=self.name)
        self.set_source_info(phrase)
        children, messages = self.inliner.parse(self.text, self.lineno, None, phrase)
        phrase += children
        return [phrase], messages


def beside(app: Sphinx) -> bool:
    """Whether the editions lie beside one another, each in a folder of its name; plain `jupyter-book build`
    makes one alone."""
    return Path(app.outdir).name == app.config.edition


def languages(edition: str) -> tuple[str, ...]:
    """The languages of an edition, in order."""
    return EDITIONS[edition]


def pair(texts: dict[str, str], parse: Callable[[str], list[nodes.Node]] | None = None) -> list[nodes.Node]:
    """`{"ko": ..., "en": ...}` as two phrases, for `EditionTransform` to choose from."""
    phrases: list[nodes.Node] = []
    for lang in LANGUAGES:
        children = parse(texts[lang]) if parse else [nodes.Text(texts[lang])]
        phrases += [Phrase("", "", *children, lang=lang), nodes.Text(" ")]
    return phrases[:-1]


def joined(texts: dict[str, str], edition: str) -> str:
    """The text for an attribute, where no markup can tell the languages apart."""
    return SEPARATOR.join(texts[lang] for lang in languages(edition))


class EditionTransform(SphinxTransform):
    """Checks the pairs, then keeps what the edition shows. Runs right after parsing, before references."""

    default_priority = 10

    def apply(self, **kwargs: object) -> None:
        if self.env.docname.startswith(BILINGUAL):
            self.check_headings()
            self.check_prose()
        for kind, merge in ((Phrase, merged_phrases), (Block, merged_blocks)):
            for ko, en in self.pairs(kind):
                is_place = all(isinstance(one.next_node(), PLACES) for one in (ko, en))
                kept = {"ko": ko.children, "en": en.children, "ko-en": merge(ko, en)}[self.config.edition]
                # A line of a list would get a paragraph's margin with a class of its own.
                if is_place and not isinstance(ko.parent, nodes.list_item):
                    kept[0]["classes"].append("bn-place")
                parent = ko.parent
                parent[parent.index(ko) : parent.index(en) + 1] = kept

        # Citations are counted over both languages: their ids would differ between the editions.
        for reference in self.document.findall(addnodes.pending_xref):
            if reference["refdomain"] == "cite":
                reference["ids"] = []

    def pairs(self, kind: type[nodes.Element]) -> list[tuple[nodes.Element, nodes.Element]]:
        """The pairs (ko, en) of this kind. A node that stands alone is warned of and dissolved."""
        found, done = [], set()
        for node in list(self.document.findall(kind)):
            other = following(node)
            if node in done:
                continue
            if node["lang"] == "ko" and isinstance(other, kind) and other["lang"] == "en":
                found.append((node, other))
                done.add(other)
            else:
                lacks = (
                    "no {en} directly follows" if node["lang"] == "ko" else "no {ko} stands directly before"
                )
                log.warning("unpaired {%s}: %s it", node["lang"], lacks, location=node)
                node.parent.replace(node, node.children)
        return found

    def check_headings(self) -> None:
        """Headings carry both languages; the section's id comes from the English words alone."""
        for section in self.document.findall(nodes.section):
            title = section.next_node(nodes.title)
            phrases = {phrase["lang"]: phrase.astext() for phrase in title.findall(Phrase)}
            if set(phrases) == {"ko", "en"}:
                self.rename(section, nodes.make_id(title.astext()), nodes.make_id(phrases["en"]))
            else:
                log.warning("heading %r needs both {ko}`...` and {en}`...`", title.astext(), location=title)

    def rename(self, section: nodes.section, old: str, new: str) -> None:
        """Replaces the id made from both languages, unless it is the same already, was given, or is taken."""
        if new and new != old and old in section["ids"] and new not in self.document.ids:
            section["ids"][section["ids"].index(old)] = new
            self.document.ids[new] = self.document.ids.pop(old)
            names = self.document.nameids
            names.update({name: new for name, known in names.items() if known == old})

    def check_prose(self) -> None:
        """Korean words outside of pairs would stand in the English edition."""
        for text in self.document.findall(nodes.Text):
            if HANGUL.search(text) and not inside(text, UNCHECKED):
                log.warning("Korean text outside of {ko}: %.40s", text.strip(), location=text.parent)


def merged_blocks(ko: Block, en: Block) -> list[nodes.Node]:
    """Both languages, side by side; in the narrow cells of tables (`stacked`), one under the other."""
    both = [in_language("div", ko), in_language("div", en)]
    return both if ko.get("stacked") else [tag("div", *both, classes="bn-pair")]


def merged_phrases(ko: Phrase, en: Phrase) -> list[nodes.Node]:
    """Both languages, one after the other."""
    return [in_language("span", ko), tag("span", SEPARATOR, classes="bn-sep"), in_language("span", en)]


def in_language(name: str, node: nodes.Element) -> Tag:
    """The node's children in an HTML element that names their language.

    English prose says "Fig. 1" in the side-by-side edition too, whose own language is Korean.
    """
    if node["lang"] == "en":
        for reference in node.findall(addnodes.pending_xref):
            if reference["reftype"] == "numref" and not reference["refexplicit"]:
                reference["refexplicit"] = True
                reference.children = [nodes.literal("", "Fig. %s", classes=["xref", "std", "std-numref"])]
    return tag(name, *node.children, classes=f"bn-{node['lang']}", lang=node["lang"])


class NoBackLinks(SphinxPostTransform):
    """Bibliographies would link back to the citations' ids, which `EditionTransform` takes away."""

    default_priority = 20  # after the bibliographies' own (5)

    def run(self, **kwargs: object) -> None:
        for citation in self.document.findall(nodes.citation):
            citation["backrefs"] = []


class OneLanguageLinks(SphinxPostTransform):
    """In the side-by-side edition, Korean prose names other pages in Korean and English prose in English."""

    default_priority = 20  # after the references' own (9, 10)

    def run(self, **kwargs: object) -> None:
        for box in self.document.findall(Tag):
            if lang := box["html"].get("lang"):
                for reference in box.findall(nodes.reference):
                    for text in list(reference.findall(nodes.Text)):
                        halves = text.split(SEPARATOR)
                        if len(halves) == 2:
                            text.parent.replace(text, nodes.Text(halves[lang == "en"]))


def following(node: nodes.Node) -> nodes.Node | None:
    """The next sibling that is not blank, nor a comment."""
    siblings = node.parent.children[node.parent.index(node) + 1 :]
    for sibling in siblings:
        blank = isinstance(sibling, nodes.Text) and not sibling.strip()
        if not blank and not isinstance(sibling, nodes.comment):
            return sibling
    return None


def inside(node: nodes.Node, kinds: tuple[type, ...]) -> bool:
    """Whether `node` lies in an element of one of these kinds."""
    while node := node.parent:
        if isinstance(node, kinds):
            return True
    return False


def _configure(app: Sphinx, config: Config) -> None:
    """Checks the edition and picks its half of the book's title, "Korean · English"."""
    if config.edition not in EDITIONS:
        raise ConfigError(f"edition is {config.edition!r}; it must be one of {', '.join(EDITIONS)}")
    halves = dict(zip(LANGUAGES, config.html_title.split(SEPARATOR), strict=False))
    config.html_title = config.project = halves.get(config.edition, config.html_title)


def setup(app: Sphinx) -> None:
    app.add_config_value("edition", "ko-en", "env", types=[str])
    app.connect("config-inited", _configure)
    for lang in LANGUAGES:
        app.add_directive(lang, LanguageDirective)
        app.add_role(lang, LanguageRole())
    app.add_transform(EditionTransform)
    app.add_post_transform(NoBackLinks)
    app.add_post_transform(OneLanguageLinks)
