"""Boxes with ready-made citations: what those of a figure (figures.py), a claim (claim_pages.py), a chapter
and the whole book have in common, and the last two themselves; the directive `citebook`.

Both languages stand in every edition, its own first: a Korean article may be written by a reader of the
English edition.
"""

import codecs
from collections.abc import Callable
from html import escape
from typing import Any

import latexcodec  # noqa: F401  (it registers the codec "ulatex")
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from bnbook.figures import LICENCE
from bnbook.paper import LANGUAGES, Text
from bnbook.sphinxext import metadata
from bnbook.sphinxext.editions import HANGUL, beside, joined, languages

# Where html.baseurl is unset. The page's script puts in the address at which it is read, if that is one that
# others can reach.
NOWHERE = "https://ADDRESS-OF-THE-PUBLISHED-BOOK"
WORDS: dict[str, Text] = {
    "copy": {"ko": "복사", "en": "Copy"},
    "copied": {"ko": "복사함", "en": "Copied"},
    "source": {"ko": "출처", "en": "Source"},
    "results": {"ko": "결과", "en": "results"},
    "unreachable": {
        "ko": "지금 읽는 책의 주소는 다른 사람이 열 수 없다. "
        "{address} 자리에 공개된 책의 주소를 넣어야 한다.",
        "en": "This copy of the book is not at an address that others can open. Put the address of the "
        "published book in the place of {address}.",
    },
}
SUMMARY: dict[str, Text] = {
    "chapter": {"ko": "이 장 인용하기", "en": "Cite this chapter"},
    "book": {"ko": "이 책 인용하기", "en": "Cite this book"},
}

# What latexcodec would leave as it is, taking it for LaTeX.
LATEX = str.maketrans(
    {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "$": r"\$", "{": r"\{", "}": r"\}"}
)
BIBTEX_KOREAN = "한글이 있어 XeLaTeX이나 LuaLaTeX이 필요하다."

# (language, address) -> the citations by name.
Made = Callable[[str, str], dict[str, str]]


class CiteBookDirective(SphinxDirective):
    """```` ```{citebook} ``` ````: the box of the whole book, open."""

    def run(self) -> list[nodes.Node]:
        return [BookBox()]


class BookBox(nodes.General, nodes.Element):
    """The box of the whole book. Made when the page is written, when the site's address is known."""


# What all have in common


def box(app: Sphinx, name: str, summary: Text, made: Made, *, is_open: bool = False, **options: Any) -> str:
    """The box `cite-<name>` as HTML, with what `lists` gives."""
    opened = " open" if is_open else ""
    title = joined(summary, app.config.edition)
    inner = lists(app, made, **options)
    return f'<details class="bn-cite" id="cite-{name}"{opened}><summary>{title}</summary>{inner}</details>'


def lists(
    app: Sphinx, made: Made, *, of_site: bool = False, lead: Callable[[str, str], str] | None = None
) -> str:
    """The citations that `made` gives in each language, as HTML, each with a copy button; before them, what
    `lead` gives. Both are told the address of that language's edition, or `of_site` that of the site."""
    own = languages(app.config.edition)
    parts = []
    for lang in (*own, *(lang for lang in LANGUAGES if lang not in own)):
        address, way = _address(app, "" if of_site else lang)
        parts.append(f'<div class="bn-cite-lang" lang="{lang}">')
        if address.startswith(NOWHERE):
            word = WORDS["unreachable"][lang].format(address=f"<code>{address}</code>")
            place = f'data-bn-address="{address}" data-bn-root="{way}"'
            parts.append(f'<p class="bn-cite-unreachable" {place}>{word}</p>')
        parts += [lead(lang, address)] if lead else []
        parts += [_item(label, text, lang) for label, text in made(lang, address).items()]
        parts.append("</div>")
    return "".join(parts)


def _item(label: str, text: str, lang: str) -> str:
    copy, copied = WORDS["copy"][lang], WORDS["copied"][lang]
    spoken = f"{label} {copy}" if lang == "ko" else f"{copy} {label}"
    return (
        f'<div class="bn-cite-item"><span class="bn-cite-name">{label}</span>'
        f'<button type="button" class="bn-button bn-copy" data-copied="{copied}" aria-label="{spoken}">'
        f"{copy}</button>"
        f'<pre class="bn-cite-text" tabindex="0">{escape(text)}</pre></div>'
    )


def site_address(app: Sphinx) -> str:
    """The address of the site, in which the editions lie; NOWHERE where it is unset."""
    base = app.config.html_baseurl.rstrip("/")
    return (base.removesuffix(f"/{app.config.edition}") if beside(app) else base) or NOWHERE


def _address(app: Sphinx, folder: str) -> tuple[str, str]:
    """Where a folder of the site is read, and the way there from the edition's; a book of one edition is in
    its own."""
    site = site_address(app)
    return (f"{site}/{folder}".rstrip("/"), f"../{folder}") if beside(app) else (site, "./")


