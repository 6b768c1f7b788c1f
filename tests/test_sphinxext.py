"""The book's roles, directives and checks, on books of a page or two, with made-up numbers and figures."""

import dataclasses
import html
import itertools
import json
import os
import re
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from bs4 import BeautifulSoup
from pybtex.database import parse_string
from sphinx.testing.util import SphinxTestApp

from bnbook import claims, costs, durations, figures, mutants, paper, paths, sphinxext
from bnbook.book import summary
from bnbook.experiments import EXPERIMENTS
from bnbook.experiments.mnist_activation_shift.protocol import PROFILES, Results
from bnbook.notebooks import NotebookRunError
from bnbook.sphinxext import data, glossary, notebooks, numbers
from bnbook.sphinxext.builder import address
from bnbook.sphinxext.citations import NOWHERE, bibtex, latex
from bnbook.sphinxext.claims import board
from bnbook.sphinxext.figures import Cited, citations, export_figures, texts

MODULES = (
    "html",
    "builder",
    "editions",
    "glossary",
    "notebooks",
    "numbers",
    "figures",
    "claims",
    "board",
    "mutants",
    "durations",
)
EXTENSIONS = ["myst_nb", "sphinxcontrib.bibtex", *(f"bnbook.sphinxext.{module}" for module in MODULES)]
GLOSSARY = """
- {en: batch normalization, ko: 배치 정규화, avoid: [배치정규화]}
- {en: layer, ko: 층, avoid: [레이어], allow: [플레이어]}
"""
FIGURE_PAGE = """---
orphan: true
figure:
  title: {ko: 첫 그림, en: First picture}
  caption: {ko: "정확도 [[accuracy|.2f]].", en: "Accuracy [[accuracy|.2f]], batch [[paper:batch]]."}
  alt: {ko: 오르는 선, en: "A line <rising> [up]"}
---
# {figtitle}`pic-one`

```{bnfigure} pic-one
```
"""
BIBTEX = {
    "bibtex_bibfiles": ["refs.bib"],
    "bibtex_cite_id": "bib-{key}",
    "bibtex_bibliography_id": "bibliography-{bibliography_count}",
}
PAGE = """# {ko}`시작` {en}`Start here`

:::{ko}
우리의 문장.
:::
:::{en}
Our sentence.
:::

## {ko}`둘째 2` {en}`Second part 2`
"""


def fake_versions(folder, results):
    for lang, narrow, dark in itertools.product(("ko", "en"), (False, True), (False, True)):
        width, height = (270, 405) if narrow else (240, 180)
        svg = f'<svg width="{width}pt" height="{height}pt" viewBox="0 0 {width} {height}"/>'
        (folder / figures.version("pic-one", lang, narrow=narrow, dark=dark)).write_text(svg)
        (folder / figures.column_png("pic-one", lang)).write_bytes(b"PNG")


