"""The built book in a real browser, opened from file:// as a reader would.

One session builds the three editions (or takes the folder named by BNBOOK_HTML) and walks through them once
at the width of a phone; most tests then ask what was seen on that walk.
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
from markdown_it import MarkdownIt

from bnbook import paths
from bnbook.sphinxext import assets
from tests.conftest import DESK
from tests.markup import markup

sync_api = pytest.importorskip("playwright.sync_api")
Browser = sync_api.Browser
Page = sync_api.Page

EDITIONS = ("ko", "en", "ko-en")
PHONE = {"width": 375, "height": 740}
WIDTHS = (320, 375, 768)
PLACEHOLDER = "https://ADDRESS-OF-THE-PUBLISHED-BOOK"
FIRST_PAGE_LIMIT = 200_000  # bytes after gzip, everything the page asks for
MATH_PAGE_LIMIT = 200_000  # the same without pictures, of a page with formulas
# Pages read by axe: between them the claims, a table of choices, figures with their boxes, math, the search;
# what steps and trains on the page, a claim's own page, what stands in frames, a figure's version, and what
# is found where nothing is.
CHECKED = (
    *("index.html", "ko/index.html", "ko/figures/fig1a-test-accuracy.html", "ko/search.html"),
    *("en/mnist.html", "ko-en/index.html", "ko/cite.html", "ko-en/claims/c-4.1-accuracy.html"),
    *("ko-en/transform.html", "en/train-it-here.html"),
    *("en/embed/fig1a-test-accuracy.html", "figures/fig1a-test-accuracy/*.html", "404.html"),
)
FRAMED = {"rules": {"page-has-heading-one": {"enabled": False}}}  # of the page around it


@dataclass
class Visit:
    """What one page did on the walk."""

    page: str
    widths: dict[int, int] = field(default_factory=dict)  # of the page, in a window of each width
    problems: list[str] = field(default_factory=list)  # on the console, exceptions, failed requests
    requests: set[str] = field(default_factory=set)
    at_first: set[str] = field(default_factory=set)  # those of a phone that opens the page
    typeset: int = 0


@pytest.fixture(scope="session")
def walk(html: Path, browser: Browser) -> list[Visit]:
    """The pages `walked`, at a phone's width."""
    context = browser.new_context(viewport=PHONE, bypass_csp=False)  # what it refuses is a problem, too
    page = context.new_page()  # one tab for all, which keeps the scripts it has parsed
    seen = Visit("")
    page.on("request", lambda request: seen.requests.add(request.url))
    page.on("requestfailed", lambda request: seen.problems.append(f"failed: {request.url}"))
    page.on("pageerror", lambda error: seen.problems.append(str(error)))
    page.on(
        "console", lambda m: m.type in ("error", "warning") and seen.problems.append(f"{m.type}: {m.text}")
    )
    visits = []
    for address in walked(html):
        page.set_viewport_size(PHONE)  # of the page before, whose pictures are not this one's
        seen = Visit(address)
        visits.append(seen)
        page.goto(f"{html.as_uri()}/{address}")
        seen.at_first = set(seen.requests)
        seen.typeset = page.locator(".math svg + math").count()
        for width in WIDTHS:
            page.set_viewport_size({**PHONE, "width": width})
            seen.widths[width] = page.evaluate("document.documentElement.scrollWidth")
    context.close()
    return visits


def walked(html: Path) -> list[str]:
    """The entry page and all pages of all editions; but the pages of single figures and claims, which are
    made alike, in the edition that has both languages alone."""
    single = re.compile("(figures|claims)/(?!index)")
    return [
        "index.html",
        *(
            f"{edition}/{name}"
            for edition in EDITIONS
            for name in pages(html, edition)
            if edition == "ko-en" or not single.match(name)
        ),
    ]


