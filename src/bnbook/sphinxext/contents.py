"""The book's contents beside every page, in parts, and what comes before and after a page.

The theme makes them out of the whole table of contents, page by page, which took a third of a build; they
differ from page to page by what is open and by the addresses alone.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from bnbook.paper import LANGUAGES
from bnbook.sphinxext.editions import SEPARATOR, Phrase, languages, merged_phrases


@dataclasses.dataclass(frozen=True)
class Entry:
    """A page in the contents: `here` where it is the page that is shown, `current` there and above it."""

    title: str  # HTML
    address: str
    here: bool
    current: bool
    children: list["Entry"]


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of the book: its caption as HTML, "" for what comes before the first, and its pages."""

    caption: str
    entries: list[Entry]


def setup(app: Sphinx) -> None:
    app.connect("env-updated", _changed)
    app.connect("html-page-context", _add)


def _changed(app: Sphinx, env: BuildEnvironment) -> Iterable[str]:
    """All pages where a title, a part or the order of pages has changed, which all of them show."""
    titles = {docname: title.astext() for docname, title in env.titles.items()}
    shown = titles, dict(env.toctree_includes), _parts(app)
    before, env.bn_contents = getattr(env, "bn_contents", None), shown
    return env.found_docs if before != env.bn_contents else ()


def _parts(app: Sphinx) -> list[tuple[str, list[str]]]:
    """(caption, pages) of each part, as the root's tables of contents have them."""
    trees = app.env.tocs[app.config.root_doc].findall(addnodes.toctree)
    return [(tree.get("caption") or "", list(tree["includefiles"])) for tree in trees]


def _add(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    pathto = context["pathto"]
    context["bn_contents"] = [
        Part(_caption(app, caption), [_entry(app, pagename, docname, pathto) for docname in docnames])
        for caption, docnames in _parts(app)
    ]
    if pagename in app.env.found_docs:
        context["prev"], context["next"] = (
            {"title": _title(app, beside), "link": pathto(beside)} if beside else None
            for beside in neighbours(app, pagename)
        )


def neighbours(app: Sphinx, docname: str) -> tuple[str | None, str | None]:
    """The pages before and after: chapters follow on chapters, and what is listed below a page (notebooks,
    figures) on one another, so that to read on never leads through sixty figures."""
    root = app.config.root_doc
    chapters = [root, *(page for _, pages in _parts(app) for page in pages)]
    for listed in (chapters, *app.env.toctree_includes.values()):
        if docname in listed:
            return _beside(listed, docname)
    return None, None


def _beside(pages: Sequence[str], page: str) -> tuple[str | None, str | None]:
    place = pages.index(page)
    return pages[place - 1] if place else None, pages[place + 1] if place + 1 < len(pages) else None


def _entry(app: Sphinx, pagename: str, docname: str, pathto: Callable[[str], str]) -> Entry:
    below = app.env.toctree_includes.get(docname, [])
    children = [_entry(app, pagename, child, pathto) for child in below]
    return Entry(
        title=_title(app, docname),
        address=pathto(docname),
        here=docname == pagename,
        current=docname == pagename or any(child.current for child in children),
        children=children,
    )


def _caption(app: Sphinx, caption: str) -> str:
    """ "Korean · English" as HTML in the edition's languages; the text as it is where it has one alone."""
    halves = dict(zip(LANGUAGES, caption.split(SEPARATOR), strict=False))
    shown = [Phrase("", "", nodes.Text(halves[lang]), lang=lang) for lang in LANGUAGES if lang in halves]
    if len(shown) < len(LANGUAGES):
        return _rendered(app, [nodes.Text(caption)])
    wanted = languages(app.config.edition)
    return _rendered(
        app,
        merged_phrases(*shown) if len(wanted) > 1 else [nodes.Text(halves[wanted[0]])],
    )


def _title(app: Sphinx, docname: str) -> str:
    """The title of a page as HTML."""
    return _rendered(app, app.env.titles[docname].children, docname)


def _rendered(app: Sphinx, children: Sequence[nodes.Node], name: str = "") -> str:
    """Nodes as HTML, rendered once a build."""
    known: dict[str, str] = app.builder.__dict__.setdefault("bn_titles", {})
    key = name or f"part {nodes.inline('', '', *(child.deepcopy() for child in children)).astext()}"
    if key not in known:
        line = nodes.inline("", "", *(child.deepcopy() for child in children))
        fragment = app.builder.render_partial(line)["fragment"]
        known[key] = fragment.removeprefix("<span>").removesuffix("</span>")
    return known[key]
