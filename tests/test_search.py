"""The search: what the index holds of a page, and what a reader finds with it, in a browser."""

import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml
from docutils import nodes

from bnbook import paths
from bnbook.sphinxext import search
from bnbook.sphinxext.html import tag

REQUESTS = 15
SHIFT = 0.1


def section(title: str, *children: nodes.Node, ids: str) -> nodes.section:
    return nodes.section("", nodes.title(title, title), *children, ids=[ids])


# The index


def test_the_index_has_the_text_of_each_section_once():
    inner = section("Inner", nodes.paragraph("", "", nodes.Text("Ours"), tag("b", "!")), ids="inner")
    code = nodes.literal_block("", "y = 2 * x\n")
    skipped = [nodes.comment("", "no"), nodes.math_block("", "x"), nodes.raw("", "<p>no</p>", format="html")]
    outputs = nodes.container("", nodes.literal_block("", "3.14"), classes=["cell_output"])
    table = tag("tr", tag("td", "one"), tag("td", "two"))
    text = nodes.paragraph("", "", nodes.Text("Scaled by "), nodes.math("", r"\gamma_k"), nodes.Text("."))
    page = section("Outer", text, code, *skipped, outputs, table, inner, ids="outer")
    assert search.sections(nodes.container("", page)) == [
        ("", "Outer", "Scaled by γ_k. y = 2 * x one two"),
        ("inner", "Inner", "Ours!"),
    ]


@pytest.mark.parametrize(
    ("tex", "plain"),
    [
        (r"\gamma \hat{x} + \beta", "γx + β"),
        (r"\sigma^2 + \varepsilon", "σ^2 + ε"),
        (r"\mathrm{Var}[x] \le 1", "Var[x] ≤1"),
    ],
)
def test_formulas_are_indexed_as_one_would_type_them(tex, plain):
    assert search.letters(tex) == plain


def test_no_spelling_stands_for_two_terms():
    spellings = [
        word.casefold() for term in search.spellings(paths.BOOK / "glossary.yml") for word in set(term)
    ]
    assert sorted({word for word in spellings if spellings.count(word) > 1}) == []
    assert all(re.search(r"\w", word) for word in spellings)


# What is found

Find = Callable[..., list[str]]


@pytest.fixture(scope="module")
def tab(browser, html: Path) -> Iterator:
    """One page for all questions."""
    context = browser.new_context()
    yield context.new_page()
    context.close()


def ask(tab, address: str, query: str) -> None:
    tab.goto(f"{address}/search.html?q={quote(query)}")
    tab.wait_for_function("document.querySelector('.search-summary').textContent")


@pytest.fixture
def find(tab, html: Path) -> Find:
    """The pages found in an edition, the best first."""

    def found(edition: str, query: str) -> list[str]:
        ask(tab, f"{html.as_uri()}/{edition}", query)
        if (more := tab.locator(".bn-more")).count():
            more.click()
        links = tab.locator("#search-results h2 a").all()
        return [link.get_attribute("href").removesuffix(".html") for link in links]

    return found


@pytest.mark.parametrize("edition", ["ko", "en", "ko-en"])
@pytest.mark.parametrize(
    ("query", "chapter"),
    [
        ("학습율", "learning-rates"),
        ("그라디언트", "introduction"),
        ("드랍아웃", "regularization"),
        ("감마", "transform"),
        ("γ", "transform"),
        ("베타", "transform"),
        ("입실론", "transform"),
        ("배치놈", "transform"),
        ("배치노멀라이제이션", "transform"),
        ("batchnorm", "transform"),
        ("BN", "transform"),
        ("내부공변량변화", "introduction"),
        ("옵티마이져", "mnist"),
        ("오버피팅", "regularization"),
        ("모멘텀을", "inference"),
        ("앙상블", "ensemble"),
        ("ensembles", "ensemble"),
        ("자코비안", "jacobian"),
        ("regulariz", "regularization"),
        ("컨볼루션", "convolutions"),
        ("nn.BatchNorm2d", "convolutions"),
        ("moving average", "inference"),
    ],
)
def test_common_spellings_find_the_chapter_among_the_first_three(find: Find, edition, query, chapter):
    assert chapter in find(edition, query)[:3]


@pytest.mark.parametrize("edition", ["ko", "en", "ko-en"])
def test_the_beginning_of_an_english_word_finds_all_that_begin_so(find: Find, edition):
    pages = find(edition, "normaliz")
    assert {"transform", "outside"} <= set(pages[:8])
    assert set(find(edition, "normalization")) <= set(pages)


def test_a_particle_or_a_space_changes_nothing(find: Find):
    assert find("ko", "미니배치를") == find("ko", "미니배치") == find("ko", "미니 배치")
    assert find("ko", "배치정규화했을") == find("ko", "배치 정규화")
    assert "transform" in find("ko", "역전파에서도")


