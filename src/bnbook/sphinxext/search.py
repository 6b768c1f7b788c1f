"""What the search knows: the texts of the pages, and every spelling of a term.

Sphinx indexes words, and its search page fetches each page found for an excerpt. Here the index holds the
texts themselves (builder.py writes it): search.js looks for words where they stand, so that a Korean word is
found with any particle, a compound with or without its spaces, and an excerpt costs no request.
"""

import re
from collections.abc import Iterator
from html.entities import html5
from pathlib import Path

from docutils import nodes

from bnbook.sphinxext import data
from bnbook.sphinxext.html import Tag

Section = tuple[
    str, str, str
]  # id ("" of the page's own title), heading, text without that of sections within

# What nobody looks for: pictures and boxes of HTML, outputs of code, formulas on lines of their own.
SKIPPED = (nodes.comment, nodes.raw, nodes.math_block, nodes.image)
OUTPUT = "cell_output"
# HTML elements that stand within a line; all others part words.
WITHIN_A_LINE = {"a", "abbr", "b", "code", "dfn", "em", "i", "small", "span", "strong", "sub", "sup"}
COMMAND = re.compile(r"\\([A-Za-z]+)\s*")


def sections(document: nodes.Node) -> list[Section]:
    """The sections of a page in their order, without those in which nothing stands."""
    found = list(document.findall(nodes.section))
    texts = []
    for number, section in enumerate(found):
        title = section.next_node(nodes.title)
        rest = [child for child in section.children if child is not title]
        text = _joined(word for child in rest for word in words(child))
        texts.append((section["ids"][0] if number else "", _joined(words(title)), text))
    return [section for section in texts if section[1] or section[2]]


def words(node: nodes.Node) -> Iterator[str]:
    """The text of a node piece by piece, with a space where a line ends."""
    if isinstance(node, nodes.math):
        yield letters(node.astext())
    elif isinstance(node, nodes.Text):
        yield str(node)
    elif not isinstance(node, (*SKIPPED, nodes.section)) and OUTPUT not in node.get("classes", []):
        for child in node.children:
            yield from words(child)
        if node["name"] not in WITHIN_A_LINE if isinstance(node, Tag) else not isinstance(node, nodes.Inline):
            yield " "


def letters(tex: str) -> str:
    r"""A formula within a line as one would type it: letters and signs, no markup (`\gamma_k` is γ_k)."""
    # HTML names letters and signs as TeX does, but for a few.
    plain = COMMAND.sub(lambda found: html5.get(f"{found[1].removeprefix('var')};", ""), tex)
    return re.sub(r"[{}\\$]", "", plain)


def spellings(glossary: Path) -> list[list[str]]:
    """Each term in Korean and English, then what readers type for it (`also`), and what the book avoids."""
    terms = [term for term in data.read(glossary) if "en" in term]
    return [
        [term["ko"], term["en"], *(word.strip() for word in term.get("also", []) + term.get("avoid", []))]
        for term in terms
    ]


def _joined(pieces: Iterator[str]) -> str:
    return " ".join("".join(pieces).split())
