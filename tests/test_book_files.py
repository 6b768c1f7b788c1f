"""The PDF and the EPUB hold the chapters of the site, whole: nothing that only works on the web, every link
alive, Korean letters within."""

import importlib.util
import re
import zipfile
import zlib
from io import BytesIO
from pathlib import Path
from posixpath import dirname, join, normpath
from xml.etree import ElementTree

import pytest
from bs4 import BeautifulSoup
from fontTools.ttLib import TTFont

from bnbook import book_files
from bnbook.book_files import chapters, epub

FRAME = """<!DOCTYPE html><html lang="ko"><head>{head}</head><body>
<nav class="bd-links"><ul><li class="toctree-l1"><a href="{index}">처음</a></li></ul>
<p class="bn-part">실험</p><ul><li class="toctree-l1"><a href="mnist.html">장</a></li></ul>
<ul><li class="toctree-l1"><a href="figures/index.html">그림</a></li></ul></nav>
<svg class="bn-glyphs"><defs><path id="glyph-0" d="M0 0H9"/></defs></svg>
<article class="bd-article">{body}</article><p class="copyright">글 CC BY 4.0</p></body></html>"""
INDEX = """<section id="top"><h1>배치 정규화<a class="headerlink" href="#top">#</a></h1>
<p><a id="claim" href="mnist.html#claim-1">주장</a> <a id="gone" href="mnist.html#not-there">없음</a>
<a id="notebook" class="kept" href="notebooks/01.html">노트북</a> <a id="out"
href="https://example.org/a?b&amp;c">밖</a></p><section id="use"><span id="use-too"></span><h2>쓰임새</h2><div
class="bn-web"><p>단추를 누르면</p></div></section></section>"""
MNIST = """<section id="top"><h1>논문의 그림 1</h1><button>복사</button><script>1</script>
<section id="first"><h2>첫째 &amp; 절<a class="headerlink" href="#first">#</a></h2>
<figure id="fig1"><a class="image-reference" href="figures/fig1.html"><picture class="only-light"><source
media="(max-width: 575px)" srcset="figures/fig1.ko.narrow.svg"/><img src="figures/fig1.ko.svg" alt="곡선"
width="624" height="300"/>
</picture><picture class="only-dark"><img src="figures/fig1.dark.svg" alt="곡선"/></picture></a>
<figcaption>그림 1</figcaption></figure>
<details class="bn-cite"><summary>인용하기</summary></details>
<p>식 <span class="math"><svg width="1.2ex" height="2ex" style="vertical-align: -0.4ex;" viewBox="0 -7 5 9"><g
fill="currentColor" stroke="currentColor"><use href="#glyph-0" transform="scale(2)"></use><svg width="5"
height="9" viewBox="0 -7 5 9"><use href="#glyph-0"></use></svg></g></svg><math
xmlns="http://www.w3.org/1998/Math/MathML"><mi data-mjx-texclass="ORD">β</mi></math></span></p>
<table><tr id="claim-1"><td data-label="주장">주장<details><summary>판정 규칙</summary>시드마다</details>
</td></tr></table>
<div class="bn-train" data-given="{}">자바스크립트</div></section></section>"""
FIGURES = """<section id="top"><h1>그림</h1><ul class="bn-gallery"><li><a class="image-reference"
href="fig1.html"><picture class="only-light"><img src="fig1.ko.svg"/></picture></a><a id="listed"
href="fig1.html">그림 1</a></li></ul></section>"""
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><path d="M0 0H9V9z"/></svg>'
ADDRESS = "https://example.org/bn"


@pytest.fixture
def site(tmp_path) -> Path:
    """A site with one edition of three chapters."""
    return write_site(tmp_path / "html", "")


def write_site(html: Path, head: str) -> Path:
    edition = html / "ko"
    (edition / "figures").mkdir(parents=True)
    for name, body in (("index", INDEX), ("mnist", MNIST), ("figures/index", FIGURES)):
        index = "#" if name == "index" else "index.html"
        text = FRAME.format(head=head, index=index, body=body)
        (edition / f"{name}.html").write_text(text, encoding="utf-8")
    for file in ("fig1.ko.svg", "fig1.ko.narrow.svg"):
        (edition / "figures" / file).write_text(SVG, encoding="utf-8")
    return html