def pages(html: Path, edition: str) -> list[str]:
    """The addresses of an edition's pages: chapters, figures, notebooks, and the search page."""
    found = (path.relative_to(html / edition) for path in (html / edition).rglob("*.html"))
    return sorted(str(path) for path in found if not path.parts[0].startswith(("_", "embed")))


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
    page = markup(file)
    ids = {node.id for node in page.css("article [id]") if not re.fullmatch(r"id\d+", node.id)}
    linked = [node.attributes for node in page.css("script[src], link[rel=stylesheet]")]
    assets = tuple(attributes.get("src") or attributes["href"] for attributes in linked)
    formulas, has_stepper = len(page.css(".math")), bool(page.css(".bn-stepper"))
    page.strip_tags(["pre", "code", "script", "style"])
    text = page.root.text(separator=" ")
    for around in page.css("article, .bn-editions, .prev-next-footer"):
        around.decompose()
    labels = ("title", "aria-label", "placeholder")
    words = [node.attributes[key] for key in labels for node in page.css(f"body [{key}]")]
    headings = page.css("body button, .onthispage, .bd-links__title, h1, h2")
    words += [node.text(strip=True) for node in headings]
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
        page = markup(html / edition / "mnist.html")
        assert page.root.attributes["lang"] == language
        links = [link.attributes for link in page.css("link[rel=alternate][hreflang]")]
        others = {link["hreflang"]: link["href"] for link in links}
        assert set(others) == {"ko", "en", "x-default"}  # who reads neither gets both
        for target in others.values():
            if not urlsplit(target).scheme:
                assert (html / edition / target).resolve().is_file(), target


@pytest.mark.parametrize("javascript", [True, False])
def test_switch_keeps_the_page_and_with_javascript_the_anchor(
    open_page, html: Path, javascript: bool
) -> None:
    anchor = markup(html / "ko/mnist.html").css_first("article section section[id]").id
    page = open_page(f"ko/mnist.html#{anchor}", java_script_enabled=javascript, reduced_motion="reduce")
    for edition in ("en", "ko-en", "ko"):
        switch(page, edition)
        if javascript:
            assert urlsplit(page.url).fragment == anchor
        assert page.locator("a.bn-edition[aria-current]").count() == 1


def switch(page: Page, edition: str) -> None:
    """As a reader's pointer does it; the driver's own click would scroll the page."""
    box = page.locator(f"a.bn-edition[data-edition={edition}]").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_url(f"**/{edition}/*")
    page.wait_for_load_state("load")


# The first place that is wholly seen: its number in the page, its distance from the top; the page's scroll.
FIRST_SEEN = """() => {
  const top = document.querySelector(".bd-header-article").getBoundingClientRect().bottom;
  const kinds = "h1, h2, h3, h4, .bn-place, .bn-figure-box, .bn-claim";
  const places = [...document.querySelectorAll(`article :is(${kinds})`)];
  const tops = places.map((place) => place.getClientRects().length ? place.getBoundingClientRect().top : -1);
  const first = tops.findIndex((y) => y >= top);
  return [first, tops[first], scrollY];
}"""


@pytest.mark.parametrize("viewport", [PHONE, DESK])
@pytest.mark.parametrize("name", ["mnist", "transform"])
def test_the_switch_keeps_the_place(open_page, viewport: dict, name: str) -> None:
    # With an anchor that was left long ago.
    page = open_page(f"ko/{name}.html#verdicts", viewport=viewport, reduced_motion="reduce")
    for scrolled in (400, 2000, 4185, 8000):
        page.evaluate("y => scrollTo({ top: y, behavior: 'instant' })", scrolled)
        seen = page.evaluate(FIRST_SEEN)
        for edition in ("en", "ko-en", "ko"):
            switch(page, edition)
            first, top, now = page.evaluate(FIRST_SEEN)
            # What begins in the upper half stays where it was; of what is longer than that, the same part.
            if seen[1] < viewport["height"] / 2:
                assert (first, edition) == (seen[0], edition) and abs(top - seen[1]) <= 3
        assert abs(now - seen[2]) <= 3  # back in the first edition, where it was left
        assert "#" not in page.url