def quoted(title: str, lang: str) -> str:
    return f"「{title}」" if lang == "ko" else f"“{title}”"


def markdown_alt(text: str) -> str:
    """Brackets would end the alt text."""
    return text.replace("[", "\\[").replace("]", "\\]")


def latex(text: str) -> str:
    """`text` as LaTeX source: ε as $\\epsilon$, % as \\%. What has no command, as Hangul, is left."""
    return codecs.encode(text.translate(LATEX), "ulatex", "keep")


def bibtex(kind: str, key: str, fields: dict[str, str]) -> str:
    """An entry of BibTeX, without the fields that are "". LaTeX's own signs become commands, but not in
    addresses; titles, and a name that is no person's, are kept as they are written."""
    braced = ("author", "title", "booktitle", "publisher")
    lines = []
    for name, text in fields.items():
        value = text if name in ("url", "doi") else latex(text)
        if text:
            lines.append(f"  {name} = {{{f'{{{value}}}' if name in braced else value}}},\n")
    entry = f"@{kind}{{{key},\n{''.join(lines)}}}"
    return f"{BIBTEX_KOREAN}\n{entry}" if HANGUL.search(entry) else entry


# The book and its chapters


def of_book(book: metadata.Book, lang: str, url: str) -> dict[str, str]:
    """Citations of the whole book, in one language."""
    title, version = book.title[lang], f"{WORDS['results'][lang]} {book.version}"
    named = f"『{title}』" if lang == "ko" else title
    word = WORDS["source"][lang]
    doi = metadata.doi_url(book)
    tail = ", ".join(filter(None, (version, doi, LICENCE)))
    emphasis = named if lang == "ko" else f"*{named}*"
    entry = _fields(book, lang, url, title=title)
    return {
        "Markdown": f"{word}: [{book.author}, {emphasis}]({url}), {book.year}, {tail}",
        "BibTeX": bibtex("book", f"bnbook-{lang}", entry),
        word: f"{word}: {book.author}, {named}, {book.year}, {url}, {tail}",
    }


def of_chapter(book: metadata.Book, title: str, page: str, lang: str, url: str) -> dict[str, str]:
    """Citations of the chapter `title` in one language; `page` is its name in addresses."""
    whole, version = book.title[lang], f"{WORDS['results'][lang]} {book.version}"
    own, named = quoted(title, lang), f"『{whole}』" if lang == "ko" else f"in {whole}"
    emphasis = named if lang == "ko" else f"in *{whole}*"
    word = WORDS["source"][lang]
    entry = _fields(book, lang, url, title=title, booktitle=whole)
    return {
        "Markdown": f"{word}: [{book.author}, {markdown_alt(own)}]({url}), {emphasis}, {book.year}, "
        f"{version}, {LICENCE}",
        "BibTeX": bibtex("incollection", f"bnbook-{page}-{lang}", entry),
        word: f"{word}: {book.author}, {own}, {named}, {book.year}, {url}, {version}, {LICENCE}",
    }


def _fields(book: metadata.Book, lang: str, url: str, **titles: str) -> dict[str, str]:
    return {
        "author": book.author,
        **titles,
        "publisher": book.author,
        "year": book.year,
        "doi": "" if "booktitle" in titles else book.doi,  # the whole book's
        "url": url,
        "note": f"{WORDS['results'][lang]} {book.version}, {LICENCE}",
    }


def _book_box(app: Sphinx, *, is_open: bool = False) -> str:
    def made(lang: str, address: str) -> dict[str, str]:
        return of_book(app.bn_book, lang, f"{address}/{app.builder.get_target_uri(app.config.root_doc)}")

    return box(app, "book", SUMMARY["book"], made, is_open=is_open)


def _chapter_box(app: Sphinx, docname: str) -> str:
    page = app.builder.get_target_uri(docname)

    def made(lang: str, address: str) -> dict[str, str]:
        title = metadata.titles(app, docname)[lang]
        return of_chapter(app.bn_book, title, page.removesuffix(".html"), lang, f"{address}/{page}")

    return box(app, "chapter", SUMMARY["chapter"], made)


def _visit_book(translator: Any, node: BookBox) -> None:
    translator.body.append(_book_box(translator.builder.app, is_open=True))
    raise nodes.SkipNode


def _add(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """A box at the end of chapters and of the start page, unless the page has the book's at its own place."""
    if pagename == app.config.root_doc:
        context["body"] += _book_box(app)
    elif pagename in metadata.chapters(app) and not doctree.next_node(BookBox):
        context["body"] += _chapter_box(app, pagename)


def setup(app: Sphinx) -> None:
    app.add_directive("citebook", CiteBookDirective)
    app.add_node(BookBox, html=(_visit_book, None))
    app.connect("html-page-context", _add)
