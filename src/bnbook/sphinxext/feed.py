"""Verdicts over time: the ledger of their changes, and the Atom feeds made from it, one in each language.

`bnbook claims --record` adds to the ledger what has changed since; its entries are final. The feeds lie
beside the editions, or in the one edition that was built alone.
"""

import json
import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from sphinx.application import Sphinx

from bnbook import files, paper, paths
from bnbook.claims import ClaimResult
from bnbook.paper import Text
from bnbook.sphinxext import metadata
from bnbook.sphinxext.claims import VERDICTS, page
from bnbook.sphinxext.editions import SEPARATOR, beside, languages
from bnbook.sphinxext.figures import LICENCE

LEDGER = paths.RESULTS / "verdicts.json"
NAMES = {"ko": "feed.ko.xml", "en": "feed.xml"}
ATOM = "http://www.w3.org/2005/Atom"
# Of the feeds' and entries' ids, which stay when the book moves.
NAMESPACE = uuid.UUID("5c0c2a53-7a51-4c1e-9a38-6f0b7f2f4b1d")
BOARD = "index.html#start-claims"
WORDS = {
    "title": {"ko": "{}: 판정", "en": "{}: verdicts"},
    "subtitle": {
        "ko": "논문의 주장에 내린 판정이 바뀔 때마다 알린다.",
        "en": "News whenever the verdict on one of the paper's claims changes.",
    },
    "first": {"ko": "주장 {}개의 첫 판정", "en": "First verdicts on {} claims"},
}

Entry = dict[str, Any]


# The ledger


def ledger(file: Path = LEDGER) -> list[Entry]:
    """What was recorded, the oldest first: {"date", "claim", "from" (None at first), "to", "why": Text}."""
    return files.read_json(file) if file.exists() else []


def changes(board: Sequence[ClaimResult], known: Sequence[Entry]) -> list[tuple[str, str | None, str]]:
    """(claim, recorded verdict, today's) where they differ."""
    last = {entry["claim"]: entry["to"] for entry in known}
    return [
        (claim.id, last.get(claim.id), claim.verdict)
        for claim in board
        if last.get(claim.id) != claim.verdict
    ]


def record(board: Sequence[ClaimResult], why: Text, file: Path = LEDGER, date: str = "") -> list[Entry]:
    """Add to the ledger the verdicts that have changed, and `why`; what was added."""
    known = ledger(file)
    date = date or datetime.now(UTC).date().isoformat()
    made = [
        {"date": date, "claim": claim, "from": before, "to": after, "why": why}
        for claim, before, after in changes(board, known)
    ]
    if made:
        files.write(file, json.dumps([*known, *made], ensure_ascii=False, indent=1) + "\n")
    return made


# The feeds


def write(folder: Path, address: str, editions: Sequence[str], book: metadata.Book) -> None:
    """Write the feeds of a site, which lies in `folder` and is read at `address` ("" where that is unset),
    with `editions` in folders of their own; without any, of a site that is one edition."""
    known = ledger()
    for lang, name in NAMES.items():
        edition = lang if lang in editions else next(iter(editions), "")
        made = feed(known, lang, f"{edition}/" if edition else "", address.rstrip("/"), book)
        files.write(folder / name, made)


def feed(known: Sequence[Entry], lang: str, edition: str, address: str, book: metadata.Book) -> bytes:
    """The Atom feed of a ledger in one language. Its links lead into the folder `edition`, and are relative
    where there is no address."""
    base = f"{address}/" if address else ""
    top = ElementTree.Element("feed", {"xmlns": ATOM, "xml:lang": lang})
    _add(top, "id", _id(lang))
    _add(top, "title", WORDS["title"][lang].format(book.title[lang]))
    _add(top, "subtitle", WORDS["subtitle"][lang])
    _add(top, "updated", _moment(max((entry["date"] for entry in known), default=f"{book.year}-01-01")))
    _add(_add(top, "author"), "name", book.author)
    _add(top, "rights", LICENCE)
    _add(top, "link", rel="alternate", type="text/html", href=f"{base}{edition}{BOARD}")
    if address:
        _add(top, "link", rel="self", type="application/atom+xml", href=f"{base}{NAMES[lang]}")
    changed = [entry for entry in known if entry["from"] is not None]
    made = [_changed(entry, lang) for entry in changed]
    made += [_first(known, date, lang) for date in {entry["date"] for entry in known} if _firsts(known, date)]
    for date, name, title, summary, place in sorted(made, reverse=True):
        entry = _add(top, "entry")
        _add(entry, "id", _id(f"{lang} {name}"))
        _add(entry, "title", title)
        _add(entry, "updated", _moment(date))
        _add(entry, "link", rel="alternate", type="text/html", href=f"{base}{edition}{place}")
        _add(entry, "summary", summary)
    ElementTree.indent(top)
    return ElementTree.tostring(top, encoding="utf-8", xml_declaration=True) + b"\n"


def _changed(entry: Entry, lang: str) -> tuple[str, str, str, str, str]:
    """(date, name, title, summary, place) of a verdict that has changed."""
    claim = paper.claims().get(entry["claim"])
    if claim:
        statement = paper.fill(claim["statement"][lang], {"": paper.numbers()})
        place = f"{page(entry['claim'])}.html"
    else:  # it was taken out of the book since
        statement, place = entry["claim"], BOARD
    before, after = (_word(entry[end], lang) for end in ("from", "to"))
    title = f"{before} → {after}: {statement}"
    name = f"{entry['date']} {entry['claim']} {entry['from']} {entry['to']}"
    return entry["date"], name, title, entry["why"][lang], place


def _first(known: Sequence[Entry], date: str, lang: str) -> tuple[str, str, str, str, str]:
    """The same of all verdicts that were recorded for the first time on a day."""
    firsts = _firsts(known, date)
    counts = Counter(entry["to"] for entry in firsts)
    summary = SEPARATOR.join(
        f"{_word(verdict, lang)} {counts[verdict]}" for verdict in VERDICTS if counts[verdict]
    )
    return date, f"{date} first", WORDS["first"][lang].format(len(firsts)), summary, BOARD


def _firsts(known: Sequence[Entry], date: str) -> list[Entry]:
    return [entry for entry in known if entry["from"] is None and entry["date"] == date]


def _word(verdict: str, lang: str) -> str:
    return VERDICTS[verdict][1][lang]


def _moment(date: str) -> str:
    return f"{date}T00:00:00Z"


def _id(name: str) -> str:
    return uuid.uuid5(NAMESPACE, name).urn


def _add(parent: ElementTree.Element, name: str, text: str = "", **attributes: str) -> ElementTree.Element:
    made = ElementTree.SubElement(parent, name, attributes)
    made.text = text or None
    return made


# In pages


def _link(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """The feeds of the edition's languages, for the head."""
    root = context["content_root"] + ("../" if beside(app) else "")
    context["bn_feeds"] = [
        {
            "language": lang,
            "title": WORDS["title"][lang].format(app.bn_book.title[lang]),
            "href": root + NAMES[lang],
        }
        for lang in languages(app.config.edition)
    ]


def _finish(app: Sphinx, exception: Exception | None) -> None:
    """A book of one edition is a site by itself."""
    if not exception and app.builder.format == "html" and not beside(app):
        write(Path(app.outdir), app.config.html_baseurl, (), app.bn_book)


def setup(app: Sphinx) -> None:
    app.connect("html-page-context", _link)
    app.connect("build-finished", _finish)