def test_the_switch_stays_at_the_top_and_follows_a_later_anchor(open_page, html: Path) -> None:
    anchor = markup(html / "ko/mnist.html").css("article section section[id]")[-2].id
    page = open_page("ko/mnist.html", reduced_motion="reduce")
    switch(page, "en")
    assert page.evaluate("scrollY") == 0
    page.evaluate("anchor => { location.hash = anchor }", anchor)
    switch(page, "ko")
    assert urlsplit(page.url).fragment == anchor


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
    ours = ("file", "data", "blob")  # a blob is the page's own: the worker that trains
    outside = {url for seen in walk for url in seen.requests if urlsplit(url).scheme not in ours}
    assert outside == set()


def test_all_math_is_typeset(walk: list[Visit], html: Path) -> None:
    """Drawn when the book was built, and as MathML for who cannot see the drawing."""
    unlike = {
        seen.page: (seen.typeset, formulas)
        for seen in walk
        if seen.typeset != (formulas := facts(html / seen.page).formulas)
    }
    assert unlike == {}
    assert any(seen.typeset for seen in walk)


def test_a_page_with_formulas_is_light(walk: list[Visit]) -> None:
    for seen in walk:
        if seen.typeset:
            files = [Path(unquote(urlsplit(url).path)) for url in seen.requests if url.startswith("file:")]
            texts = [file for file in files if file.suffix in (".html", ".css", ".js", ".woff2")]
            limit = MATH_PAGE_LIMIT * (
                1.1 if seen.page.startswith("ko-en/") else 1
            )  # it has every text twice
            assert sum(len(compressed(file)) for file in texts) <= limit, seen.page


@functools.cache
def compressed(file: Path) -> bytes:
    return gzip.compress(file.read_bytes())


# What of each equation is seen: [its page, what is wrong with it].
EQUATIONS = """() => [...document.querySelectorAll("div.math")].flatMap((equation) => {
  const box = equation.querySelector(".bn-formula"), number = equation.querySelector(".eqno");
  const [drawn, shown] = [box.querySelector("svg"), box].map((one) => one.getBoundingClientRect());
  const cut = drawn.right > shown.right + 1 || drawn.left < shown.left - 1;
  const cue = getComputedStyle(box).maskImage !== "none" && box.tabIndex === 0;
  const below = !number || number.getBoundingClientRect().top >= shown.bottom - 1;
  return [cut && !cue && "cut without a cue", !below && "number beside it"].filter(Boolean);
})"""


def test_no_equation_is_cut_without_a_cue_on_a_phone(open_page, html: Path) -> None:
    for viewport in ({"width": 390, "height": 800}, {"width": 240, "height": 800}):
        page = open_page("index.html", viewport=viewport)
        cues = 0
        for name in pages(html, "ko"):
            if facts(html / "ko" / name).formulas:
                page.goto(f"{html.as_uri()}/ko/{name}")
                page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
                assert page.evaluate(EQUATIONS) == [], f"{name} at {viewport['width']} px"
                cues += page.locator(".bn-formula[data-bn-more]").count()
    assert cues  # at a width at which some do not fit


def test_a_long_equation_fades_where_there_is_more_of_it(open_page) -> None:
    page = open_page("ko/transform.html", viewport={"width": 240, "height": 800})
    box = page.locator(".bn-formula[data-bn-more]").first
    assert box.get_attribute("data-bn-more") == "after"
    box.evaluate("box => box.scrollTo({ left: 20, behavior: 'instant' })")
    page.wait_for_function("box => box.dataset.bnMore === 'before after'", arg=box.element_handle())
    box.evaluate("box => box.scrollTo({ left: 9999, behavior: 'instant' })")
    page.wait_for_function("box => box.dataset.bnMore === 'before'", arg=box.element_handle())


def test_no_page_scrolls_sideways(walk: list[Visit]) -> None:
    wide = {(v.page, window): width for v in walk for window, width in v.widths.items() if width > window}
    assert wide == {}


@pytest.mark.parametrize("first", ["index.html", *(f"{edition}/index.html" for edition in EDITIONS)])
def test_first_page_is_light(walk: list[Visit], first: str) -> None:
    seen = next(seen for seen in walk if seen.page == first)
    files = {Path(unquote(urlsplit(url).path)) for url in seen.at_first if url.startswith("file:")}
    sizes = {file.name: len(compressed(file)) for file in files}
    assert sum(sizes.values()) <= FIRST_PAGE_LIMIT, sorted(sizes.items(), key=lambda item: -item[1])[:5]


