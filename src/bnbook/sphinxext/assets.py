"""The styles and scripts of an edition as they are sent: the theme's styles without the rules that no page
can use, and every address of a style or a script with a token of what is in it.

Both take all pages of the edition, so they are made in the copy of it that becomes the site.
"""

import functools
import itertools
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import tinycss2
from tinycss2.ast import Node

from bnbook import paths

NAMES = re.compile(r"""\s(?:class|id)=["']([^"']*)["']""")
WORD = re.compile(r"[\w-]+")
# What a page asks for; in data-parts what its scripts load once a reader wants it.
ASKED = re.compile(r' (href|src|data-parts)="([^"]+\.(?:css|js)(?:\?[^"]*)?)"')
NESTING = ("media", "supports", "container", "layer")  # at-rules with rules in them
COMPOSED = "bs-tooltip-"  # Bootstrap's script puts such names together


def finish(edition: Path) -> None:
    """Do both to the edition in the folder `edition`, as Sphinx wrote it."""
    pages = {file: file.read_text(encoding="utf-8") for file in edition.rglob("*.html")}
    static = edition / "_static"
    scripts = [file.read_text(encoding="utf-8") for file in static.rglob("*.js")]
    known = names(pages.values(), scripts)
    for sheet in static.rglob("*.css"):
        if not (paths.BOOK / "_static" / sheet.relative_to(static)).exists():  # the theme's
            sheet.write_text(trimmed(sheet.read_text(encoding="utf-8"), known), encoding="utf-8")
    tokens = functools.cache(token)
    for file, text in pages.items():
        dated = ASKED.sub(functools.partial(_with_tokens, folder=file.parent, token=tokens), text)
        if dated != text:
            file.write_text(dated, encoding="utf-8")


# Rules


def names(pages: Iterable[str], scripts: Iterable[str]) -> set[str]:
    """The classes and ids that elements may have: those in `pages`, and whatever a script could give them."""
    found = {name for text in pages for said in NAMES.findall(text) for name in said.split()}
    return found.union(*(WORD.findall(script) for script in scripts))


def trimmed(css: str, known: set[str]) -> str:
    """The style sheet without selectors that ask for a class or an id which is not among `known`."""
    return "\n".join(_kept(tinycss2.parse_stylesheet(css, skip_comments=True, skip_whitespace=True), known))


def _kept(rules: Iterable[Node], known: set[str]) -> Iterator[str]:
    for rule in rules:
        if rule.type == "qualified-rule":
            selectors = [one for one in _selectors(rule.prelude) if _can_fit(one, known)]
            if selectors:
                named = ",".join(tinycss2.serialize(one).strip() for one in selectors)
                yield f"{named}{{{tinycss2.serialize(rule.content)}}}"
        elif rule.type == "at-rule" and rule.lower_at_keyword in NESTING and rule.content:
            inner = tinycss2.parse_rule_list(rule.content, skip_comments=True, skip_whitespace=True)
            if kept := "\n".join(_kept(inner, known)):
                yield f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude)}{{{kept}}}"
        else:
            yield rule.serialize()


def _selectors(prelude: Iterable[Node]) -> Iterator[list[Node]]:
    one: list[Node] = []
    for token in prelude:
        if token == ",":
            yield one
            one = []
        else:
            one.append(token)
    yield one


def _can_fit(selector: Sequence[Node], known: set[str]) -> bool:
    """Whether all classes and ids are known that every element has which it fits. What stands in brackets,
    as in `:not(.x)`, may be absent."""
    asked = [token.value for token in selector if token.type == "hash"]
    pairs = itertools.pairwise(selector)
    asked += [token.value for dot, token in pairs if dot == "." and token.type == "ident"]
    return all(name in known or name.startswith(COMPOSED) for name in asked)


# Tokens


def _with_tokens(found: re.Match[str], folder: Path, token: Callable[[Path], str]) -> str:
    """The attribute with today's tokens in the place of Sphinx's, which knows neither the trimmed styles nor
    what is loaded later. A browser that keeps files would pair old ones with new pages."""
    addresses = (address.partition("?")[0] for address in found[2].split(" "))
    dated = (f"{one}{token(Path(os.path.normpath(folder / one)))}" for one in addresses)
    return f' {found[1]}="{" ".join(dated)}"'


def token(file: Path) -> str:
    """What follows the address of `file`, as Sphinx's own tokens; "" for what is not here."""
    return f"?v={zlib.crc32(file.read_bytes()):08x}" if file.is_file() else ""
