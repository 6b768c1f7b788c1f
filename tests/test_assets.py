"""What an edition sends of the theme's styles: as little as it can, and no page looks otherwise for it."""

import zlib
from collections.abc import Iterable
from pathlib import Path

import pydata_sphinx_theme
import pytest
import sphinx_book_theme

from bnbook.sphinxext import assets
from tests.conftest import DESK
from tests.test_book import PHONE, Page

# The sheets as the themes bring them.
WHOLE = [
    next(Path(theme.__file__).parent.glob(f"theme/*/static/styles/{name}.css"))
    for theme, name in (
        (pydata_sphinx_theme, "pydata-sphinx-theme"),
        (sphinx_book_theme, "sphinx-book-theme"),
    )
]
# What the elements look like, the first of each kind and place, with what is put before and after it. An
# element's hundreds of properties come as one text: as so many they would take far longer.
LOOKS = """() => {
  const called = (element) => element && `${element.tagName}.${element.getAttribute("class")}`;
  const placed = (element) => {
    const above = element.parentElement;
    return `${called(above.parentElement)} ${called(above)} ${called(element)}`;
  };
  const every = [...document.querySelectorAll("body, body *")].reverse();
  const kinds = new Map(every.map((element) => [placed(element), element]));
  return [...kinds].flatMap(([kind, element]) => ["", "::before", "::after"].flatMap((part) => {
    const style = getComputedStyle(element, part);
    if (part && style.content === "none") return [];
    return [[kind + part, [...style].map((name) => `${name}: ${style.getPropertyValue(name)}`).join("\\n")]];
  }));
}"""
# Puts a sheet in the place of the page's own of that name.
PUT = """([name, text]) => {
  const own = document.querySelector(`link[href*="${name}"], style[data-name="${name}"]`);
  const put = Object.assign(document.createElement("style"), { textContent: text });
  put.dataset.name = name;
  own.replaceWith(put);
}"""


def trimmed(css: str, *known: str) -> str:
    return "".join(assets.trimmed(css, set(known)).split())


def test_what_no_element_can_fit_goes() -> None:
    assert trimmed(".a .b{color:red} .a>.x{color:red} #x,p.b:hover{top:0}", "a", "b") == (
        ".a.b{color:red}p.b:hover{top:0}"
    )
    assert trimmed("@media print{.x{top:0}} @media (width>1px){.x,i{top:0}}") == "@media(width>1px){i{top:0}}"


def test_what_may_fit_stays() -> None:
    kept = (
        *("p:not(.x){top:0}", "p:is(.x,.y){top:0}", "[data-x=y]{top:0}", ".bs-tooltip-auto{top:0}"),
        *("@keyframesx{to{top:0}}", "@font-face{font-family:x}", ".a\\:b{top:0}"),
    )
    for rule in kept:
        assert trimmed(rule.replace("keyframesx", "keyframes x"), "a:b") == rule


def test_names_are_those_of_pages_and_whatever_a_script_may_give() -> None:
    found = assets.names(['<p class="a b-c"\n  id="d">'], ['x.classList.add("e-f", `g ${h}`)'])
    assert {"a", "b-c", "d", "e-f", "g"} <= found and "p" not in found


def edition(folder: Path, style: str, later: str = "1") -> str:
    """The page of an edition with one of the theme's styles, and a script for later."""
    (folder / "_static").mkdir(exist_ok=True)
    (folder / "_static" / "theme.css").write_text(style)
    (folder / "_static" / "later.js").write_text(later)
    page = folder / "one.html"
    page.write_text(
        '<link href="_static/theme.css?v=00000000"><p class="a" data-parts="_static/later.js gone.js">'
    )
    assets.finish(folder)
    return page.read_text()


def test_tokens_are_of_what_is_sent(tmp_path) -> None:
    page = edition(tmp_path, ".a{top:0} .b{top:0}")
    token = f"{zlib.crc32(b'.a{top:0}'):08x}"
    assert f'"_static/theme.css?v={token}"' in page and ' gone.js"' in page
    assert edition(tmp_path, ".a{top:0} .c{top:0}") == page  # which no element can have
    other = edition(tmp_path, ".a{top:0} .b{top:0}", later="2")
    assert other.partition("later.js")[0] == page.partition("later.js")[0] and other != page


# In a browser


def looks(page: Page, sheets: Iterable[Path]) -> list[tuple[str, str]]:
    for sheet in sheets:
        page.evaluate(PUT, [sheet.name, sheet.read_text(encoding="utf-8")])
    page.evaluate("Promise.all(document.getAnimations().map((one) => one.finished))")
    return page.evaluate(LOOKS)


def differing(page: Page, html: Path) -> list[tuple[str, ...]]:
    """The elements that would look otherwise with all of the theme's styles, and what of them."""
    sent = [html / "ko" / "_static" / "styles" / sheet.name for sheet in WHOLE]
    assert all(one.stat().st_size < sheet.stat().st_size for one, sheet in zip(sent, WHOLE, strict=True))
    before, after = looks(page, sent), looks(page, WHOLE)
    assert len(before) == len(after) > 100
    return [
        (kind, *(set(was.split("\n")) ^ set(now.split("\n"))))
        for (kind, was), (_, now) in zip(before, after, strict=True)
        if was != now
    ]


@pytest.mark.parametrize("viewport", [DESK, PHONE])
@pytest.mark.parametrize(
    "address",
    [
        *("index.html", "mnist.html", "figures/fig1a-test-accuracy.html", "glossary.html"),
        *("notebooks/00_from_scratch.html", "claims/c-4.1-speed.html"),
    ],
)
def test_no_element_looks_otherwise_for_it(open_page, html: Path, address: str, viewport: dict) -> None:
    page = open_page(f"ko/{address}", viewport=viewport, reduced_motion="reduce")
    page.evaluate("document.querySelectorAll('details').forEach((box) => { box.open = true })")
    assert differing(page, html) == []


def test_nor_what_a_pointer_or_a_click_brings(open_page, html: Path) -> None:
    page = open_page("ko/mnist.html", viewport=DESK, reduced_motion="reduce")
    page.locator(".theme-switch-button").first.hover()
    page.locator(".tooltip.show .tooltip-arrow").wait_for()
    assert differing(page, html) == []
    page = open_page("ko/mnist.html", viewport=PHONE, reduced_motion="reduce")
    page.locator(".primary-toggle").first.click()
    page.locator("#pst-primary-sidebar-modal[open]").wait_for()
    assert differing(page, html) == []
