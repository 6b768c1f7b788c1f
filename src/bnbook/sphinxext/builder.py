"""The HTML builder of the book: addresses without the folder `book/`.

The source folder is the repository (notebooks lie outside `book/`), but a page's address is permanent and
should not tell where its source lies: `book/figures/x.md` becomes `figures/x.html`.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from docutils import nodes
from sphinx.application import ENV_PICKLE_FILENAME, Sphinx
from sphinx.builders.html import StandaloneHTMLBuilder
from sphinx.environment import BuildEnvironment
from sphinx.search import IndexBuilder
from sphinx.util.osutil import relative_uri

from bnbook.sphinxext import search
from bnbook.sphinxext.data import contents

PREFIX = "book/"


def address(docname: str) -> str:
    """The address of a document in an edition, without its suffix."""
    return docname.removeprefix(PREFIX)


class Index(IndexBuilder):
    """The search index: the texts of the pages by their addresses, and the terms; search.js reads it."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.pages: dict[str, list[search.Section]] = {}

    def load(self, stream: IO, format: Any) -> None:
        frozen = format.load(stream)
        if frozen.get("version") != self.env.version:
            raise ValueError("of other code")  # Sphinx makes another
        self.pages = frozen["pages"]

    def feed(self, docname: str, filename: str, title: str, doctree: nodes.document) -> None:
        self.pages[address(docname)] = search.sections(doctree)

    def prune(self, docnames: Iterable[str]) -> None:
        # The claims' pages are no documents.
        kept = {address(docname) for docname in (*docnames, *getattr(self.env, "bn_claim_pages", ()))}
        self.pages = {page: texts for page, texts in self.pages.items() if page in kept}

    def freeze(self) -> dict[str, Any]:
        terms = search.spellings(Path(self.env.srcdir, "book", "glossary.yml"))
        return {"pages": dict(sorted(self.pages.items())), "terms": terms, "version": self.env.version}

    def dump(self, stream: IO, format: Any) -> None:
        """As Sphinx does, but Korean letters as they are: escaped they would be twice as long."""
        frozen = json.dumps(self.freeze(), ensure_ascii=False, separators=(",", ":"))
        stream.write(f"{format.PREFIX}{frozen}{format.SUFFIX}")


class BookBuilder(StandaloneHTMLBuilder):
    """Sphinx's own, with `address` applied wherever a document's name becomes part of a URL."""

    def get_outfilename(self, pagename: str) -> str:
        return super().get_outfilename(address(pagename))

    def get_target_uri(self, docname: str, typ: str | None = None) -> str:
        return super().get_target_uri(address(docname), typ)

    def load_indexer(self, docnames: Iterable[str]) -> None:
        # The base class has just made an indexer and lets nobody choose its class. The English
        # stemmer, which it brings, serves all editions.
        self.indexer = Index(self.env, "en", self.config.html_search_options, "")
        super().load_indexer(docnames)


def relative(builder: Any, docname: str, target: str) -> str:
    """The address of the file `target` (from the edition's root) as seen from the page `docname`."""
    return relative_uri(builder.get_target_uri(docname), target)


def _canonical(app: Sphinx, pagename: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    """Sphinx makes the canonical address from the document's name."""
    if app.config.html_baseurl:
        context["pageurl"] = f"{app.config.html_baseurl.rstrip('/')}/{app.builder.get_target_uri(pagename)}"


def _refuse_others(app: Sphinx) -> None:
    """Other builders know neither the figures' files nor the addresses, and would make dead links. The
    process ends here: jupyter-book puts a long traceback around every error."""
    if app.builder.name != BookBuilder.name:
        sys.exit(f"bnbook: the book has no builder {app.builder.name!r}; `make book` builds it as html")


def _begin_writing(app: Sphinx, _builder: Any) -> None:
    """Sphinx stores what it has read before it writes the pages. Were the writing interrupted, the next build
    would take the old pages for today's: until the end nothing that it finds is stored."""
    stored = Path(app.doctreedir, ENV_PICKLE_FILENAME)
    if stored.exists():
        stored.rename(_aside(stored))


def _end_writing(app: Sphinx, exception: Exception | None) -> None:
    stored = Path(app.doctreedir, ENV_PICKLE_FILENAME)
    if not exception and _aside(stored).exists():
        _aside(stored).rename(stored)


def _changed(
    _app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], _removed: set[str]
) -> Any:
    """Sphinx goes by times, which lie: of a file that was put back as it was, and once the clock was."""
    known = getattr(env, "bn_made_from", {})
    return [name for name in env.found_docs - added - changed if known.get(name) != _contents_of(env, name)]


def _note_contents(_app: Sphinx, env: BuildEnvironment) -> None:
    env.bn_made_from = {name: _contents_of(env, name) for name in env.found_docs}  # type: ignore[attr-defined]


def _contents_of(env: BuildEnvironment, name: str) -> str:
    """A hash over all that the page was made from: its source and whatever that rests on."""
    files = {Path(env.srcdir, one) for one in (env.doc2path(name), *env.dependencies.get(name, ()))}
    return contents(*sorted(one for one in files if one.is_file()))


def _aside(stored: Path) -> Path:
    return stored.with_suffix(".writing")


def setup(app: Sphinx) -> None:
    app.add_builder(BookBuilder, override=True)
    app.connect("builder-inited", _refuse_others, priority=0)
    app.connect("env-get-outdated", _changed)
    app.connect("env-updated", _note_contents)
    app.connect("write-started", _begin_writing)
    app.connect("build-finished", _end_writing, priority=1000)  # after all that others have to write
    app.connect("html-page-context", _canonical)
