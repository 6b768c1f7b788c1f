"""The built book in a real browser, opened from file:// as a reader would.

One session builds the three editions (or takes the folder named by BNBOOK_HTML) and walks every page once at
the width of a phone; most tests then ask what was seen on that walk.
"""

import functools
import gzip
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

from bnbook import paths
from bnbook.sphinxext.korean_search import SearchKorean, root
from tests.conftest import DESK

sync_api = pytest.importorskip("playwright.sync_api")
Browser = sync_api.Browser
Page = sync_api.Page

EDITIONS = ("ko", "en", "ko-en")
PHONE = {"width": 375, "height": 740}
PLACEHOLDER = "https://ADDRESS-OF-THE-PUBLISHED-BOOK"
FIRST_PAGE_LIMIT = 300_000  # bytes after gzip, everything the page asks for
# Pages read by axe: between them the claims, a table of choices, figures with their boxes, math, the search.
CHECKED = (
    *("index.html", "ko/index.html", "ko/figures/fig1a-test-accuracy.html", "ko/search.html"),
    *("en/mnist.html", "ko-en/index.html"),
)


@dataclass
class Visit:
    """What one page did on the walk."""

    page: str
    width: int = 0  # of the page, to be compared with the phone's
    problems: list[str] = field(default_factory=list)  # on the console, exceptions, failed requests
    requests: set[str] = field(default_factory=set)
    bad_math: int = 0
    typeset: int = 0


@pytest.fixture(scope="session")
def walk(html: Path, browser: Browser) -> list[Visit]:
    """Every page of every edition, and the entry page, at a phone's width."""
    context = browser.new_context(viewport=PHONE)
    page = context.new_page()  # one tab for all, which keeps the scripts it has parsed
    seen = Visit("")
    page.on("request", lambda request: seen.requests.add(request.url))
    page.on("requestfailed", lambda request: seen.problems.append(f"failed: {request.url}"))
    page.on("pageerror", lambda error: seen.problems.append(str(error)))
    page.on(
        "console", lambda m: m.type in ("error", "warning") and seen.problems.append(f"{m.type}: {m.text}")
    )
    visits = []
    for address in [
        "index.html",
        *(f"{edition}/{name}" for edition in EDITIONS for name in pages(html, edition)),
    ]:
        seen = Visit(address)
        visits.append(seen)
        page.goto(f"{html.as_uri()}/{address}")
        page.evaluate("window.MathJax?.startup?.promise")
        seen.width = page.evaluate("document.documentElement.scrollWidth")
        seen.bad_math = page.locator("[data-mml-node=merror], mjx-merror").count()
        seen.typeset = page.locator("mjx-container").count()
    context.close()
    return visits


def pages(html: Path, edition: str) -> list[str]:
    """The addresses of an edition's pages: chapters, figures, notebooks, and the search page."""
    found = (path.relative_to(html / edition) for path in (html / edition).rglob("*.html"))
    return sorted(str(path) for path in found if not path.parts[0].startswith("_"))


def soup(html: Path, address: str) -> BeautifulSoup:
    return BeautifulSoup((html / address).read_text(encoding="utf-8"), "html.parser")


@dataclass(frozen=True)
class Facts:
    """What tests ask of every page."""

    ids: frozenset[str]  # that one can link to; those that docutils counts (id1) lead back from references
    formulas: int
    assets: tuple[str, ...]  # scripts and styles
    has_stepper: bool
    text: str  # without code
    theme_words: tuple[str, ...]  # titles, labels and headings around the article


@functools.cache
def facts(file: Path) -> Facts:
    """The page in `file`, parsed once."""
    page = BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")
    ids = {node["id"] for node in page.select("article [id]") if not re.fullmatch(r"id\d+", node["id"])}
    linked = page.select("script[src], link[rel=stylesheet]")
    assets = tuple(node.get("src") or node.get("href") for node in linked)
    formulas, has_stepper = len(page.select(".math")), bool(page.select(".bn-stepper"))
    for code in page.select("pre, code, script, style"):
        code.decompose()
    text = page.get_text(" ")
    for article in page.select("article, .bn-editions, .prev-next-footer"):
        article.decompose()
    labels = ("title", "aria-label", "placeholder")
    words = [node[key] for key in labels for node in page.select(f"body [{key}]")]
    headings = page.select("body button, .onthispage, .bd-links__title, h1, h2")
    words += [node.get_text(strip=True) for node in headings]
    return Facts(frozenset(ids), formulas, assets, has_stepper, text, tuple(words))