def test_what_a_page_asks_for_has_a_token_of_its_content(walk: list[Visit]) -> None:
    """So that no browser pairs what it kept with a page of later."""
    asked = {url for seen in walk for url in seen.requests if re.search(r"\.(css|js)(\?|$)", url)}
    assert {Path(urlsplit(url).path).name for url in asked} >= {"basic.css", "bootstrap.js", "searchindex.js"}
    for url in asked:
        parts = urlsplit(url)
        assert parts.query == assets.token(Path(unquote(parts.path))).removeprefix("?"), url


# Reading it


@pytest.mark.parametrize("address", CHECKED)
def test_axe_finds_nothing_serious(open_page, html: Path, address: str) -> None:
    found = next(html.glob(address)).relative_to(html).as_posix()
    page = open_page(found, color_scheme="light", reduced_motion="reduce")  # no colour half-way between two
    page.evaluate("document.querySelectorAll('details').forEach(box => { box.open = true })")
    assert serious(page, FRAMED if "/embed/" in address else {}) == set()
    page.emulate_media(color_scheme="dark")
    assert serious(page, {"runOnly": ["color-contrast"]}) == set()  # all that differs in the dark


def serious(page: Page, options: dict, within: str | None = None) -> set[tuple[str, str]]:
    """What axe finds at least moderate on the page or in its part `within`: (rule, element and reason)."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    # Of what is as it should be, nothing is kept: on a long page that takes most of the time.
    found = axe.run(page, within, options | {"resultTypes": ["violations"]}).response["violations"]
    return {
        (violation["id"], f"{node['html'][:120]} {node['failureSummary'][:200]}")
        for violation in found
        if violation["impact"] in ("moderate", "serious", "critical")
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


PAPER = {"width": 700, "height": 1000}  # A4 within its margins
# What of the article is wider than the page, or cut, on paper.
CUT = """() => [...document.querySelectorAll("article *")].filter((one) => {
  const box = one.getBoundingClientRect();
  if (!box.width || one.closest(".math, math, svg, .bn-live")) return false;
  const hides = getComputedStyle(one).overflowX !== "visible";
  return box.right > innerWidth + 1 || (hides && one.scrollWidth > one.clientWidth + 1);
}).map((one) => `${one.tagName}.${one.className} ${one.textContent.slice(0, 40)}`)"""


@pytest.mark.parametrize(
    "address",
    [
        *("ko/mnist.html", "ko-en/mnist.html", "en/classification.html", "ko/transform.html"),
        *("ko/reproduce.html", "ko-en/ensemble.html", "ko/notebooks/01_mnist_activation_shift.html"),
    ],
)
def test_on_paper_nothing_is_cut_and_all_is_light(open_page, address: str) -> None:
    page = open_page(address, viewport=PAPER, color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(CUT) == []
    pictures = page.locator("article :is(.only-light, .only-dark)")
    shown = pictures.evaluate_all("all => all.map(one => [one.className, one.getClientRects().length > 0])")
    assert all(("only-light" in name) == is_shown for name, is_shown in shown)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    filters = page.locator("article img").evaluate_all("all => all.map(one => getComputedStyle(one).filter)")
    assert set(filters) <= {"none"}
    # Nothing is written in a light colour.
    light = """() => [...document.querySelectorAll("article *")]
      .filter((one) => one.getClientRects().length
        && [...one.childNodes].some((child) => child.nodeType === Node.TEXT_NODE && child.data.trim())
        && Math.min(...getComputedStyle(one).color.match(/\\d+/g).slice(0, 3).map(Number)) > 110)
      .map((one) => one.outerHTML.slice(0, 120))"""
    assert page.evaluate(light) == []


def test_in_print_what_a_heading_says_stays_with_what_follows(open_page) -> None:
    page = open_page("ko-en/mnist.html")
    page.emulate_media(media="print")
    kept = """() => [...document.querySelectorAll("article :is(h1, h2, h3)")].every((one) =>
      getComputedStyle(one).breakAfter === "avoid" && getComputedStyle(one).breakInside === "avoid")"""
    assert page.evaluate(kept)


@pytest.mark.parametrize("width", [1280, 1440])
def test_both_languages_have_the_contents_of_the_page(open_page, width: int) -> None:
    page = open_page("ko-en/mnist.html", viewport={"width": width, "height": 900})
    contents = page.locator(".page-toc a[href='#verdicts']")
    if not contents.is_visible():
        page.locator(".secondary-toggle").click()
    contents.wait_for(state="visible")
    pair = page.locator(".bn-pair").first
    ko, en = (pair.locator(f"> .bn-{language}").bounding_box() for language in ("ko", "en"))
    assert ko["x"] + ko["width"] <= en["x"]  # and still two columns


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
    assert items.count() == 14  # seven in each language
    for number in range(items.count()):
        button, shown = (
            items.nth(number).locator("button.bn-copy"),
            items.nth(number).locator("pre").text_content(),
        )
        button.click()
        page.wait_for_function("/^(복사함|Copied)$/.test(document.querySelector('.bn-live').textContent)")
        assert page.evaluate("navigator.clipboard.readText()") == shown.rstrip("\n")
        page.evaluate("document.querySelector('.bn-live').textContent = ''")


@pytest.mark.parametrize("edition", EDITIONS)
@pytest.mark.parametrize("label", ["Markdown", "HTML"])
def test_the_blogger_is_three_clicks_from_the_home_page(
    open_page, html: Path, edition: str, label: str
) -> None:
    """The gallery, the ensemble's figure, the button; and what is pasted shows that figure, linked."""
    page = open_page(f"{edition}/index.html")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    lang = "en" if edition == "en" else "ko"
    page.locator("article a[href='figures/index.html']").first.click()
    page.locator(".bn-gallery a.bn-link[href='fig4-ensemble-size.html']").click()
    spoken = f"{label} 복사" if lang == "ko" else f"Copy {label}"
    page.get_by_role("button", name=spoken, exact=True).click()
    page.wait_for_function("/^(복사함|Copied)$/.test(document.querySelector('.bn-live').textContent)")
    pasted = page.evaluate("navigator.clipboard.readText()")
    post = BeautifulSoup(MarkdownIt().render(pasted) if label == "Markdown" else pasted, "html.parser")
    picture = post.select_one("a > img")
    for address in (picture["src"], picture.parent["href"]):
        assert (html / address.removeprefix(f"{PLACEHOLDER}/")).is_file()
    assert re.search(rf"/figures/fig4-ensemble-size/\w+{'' if lang == 'en' else '.ko'}\.svg$", picture["src"])
    assert picture["alt"]


