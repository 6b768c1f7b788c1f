"""The look of the book: what is put into the theme's pages, and what is taken out of them.

Templates lie in book/_templates, styles and the one script in book/_static. Pages need nothing from outside:
icons.css draws what the theme's icon script (542 kB) drew, formulas.py sets the formulas.
"""

import gettext
import re
import shutil
from pathlib import Path
from string import Template
from typing import Any

import sphinx.locale
from docutils import nodes
from myst_nb.sphinx_ext import add_global_html_resources
from sphinx.application import Sphinx
from sphinx.config import Config

from bnbook import paths
from bnbook.sphinxext import policy
from bnbook.sphinxext.editions import beside, joined
from bnbook.sphinxext.figures import Image

# code -> (its name in its own language, the name for narrow headers, the language of the page)
NAMES = {
    "ko": ("한국어", "한", "ko"),
    "en": ("English", "En", "en"),
    "ko-en": ("나란히 · Side by side", "한·En", "ko"),
}

# Parts of Sphinx and of Jupyter Book's extensions without work here: bnbook.js copies, no cell runs live, no
# tabs and no cards are used; nothing asks for the translations, whose script makes code of text.
UNUSED = {
    *("copybutton.js", "clipboard.min.js", "copybutton_funcs.js", "copybutton.css"),
    *("sphinx-thebe.js", "sphinx-thebe.css", "togglebutton.js", "togglebutton.css"),
    *("design-tabs.js", "sphinx-design.min.css", "translations.js"),
}
# The same of the search page: code has no colours there, and search.js does without Sphinx's own scripts.
UNSEARCHED = {"pygments.css", "doctools.js", "sphinx_highlight.js"}

# What the theme brings and no page asks for: the script that icons.css stands in for, fonts of icons, maps of
# minified files, templates.
UNSENT = shutil.ignore_patterns("fontawesome*", "*.map", "theme.css", "*webpack-macros.html", *UNUSED)

DESCRIBED = 160  # letters of a page's description, about what search engines show

# What is wrong in the HTML that the theme and its extensions write: a label in English over words of ours, a
# role that a list may not have within it, cells of a table's head with nothing in them; and what sets up
# cells that run live, which ours do not.
THEBE = r'\s*<script type="text/x-thebe-config">.*?</script>\s*<script>kernelName = .*?</script>'
REPAIRS = (
    (re.compile('<summary aria-label="Toggle hidden content">'), "<summary>"),
    (re.compile('role="doc-biblioentry"'), 'role="listitem"'),
    (re.compile(r"<th([^>]*)>(?:&nbsp;|&#160;|\s)*</th>"), r"<td\1></td>"),
    (re.compile(THEBE, re.DOTALL), ""),
)

# What the theme says in English only, or in poor Korean.
KOREAN = {
    "By": "지은이",
    "Announcement": "알림",
    "Back to top": "맨 위로",
    "Color mode": "밝게/어둡게",
    "Contents": "이 페이지 목차",
    "Dark": "어둡게",
    "Download notebook file": "노트북 내려받기",
    "Error": "오류",
    "Language": "언어",
    "Light": "밝게",
    "Link to this code": "이 코드의 주소",
    "Link to this equation": "이 식의 주소",
    "Link to this heading": "이 제목의 주소",
    "Link to this image": "이 그림의 주소",
    "Link to this table": "이 표의 주소",
    "Link to this term": "이 용어의 주소",
    "Main": "책 목차",
    "Page": "이 페이지 목차",
    "Please activate JavaScript to enable the search functionality.": "검색에는 JavaScript가 필요하다.",
    "Search this book...": "이 책에서 검색",
    "Show or hide the pages below": "하위 페이지 여닫기",
    "Skip to main content": "본문으로 건너뛰기",
    "Start": "처음",
    "System Settings": "시스템 설정",
    "Toggle primary sidebar": "책 목차 여닫기",
    "Toggle secondary sidebar": "이 페이지 목차 여닫기",
    "Version warning": "판 안내",
    "next": "다음",
    "next page": "다음 페이지",
    "previous": "이전",
    "previous page": "이전 페이지",
}


class Words(gettext.NullTranslations):
    """The theme's words in Korean; what is missing here is left to Sphinx's own catalogue."""

    def gettext(self, message: str) -> str:
        return KOREAN.get(message) or super().gettext(message)


def setup(app: Sphinx) -> None:
    """Connect everything; `edition` must have been added to the config before."""
    app.add_css_file("icons.css", priority=800)
    app.add_css_file("bnbook.css", priority=801)
    app.add_js_file("bnbook.js", loading_method="defer")
    app.connect("config-inited", _configure)
    app.connect("builder-inited", _speak_korean)
    app.connect("builder-inited", _copy_assets)
    # After the theme's own handlers (500 and 501), which would put their parts back.
    app.connect("html-page-context", _complete_page, priority=900)
    app.connect("html-page-context", _repair, priority=900)


def _configure(app: Sphinx, config: Config) -> None:
    if config.language == "ko":
        config.nb_code_prompt_show = "코드 보기"
        config.nb_code_prompt_hide = "코드 접기"


def _speak_korean(app: Sphinx) -> None:
    if app.builder.format == "html" and app.config.language == "ko":
        app.builder.templates.environment.install_gettext_translations(_words(app))
        # Sphinx's own writer, which makes the links beside headings and figures.
        sphinx.locale.translators["general", "sphinx"] = _words(app)