# The three editions


def test_every_page_exists_in_the_three_editions_with_the_same_ids(html: Path) -> None:
    assert pages(html, "ko") == pages(html, "en") == pages(html, "ko-en")
    for page in pages(html, "ko"):
        ids = [facts(html / edition / page).ids for edition in EDITIONS]
        assert ids[0] == ids[1] == ids[2], (
            f"{page}: ids differ: {sorted((ids[0] | ids[1]) ^ (ids[0] & ids[1]))}"
        )


def test_each_edition_says_its_language_and_names_the_others(html: Path) -> None:
    for edition, language in zip(EDITIONS, ("ko", "en", "ko"), strict=True):
        page = soup(html, f"{edition}/mnist.html")
        assert page.html["lang"] == language
        others = {link["hreflang"]: link["href"] for link in page.select("link[rel=alternate][hreflang]")}
        assert set(others) == {"ko", "en"}
        for target in others.values():
            if not urlsplit(target).scheme:
                assert (html / edition / target).resolve().is_file(), target


@pytest.mark.parametrize("javascript", [True, False])
def test_switch_keeps_the_page_and_with_javascript_the_anchor(
    open_page, html: Path, javascript: bool
) -> None:
    anchor = next(node["id"] for node in soup(html, "ko/mnist.html").select("article section section[id]"))
    page = open_page(f"ko/mnist.html#{anchor}", java_script_enabled=javascript)
    for edition in ("en", "ko-en", "ko"):
        page.locator(f"a.bn-edition[data-edition={edition}]").click()
        page.wait_for_url(f"**/{edition}/mnist.html*")
        if javascript:
            assert urlsplit(page.url).fragment == anchor
        assert page.locator("a.bn-edition[aria-current]").count() == 1


def test_the_switch_follows_a_later_anchor(open_page, html: Path) -> None:
    anchor = [node["id"] for node in soup(html, "ko/mnist.html").select("article section section[id]")][-1]
    page = open_page("ko/mnist.html")
    page.evaluate("anchor => { location.hash = anchor }", anchor)
    page.wait_for_function("a => document.querySelector('a.bn-edition').hash === '#' + a", arg=anchor)


def test_entry_page_offers_the_editions(open_page) -> None:
    page = open_page("index.html")
    for edition in EDITIONS:
        page.locator(f"a[href='{edition}/index.html']").click()
        page.locator("article h1").wait_for()
        page.go_back()


def test_the_korean_edition_has_no_english_theme_words(html: Path) -> None:
    for name in pages(html, "ko"):
        words = facts(html / "ko" / name).theme_words
        english = {
            word for word in words if word.strip() and not any("가" <= letter <= "힣" for letter in word)
        }
        assert not english, f"ko/{name}: {english}"


# What a page asks for and does


def test_no_console_error(walk: list[Visit]) -> None:
    assert {seen.page: seen.problems for seen in walk if seen.problems} == {}


def test_no_request_to_anywhere_outside(walk: list[Visit]) -> None:
    outside = {url for seen in walk for url in seen.requests if urlsplit(url).scheme not in ("file", "data")}
    assert outside == set()


def test_all_math_is_typeset(walk: list[Visit], html: Path) -> None:
    assert {seen.page: seen.bad_math for seen in walk if seen.bad_math} == {}
    for seen in walk:
        formulas = facts(html / seen.page).formulas
        assert (seen.typeset > 0) == (formulas > 0), (
            f"{seen.page}: {seen.typeset} of {formulas} formulas typeset"
        )
    assert any(seen.typeset for seen in walk)


def test_mathjax_is_loaded_only_where_there_is_math(walk: list[Visit], html: Path) -> None:
    for seen in walk:
        loaded = any("tex-svg-full" in url for url in seen.requests)
        assert loaded == bool(facts(html / seen.page).formulas), seen.page


def test_no_horizontal_scroll_on_a_phone(walk: list[Visit]) -> None:
    assert {seen.page: seen.width for seen in walk if seen.width > PHONE["width"]} == {}


