"""The book's contents beside every page.

The theme makes them out of the whole table of contents, page by page, which took a third of a build; they
differ from page to page by what is open and by the addresses alone.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment


@dataclasses.dataclass(frozen=True)
class Entry:
    """A page in the contents: `here` where it is the page that is shown, `current` there and above it."""

    title: str  # HTML
    address: str
    here: bool
    current: bool
    children: list["Entry"]


def setup(app: Sphinx) -> None:
    app.connect("env-updated", _changed)
    app.connect("html-page-context", _add)


def _changed(app: Sphinx, env: BuildEnvironment) -> Iterable[str]:
    """All pages where a title or the order of pages has changed, which all of them show."""
    titles = {docname: title.astext() for docname, title in env.titles.items()}
    before, env.bn_contents = getattr(env, "bn_contents", None), (titles, dict(env.toctree_includes))
    return env.found_docs if before != env.bn_contents else ()


def _add(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    root = app.env.toctree_includes.get(app.config.root_doc, [])
    context["bn_contents"] = [_entry(app, pagename, docname, context["pathto"]) for docname in root]


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


def _title(app: Sphinx, docname: str) -> str:
    """The title of a page as HTML, rendered once a build."""
    known: dict[str, str] = app.builder.__dict__.setdefault("bn_titles", {})
    if docname not in known:
        title = nodes.inline("", "", *(child.deepcopy() for child in app.env.titles[docname].children))
        fragment = app.builder.render_partial(title)["fragment"]
        known[docname] = fragment.removeprefix("<span>").removesuffix("</span>")
    return known[docname]