def _words(app: Sphinx) -> Words:
    words = Words()
    words.add_fallback(app.translator)
    return words


def _copy_assets(app: Sphinx) -> None:
    if app.builder.format != "html":
        return
    Path(app.outdir, "_static").mkdir(parents=True, exist_ok=True)
    # MyST-NB brings its style when all pages are written: those of a first build would lack its checksum, and
    # differ from those of the next.
    add_global_html_resources(app, None)


def _complete_page(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    for files in (context["script_files"], context["css_files"]):
        files[:] = [file for file in files if not _is_unused(file, pagename)]
    context["metatags"] = policy.meta(policy.LIVE) + context.get("metatags", "")
    address = app.builder.get_target_uri(pagename)
    if pagename == "search":
        app.add_js_file("search.js", loading_method="defer")
    context["bn_edition"] = app.config.edition
    context["bn_editions"] = _editions(app, context["content_root"], address)
    context["bn_description"] = _description(app, pagename, doctree)
    context["bn_card"] = _card(app, pagename, address, context["bn_description"], doctree)
    context["bn_notebook"] = context.get("page_source_suffix") == ".ipynb"
    context["bn_search_title"] = joined({"ko": "검색", "en": "Search"}, app.config.edition)
    context["theme_search_bar_text"] = "Search this book..."
    if app.config.language == "ko":
        context["translate"] = _words(app).gettext
        context["theme_search_bar_text"] = KOREAN["Search this book..."]


def _is_unused(asset: Any, pagename: str) -> bool:
    """Whether a script or style is one of UNUSED, a script in the page itself (each sets up an unused one,
    and `policy` lets none run), or nothing for the search page."""
    if not asset.filename:
        return True
    name = asset.filename.rsplit("/", 1)[-1]
    return name in UNUSED or (pagename == "search" and (name in UNSEARCHED or name.startswith("mystnb.")))


def _editions(app: Sphinx, content_root: str, address: str) -> list[dict[str, Any]]:
    """The same page in every edition; none where one edition was built alone (plain jupyter-book build)."""
    if not beside(app):
        return []
    base = app.config.html_baseurl.rstrip("/").removesuffix(f"/{app.config.edition}")
    return [
        {
            "code": code,
            "name": name,
            "short": short,
            "language": language,
            "href": f"{content_root}../{code}/{address}",
            "alternate": f"{base}/{code}/{address}" if base else f"{content_root}../{code}/{address}",
            "current": code == app.config.edition,
        }
        for code, (name, short, language) in NAMES.items()
    ]


def _repair(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    for wrong, right in REPAIRS:
        if "body" in context:
            context["body"] = wrong.sub(right, context["body"])


def _description(app: Sphinx, pagename: str, doctree: nodes.document | None) -> str:
    """What search engines show of a page: of a figure its alternative text, else the first paragraph of some
    length; "" for a page without text of its own."""
    if figure := getattr(app.env, "bn_figure_pages", {}).get(pagename):
        return shortened(figure["description"])
    paragraphs = list(doctree.findall(nodes.paragraph)) if doctree else []
    texts = [" ".join(one.astext().split()) for one in paragraphs if not one.next_node(nodes.math)]
    return shortened(next((text for text in texts if len(text) >= DESCRIBED / 4), ""))


def shortened(text: str) -> str:
    """`text` to the last word that fits into a description."""
    if len(text) <= DESCRIBED:
        return text
    return text[:DESCRIBED].rsplit(" ", 1)[0].rstrip(",.:;") + "…"


def _card(
    app: Sphinx, pagename: str, address: str, description: str, doctree: nodes.document | None
) -> dict[str, str] | None:
    """What Open Graph and Twitter show of a page: its title, its description, its first figure. Picture and
    address need the site's; without it they are ""."""
    if pagename not in app.env.titles:
        return None
    base = app.config.html_baseurl.rstrip("/")
    figure = getattr(app.env, "bn_figure_pages", {}).get(pagename)
    image = doctree.next_node(Image) if doctree else None
    return {
        "title": figure["title"] if figure else app.env.titles[pagename].astext(),
        "description": figure["description"] if figure else description,
        "image": f"{base}/figures/{image['name']}.png" if image and base else "",
        "alt": image["alt"] if image else "",
        "url": f"{base}/{address}" if base else "",
        "locale": "en_US" if app.config.edition == "en" else "ko_KR",
    }


def write_entry_pages(html: Path, site: str) -> None:
    """Write html/index.html, which offers the three editions and forces none, and html/404.html, which a
    server shows in the place of a page that is not there, at whatever address: its links begin at `site`."""
    html.mkdir(parents=True, exist_ok=True)
    templates = paths.BOOK / "_templates"
    shutil.copyfile(paths.BOOK / "_static" / "favicon.svg", html / "favicon.svg")
    filled = {"policy": policy.meta(policy.STILL), "site": f"{site.rstrip('/')}/"}
    for template, page in (("entry", "index"), ("missing", "404")):
        text = Template((templates / f"{template}.html").read_text(encoding="utf-8"))
        (html / f"{page}.html").write_text(text.substitute(filled), encoding="utf-8")