def test_chapters_come_in_the_order_of_the_contents_below_their_parts(site):
    found = chapters.read(site / "ko").chapters
    assert [(one.name, one.title, one.part) for one in found] == [
        ("index", "배치 정규화", ""),
        ("mnist", "논문의 그림 1", "실험"),
        ("figures", "그림", ""),
    ]
    assert list(found[1].sections()) == [("first", "첫째 & 절")]


def test_what_only_the_web_can_do_is_left_out_and_folds_are_open(site):
    body = chapters.read(site / "ko").chapters[1].body
    assert not body.select("button, script, details, summary, .only-dark, .headerlink, .bn-cite")
    assert [image["src"] for image in body.select("img")] == ["figures/fig1.ko.svg"]
    assert "판정 규칙" in body.text and "시드마다" in body.text and "자바스크립트" not in body.text
    assert body.select_one(".bn-train").text == chapters.WORDS["ko"]["live"]
    index = chapters.read(site / "ko").chapters[0].body
    assert "단추" not in index.text and "쓰임새" not in index.text  # nor a heading with nothing below


def test_a_formula_has_its_letters_with_it(site):
    svg = chapters.read(site / "ko").chapters[1].body.select_one("svg")
    letter = svg.select_one("path")
    assert (letter["d"], letter["transform"], svg["viewBox"]) == ("M0 0H9", "scale(2)", "0 -7 5 9")
    assert not svg.select("use") and not letter.has_attr("id")


def test_only_the_formula_is_sized_by_the_font_and_not_what_stretches_in_it(site):
    pdf = importorskip_pdf()
    outer, inner = BeautifulSoup(pdf.document(chapters.read(site / "ko")), "html.parser").select(".math svg")
    assert "em" in outer["style"] and not outer.has_attr("width")
    assert (inner["width"], inner["height"], inner.has_attr("style")) == ("5", "9", False)


@pytest.mark.parametrize("address", ["", ADDRESS])
def test_links_lead_into_the_book_and_to_the_web_where_it_has_an_address(tmp_path, address):
    head = f'<link rel="canonical" href="{address}/ko/index.html"/>' if address else ""
    book = chapters.read(write_site(tmp_path, head) / "ko")
    book.link(lambda here, there, target: f"{here.name}>{there.name}>{target}")
    links = {link["id"]: link["href"] for one in book.chapters for link in one.body.select("a[id]")}
    expected = {
        "claim": "index>mnist>claim-1",
        "out": "https://example.org/a?b&c",
        "listed": "figures>mnist>fig1",
    }
    if address:
        expected["notebook"] = f"{ADDRESS}/ko/notebooks/01.html"
    assert links == expected
    assert "없음" in book.chapters[0].body.text
    kept = book.chapters[0].body.select_one(".kept")  # what leads nowhere still looks as it did
    assert kept.text == "노트북" and kept.has_attr("href") == bool(address)


def made(folder: Path) -> zipfile.ZipFile:
    stream = BytesIO()
    epub.write(chapters.read(folder), stream)
    return zipfile.ZipFile(stream)


def looked_at(archive: zipfile.ZipFile) -> None:
    """An EPUB says what it is, is XML throughout, lists all its files, and no link of it is dead."""
    first = archive.infolist()[0]
    assert (first.filename, first.compress_type) == ("mimetype", zipfile.ZIP_STORED)
    assert archive.read("mimetype") == b"application/epub+zip"
    names = set(archive.namelist())
    trees = {
        name: ElementTree.fromstring(archive.read(name))
        for name in names
        if name.endswith((".xhtml", ".opf"))
    }
    package = trees.pop("book/book.opf")
    listed = {f"book/{item.get('href')}": item for item in package.iter("{http://www.idpf.org/2007/opf}item")}
    assert set(listed) == names - {"mimetype", "META-INF/container.xml", "book/book.opf"}
    assert {name for name, item in listed.items() if "svg" in (item.get("properties") or "").split()} == {
        name for name in trees if b"<svg" in archive.read(name)
    }
    ids = {name: {element.get("id") for element in tree.iter()} for name, tree in trees.items()}
    for name, tree in trees.items():
        assert len(ids[name] - {None}) == sum(element.get("id") is not None for element in tree.iter()), name
        for element in tree.iter():
            target = element.get("href") or element.get("src") or element.get("srcset") or ""
            if not target or re.match("[a-z]+:", target):
                continue
            file, _, fragment = target.partition("#")
            there = normpath(join(dirname(name), file)) if file else name
            assert there in names and (not fragment or fragment in ids[there]), f"{name}: {target}"


