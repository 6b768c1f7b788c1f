"""The directive `example`: a piece of code from examples/ and, beneath it, what it prints.

The same in every edition. The code is run before the book is built, or by a plain `jupyter-book build` at its
beginning.
"""

from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from bnbook import examples
from bnbook.examples import ExampleError
from bnbook.sphinxext.html import tag

log = logging.getLogger(__name__)


class ExampleDirective(SphinxDirective):
    """```` ```{example} transform_forward ``` ````: examples/transform_forward.py and its output."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        root = Path(self.env.srcdir)
        try:
            file = examples.source(self.arguments[0], root)
            printed = examples.output(self.arguments[0], root)
        except ExampleError as error:
            log.warning("example: %s", error, location=self.get_location())
            return []
        self.env.note_dependency(str(file))
        code = file.read_text(encoding="utf-8").strip()
        box = tag("div", classes="bn-example")
        box += _block(code, "python", "bn-example-code")
        if printed:
            box += _block(printed.rstrip(), "text", "bn-example-output")
        return [box]


def _block(text: str, language: str, name: str) -> nodes.literal_block:
    return nodes.literal_block(text, text, language=language, classes=[name])


def _run(app: Sphinx) -> None:
    examples.run(Path(app.srcdir))


def setup(app: Sphinx) -> None:
    app.add_directive("example", ExampleDirective)
    app.connect("builder-inited", _run)