def test_chapters_come_first_and_the_one_of_that_title_before_all(find: Find):
    for edition in ("ko", "en", "ko-en"):
        pages = find(edition, "앙상블")
        assert pages[0] == "ensemble"
        assert any(page.startswith("figures/") for page in pages[2:])
        assert not pages[1].startswith(("figures/", "notebooks"))


def test_all_words_are_required(find: Find):
    both = find("ko", "드롭아웃 앙상블")
    assert both and set(both) == set(find("ko", "드롭아웃")) & set(find("ko", "앙상블"))


def test_a_term_whose_words_stand_apart_is_found_by_its_words(find: Find):
    assert find("ko", "재현 실험")


MOST = {
    "ko": ["모든 단어가 들어 있는 페이지는 없다.", "없는 단어: qzxjv"],
    "en": ["No page has all of these words.", "Missing: qzxjv"],
}
NONE = {"ko": "찾은 페이지가 없다.", "en": "Nothing found."}


@pytest.mark.parametrize(("edition", "languages"), [("ko", ["ko"]), ("en", ["en"]), ("ko-en", ["ko", "en"])])
def test_what_cannot_be_found_is_said_in_the_languages_of_the_edition(find: Find, tab, edition, languages):
    assert find(edition, "앙상블 qzxjv")[0] == "ensemble"
    shown = tab.locator("#search-results").inner_text()
    for lang in MOST:
        assert all((words in shown) == (lang in languages) for words in MOST[lang])
    assert find(edition, "qzxjv") == []
    shown = tab.locator("#search-results").inner_text()
    assert [lang for lang in NONE if NONE[lang] in shown] == languages
    heading = tab.locator(".bd-search-container h1").inner_text()
    assert heading == " · ".join({"ko": "검색", "en": "Search"}[lang] for lang in languages)


def test_the_first_ten_are_shown_with_the_words_where_they_stand(tab, html: Path):
    ask(tab, f"{html.as_uri()}/ko", "그라디언트")
    items = tab.locator("#search-results li")
    assert items.count() == 10
    for item in items.all():
        assert item.locator("h2 a").is_visible()
        assert re.search("그래디언트|기울기|경사", " ".join(item.locator("mark").all_inner_texts()))
        assert 40 < len(item.locator(".context").inner_text()) < 400
    tab.locator(".bn-more").click()
    assert items.count() > 10 and not tab.locator(".bn-more").count()


def test_an_excerpt_leads_to_its_section_where_the_words_are_marked(tab, html: Path):
    ask(tab, f"{html.as_uri()}/ko", "학습율 그라디언트")
    link = tab.locator("#search-results .context a").first
    address = link.get_attribute("href")
    link.click()
    tab.wait_for_url(f"**/{address}")
    assert tab.locator(f"[id='{address.partition('#')[2]}']").count() == 1
    tab.wait_for_selector("article .highlighted")
    assert "학습률" in tab.locator("article .highlighted").all_inner_texts()


@pytest.fixture
def site(html: Path) -> Iterator[str]:
    """The site below the root of a server, as on GitHub Pages."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=html.parent)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{html.name}"
        server.shutdown()


MEASURE_SHIFT = """
  window.shift = 0;
  new PerformanceObserver((list) => list.getEntries().forEach((entry) => { window.shift += entry.value; }))
    .observe({ type: "layout-shift", buffered: true });
"""


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("edition", ["ko", "en", "ko-en"])
@pytest.mark.parametrize("served", [True, False])
def test_results_cost_few_requests_and_move_nothing(browser, html: Path, site, edition, width, served):
    """Over http below the site's root, and from files, where nothing can be fetched."""
    context = browser.new_context(viewport={"width": width, "height": 800})
    page = context.new_page()
    requests: list[str] = []
    problems: list[str] = []
    # But the icon of the tab, which browsers ask for once a site, if at all.
    page.on("request", lambda request: "favicon" in request.url or requests.append(request.url))
    page.on("requestfailed", lambda request: problems.append(request.url))
    page.on("response", lambda answer: answer.status >= 400 and problems.append(answer.url))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.add_init_script(MEASURE_SHIFT)
    ask(page, f"{site if served else html.as_uri()}/{edition}", "normalization")
    page.wait_for_load_state("load")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.locator("#search-results li").count() == 10
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("window.shift") < SHIFT
    assert len(requests) <= REQUESTS and problems == []
    context.close()


def test_the_paper_comes_before_what_came_after_it():
    """The chapters that the search weighs less are those of that part of the contents."""
    parts = yaml.safe_load((paths.BOOK / "_toc.yml").read_text(encoding="utf-8"))["parts"]
    part = next(one for one in parts if "After the paper" in one.get("caption", ""))
    script = (paths.BOOK / "_static" / "search.js").read_text(encoding="utf-8")
    later = re.search(r"const LATER = /\^\(([^)]+)\)", script)[1].split("|")
    assert later == [chapter["file"].removeprefix("book/") for chapter in part["chapters"]]
