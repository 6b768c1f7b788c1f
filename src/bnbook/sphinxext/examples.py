"""The directive `example`: a piece of code from examples/ and, beneath it, what it prints. The role `status`:
whether what a probe looks for is still so.

The same in every edition. The code is run before the book is built, or by a plain `jupyter-book build` at its
beginning.
"""

from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from bnbook import examples, probes
from bnbook.examples import ExampleError
from bnbook.paper import Text
from bnbook.sphinxext import numbers
from bnbook.sphinxext.editions import pair
from bnbook.sphinxext.html import Tag, tag

STATUS = {
    True: ("still", {"ko": "그대로", "en": "still so"}),
    False: ("mended", {"ko": "해결됨", "en": "mended"}),
}
# Of the version and the status.
ALONE = {"ko": "{1}", "en": "{1}"}
IN_TORCH = {"ko": "torch {0}에서 {1}", "en": "{1} in torch {0}"}

log = logging.getLogger(__name__)


class ExampleDirective(SphinxDirective):
    """```` ```{example} transform_forward ``` ````: examples/transform_forward.py and its output; of a probe
    the status too."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        name, root = self.arguments[0], Path(self.env.srcdir)
        try:
            file = examples.source(name, root)
            printed = examples.output(name, root)
            probe = name.removeprefix(probes.PREFIX)
            status = [] if probe == name else [tag("p", pill(probes.read(probe, root), IN_TORCH))]
        except ExampleError as error:
            log.warning("example: %s", error, location=self.get_location())
            return []
        self.env.note_dependency(str(file))
        numbers.note_dependency(self.env)  # another torch prints otherwise
        code = file.read_text(encoding="utf-8").strip()
        box = tag("div", classes="bn-example")
        box += _block(code, "python", "bn-example-code")
        if printed:
            box += _block(printed.rstrip(), "text", "bn-example-output")
        box += status
        return [box]


class StatusRole(SphinxRole):
    """``{status}`frozen` ``: whether the surprise of the probe examples/pitfalls_frozen.py is still there.
    The table that it stands in says in which torch."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        numbers.note_dependency(self.env)
        try:
            return [pill(probes.read(self.text, Path(self.env.srcdir)))], []
        except ExampleError as error:
            log.warning("status: %s", error, location=self.get_location())
            return [nodes.Text("?")], []


def pill(probe: probes.Probe, form: Text = ALONE) -> Tag:
    """The status of a probe, in a `form` that names the version or not."""
    name, words = STATUS[probe.still_so]
    said = {lang: form[lang].format(probes.torch_version(), words[lang]) for lang in words}
    return tag("span", *pair(said), classes=f"bn-verdict bn-status-{name}")


def _block(text: str, language: str, name: str) -> nodes.literal_block:
    return nodes.literal_block(text, text, language=language, classes=[name])


def _run(app: Sphinx) -> None:
    examples.run(Path(app.srcdir))


def setup(app: Sphinx) -> None:
    app.add_directive("example", ExampleDirective)
    app.add_role("status", StatusRole())
    app.connect("builder-inited", _run, priority=100)  # before others ask what was printed