def fake_export(folder, results):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pic-one.svg").write_text("<svg/>")
    size = (640).to_bytes(4) + (480).to_bytes(4)
    (folder / "pic-one.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + size)
    (folder / "pic-one.csv").write_text("step,test_accuracy_percent\n1,50\n")
    manifest = {"pic-one": {"hash": "0123456789ab", "records": []}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return manifest


@dataclasses.dataclass
class FakeClaim:
    id: str
    verdict: str
    figure: str | None = None
    chapter: str = "book/index"
    rule_changed: bool = False
    registrations: int = 1
    kind: str = "measured"
    section: str = "4.1"
    source: str | None = None

    def __getattr__(self, name):
        if name in ("statement", "paper", "measures", "text", "rule", "detail", "why"):
            return {"ko": f"한 {name}", "en": f"en {name}"}
        raise AttributeError(name)


@pytest.fixture(autouse=True)
def made_up(monkeypatch):
    """Numbers, figures and claims of its own for every test."""
    known = {"accuracy": 0.98341, "steps": 50000}
    empty = Results(profile=PROFILES["cpu"], choice=None, main={}, pilot={}, multiverse=[])
    monkeypatch.setattr(claims, "results", lambda: {"mnist_activation_shift": empty})
    monkeypatch.setattr(claims, "numbers", lambda results: known)
    monkeypatch.setattr(paper, "numbers", lambda: {"batch": 60})
    monkeypatch.setattr(costs, "numbers", dict)  # which follow from the paper's real ones
    monkeypatch.setattr(
        claims,
        "board",
        lambda results: [
            FakeClaim("c-1", "reproduced", registrations=2),
            FakeClaim("c-0", "holds", kind="definition"),
            FakeClaim("d-2", "not run yet", rule_changed=True),
        ],
    )
    monkeypatch.setattr(figures, "FIGURES", {"pic-one": figures.Figure("pic-one", draw=dict, stage=None)})
    monkeypatch.setattr(figures, "source", lambda name: Path(__file__))
    monkeypatch.setattr(figures, "export_all", fake_export)
    monkeypatch.setattr(figures, "export_versions", fake_versions)
    forget()
    yield known
    forget()


def forget() -> None:
    """Numbers are read once a build; here several builds share a process."""
    for once in (numbers.results, numbers.sources, board):
        once.cache_clear()


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in {
        "book/glossary.yml": GLOSSARY,
        "book/figures/pic-one.md": FIGURE_PAGE,
        **files,
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


class Book:
    """A book built from `files` (path: text), in one edition; `files` may hold book/index.md alone."""

    def __init__(self, root: Path, files: dict[str, str], edition: str = "ko-en", **config):
        write(root, files)
        (root / "conf.py").write_text(
            f"extensions = {EXTENSIONS}\n"
            "myst_enable_extensions = ['colon_fence', 'dollarmath']\n"
            "bibtex_bibfiles = []\nroot_doc = 'book/index'\nexclude_patterns = ['build', 'out']\n"
            "nb_execution_mode = 'off'\nnumfig = True\nnitpicky = True\nhtml_theme = 'basic'\n"
            "copyright = '2026'\n"
        )
        out = root / "out" / edition
        settings = {"edition": edition, "language": edition[:2], "html_title": "책 · Book", **config}
        app = SphinxTestApp("html", root, builddir=out, confoverrides=settings)
        try:
            app.build()
            self.out, self.env = Path(app.outdir), app.env
            self.warnings = re.sub(r"\x1b\[[0-9;]*m", "", app.warning.getvalue())
        finally:
            app.cleanup()

    def page(self, name: str = "index") -> str:
        """The body of a page."""
        text = (self.out / f"{name}.html").read_text(encoding="utf-8")
        return text[text.index('<div class="body"') : text.index('<div class="clearer">')]


def ids(page: str) -> list[str]:
    return re.findall(r'\bid="([^"]+)"', page)


def words(page: str) -> str:
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", page)).split())


def cell(kind: str, source: str, *tags: str) -> dict:
    extra = {"outputs": [], "execution_count": None} if kind == "code" else {}
    return {
        "cell_type": kind,
        "id": f"c{abs(hash(source)) % 10**8}",
        "metadata": {"tags": [*filter(None, tags)]},
        "source": source,
        **extra,
    }


def notebook(*cells: dict, **metadata) -> str:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return json.dumps(
        {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {"kernelspec": kernel, **metadata},
            "cells": list(cells),
        }
    )


# Editions


def test_an_edition_keeps_its_language_only(tmp_path):
    korean = Book(tmp_path, {"book/index.md": PAGE}, "ko")
    english = Book(tmp_path, {"book/index.md": PAGE}, "en")
    assert korean.warnings == english.warnings == ""
    assert "우리의 문장." in korean.page() and "Our sentence." not in words(korean.page())
    assert "Our sentence." in english.page() and not re.search("[가-힣]", english.page())
    assert "<title>Start here" in (english.out / "index.html").read_text()
    assert "bn-pair" not in korean.page() + english.page()


def test_side_by_side_keeps_both_in_one_box_and_names_their_languages(tmp_path):
    page = Book(tmp_path, {"book/index.md": PAGE}).page()
    pair = r'<div class="bn-pair bn-place"><div class="bn-ko" lang="ko">\s*<p>우리의 문장.</p>\s*</div>'
    assert re.search(pair + r'<div class="bn-en" lang="en">\s*<p>Our sentence.</p>\s*</div></div>', page)
    assert words(page).startswith("시작 · Start here")


def test_ids_are_the_english_words_in_every_edition(tmp_path):
    pages = {
        edition: Book(tmp_path, {"book/index.md": PAGE}, edition).page() for edition in ("ko", "en", "ko-en")
    }
    assert ids(pages["ko"]) == ids(pages["en"]) == ids(pages["ko-en"]) == ["start-here", "second-part-2"]


def test_citations_leave_the_ids_alone_and_no_dead_links(tmp_path):
    bib = "@book{key, title={T}, author={A}, year={2015}, publisher={P}}"
    text = PAGE.replace("문장.", "문장 {cite}`key`.").replace("sentence.", "sentence {cite}`key`.")
    files = {"book/index.md": text + "\n```{bibliography}\n```\n", "refs.bib": bib}
    pages = {edition: Book(tmp_path, files, edition, **BIBTEX).page() for edition in ("ko", "en", "ko-en")}
    assert ids(pages["ko"]) == ids(pages["en"]) == ids(pages["ko-en"])
    for page in pages.values():
        assert set(re.findall('href="#([^"]+)"', page)) <= set(ids(page))
        assert 'href="#bib-key"' in page


@pytest.mark.parametrize(
    ("addition", "line", "message"),
    [
        (":::{ko}\n한 문단.\n:::\n", 11, "no {en} directly follows"),
        (":::{en}\nA paragraph.\n:::\n", 11, "no {ko} stands directly before"),
        (":::{ko}\n하나.\n:::\n\n$$x$$\n\n:::{en}\nOne.\n:::\n", 11, "no {en} directly follows"),
        ("A {ko}`말` alone.\n", 11, "unpaired {ko}"),
        ("## English only\n", 11, "needs both"),
        ("혼자 있는 문단.\n", 11, "Korean text outside"),
    ],
)
def test_a_missing_language_is_a_warning_with_its_line(tmp_path, addition, line, message):
    warnings = Book(tmp_path, {"book/index.md": PAGE + addition}, "en").warnings
    assert f"book/index.md:{line}" in warnings and message in warnings


def test_the_title_of_the_book_is_the_editions(tmp_path):
    titles = []
    for edition in ("ko", "en", "ko-en"):
        page = Book(tmp_path, {"book/index.md": PAGE}, edition).out / "index.html"
        titles.append(re.search("<title>.*? — (.*?)</title>", html.unescape(page.read_text()))[1])
    assert titles == ["책", "Book", "책 · Book"]


def indexed(book):
    """The pages of the search index."""
    return json.loads((book.out / "searchindex.js").read_text()[len("Search.setIndex(") : -1])["pages"]


def test_addresses_leave_out_the_source_folder(tmp_path):
    pages = {"book/index.md": PAGE + "\n```{toctree}\nother/page\n```\n", "book/other/page.md": PAGE}
    book = Book(tmp_path, pages)
    assert book.warnings == ""
    assert (book.out / "other" / "page.html").exists() and not (book.out / "book").exists()
    assert 'href="other/page.html' in book.page()
    assert list(indexed(book)) == ["figures/pic-one", "index", "other/page"]
    assert address("notebooks/01_x") == "notebooks/01_x"


def test_a_changed_page_leaves_the_others_in_the_search_index(tmp_path):
    pages = {"book/index.md": PAGE + "\n```{toctree}\npage\n```\n", "book/page.md": PAGE}
    Book(tmp_path, pages)
    book = Book(tmp_path, {**pages, "book/page.md": PAGE + "\n## {ko}`셋째` {en}`Third`\n"})
    pages = indexed(book)
    assert list(pages) == ["figures/pic-one", "index", "page"]
    headings = ["시작 · Start here", "둘째 2 · Second part 2", "셋째 · Third"]
    assert [heading for _, heading, _ in pages["index"]] == headings[:2]
    assert [heading for _, heading, _ in pages["page"]] == headings


# Numbers


def test_numbers_come_from_the_records_and_the_paper(tmp_path):
    text = "{result}`accuracy`, {result}`accuracy|.2%`, {result}`steps`, {paper}`batch`\n"
    page = Book(tmp_path, {"book/index.md": PAGE + text}).page()
    assert '<span class="bn-result">0.9834</span>, <span class="bn-result">98.34%</span>' in page
    assert '<span class="bn-result">50,000</span>, <span class="bn-paper">60</span>' in page


def test_a_number_stays_in_a_line_and_words_may_be_broken(tmp_path, made_up):
    made_up["hardware"] = "A Processor (with its instructions), 2 threads"
    page = Book(tmp_path, {"book/index.md": PAGE + "{result}`hardware`, {result}`accuracy`\n"}).page()
    assert '<span class="bn-result bn-words">A Processor' in page and '<span class="bn-result">0.9834' in page


@pytest.mark.parametrize("role", ["{result}`acuracy`", "{paper}`accuracy`", "{result}`accuracy|.2q`"])
def test_a_number_that_is_not_there_is_a_warning_with_its_line(tmp_path, role):
    warnings = Book(tmp_path, {"book/index.md": PAGE + f"\n{role}\n"}).warnings
    assert "book/index.md:12" in warnings and role in warnings


def test_a_changed_number_rebuilds_the_page(tmp_path, made_up):
    files = {"book/index.md": PAGE + "{result}`accuracy`\n"}
    assert "0.9834" in Book(tmp_path, files).page()
    made_up["accuracy"] = 0.5
    forget()
    page = tmp_path / "book" / "index.md"
    before = page.stat().st_mtime_ns
    book = Book(tmp_path, {})
    assert page.stat().st_mtime_ns == before
    assert "0.9834" not in book.page() and ">0.5<" in book.page()


def test_what_has_run_links_to_its_notebook_only_when_that_is_in_the_book(tmp_path, monkeypatch):
    """A notebook is left out until the last run of its experiment is there."""
    monkeypatch.setattr(durations, "spent", lambda: dict.fromkeys(EXPERIMENTS, durations.Spent(2, 60.0)))
    ready = "notebooks/01_mnist_activation_shift"
    page = f"# {{ko}}`하나` {{en}}`One`\n\n:::{{toctree}}\n:hidden:\n/{ready}\n:::\n\n```{{durations}}\n```\n"
    book = Book(tmp_path, {"book/index.md": page, f"{ready}.md": "# {ko}`공책` {en}`Notebook`\n"})
    assert "unknown document" not in book.warnings
    table = BeautifulSoup(book.page(), "html.parser").table
    assert len(table.find_all("tr")) == 1 + len(EXPERIMENTS)
    links = [link["href"] for link in table.find_all("a") if "notebooks" in link["href"]]
    assert links == [f"{ready}.html"]


# Figures


def figure_book(tmp_path, edition="ko-en", **config):
    index = (
        PAGE
        + "\n{fig}`pic-one`\n\n```{bnfigure} pic-one\n```\n\n```{bngallery}\n```\n"
        + "\n```{toctree}\nfigures/pic-one\n```\n"
    )
    return Book(tmp_path, {"book/index.md": index, "book/figures/pic-one.md": FIGURE_PAGE}, edition, **config)


def test_a_figure_has_its_number_texts_files_and_page(tmp_path):
    book = figure_book(tmp_path, "en")
    assert book.warnings == ""
    assert 'href="#pic-one"' in book.page() and "Fig. 1 Accuracy 0.98, batch 60." in words(book.page())
    for dark in ("", ".dark"):
        file, alt = f"figures/pic-one.en{dark}.svg", 'alt="A line &lt;rising&gt; [up]"'
        assert f'src="{file}" {alt} width="320" height="240" loading="lazy"' in book.page()
        narrow = f'srcset="figures/pic-one.en.narrow{dark}.svg" width="360" height="540"'
        assert book.page().count(narrow) == 1  # in the gallery the wide one alone
    own = book.page("figures/pic-one")
    assert ids(own)[0] == "first-picture" and 'src="pic-one.en.svg"' in own
    for kind in ("svg", "png", "csv", "records.json"):
        assert (book.out / "figures" / f"pic-one.{kind}").exists()
    for link in re.findall(r'class="bn-link[^"]*" href="([^"]+)"', own):
        assert (book.out / "figures" / link).resolve().exists()
    assert "Columns of the CSV" in own and "Columns of the CSV" not in book.page()
    assert '<code>test_accuracy_percent</code></th><td><span lang="en">test accuracy</span></td>' in own
    assert '"url": "pic-one.csv"' in (book.out / "figures" / "csv-metadata.json").read_text("utf-8")


def test_korean_figures_are_numbered_in_korean(tmp_path):
    assert "그림 1 정확도 0.98." in words(figure_book(tmp_path, "ko").page())


COUNTERPART = FIGURE_PAGE.replace("figure:\n", "figure:\n  paper: 1a\n")
CALLED = {
    "ko": ["그림 1 (논문 그림 1a)"],
    "en": ["Fig. 1 (the paper's Figure 1a)"],
    "ko-en": ["그림 1 (논문 그림 1a)", "Fig. 1 (the paper's Figure 1a)"],
}


@pytest.mark.parametrize("edition", CALLED)
def test_a_figure_is_called_the_same_wherever_it_is_named(tmp_path, edition):
    """In its caption, a copy's, the gallery, its page's title, heading and caption."""
    shown = "```{bnfigure} pic-one\n```\n"
    index = PAGE + shown + shown.replace("one\n", "one\n:unnumbered:\n") + "\n```{bngallery}\n```\n"
    files = {"book/index.md": index, "book/figures/pic-one.md": COUNTERPART}
    book = Book(tmp_path, files, edition)
    own = BeautifulSoup((book.out / "figures" / "pic-one.html").read_text(encoding="utf-8"), "html.parser")
    index = BeautifulSoup(book.page(), "html.parser")
    places = [
        own.title,
        own.h1,
        own.figcaption,
        *index.select("figcaption"),
        index.select_one(".bn-gallery li"),
    ]
    for place in places:
        text = " ".join(place.get_text().split()).replace("’", "'")
        assert all(text.count(name) == 1 for name in CALLED[edition]), text
        assert text.startswith(CALLED[edition][0])


def test_a_figures_page_leads_to_where_it_is_explained_and_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(notebooks, "execute_notebooks", lambda source, target: [])
    shown = notebook(cell("markdown", "# {ko}`공책` {en}`Notebook`"), cell("code", 'figures.show("pic-one")'))
    files = {
        "book/index.md": PAGE + "```{bnfigure} pic-one\n```\n\n```{toctree}\n/notebooks/01_x\n```\n",
        **{f"{folder}/01_x.ipynb": shown for folder in ("notebooks", "build/notebooks")},
    }
    own = BeautifulSoup(Book(tmp_path, files, "en").page("figures/pic-one"), "html.parser")
    lines = {line.a["href"]: " ".join(line.get_text().split()) for line in own.select(".bn-figure-place")}
    assert lines == {
        "../index.html#pic-one": "Explained in: Start here › Second part 2",
        "../notebooks/01_x.html": "Drawn by the notebook: Notebook",
    }
    # Where it has moved, its page follows, which nobody has touched.
    files["book/index.md"] = files["book/index.md"].replace("## {ko}`둘째 2` {en}`Second part 2`", "")
    book = Book(tmp_path, {"book/index.md": files["book/index.md"]}, "en")
    assert "Explained in: Start here Drawn" in words(book.page("figures/pic-one"))


def test_a_figure_of_no_chapter_has_no_line_about_one(tmp_path):
    page = Book(tmp_path, {"book/index.md": PAGE}, "en").page("figures/pic-one")
    assert "Explained" not in page and "Fig." not in words(page)


def test_the_figures_page_is_described_to_other_sites(tmp_path):
    described = figure_book(tmp_path, "en").env.bn_figure_pages
    assert list(described) == ["book/figures/pic-one"]
    assert described["book/figures/pic-one"]["title"] == "First picture"


@pytest.mark.parametrize(
    ("base", "shown"), [("", NOWHERE), ("https://example.org/en/", "https://example.org/en")]
)
def test_citations_carry_the_address_licence_and_content_hash(tmp_path, base, shown):
    """Of a book that is one edition alone: the site is the edition."""
    home = shown
    book = figure_book(tmp_path, "en", html_baseurl=base)
    boxes = [
        html.unescape(text) for text in re.findall("<pre class=[^>]*>(.*?)</pre>", book.page(), re.DOTALL)
    ]
    assert len(boxes) == 14  # in both languages
    for text in boxes:
        if "<iframe" in text:
            assert f'src="{home}/embed/pic-one.html"' in text
        else:
            assert f"{shown}/figures/pic-one/0123456789ab.html" in text and "CC BY 4.0" in text
    word = f'<p class="bn-cite-unreachable" data-bn-address="{NOWHERE}" data-bn-root="./">'
    assert book.page().count(word) == (0 if base else 2)


CITED = Cited("pic-one", "abc", (624, 400), "https://x.org", "https://x.org/en", "2026")


def test_a_citation_in_html_and_markdown_survives_marks_in_its_texts(tmp_path):
    write(tmp_path, {})
    made = citations(CITED, texts(tmp_path, "pic-one"), "en")
    at = "https://x.org/figures/pic-one/abc"
    assert made["Markdown"].startswith(f"[![A line <rising> \\[up\\]]({at}.svg)]({at}.html)")
    assert f"({at}.png)" in made["Markdown (PNG)"]
    assert 'alt="A line &lt;rising&gt; [up]"' in made["HTML"]
    korean = citations(CITED, texts(tmp_path, "pic-one"), "ko")
    assert f"({at}.ko.svg)" in korean["Markdown"] and f"({at}.ko.png)" in korean["Markdown (PNG)"]
    assert made["Caption"].startswith("First picture. Accuracy 0.98, batch 60. (Source: ")
    shown = dataclasses.replace(
        texts(tmp_path, "pic-one"), caption={"ko": "", "en": "On CIFAR\\-10 \\(JPEG\\)."}
    )
    assert "On CIFAR-10 (JPEG). (" in citations(CITED, shown, "en")["Caption"]


@pytest.mark.parametrize("edition", ["ko", "en", "ko-en"])
def test_citations_are_in_both_languages_the_editions_own_first(tmp_path, edition):
    book = figure_book(tmp_path, edition)
    page = BeautifulSoup(book.page("figures/pic-one"), "html.parser")
    assert [one["lang"] for one in page.select(".bn-cite-lang")] == (
        ["en", "ko"] if edition == "en" else ["ko", "en"]
    )
    assert page.select_one(".bn-cite").has_attr("open")  # what the page is for
    assert "open" not in BeautifulSoup(book.page(), "html.parser").select_one(".bn-cite").attrs
    for button in page.select(".bn-cite-image[hidden] button"):
        assert (book.out / "figures" / button["data-svg"]).resolve().is_file()


def test_a_figures_page_says_whether_it_is_fresh_and_what_it_shows(tmp_path, monkeypatch):
    claim = FakeClaim("c-1", "reproduced", figure="pic-one")
    monkeypatch.setattr(claims, "board", lambda results: [claim, FakeClaim("c-2", "reproduced")])
    monkeypatch.setattr(paths, "FIGURES", tmp_path / "committed")
    index = PAGE + "```{claims} c-\n```\n\n```{bnfigure} pic-one\n```\n\n```{toctree}\nfigures/pic-one\n```\n"
    for known, said in (("0123456789ab", "fresh: records"), ("another", "drawn again for this page")):
        write(tmp_path, {"committed/manifest.json": json.dumps({"pic-one": {"hash": known}})})
        book = Book(tmp_path / known, {"book/index.md": index}, "en")
        assert book.warnings == ""
        page = BeautifulSoup(book.page("figures/pic-one"), "html.parser")
        assert said in words(str(page.select_one(".bn-figure-state")))
        [line] = page.select(".bn-figure-claim")
        assert "The claim that it bears on: en statement reproduced" in words(str(line))
        assert line.a["href"] == "../claims/c-1.html"
        assert page.select_one(".bn-versions a")["href"] == "../figures/pic-one/0123456789ab.html"


def test_several_claims_of_a_figure_are_a_list_under_one_heading(tmp_path, monkeypatch):
    both = [FakeClaim(f"c-{number}", "reproduced", figure="pic-one") for number in (1, 2)]
    monkeypatch.setattr(claims, "board", lambda results: both)
    index = PAGE + "```{claims} c-\n```\n\n```{bnfigure} pic-one\n```\n\n```{toctree}\nfigures/pic-one\n```\n"
    book = Book(tmp_path, {"book/index.md": index}, "en")
    assert book.warnings == ""
    [shown] = BeautifulSoup(book.page("figures/pic-one"), "html.parser").select(".bn-figure-claim")
    assert words(str(shown)).count("claims that it bears on") == 1
    assert [words(line.get_text()) for line in shown.select("li")] == ["en statement reproduced"] * 2
    assert len({line.a["href"] for line in shown.select("li")}) == 2


def test_a_book_of_one_edition_has_its_versions_and_pages_for_frames(tmp_path):
    book = figure_book(tmp_path, "en")
    found = {file.name for file in (book.out / "figures" / "pic-one").iterdir()}
    kinds = ("svg", "png", "ko.svg", "ko.png", "csv", "json", "html")
    assert found == {f"0123456789ab.{kind}" for kind in kinds}
    version = (book.out / "figures" / "pic-one" / "0123456789ab.html").read_text("utf-8")
    assert 'href="../pic-one.html"' in version and "A line &lt;rising&gt; [up]" in version
    embed = BeautifulSoup((book.out / "embed" / "pic-one.html").read_text("utf-8"), "html.parser")
    assert embed.html["lang"] == "en" and not embed.select("script")
    assert embed.a["href"] == "../figures/pic-one.html" and "0123456789ab" in embed.figcaption.get_text()
    for picture in [embed.img["src"], *(one["srcset"] for one in embed.select("source"))]:
        assert (book.out / "embed" / picture).resolve().is_file()
    # No address, no oEmbed: what it says would be made up.
    assert not list((book.out / "embed").glob("*.json"))


def test_oembed_is_found_from_the_figures_page_and_leads_to_its_frame(tmp_path):
    book = figure_book(tmp_path, "en", html_baseurl="https://example.org/bn")
    page = (book.out / "figures" / "pic-one.html").read_text(encoding="utf-8")
    link = BeautifulSoup(page, "html.parser").select_one('link[type="application/json+oembed"]')
    assert link["href"] == "https://example.org/bn/embed/pic-one.json"
    said = json.loads((book.out / "embed" / "pic-one.json").read_text(encoding="utf-8"))
    assert (said["version"], said["type"]) == ("1.0", "rich")
    assert 'src="https://example.org/bn/embed/pic-one.html"' in said["html"]
    picture = said["thumbnail_url"].removeprefix("https://example.org/bn/")
    assert (book.out / picture).is_file() and (said["width"], said["thumbnail_width"]) == (320, 320)


def test_bibtex_is_what_latex_can_set(tmp_path):
    title = r"ε_2 − 10% & #1 of $x$, {8×8}, γ^2 ≥ β – “é”"
    fields = {"author": "bnbook contributors", "title": title, "url": "https://x.org/a_b.html"}
    entry = bibtex("misc", "bnbook-pic-one", fields)
    assert entry.isascii()
    [(key, found)] = parse_string(entry, "bibtex").entries.items()
    assert key == "bnbook-pic-one" and found.type == "misc"
    assert found.fields["url"] == "https://x.org/a_b.html"  # \\url and biblatex take it as it is
    assert latex("ε − 8×8") == r"$\epsilon$ $-$ 8$\times$8"
    assert latex("10% & #1_2 {x} $ ^ \\") == r"10\% \& \#1\_2 \{x\} \$ \textasciicircum{} \textbackslash{}"


def test_bibtex_in_korean_says_what_can_set_it(tmp_path):
    write(tmp_path, {})
    for lang, korean in (("ko", True), ("en", False)):
        made = citations(CITED, texts(tmp_path, "pic-one"), lang)["BibTeX"]
        word = made.partition("@misc{")[0]
        assert ("XeLaTeX" in word) == bool(word) == korean
        assert not re.search(r"\b(It|or|needs)\b", word)
        assert list(parse_string(made, "bibtex").entries) == [f"bnbook-pic-one-{lang}"]
        assert "doi" not in made
        cited = dataclasses.replace(CITED, doi="10.5281/zenodo.1")
        assert "doi = {10.5281/zenodo.1}" in citations(cited, texts(tmp_path, "pic-one"), lang)["BibTeX"]


def test_no_figure_has_a_title_that_latex_cannot_set(monkeypatch):
    monkeypatch.undo()  # the real figures
    for file in (paths.BOOK / "figures").glob("*.md"):
        if file.stem != "index":
            left = {sign for text in figures.texts(file)["title"].values() for sign in latex(text)}
            assert not {s for s in left if not s.isascii() and not "가" <= s <= "힣"}, file.name


@pytest.mark.parametrize("damage", ["nothing", "a cut file", "a file too many", "an interrupted export"])
def test_exported_figures_are_looked_at(tmp_path, monkeypatch, damage):
    folder = tmp_path / "figures"
    export_figures(folder)
    whole = {file.name: file.read_bytes() for file in folder.iterdir()}
    exports = []
    monkeypatch.setattr(figures, "export_all", lambda *given: exports.append(1) or fake_export(*given))
    if damage == "a cut file":
        (folder / "pic-one.png").write_bytes(b"\x89PNG")
    elif damage == "a file too many":
        (folder / "pic-two.svg").touch()
    elif damage == "an interrupted export":
        (folder / "manifest.stamp").unlink()
        (folder / "manifest.json").write_text("{")
    export_figures(folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == whole
    assert bool(exports) == (damage != "nothing")


@pytest.mark.parametrize(
    ("yml", "message"),
    [
        (FIGURE_PAGE.replace("en: First picture", "en: ''"), "no title (en) for 'pic-one'"),
        (FIGURE_PAGE.replace("figure:", "figures:"), "pic-one.md has no texts of its figure"),
        (FIGURE_PAGE.replace("{ko: 첫", "ko: {첫"), "pic-one.md has no texts of its figure"),
        (FIGURE_PAGE.replace("[[accuracy|.2f]]", "[[wrong]]"), "no number [[wrong]]"),
    ],
)
def test_a_missing_text_of_a_figure_is_a_warning(tmp_path, yml, message):
    text = PAGE + "\n```{bnfigure} pic-one\n```\n"
    warnings = Book(tmp_path, {"book/index.md": text, "book/figures/pic-one.md": yml}).warnings
    assert "book/index.md:12" in warnings and message in warnings


HOSTILE = "<script>alert(1)</script> *x* [y](javascript:z) $a$ `b`"


@pytest.mark.parametrize("edition", ["ko", "en", "ko-en"])
def test_a_word_out_of_a_record_stays_a_word(tmp_path, made_up, monkeypatch, edition):
    """A data set's name, the hardware: in prose, captions, alt texts, titles, tables and claims."""
    made_up["data"] = HOSTILE
    claim = FakeClaim("c-9", "reproduced")
    for part in ("text", "detail", "statement"):
        setattr(claim, part, {"ko": f"값 {HOSTILE[:25]}", "en": f"value {HOSTILE[:25]}"})
    monkeypatch.setattr(claims, "board", lambda results: [claim])
    figure = FIGURE_PAGE.replace("[[accuracy|.2f]]", "[[data]]").replace("첫 그림", "'첫 [[data]]'")
    entry = "{what: {ko: 것, en: What}, ours: '[[data]]', why: {ko: '[[data]]', en: '[[data]]'}}"
    files = {
        "book/index.md": f"{PAGE}\n{{result}}`data`\n\n```{{bnfigure}} pic-one\n```\n\n"
        "```{claims} c-\n```\n\n```{unstated} mnist\n```\n\n```{bngallery}\n```\n"
        "\n```{toctree}\nfigures/pic-one\n```\n",
        "book/figures/pic-one.md": figure,
        "book/protocols.yml": f"mnist:\n  - {entry}\n",
    }
    book = Book(tmp_path, files, edition)
    assert book.warnings == ""
    for name in ("index", "figures/pic-one"):
        page = BeautifulSoup(book.page(name), "html.parser")
        assert not page.select("script, a[href^=javascript], em, .math")
    page = BeautifulSoup(book.page(), "html.parser")
    assert HOSTILE in page.select_one(".bn-result").get_text()
    assert HOSTILE in page.select_one("figcaption").get_text()
    assert HOSTILE in page.select_one(".bn-unstated-ours").get_text()
    assert "<script>alert(1)</script>" in page.select_one(".bn-claim-ours").get_text()


def test_an_unknown_figure_is_a_warning(tmp_path):
    warnings = Book(tmp_path, {"book/index.md": PAGE + "\n```{bnfigure} pic-on\n```\n"}).warnings
    assert "no figure 'pic-on'" in warnings


# Claims, and what the paper leaves open


def test_a_chapters_verdicts_have_their_rules(tmp_path):
    page = Book(tmp_path, {"book/index.md": PAGE + "\n```{claims} c-\n```\n"}, "en").page()
    verdicts = re.findall('class="bn-verdict bn-verdict-([a-z-]+)"', page)
    assert verdicts == ["reproduced", "holds"] and page.count("<thead>") == 1
    assert words(page).count("Its rule was registered again; the first registration is kept.") == 1
    narrow = Book(tmp_path, {"book/index.md": PAGE + "\n```{claims} d-\n```\n"}, "en").page()
    assert re.findall('<tr class="bn-claim" [^>]*id="([^"]+)"', narrow) == ["claim-d-2"]
    for text in ("en rule", "en detail", "en measures", "This rule was changed after it was registered."):
        assert text in words(narrow)
    both = Book(tmp_path, {"book/index.md": PAGE + "\n```{claims} c-1 d-\n```\n"}, "en").page()
    assert "c-1</a>" in both and "d-2</a>" in both and "c-0</a>" not in both
    assert (
        "no claim starts with 'e'"
        in Book(tmp_path, {"book/index.md": PAGE + "\n```{claims} e\n```\n"}).warnings
    )


def test_what_the_paper_leaves_open(tmp_path):
    key = "config:mnist_activation_shift.profile.steps"
    entry = f"- {{what: {{ko: 학습률, en: Rate}}, ours: '[[{key}]]', why: {{ko: 까닭, en: Because}}}}"
    files = {
        "book/index.md": PAGE + "\n```{unstated} mnist\n```\n",
        "book/protocols.yml": f"mnist:\n  {entry}\n",
    }
    page = words(Book(tmp_path, files, "en").page())
    assert "Rate not stated 50,000 Because" in page
    files["book/protocols.yml"] = files["book/protocols.yml"].replace("steps", "stepz")
    warnings = Book(tmp_path / "again", files).warnings
    assert "protocols.yml, entry 1: no number [[config:mnist_activation_shift.profile.stepz]]" in warnings


# The glossary


def found(text: str, tmp_path: Path) -> list[tuple[int, str, str]]:
    write(tmp_path, {})
    return list(glossary.mistakes(text, tmp_path / "book" / "glossary.yml"))


def test_the_glossary_finds_avoided_spellings_by_line(tmp_path):
    assert found("첫 줄\n배치정규화를 쓴다.\n", tmp_path) == [(2, "배치정규화", "배치 정규화")]
    assert found("{ko}`배치정규화`", tmp_path) == [(1, "배치정규화", "배치 정규화")]
    assert found("```{note}\n레이어\n```", tmp_path) == [(2, "레이어", "층")]
    assert found("```{x}\n```\n\n레이어\n\n```{x}\n```", tmp_path) == [(4, "레이어", "층")]
    assert found("`코드` 레이어 `코드`", tmp_path) == [(1, "레이어", "층")]


@pytest.mark.parametrize(
    "text",
    [
        "`배치정규화`",
        "```python\n# 배치정규화\n```",
        "$$\n\\text{레이어}\n$$",
        "{math}`레이어`",
        "% 레이어",
        "```{code-block} py\n레이어\n```",
        "플레이어",
        "배치 정규화",
    ],
)
def test_the_glossary_leaves_code_math_and_right_words_alone(text, tmp_path):
    assert found(text, tmp_path) == []


def test_avoided_spellings_are_warnings_in_pages_and_figures(tmp_path):
    page = PAGE.replace("우리의 문장", "배치정규화")
    warnings = Book(
        tmp_path, {"book/index.md": page, "book/figures/pic-one.md": FIGURE_PAGE.replace("첫", "레이어")}
    ).warnings
    assert (
        "book/index.md:4: WARNING: glossary" in warnings
        and "book/figures/pic-one.md:4: WARNING: glossary" in warnings
    )


# Notebooks


def pages_of(root, monkeypatch, *cells, **metadata):
    """A book with one notebook page, given as papermill would have left it."""
    write(root, {"build/notebooks/01_x.ipynb": notebook(*cells, **metadata)})
    monkeypatch.setattr(notebooks, "execute_notebooks", lambda source, target: [])
    index = PAGE + "\n```{toctree}\n/notebooks/01_x\n```\n"
    return Book(root, {"book/index.md": index, "notebooks/01_x.ipynb": notebook(cell("code", "1"))}, "en")


def test_notebook_cells_become_pairs_and_show_the_executed_outputs(tmp_path, monkeypatch):
    output = {"output_type": "stream", "name": "stdout", "text": "made here"}
    code = {**cell("code", "print()"), "outputs": [output], "execution_count": 1}
    injected = cell("code", "profile = 'cpu'  # injected", "injected-parameters")
    ko, en = "# 공책\n\n글.\n\n## 둘째\n", "# Notebook\n\nText.\n\n## Second\n"
    book = pages_of(
        tmp_path, monkeypatch, cell("markdown", ko, "ko"), cell("markdown", en, "en"), injected, code
    )
    page = book.page("notebooks/01_x")
    assert book.warnings == ""
    assert ids(page) == ["notebook", "second"] and "made here" in page
    assert "Text." in page and "글" not in page and "injected" not in page


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([("글", "ko"), ("Text", "")], "01_x.ipynb: WARNING: cell 2 is tagged ko"),
        ([("Text", "en")], "01_x.ipynb: WARNING: cell 2 is tagged en"),
        (
            [("## 하나\n글", "ko"), ("Text", "en")],
            "cells 2 and 3: the ko and the en cell have different headings",
        ),
        (
            [("## 하나\n글", "ko"), ("## One", "en")],
            "cells 2 and 3: under the heading '하나' one language has no text",
        ),
    ],
)
def test_unpaired_cells_are_warnings_that_name_the_cell(tmp_path, monkeypatch, cells, message):
    heading = cell("markdown", "# {ko}`공책` {en}`Notebook`")
    book = pages_of(tmp_path, monkeypatch, heading, *(cell("markdown", text, tag) for text, tag in cells))
    assert message in book.warnings


def test_headings_in_code_fences_are_no_headings():
    assert notebooks.sections("```python\n# no heading\n```\n") == [("", "", "```python\n# no heading\n```")]


def test_a_notebook_that_fails_fails_the_build_by_name(tmp_path):
    parameters = cell("code", 'profile: str = "smoke"', "parameters")
    write(tmp_path, {"notebooks/01_x.ipynb": notebook(parameters, cell("code", "1 / 0"))})
    with pytest.raises(NotebookRunError, match=r"01_x.ipynb: .*ZeroDivisionError: division by zero"):
        notebooks.execute_notebooks(tmp_path / "notebooks", tmp_path / "build")


def test_an_exception_that_papermill_noted_fails_the_build(tmp_path, monkeypatch):
    error = {"output_type": "error", "ename": "KeyError", "evalue": "'seeds'", "traceback": []}
    failed = {**cell("code", "x"), "outputs": [error]}
    with pytest.raises(Exception, match=r"01_x\.ipynb: KeyError: 'seeds'"):
        pages_of(tmp_path, monkeypatch, failed, papermill={"exception": True})


def runs_noted(monkeypatch):
    """The parameters of every execution from now on, which only copies the notebook."""
    runs = []

    def execute(source, given, target, running):
        runs.append(given)
        target.parent.mkdir(exist_ok=True)
        target.write_text(source.read_text())

    monkeypatch.setattr(notebooks, "run", execute)
    return runs


def test_an_executed_notebook_is_kept_until_something_changes(tmp_path, monkeypatch):
    runs = runs_noted(monkeypatch)
    parameters = cell("code", 'profile: str = "smoke"', "parameters")
    write(tmp_path, {"notebooks/01_x.ipynb": notebook(parameters, cell("code", "1"))})
    folders = tmp_path / "notebooks", tmp_path / "build"
    notebooks.execute_notebooks(*folders)
    notebooks.execute_notebooks(*folders)
    assert runs == [{"profile": "cpu"}]
    write(tmp_path, {"notebooks/01_x.ipynb": notebook(parameters, cell("code", "2"))})
    notebooks.execute_notebooks(*folders)
    assert len(runs) == 2
    executed = tmp_path / "build" / "01_x.ipynb"
    executed.write_text(executed.read_text()[:40])  # damaged, or cut by a kill
    notebooks.execute_notebooks(*folders)
    assert len(runs) == 3 and json.loads(executed.read_text())


def test_one_that_uses_nothing_of_the_book_runs_again_only_when_it_has_changed(tmp_path, monkeypatch):
    """It has no profile, and trains: not at every change of this book."""
    runs = runs_noted(monkeypatch)
    alone, using = notebook(cell("code", "import torch")), notebook(cell("code", "from bnbook import paths"))
    write(tmp_path, {"notebooks/00_x.ipynb": alone, "notebooks/01_x.ipynb": using})
    folders = tmp_path / "notebooks", tmp_path / "build"
    notebooks.execute_notebooks(*folders)
    assert runs == [{}, {}]
    monkeypatch.setattr(data, "_state", lambda: "another state of the package")
    notebooks.execute_notebooks(*folders)
    assert len(runs) == 3
    write(tmp_path, {"notebooks/00_x.ipynb": notebook(cell("code", "import math"))})
    notebooks.execute_notebooks(*folders)
    assert len(runs) == 4


def test_a_picture_of_a_notebooks_own_has_a_text_in_the_editions_language(tmp_path, monkeypatch):
    picture = {"output_type": "display_data", "data": {"image/svg+xml": "<svg/>"}, "metadata": {}}
    code = {**cell("code", "draw()"), "outputs": [picture], "execution_count": 1}
    code["metadata"]["alt"] = {"ko": "두 선", "en": "Two lines"}
    page = pages_of(tmp_path, monkeypatch, cell("markdown", "# {ko}`공책` {en}`Notebook`"), code).page(
        "notebooks/01_x"
    )
    assert 'alt="Two lines"' in page and "두 선" not in page


def test_a_notebook_without_its_records_is_not_run_by_a_build(tmp_path, monkeypatch):
    """It would train: hours at the profile of the book."""
    monkeypatch.setattr(notebooks, "run", lambda *_, **__: pytest.fail("the build trains"))
    monkeypatch.setattr(notebooks, "numbers", SimpleNamespace(results=dict))
    write(tmp_path, {"notebooks/02_inception_speedups.ipynb": notebook(cell("code", "1"))})
    assert notebooks.execute_notebooks(tmp_path / "notebooks", tmp_path / "build") == []


def test_nor_is_one_whose_figures_lack_some(tmp_path, monkeypatch):
    """As those of Section 4.2 do until the control is made."""
    drawn = figures.Figure("fig2-a", draw=dict, experiment="inception_speedups")
    waiting = dataclasses.replace(drawn, id="fig2-b", stage="control")
    stages = SimpleNamespace(records=lambda stage: [SimpleNamespace(run_id="", seed=0)] * (stage == "main"))
    monkeypatch.setattr(figures, "FIGURES", {"fig2-a": drawn, "fig2-b": waiting})
    monkeypatch.setattr(notebooks, "numbers", SimpleNamespace(results=lambda: {"inception_speedups": stages}))
    monkeypatch.setattr(notebooks, "run", lambda *_, **__: pytest.fail("the build trains"))
    write(tmp_path, {"notebooks/02_inception_speedups.ipynb": notebook(cell("code", "1"))})
    assert notebooks.execute_notebooks(tmp_path / "notebooks", tmp_path / "build") == []


# The build


def test_the_summary_of_a_failed_build_is_one_line(tmp_path):
    for edition in ("ko", "en"):
        (tmp_path / f"{edition}.log").write_text("reading\nbook/a.md:3: WARNING: unpaired {ko}\n")
    line = summary([tmp_path / "ko.log", tmp_path / "en.log"])
    assert line.count("book/a.md:3: WARNING: unpaired {ko}") == 1 and "\n" not in line


@pytest.mark.parametrize("builder", ["dirhtml", "singlehtml", "latex", "linkcheck", "text"])
def test_other_builders_are_refused_in_one_line(tmp_path, builder):
    write(tmp_path, {"book/index.md": PAGE})
    (tmp_path / "conf.py").write_text(f"extensions = {EXTENSIONS}\nroot_doc = 'book/index'\n")
    with pytest.raises(SystemExit, match=f"no builder '{builder}'; `make book` builds it as html$"):
        SphinxTestApp(builder, tmp_path, builddir=tmp_path / "out")


STATED = (
    "src/bnbook/paper.yml",
    "src/bnbook/deep/code.py",
    "src/bnbook/skeleton/x.txt",
    "results/bench.json",
)


def test_what_the_book_is_made_from_is_seen_by_its_bytes(tmp_path, monkeypatch):
    """Also where size and time stay: git and rsync can leave both."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")

    def state() -> str:
        data._state.cache_clear()
        return data.fingerprint()

    try:
        seen = {state()}
        record = "results/runs/mnist/seed-0.json"
        for name in (*STATED, record):
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("accuracy: 0.97")
            seen.add(state())
            times = file.stat()
            file.write_text("accuracy: 0.98")
            os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
            seen.add(state())
        assert len(seen) == 1 + 2 * (len(STATED) + 1)
        for name in ("src/bnbook/__pycache__/code.pyc", "results/runs/mnist/seed-1.json.host.7.tmp"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("of no weight")
        assert state() in seen
    finally:
        data._state.cache_clear()


def test_the_fingerprint_is_quick():
    """It is taken at the start of every build."""
    data._state.cache_clear()
    began = time.process_time()
    data.fingerprint()
    assert time.process_time() - began < 1


def test_another_rule_makes_the_pages_of_claims_again(tmp_path, monkeypatch):
    """Their texts come from paper.yml, of which the numbers show nothing."""
    files = {"book/index.md": PAGE + "\n```{claims}\n```\n"}
    Book(tmp_path, files, "en")
    claim = FakeClaim("c-1", "inconclusive")
    monkeypatch.setattr(claims, "board", lambda results: [claim])
    monkeypatch.setattr(numbers, "fingerprint", lambda: "of another paper.yml")
    forget()
    assert "inconclusive" in words(Book(tmp_path, {}, "en").page())


def test_every_figure_has_a_page_in_the_contents(monkeypatch):
    monkeypatch.undo()  # the real figures
    contents = paths.BOOK.joinpath("_toc.yml").read_text(encoding="utf-8")
    for name in figures.available(claims.results()):
        assert f"- file: book/figures/{name}\n" in contents
        assert f"{{bnfigure}} {name}\n" in paths.BOOK.joinpath("figures", f"{name}.md").read_text(
            encoding="utf-8"
        )


def test_a_changed_style_makes_all_pages_again(tmp_path, monkeypatch):
    """A page names its styles by their content, and would show yesterday's."""
    before = sphinxext._env_version()
    static = tmp_path / "_static"
    static.mkdir()
    monkeypatch.setattr(sphinxext.paths, "BOOK", tmp_path)
    (static / "bnbook.css").write_text("a {}")
    one = sphinxext._env_version()
    (static / "bnbook.css").write_text("b {}")
    assert len({before, one, sphinxext._env_version()}) == 3


def test_mutants_are_shown_with_who_noticed_them(tmp_path, monkeypatch):
    names = {"ko": "실수 하나", "en": "One mistake"}
    made = {
        "one": mutants.Mutant("one", "layer", names, names, seen="https://example.org/1"),
        "two": mutants.Mutant("two", "loop", names, names, hole=True),
        "new": mutants.Mutant("new", "data", names, names),
    }
    row = {"tests": {"by": "test_<b>", "seconds": 1.0}, "replay": {"by": "", "seconds": 1.0}}
    found = {"one": {"checks": {"layer": {"by": "a question", "seconds": 1.0}} | row}, "two": {"checks": row}}
    monkeypatch.setattr(mutants, "known", lambda: made)
    monkeypatch.setattr(mutants, "found", lambda: found)
    page = "# {ko}`시작` {en}`Start`\n\n```{mutants} layer loop\n```\n\n```{mutants} data\n```\n\n"
    built = Book(tmp_path, {"book/index.md": page + "```{mutants} wheels\n```\n"}, "en")
    table = BeautifulSoup(built.page(), "html.parser").select_one("table.bn-mutants")
    one, two = table.select("tbody tr")
    assert [words(str(cell)) for cell in one.select("td")[1:]] == [
        "noticed a question",
        "noticed test_<b>",
        "not noticed",
    ]
    assert one.select_one("a")["href"] == "https://example.org/1" and "test was added" not in one.text
    assert [words(str(cell)) for cell in two.select("td")[1:]] == [
        "–",
        "the only one test_<b>",
        "not noticed",
    ]
    assert "At first no check noticed it" in two.text
    assert "new not tried yet: `bnbook mutants`" in built.warnings
    assert "mutants: no kind wheels" in built.warnings
