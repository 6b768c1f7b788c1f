"""The book as an EPUB 3: a page of XHTML for each chapter, formulas and figures as vectors, a font with the
letters that it has."""

import html
import posixpath
import uuid
import zipfile
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageDraw, ImageFont

from bnbook.book_files import fonts
from bnbook.book_files.chapters import Book, Chapter

TYPES = {
    ".xhtml": "application/xhtml+xml",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ttf": "font/ttf",
}
CONTAINER = """<?xml version="1.0" encoding="utf-8"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
<rootfiles><rootfile full-path="book/book.opf" media-type="application/oebps-package+xml"/></rootfiles>
</container>
"""
PAGE = """<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops"
lang="{0}" xml:lang="{0}">
<head><meta charset="utf-8"/><title>{1}</title><link rel="stylesheet" href="book.css"/></head>
<body>{2}</body>
</html>
"""
COVER = (1600, 2560)


def write(book: Book, stream: BinaryIO) -> None:
    """Write the EPUB of `book`, whose chapters it changes, to `stream`."""
    book.link(lambda here, there, target: place(here, there, target))
    entries: dict[str, str | bytes] = {"cover.png": cover(book)}
    pages = {page(chapter): chapter_page(book, chapter) for chapter in book.chapters}
    entries["cover.xhtml"] = xhtml(book, book.title, cover_body(book))
    entries["nav.xhtml"] = xhtml(book, book.words["contents"], navigation(book))
    entries |= pages
    images = (image for chapter in book.chapters for image in chapter.body.select("img, source"))
    for source in sorted({image.get("src") or image["srcset"] for image in images}):
        entries[source] = (book.folder / source).read_bytes()
    letters = "".join(sorted({letter for text in pages.values() for letter in text}))
    sheet = Path(__file__).with_name("epub.css").read_text(encoding="utf-8")
    for font in fonts.found(fonts.KOREAN):
        name = f"fonts/{font.file.name}"
        entries[name] = fonts.cut(font, letters)
        sheet = font.css(name) + sheet
    entries["book.css"] = sheet
    when = book.day.timetuple()[:6]
    with zipfile.ZipFile(stream, "w") as archive:
        # The first file tells what this is, as it stands.
        archive.writestr(zipfile.ZipInfo("mimetype", when), "application/epub+zip")
        for name, content in {
            "META-INF/container.xml": CONTAINER,
            "book/book.opf": package(book, entries),
            **{f"book/{name}": content for name, content in entries.items()},
        }.items():
            archive.writestr(zipfile.ZipInfo(name, when), content, zipfile.ZIP_DEFLATED)


def page(chapter: Chapter) -> str:
    return f"{chapter.name}.xhtml"


def place(here: Chapter, there: Chapter, target: str) -> str:
    return ("" if here is there and target else page(there)) + (f"#{target}" if target else "")


def chapter_page(book: Book, chapter: Chapter) -> str:
    for part in chapter.body.select("math, math *"):
        for name in [name for name in part.attrs if name.startswith("data-") or name == "class"]:
            del part[name]
    for image in chapter.body.select("img, source"):
        # A page is as wide as its reader likes.
        del image["height"], image["width"]
        if image.name == "source":
            image["type"] = TYPES[Path(image["srcset"]).suffix]
    return xhtml(book, chapter.title, str(chapter.body))


def xhtml(book: Book, title: str, body: str) -> str:
    return PAGE.format(book.language, html.escape(title), body)


def cover_body(book: Book) -> str:
    image = f'<img src="cover.png" alt="{html.escape(book.title)}"/>'
    return f'<section epub:type="cover" class="cover">{image}</section>'


def navigation(book: Book) -> str:
    """The table of contents, chapters below their parts, and where cover and text begin."""
    words = book.words
    items = []
    for chapter in book.chapters:
        if chapter.part:
            items.append(f"<li><span>{html.escape(chapter.part)}</span><ol>")
        sections = "".join(
            item(f"{page(chapter)}#{target}", title) + "</li>" for target, title in chapter.sections()
        )
        inner = f"<ol>{sections}</ol>" if sections else ""
        items.append(f"{item(page(chapter), chapter.title)}{inner}</li>")
        if ends_part(book, chapter):
            items.append("</ol></li>")
    first = page(book.chapters[0])
    return (
        f'<nav epub:type="toc" id="toc"><h1>{words["contents"]}</h1><ol>{"".join(items)}</ol></nav>'
        f'<nav epub:type="landmarks" hidden=""><ol>'
        f'<li><a epub:type="cover" href="cover.xhtml">{words["cover"]}</a></li>'
        f'<li><a epub:type="toc" href="#toc">{words["contents"]}</a></li>'
        f'<li><a epub:type="bodymatter" href="{first}">{html.escape(book.title)}</a></li></ol></nav>'
    )