@pytest.mark.parametrize("first", ["index.html", *(f"{edition}/index.html" for edition in EDITIONS)])
def test_first_page_is_light(walk: list[Visit], first: str) -> None:
    seen = next(seen for seen in walk if seen.page == first)
    files = {Path(unquote(urlsplit(url).path)) for url in seen.requests if url.startswith("file:")}
    sizes = {file.name: len(gzip.compress(file.read_bytes())) for file in files}
    assert sum(sizes.values()) <= FIRST_PAGE_LIMIT, sorted(sizes.items(), key=lambda item: -item[1])[:5]


# Reading it


@pytest.mark.parametrize("address", CHECKED)
def test_axe_finds_nothing_serious(open_page, address: str) -> None:
    page = open_page(address, color_scheme="light", reduced_motion="reduce")  # no colour half-way between two
    page.evaluate("document.querySelectorAll('details').forEach(box => { box.open = true })")
    assert serious(page, {}) == set()
    page.emulate_media(color_scheme="dark")
    assert serious(page, {"runOnly": ["color-contrast"]}) == set()  # all that differs in the dark


def serious(page: Page, options: dict) -> set[tuple[str, str]]:
    """What axe finds serious or critical, as (rule, element and reason); formulas are MathJax's."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page, context={"exclude": [["mjx-container"]]}, options=options).response["violations"]
    return {
        (violation["id"], f"{node['html'][:120]} {node['failureSummary'][:200]}")
        for violation in found
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    }


@pytest.mark.parametrize("edition", EDITIONS)
def test_print_has_the_text_and_no_navigation(open_page, edition: str) -> None:
    page = open_page(f"{edition}/index.html")
    page.emulate_media(media="print")
    for hidden in ("#pst-primary-sidebar", ".bd-header-article", ".prev-next-footer", ".bd-footer-content"):
        assert not page.locator(hidden).first.is_visible(), hidden
    assert page.locator("article h1").is_visible()
    for language in edition.split("-") if "-" in edition else ():
        assert page.locator(f"article .bn-pair > .bn-{language}").first.is_visible()


def test_pairs_stand_side_by_side_when_wide_and_stacked_on_a_phone(open_page) -> None:
    for viewport, beside in ((DESK, True), (PHONE, False)):
        page = open_page("ko-en/index.html", viewport=viewport)
        ko, en = (
            page.locator(f".bn-pair > .bn-{language}").first.bounding_box() for language in ("ko", "en")
        )
        assert (ko["x"] + ko["width"] <= en["x"]) is beside
        assert (abs(ko["y"] - en["y"]) < 2) is beside


# Copying


def test_copy_buttons_copy_the_citation_with_the_address(open_page, html: Path) -> None:
    page = open_page("ko/figures/fig1a-test-accuracy.html")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("document.querySelectorAll('details.bn-cite').forEach(box => { box.open = true })")
    items = page.locator(".bn-cite-item")
    assert items.count() == 4
    for number in range(items.count()):
        button, shown = (
            items.nth(number).locator("button.bn-copy"),
            items.nth(number).locator("pre").text_content(),
        )
        button.click()
        page.wait_for_function("document.querySelector('.bn-live').textContent === '복사했습니다'")
        assert page.evaluate("navigator.clipboard.readText()") == shown.rstrip("\n")
        page.evaluate("document.querySelector('.bn-live').textContent = ''")


REACHABLE = ("https://bn.example.org", "http://bn.example.org:8000", "https://198.51.100.7")
UNREACHABLE = (
    *(
        "file:",
        "http://localhost:8000",
        "http://127.0.0.1:8000",
        "http://[::1]:8000",
        "http://book.localhost",
    ),
    *("http://192.168.0.7", "http://10.1.2.3", "http://172.20.0.2", "http://169.254.1.1", "http://0.0.0.0"),
    *("http://macbook.local", "http://nas", "http://[fe80::1]", "http://[fd00::1]"),
)


@pytest.mark.parametrize("edition", EDITIONS)
def test_a_citation_never_holds_an_address_that_others_cannot_open(open_served, html, edition) -> None:
    name = "figures/fig1a-test-accuracy"
    if not soup(html, f"{edition}/{name}.html").select(".bn-cite-unreachable"):
        pytest.skip("html.baseurl is set in _config.yml")
    # One edition tries all addresses, the others one of each kind.
    tried = REACHABLE + UNREACHABLE if edition == "ko" else REACHABLE[:1] + UNREACHABLE[:1]
    for site in tried:
        page = open_served(site, f"{edition}/{name}.html")
        page.evaluate("document.querySelector('details.bn-cite').open = true")
        texts = page.locator(".bn-cite-text").all_text_contents()
        address = f"{site if site in REACHABLE else PLACEHOLDER}/{edition}/{name}"
        assert texts and all(address in text for text in texts), site
        words = page.locator(".bn-cite-unreachable")
        assert words.count() == (0 if site in REACHABLE else len(edition.split("-"))), site
        if site in UNREACHABLE:
            assert not any(urlsplit(site).netloc in text for text in texts if urlsplit(site).netloc)
            assert words.first.is_visible() and PLACEHOLDER in words.first.text_content()


@pytest.mark.parametrize("refusal", ["no clipboard", "refused"])
@pytest.mark.parametrize(("edition", "said"), [("ko", "Ctrl+C를 누르십시오"), ("en", "press Ctrl+C")])
def test_where_the_clipboard_is_refused_the_text_is_selected(open_served, refusal, edition, said) -> None:
    site = "http://bn.example.org" if refusal == "no clipboard" else "https://bn.example.org"
    page = open_served(site, f"{edition}/figures/fig1a-test-accuracy.html")
    assert page.evaluate("Boolean(navigator.clipboard)") == (refusal == "refused")
    if refusal == "refused":
        page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('refused')) }")
    page.evaluate("document.querySelector('details.bn-cite').open = true")
    item = page.locator(".bn-cite-item").nth(2)
    item.locator("button.bn-copy").click()
    page.wait_for_function("said => document.querySelector('.bn-live').textContent.includes(said)", arg=said)
    assert said in item.locator("button.bn-copy").text_content()
    selected = page.evaluate("getSelection().toString()")
    assert selected.split() == item.locator("pre").text_content().split()


def test_a_link_to_a_citation_opens_its_box(open_page) -> None:
    page = open_page("en/figures/fig1-drift.html#cite-fig1-drift")
    box = page.locator("details#cite-fig1-drift")
    assert box.evaluate("box => box.open") and box.locator("pre").first.is_visible()
    box.evaluate("box => { box.open = false; location.hash = ''; location.hash = '#cite-fig1-drift' }")
    page.wait_for_function("document.querySelector('#cite-fig1-drift').open")


def test_code_can_be_copied(open_page) -> None:
    page = open_page("en/reproduce.html")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    block = page.locator("div.highlight").first
    code = block.locator("pre").text_content()
    block.hover()
    block.locator("button.bn-copy").click()
    page.wait_for_function("document.querySelector('.bn-live').textContent === 'Copied'")
    assert page.evaluate("navigator.clipboard.readText()") == code.rstrip("\n")


# Served


@pytest.fixture
def open_served(html: Path, open_page) -> Callable[..., Page]:
    """Opens an address as if the site lay at the root of another one; without `only`, which names folders of
    it, all of it."""

    def opener(site: str, address: str, only: tuple[str, ...] = ("",)) -> Page:
        page = open_page("index.html")
        if site == "file:":
            page.goto(f"{html.as_uri()}/{address}")
            return page

        def answer(route) -> None:
            asked = unquote(urlsplit(route.request.url).path).lstrip("/")
            there = asked.startswith(only) and (html / asked).is_file()
            route.fulfill(path=html / asked) if there else route.fulfill(status=404)

        page.route("http*://**/*", answer)
        page.goto(f"{site}/{address}")
        return page

    return opener


def test_the_switch_says_where_an_edition_is_not_there(open_served) -> None:
    page = open_served("https://bn.example.org", "ko/mnist.html", only=("ko/",))
    page.locator("a.bn-edition[data-edition=en]").click()
    page.wait_for_function("document.querySelector('.bn-live').textContent === '이 판은 여기에 없습니다'")
    assert page.url.endswith("/ko/mnist.html")
    assert page.locator("a.bn-edition[aria-disabled]").get_attribute("data-edition") == "en"


def test_the_switch_leads_to_an_edition_that_is_there(open_served) -> None:
    page = open_served("https://bn.example.org", "ko/mnist.html")
    page.locator("a.bn-edition[data-edition=en]").click()
    page.wait_for_url("https://bn.example.org/en/mnist.html")


# Searching


def results(open_page, edition: str, query: str) -> set[str]:
    page = open_page(f"{edition}/search.html?q={query}")
    page.wait_for_function("document.querySelector('.search-summary')?.textContent")
    links = page.locator("#search-results ul.search a")
    return {urlsplit(link.get_attribute("href")).path for link in links.all()}


def test_korean_search_finds_a_word_with_and_without_its_particle(open_page) -> None:
    bare = results(open_page, "ko", "미니배치")
    assert bare
    assert results(open_page, "ko", "미니배치를") == bare
    assert "mnist.html" in results(open_page, "ko", "분포가")


def test_korean_search_reads_a_compound_with_and_without_the_space(open_page) -> None:
    spaced, joined = (results(open_page, "ko", query) for query in ("배치 정규화", "배치정규화"))
    assert joined and joined <= spaced


def test_each_edition_finds_its_languages(open_page) -> None:
    assert results(open_page, "en", "distribution")
    assert results(open_page, "ko-en", "distribution")
    assert results(open_page, "ko-en", "분포")
    assert not results(open_page, "ko", "qzxjv")


def test_the_search_works_where_nothing_may_be_stored(open_served) -> None:
    """In a sandbox the browser itself denies localStorage, as it does to readers who block cookies."""
    page = open_served("https://bn.example.org", "index.html")
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.evaluate(
        """() => {
          const frame = document.createElement("iframe");
          frame.setAttribute("sandbox", "allow-scripts");
          frame.src = "en/search.html?q=distribution";
          document.body.append(frame);
        }"""
    )
    frame = page.wait_for_selector("iframe").content_frame()
    frame.wait_for_function("document.querySelector('.search-summary')?.textContent")
    assert frame.evaluate("self.origin") == "null"
    assert frame.locator("#search-results ul.search a").count() > 0
    assert not [problem for problem in problems if "localStorage" in problem]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("기억을 되살린다", "기억"),
        ("기억", "기억에서는"),
        ("배치 정규화를 쓴다", "배치정규화"),
        ("배치정규화를 쓴다", "정규화"),
        ("층을 쌓는다", "층"),
        ("SGD의 스텝", "스텝마다"),
        ("정규화하는 까닭", "정규화한다"),
    ],
)
def test_korean_terms_meet_what_is_typed(text: str, query: str) -> None:
    terms = SearchKorean({}).split(text)
    assert root(query) in terms


def test_korean_terms_keep_other_words_apart() -> None:
    terms = SearchKorean({}).split("학습률을 낮춘다. SGD의 step")
    assert "규제" not in terms and "의" not in terms
    assert {"SGD", "step", "학습률"} <= set(terms)


def test_nothing_names_the_machine_that_built_it(html: Path) -> None:
    """Neither the checkout's folder nor the user's, in no file whatever."""
    local = [str(place).encode() for place in (paths.ROOT, Path.home()) if place != Path("/")]
    files = [file for file in html.rglob("*") if file.is_file()]
    assert len(files) > 1000
    found = [file.relative_to(html) for file in files if any(word in file.read_bytes() for word in local)]
    assert found == []
    assert {file.name for file in html.iterdir()} == {"index.html", *EDITIONS}


def test_no_page_has_event_handlers_in_its_markup(html: Path) -> None:
    for page in (
        "index.html",
        *(f"{edition}/{name}" for edition in EDITIONS for name in pages(html, edition)),
    ):
        assert not re.search(r"<[a-z][^<>]*\son[a-z]+\s*=", (html / page).read_text(encoding="utf-8")), page


def test_no_markup_is_left_in_the_text(html):
    """`**` that Markdown did not take, or a role or placeholder that nobody filled."""
    found = []
    for edition in EDITIONS:
        for name in pages(html, edition):
            words = facts(html / edition / name).text
            found += [
                f"{edition}/{name}: {mark}"
                for mark in ("**", "[[", "{ko}", "{en}", "{result}")
                if mark in words
            ]
    assert not found