def test_the_picture_itself_is_copied_where_the_browser_can(open_served, open_page) -> None:
    page = open_served("https://bn.example.org", "en/figures/fig4-ensemble-size.html")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    buttons = page.locator("button.bn-copy-image")
    assert [buttons.nth(n).text_content() for n in range(2)] == ["Copy image", "그림 복사"]
    buttons.first.click()
    page.wait_for_function("document.querySelector('.bn-live').textContent === 'Copied'")
    copied = page.evaluate(
        "navigator.clipboard.read().then((items) => items[0].getType('image/png')).then(createImageBitmap)"
        ".then((picture) => [picture.width, picture.height])"
    )
    assert copied[0] == 1248
    # Of a local file no page may read another.
    local = open_page("en/figures/fig4-ensemble-size.html")
    assert not local.locator(".bn-cite-image").first.is_visible()


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
    if not markup(html / edition / f"{name}.html").css(".bn-cite-unreachable"):
        pytest.skip("html.baseurl is set in _config.yml")
    # One edition tries all addresses, the others one of each kind.
    tried = REACHABLE + UNREACHABLE if edition == "ko" else REACHABLE[:1] + UNREACHABLE[:1]
    for site in tried:
        page = open_served(site, f"{edition}/{name}.html")
        page.evaluate("document.querySelector('details.bn-cite').open = true")
        texts = page.locator(".bn-cite-text").all_text_contents()
        root = site if site in REACHABLE else PLACEHOLDER
        addresses = (f"{root}/{name}/", f"{root}/ko/embed/", f"{root}/en/embed/")
        assert texts and all(any(address in text for address in addresses) for text in texts), site
        words = page.locator(".bn-cite-unreachable")
        assert words.count() == (0 if site in REACHABLE else 2), site
        if site in UNREACHABLE:
            assert not any(urlsplit(site).netloc in text for text in texts if urlsplit(site).netloc)
            assert words.first.is_visible() and PLACEHOLDER in words.first.text_content()


