"""The directive `bnstepper`: Algorithm 1 to try out, in the place of the figure `pic-stepper`.

book/_static/stepper.js puts it there. Without JavaScript, and in print, the still picture stays. Script and
style are loaded on the directive's pages alone.
"""

import json
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from bnbook.pictures import stepper
from bnbook.sphinxext.editions import languages
from bnbook.sphinxext.figures import FigureDirective
from bnbook.sphinxext.html import Tag

FIGURE = "pic-stepper"
CLASS = "bn-stepper"


class StepperDirective(FigureDirective):
    """```` ```{bnstepper} ``` ````; `:unnumbered:` as in `bnfigure`."""

    required_arguments = 0

    def run(self) -> list[nodes.Node]:
        self.arguments = [FIGURE]
        boxes = super().run()
        start = {**stepper.START, "range": stepper.RANGE, "stretch": stepper.STRETCH}
        for box in boxes:
            box["classes"].append(CLASS)
            box["html"]["data-start"] = json.dumps(start)
            box["html"]["data-languages"] = " ".join(languages(self.config.edition))
        return boxes


def _load(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    if doctree is not None and any(CLASS in box["classes"] for box in doctree.findall(Tag)):
        app.add_css_file("stepper.css", priority=802)
        app.add_js_file("stepper.js", loading_method="defer")


def setup(app: Sphinx) -> None:
    app.add_directive("bnstepper", StepperDirective)
    app.connect("html-page-context", _load)
