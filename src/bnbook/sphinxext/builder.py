"""The HTML builder of the book: addresses without the folder `book/`.

The source folder is the repository (notebooks lie outside `book/`), but a page's address is permanent and
should not tell where its source lies: `book/figures/x.md` becomes `figures/x.html`.
"""

from collections.abc import Iterable
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.builders.html import StandaloneHTMLBuilder
from sphinx.search import IndexBuilder
from sphinx.util.osutil import relative_uri

PREFIX = "book/"


def address(docname: str) -> str:
    """The address of a document in an edition, without its suffix."""
    return docname.removeprefix(PREFIX)


class Index(IndexBuilder):
    """The search index, which keeps its documents by address, since that is what its script links to."""

    def feed(self, docname: str, filename: str, title: str, doctree: nodes.document) -> None:
        super().feed(address(docname), filename, title, doctree)

    def prune(self, docnames: Iterable[str]) -> None:
        super().prune({address(docname) for docname in docnames})


class BookBuilder(StandaloneHTMLBuilder):
    """Sphinx's own, with `address` applied wherever a document's name becomes part of a URL."""

    def get_outfilename(self, pagename: str) -> str:
        return super().get_outfilename(address(pagename))

    def get_target_uri(self, docname: str, typ: str | None = None) -> str:
        return super().get_target_uri(address(docname), typ)

    def load_indexer(self, docnames: Iterable[str]) -> None:
        # The base class has just made the indexer and lets nobody choose its class.
        self.indexer.__class__ = Index
        super().load_indexer(docnames)


def relative(builder: Any, docname: str, target: str) -> str:
    """The address of the file `target` (from the edition's root) as seen from the page `docname`."""
    return relative_uri(builder.get_target_uri(docname), target)


def _canonical(app: Sphinx, pagename: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    """Sphinx makes the canonical address from the document's name."""
    if app.config.html_baseurl:
        context["pageurl"] = f"{app.config.html_baseurl.rstrip('/')}/{app.builder.get_target_uri(pagename)}"


def setup(app: Sphinx) -> None:
    app.add_builder(BookBuilder, override=True)
    app.connect("html-page-context", _canonical)