@pytest.mark.parametrize("refusal", ["no clipboard", "refused"])
@pytest.mark.parametrize(("edition", "said"), [("ko", "Ctrl+C로 복사"), ("en", "press Ctrl+C")])
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


def test_on_a_phone_the_copy_button_covers_no_code(open_page) -> None:
    page = open_page("ko/reproduce.html", viewport=PHONE, has_touch=True, is_mobile=True)
    for block in page.locator("article div.highlight").all():
        button, code = block.locator("button.bn-copy").bounding_box(), block.locator("pre").bounding_box()
        assert button["height"] >= 32 and button["y"] + button["height"] <= code["y"]


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


def test_a_page_that_is_not_there_leads_back(html: Path, open_page) -> None:
    page = open_page("index.html")

    def answer(route) -> None:
        asked = html / unquote(urlsplit(route.request.url).path).lstrip("/")
        route.fulfill(path=asked) if asked.is_file() else route.fulfill(path=html / "404.html", status=404)

    page.route("http*://**/*", answer)
    for link in range(4):
        page.goto("https://bn.example.org/ko/of/old/page.html")
        page.locator("main a").nth(link).click()
        page.locator("article h1, .bd-search-container h1").first.wait_for()


def test_the_switch_says_where_an_edition_is_not_there(open_served) -> None:
    page = open_served("https://bn.example.org", "ko/mnist.html", only=("ko/",))
    page.locator("a.bn-edition[data-edition=en]").click()
    page.wait_for_function("document.querySelector('.bn-live').textContent === '여기에 없는 판'")
    assert page.url.endswith("/ko/mnist.html")
    assert page.locator("a.bn-edition[aria-disabled]").get_attribute("data-edition") == "en"


def test_the_switch_leads_to_an_edition_that_is_there(open_served) -> None:
    page = open_served("https://bn.example.org", "ko/mnist.html")
    page.locator("a.bn-edition[data-edition=en]").click()
    page.wait_for_url("https://bn.example.org/en/mnist.html")


# What figures are called

NUMBERED = re.compile(r"(논문의? |[Tt]he paper's |its )?(?:그림|Figures?|Fig\.) (\d+)\w?( of the paper)?")


@pytest.mark.parametrize("edition", EDITIONS)
def test_a_figures_number_is_the_books_or_said_to_be_the_papers(html: Path, edition: str) -> None:
    """In titles, headings, captions and links: "그림 51" is the number of what it names."""
    parsed = {name: markup(html / edition / name) for name in pages(html, edition)}
    number = {
        figure.id: re.search(r"\d+", caption.text())[0]
        for page in parsed.values()
        for figure in page.css("figure[id]")
        if (caption := figure.css_first(".caption-number"))
    }
    assert len(number) > 60 and len(set(number.values())) == len(number)
    gallery = parsed["figures/index.html"].css(".bn-gallery .bn-link")
    order = [int(number[Path(link.attributes["href"]).stem]) for link in gallery]
    assert order == sorted(order)
    wrong = []
    for name, page in parsed.items():
        own = Path(name).stem if name.startswith("figures/") else ""
        for place in page.css("title, h1, h2, h3, h4, figcaption, article a, .bd-links a, .prev-next-area a"):
            target = urlsplit(place.attributes.get("href") or "")
            figure = target.fragment or Path(target.path).stem
            if place.tag == "figcaption":
                if not (image := place.parent.css_first("img.only-light")):
                    continue  # the values of a claim, drawn on its page
                figure = Path(image.attributes["src"]).name.split(".")[0]
            wrong += [
                (name, found[0])
                for found in NUMBERED.finditer(" ".join(place.text().split()).replace("’", "'"))
                if not found[1] and not found[3] and found[2] != number.get(figure, number.get(own))
            ]
    assert wrong == []