def test_an_epub_is_whole_and_has_its_korean_letters(site):
    archive = made(site / "ko")
    looked_at(archive)
    page = archive.read("book/mnist.xhtml").decode()
    assert "<math" in page and not re.search("data-(?!label)", page)
    letters = TTFont(BytesIO(archive.read("book/fonts/NanumGothic.ttf"))).getBestCmap()
    assert {ord(letter) for letter in page if "가" <= letter <= "힣"} <= letters.keys()
    assert len(letters) < 500  # not the whole font


def test_an_epub_has_the_narrow_figures_for_phones(site):
    archive = made(site / "ko")
    source = BeautifulSoup(archive.read("book/mnist.xhtml"), "html.parser").select_one("picture > source")
    assert (source["media"], source["type"]) == ("(max-width: 575px)", "image/svg+xml")
    assert archive.read(f"book/{source['srcset']}").startswith(b"<svg")


def test_the_contents_of_an_epub_nest_sections_in_chapters_and_these_in_parts(site):
    nav = BeautifulSoup(made(site / "ko").read("book/nav.xhtml"), "html.parser").select_one("#toc")
    (part,) = nav.select("span")
    assert part.text == "실험"
    links = [link["href"] for link in part.parent.select("a")]
    assert links == ["mnist.xhtml", "mnist.xhtml#first", "figures.xhtml"]


def test_an_epub_says_the_same_twice(site):
    first, second = (made(site / "ko") for _ in range(2))
    assert {name: first.read(name) for name in first.namelist()} == {
        name: second.read(name) for name in second.namelist()
    }


@pytest.mark.slow  # it looks at the built book
@pytest.mark.parametrize("language", book_files.LANGUAGES)
def test_the_book_itself_becomes_an_epub_without_a_dead_link(html, language):
    looked_at(made(html / language))


def importorskip_pdf():
    try:
        from bnbook.book_files import pdf
    except (ImportError, OSError) as error:  # OSError: Pango, which is no Python package, is missing
        pytest.skip(f"WeasyPrint does not run here: {error}")
    return pdf


def test_a_pdf_has_bookmarks_links_and_its_fonts(site):
    pdf = importorskip_pdf()
    stream = BytesIO()
    pdf.write(chapters.read(site / "ko"), stream)
    objects = unpacked(stream.getvalue())
    titles = [
        bytes.fromhex(found.decode()).decode("utf-16") for found in re.findall(rb"/Title <(\w+)>", objects)
    ]
    assert {"차례", "배치 정규화", "논문의 그림 1", "첫째 & 절"} <= set(titles)
    fonts = {font.rpartition(b"+")[2] for font in re.findall(rb"/BaseFont /([^/\s]+)", objects)}
    assert {b"Nanum", b"Nanum-Bold"} <= fonts
    assert len(re.findall(rb"/FontFile[23]? ", objects)) >= len(fonts)  # all of them are in the file
    assert objects.count(b"/Subtype /Link") >= 8 and b"/StructTreeRoot" in objects
    assert b"/Subtype /Image" not in objects  # the figure is drawn


def unpacked(file: bytes) -> bytes:
    """A PDF with what its streams hold written out."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", file, re.DOTALL)
    held = []
    for stream in streams:
        try:
            held.append(zlib.decompress(stream))
        except zlib.error:
            continue
    return b"\n".join([file, *held])


def test_a_zip_has_the_whole_site_in_one_folder(site, tmp_path):
    stream = BytesIO()
    book_files.write_site(site, stream)
    found = set(zipfile.ZipFile(stream).namelist())
    assert found == {f"bnbook-site/{file.relative_to(site)}" for file in site.rglob("*") if file.is_file()}


def test_without_a_built_book_one_line_says_what_builds_it(tmp_path):
    with pytest.raises(book_files.BookFilesError, match=r"no book in .*`make book` builds it"):
        book_files.build(tmp_path, tmp_path / "files")


def test_a_folder_in_the_site_is_refused(site):
    """The zip would take itself in, and never end."""
    with pytest.raises(book_files.BookFilesError, match="lies in the site"):
        book_files.build(site, site / "files", ["ko"])
    assert not (site / "files").exists()


def test_without_weasyprint_one_line_says_what_brings_it(site, monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(book_files.BookFilesError, match=r"needs WeasyPrint: .*pip install"):
        book_files.build(site, tmp_path / "files", ["ko"])
    assert not (tmp_path / "files").exists()
