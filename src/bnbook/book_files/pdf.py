"""The book as one PDF: title page, contents with pages, chapters, bookmarks; everything a vector."""

import html
import logging
from pathlib import Path
from typing import BinaryIO

import weasyprint

from bnbook.book_files import fonts
from bnbook.book_files.chapters import Book, Chapter

# The height of an x in the font of the formulas, which are measured in it.
X_HEIGHT = 0.442


def write(book: Book, stream: BinaryIO) -> None:
    """Write the PDF of `book`, whose chapters it changes, to `stream`."""
    logging.getLogger("weasyprint").setLevel(logging.ERROR)
    page = document(book)
    set_page = weasyprint.HTML(string=page, base_url=f"{book.folder.resolve().as_uri()}/")
    set_page.write_pdf(stream, pdf_tags=True)


def document(book: Book) -> str:
    """One page of HTML with the whole book, its ids made unique by their chapters' names."""
    book.link(lambda _, chapter, target: f"#{anchor(chapter, target)}")
    for chapter in book.chapters:
        for element in (chapter.body, *chapter.body.select("[id]")):
            element["id"] = anchor(chapter, element["id"])
        for unseen in chapter.body.select("math, source"):  # for screen readers, and for narrow screens
            unseen.decompose()
        for svg in chapter.body.select("svg:not(svg svg)"):  # what stretches is a drawing within one
            in_em(svg)
    chapters = "".join(f'<article id="{anchor(one, "")}">{one.body}</article>\n' for one in book.chapters)
    return (
        f'<!DOCTYPE html><html lang="{book.language}"><head><meta charset="utf-8">'
        f"<title>{html.escape(book.title)}</title>"
        f'<meta name="author" content="{html.escape(book.authors)}">'
        f'<meta name="description" content="{html.escape(book.words["about"])}">'
        f"<style>{style()}</style></head><body>{cover(book)}{contents(book)}{chapters}</body></html>"
    )


def anchor(chapter: Chapter, target: str) -> str:
    """What an id of a chapter is called in the whole book; "" is the chapter itself."""
    return f"{chapter.name}--{target}" if target else chapter.name


def in_em(svg) -> None:
    """Sizes that do not depend on the font around a formula: em for the ex that it was set with. Its colour
    is black, since what it inherits from the page is not known inside."""
    sizes = {name: float(svg.attrs.pop(name).removesuffix("ex")) for name in ("width", "height")}
    below = svg.attrs.pop("style", "").removeprefix("vertical-align:").strip(" ;") or "0ex"
    sizes["vertical-align"] = float(below.removesuffix("ex"))
    svg["style"] = "; ".join(f"{name}: {size * X_HEIGHT:.4f}em" for name, size in sizes.items())
    for part in svg.find_all(fill="currentColor"):
        part["fill"], part["stroke"] = "#000", "none"


def cover(book: Book) -> str:
    words = book.words
    address = f'<p><a href="{book.address}">{book.address}</a></p>' if book.address else ""
    return (
        f'<section class="cover"><p class="title">{html.escape(book.title)}</p>'
        f'<p class="about">{words["about"]}</p>'
        f'<div class="imprint"><p>{html.escape(book.authors)}</p><p>{words["built"]}</p>{address}'
        f"<p>{html.escape(book.license)}</p></div></section>"
    )


def contents(book: Book) -> str:
    """The table of contents; the pages are filled in by the style sheet."""
    lines = []
    for chapter in book.chapters:
        if chapter.part:
            lines.append(f'<p class="part">{html.escape(chapter.part)}</p>')
        lines.append(entry("chapter", anchor(chapter, ""), chapter.title))
        lines += [entry("section", target, title) for target, title in chapter.sections()]
    return f'<nav class="contents"><h1>{book.words["contents"]}</h1>{"".join(lines)}</nav>'


def entry(kind: str, target: str, title: str) -> str:
    return f'<p class="{kind}"><a href="#{html.escape(target)}">{html.escape(title)}</a></p>'


def style() -> str:
    sheet = Path(__file__).with_name("print.css").read_text(encoding="utf-8")
    known = fonts.found(fonts.KOREAN, fonts.LATIN, fonts.CODE, fonts.SIGNS)
    return "".join(font.css(font.file.resolve().as_uri()) for font in known) + sheet
