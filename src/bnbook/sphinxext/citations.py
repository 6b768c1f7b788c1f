"""Boxes with ready-made citations of a chapter and of the whole book, as figures have them; the directive
`citebook`.

Both languages stand in every edition, its own first: a Korean article may be written by a reader of the
English edition.
"""

from collections.abc import Callable
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from bnbook.figures import LICENCE
from bnbook.paper import LANGUAGES, Text
from bnbook.sphinxext import metadata
from bnbook.sphinxext.editions import HANGUL, beside, joined, languages
from bnbook.sphinxext.figures import BIBTEX_KOREAN, NOWHERE, WORDS, cite_item, latex, markdown_alt

SUMMARY: dict[str, Text] = {
    "chapter": {"ko": "이 장 인용하기", "en": "Cite this chapter"},
    "book": {"ko": "이 책 인용하기", "en": "Cite this book"},
}

# (language, address of its edition) -> the citations by name.
Made = Callable[[str, str], dict[str, str]]


class CiteBookDirective(SphinxDirective):
    """```` ```{citebook} ``` ````: the box of the whole book, open."""

    def run(self) -> list[nodes.Node]:
        return [BookBox()]


class BookBox(nodes.General, nodes.Element):
    """The box of the whole book. Made when the page is written, when the site's address is known."""


def box(app: Sphinx, name: str, summary: Text, made: Made, *, is_open: bool = False) -> str:
    """A box `cite-<name>` as HTML, with the citations that `made` gives, each with a copy button."""
    config = app.config
    own = languages(config.edition)
    opened = " open" if is_open else ""
    title = joined(summary, config.edition)
    parts = [f'<details class="bn-cite" id="cite-{name}"{opened}><summary>{title}</summary>']
    for lang in (*own, *(lang for lang in LANGUAGES if lang not in own)):
        parts.append(f'<div class="bn-cite-lang" lang="{lang}">')
        address = edition_address(app, lang)
        if address.startswith(NOWHERE):
            word = WORDS["unreachable"][lang].format(address=f"<code>{address}</code>")
            # The page's script puts in the address of this folder.
            place = f'data-bn-address="{address}" data-bn-root="{f"../{lang}" if beside(app) else "./"}"'
            parts.append(f'<p class="bn-cite-unreachable" {place}>{word}</p>')
        parts += [cite_item(label, text, lang) for label, text in made(lang, address).items()]
        parts.append("</div>")
    return "".join([*parts, "</details>"])


def edition_address(app: Sphinx, lang: str) -> str:
    """Where the edition in the language `lang` is read; within NOWHERE where the site's address is unset."""
    base = app.config.html_baseurl.rstrip("/")
    site = (base.removesuffix(f"/{app.config.edition}") if beside(app) else base) or NOWHERE
    return f"{site}/{lang}" if beside(app) else site


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
    quoted, named = (f"「{title}」", f"『{whole}』") if lang == "ko" else (f"“{title}”", f"in {whole}")
    emphasis = named if lang == "ko" else f"in *{whole}*"
    word = WORDS["source"][lang]
    entry = _fields(book, lang, url, title=title, booktitle=whole)
    return {
        "Markdown": f"{word}: [{book.author}, {markdown_alt(quoted)}]({url}), {emphasis}, {book.year}, "
        f"{version}, {LICENCE}",
        "BibTeX": bibtex("incollection", f"bnbook-{page}-{lang}", entry),
        word: f"{word}: {book.author}, {quoted}, {named}, {book.year}, {url}, {version}, {LICENCE}",
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