@pytest.mark.parametrize("edition", EDITIONS)
def test_a_figures_page_and_its_chapter_lead_to_each_other(html: Path, edition: str) -> None:
    for file in sorted((html / edition / "figures").glob("*.html")):
        if file.stem == "index":
            continue
        places = [link.attributes["href"] for link in markup(file).css(".bn-figure-place a")]
        assert places, f"{file.name} does not say where it is explained"
        chapter, _, anchor = places[0].partition("#")
        page = markup(file.parent / chapter)
        assert anchor == file.stem and page.css(f"figure#{anchor}")
        assert page.css(f"a.bn-link-page[href='figures/{file.name}']")
        assert all((file.parent / place.partition("#")[0]).is_file() for place in places)


# What others see of a page


def test_every_page_has_a_description_and_a_picture_of_its_own(html: Path) -> None:
    for edition in EDITIONS:
        for name in pages(html, edition):
            page = markup(html / edition / name)
            icon = page.css_first("link[rel=icon]").attributes["href"]
            assert (html / edition / name).parent.joinpath(icon).is_file()
            if name != "search.html":
                said = page.css_first("meta[name=description]").attributes["content"]
                assert 20 < len(said) <= 161, f"{edition}/{name}: {said}"
                assert bool(re.search("[가-힣]", said)) == (edition != "en"), f"{edition}/{name}: {said}"


def test_the_site_has_nothing_that_no_page_asks_for(html: Path) -> None:
    for kind in ("fontawesome*", "*.map", "jupyter_execute", "sphinx-thebe.js", "clipboard.min.js"):
        assert list(html.rglob(kind)) == [], kind


def test_the_korean_edition_names_its_addresses_in_korean(html: Path) -> None:
    for name in pages(html, "ko"):
        page = markup(html / "ko" / name)
        titles = {link.attributes["title"] for link in page.css("article a.headerlink")}
        titles |= {node.attributes["aria-label"] for node in page.css("article summary[aria-label]")}
        assert not [title for title in titles if not re.search("[가-힣]", title)], name


def test_the_book_speaks_in_one_voice(html: Path) -> None:
    """In the plain style, on pages and in what the scripts say."""
    polite = re.compile("[습입합됩릅닙]니다|십시오|세요|[해돼]요")
    files = [html / "ko" / name for name in pages(html, "ko")]
    texts = {file: facts(file).text for file in files}
    texts |= {html / name: (html / name).read_text(encoding="utf-8") for name in ("index.html", "404.html")}
    scripts = (paths.BOOK / "_static").glob("*.js")
    texts |= {file: file.read_text(encoding="utf-8") for file in scripts}
    found = {file.name: polite.findall(text) for file, text in texts.items() if polite.search(text)}
    assert found == {}


def test_every_reference_has_a_link(html: Path) -> None:
    entries = markup(html / "ko/cite.html").css(".citation")
    assert len(entries) > 20
    for entry in entries:
        assert entry.css("a[href^=https]"), entry.text()


# The files


def test_nothing_names_the_machine_that_built_it(html: Path) -> None:
    """Neither the checkout's folder nor the user's, in no file whatever; an address may end like them."""
    local = "|".join(re.escape(str(place)) for place in (paths.ROOT, Path.home()) if place != Path("/"))
    named = re.compile(rf"(?<![\w.-])({local})(?![\w.-])".encode())
    assert named.search(f"see {paths.ROOT}/x".encode()) and not named.search(f"host.org{paths.ROOT}".encode())
    files = [file for file in html.rglob("*") if file.is_file()]
    assert len(files) > 1000
    found = [file.relative_to(html) for file in files if named.search(file.read_bytes())]
    assert found == []
    found = {file.name for file in html.iterdir()} - {"sitemap.xml", "robots.txt"}  # of a known address
    beside = {"index.html", "404.html", "favicon.svg", "feed.xml", "feed.ko.xml", "figures", "records"}
    assert found == {*beside, *EDITIONS}


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