def item(target: str, title: str) -> str:
    return f'<li><a href="{html.escape(target)}">{html.escape(title)}</a>'


def ends_part(book: Book, chapter: Chapter) -> bool:
    """Whether a part is open at the end of `chapter`, and no further chapter belongs to it."""
    number = book.chapters.index(chapter)
    opened = any(before.part for before in book.chapters[: number + 1])
    return opened and (number + 1 == len(book.chapters) or bool(book.chapters[number + 1].part))


def package(book: Book, entries: dict[str, str | bytes]) -> str:
    """The list of all files, and of the order in which they are read."""
    texts = ["cover.xhtml", "nav.xhtml", *map(page, book.chapters)]
    known = {"cover.png": ["cover-image"], "nav.xhtml": ["nav"]}
    manifest = []
    for name, content in entries.items():
        properties = list(known.get(name, []))
        if name.endswith(".xhtml"):
            properties += [word for tag, word in (("<svg", "svg"), ("<math", "mathml")) if tag in content]
        shown = f' properties="{" ".join(properties)}"' if properties else ""
        kind = TYPES[posixpath.splitext(name)[1]]
        manifest.append(f'<item id="{identifier(name)}" href="{name}" media-type="{kind}"{shown}/>')
    spine = "".join(f'<itemref idref="{identifier(name)}"/>' for name in texts)
    unique = uuid.uuid5(uuid.NAMESPACE_URL, book.address or f"bnbook-{book.language}")
    source = f"<dc:source>{html.escape(book.address)}</dc:source>" if book.address else ""
    return f"""<?xml version="1.0" encoding="utf-8"?>
<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id" xml:lang="{book.language}">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:identifier id="id">urn:uuid:{unique}</dc:identifier>
<dc:title>{html.escape(book.title)}</dc:title>
<dc:language>{book.language}</dc:language>
<dc:creator>{html.escape(book.authors)}</dc:creator>
<dc:description>{html.escape(book.words["about"])}</dc:description>
<dc:rights>{html.escape(book.license)}</dc:rights>{source}
<dc:date>{book.day.date()}</dc:date>
<meta property="dcterms:modified">{book.day:%Y-%m-%dT%H:%M:%SZ}</meta>
<meta property="schema:accessMode">textual</meta>
<meta property="schema:accessMode">visual</meta>
<meta property="schema:accessModeSufficient">textual</meta>
<meta property="schema:accessibilityFeature">alternativeText</meta>
<meta property="schema:accessibilityFeature">MathML</meta>
<meta property="schema:accessibilityFeature">tableOfContents</meta>
<meta property="schema:accessibilityHazard">none</meta>
</metadata>
<manifest>{"".join(manifest)}</manifest>
<spine>{spine}</spine>
</package>
"""


def identifier(name: str) -> str:
    """The id of a file in the package: a name of XML."""
    return "f-" + name.replace("/", "-")


def cover(book: Book) -> bytes:
    """The picture of the cover, in PNG as readers want it: title, what it is about, authors."""
    width, height = COVER
    picture = Image.new("RGB", COVER, "#1f5fa8")
    draw = ImageDraw.Draw(picture)
    files = {font.weight: str(font.file) for font in fonts.found(fonts.KOREAN)}

    def put(text: str, weight: str, size: int, top: int, colour: str) -> None:
        font, lines = ImageFont.truetype(files[weight], size), [""]
        for word in text.split():
            longer = f"{lines[-1]} {word}".strip()
            if draw.textlength(longer, font) > width - 2 * 150:
                lines.append(word)
            else:
                lines[-1] = longer
        draw.multiline_text((150, top), "\n".join(lines), colour, font, spacing=size // 2)

    # The curve of the icon: learning that takes off.
    draw.line([(150, 1540), (width - 150, 1540)], "#8fb4dd", 8)
    curve = [(150 + x, 1500 - 420 / (1 + 2.718281828 ** ((500 - x) / 90))) for x in range(0, width - 300, 4)]
    draw.line(curve, "white", 18, joint="curve")
    put(book.title, "700", 130, 360, "white")
    put(book.words["about"], "400", 58, 1720, "#dbe8f7")
    put(book.authors, "400", 52, height - 260, "#dbe8f7")
    made = BytesIO()
    picture.save(made, "PNG", optimize=True)
    return made.getvalue()
