"""The directive `durations`: how many runs each experiment has, and how long they take."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from bnbook import durations
from bnbook.experiments import EXPERIMENTS, Experiment
from bnbook.paper import Text
from bnbook.sphinxext import numbers
from bnbook.sphinxext.board import place
from bnbook.sphinxext.claims import Cell, blocks, reference, row, table
from bnbook.sphinxext.editions import pair

COLUMNS = {
    "notebook": {"ko": "실험", "en": "Experiment"},
    "section": {"ko": "절", "en": "Section"},
    "runs": {"ko": "학습과 측정", "en": "Runs"},
    "time": {"ko": "코어 하나로", "en": "On one core"},
}


class DurationsDirective(SphinxDirective):
    """```` ```{durations} ``` ````: a row an experiment that has been run, with a link to its notebook once
    that is in the book: not before the last of its runs."""

    def run(self) -> list[nodes.Node]:
        numbers.note_dependency(self.env)
        run = [one for one in EXPERIMENTS.values() if durations.spent()[one.name].runs]
        rows = [row(self.cells(one), "duration", COLUMNS, self.config.edition) for one in run]
        return [table("durations", COLUMNS, rows)]

    def cells(self, experiment: Experiment) -> list[Cell]:
        spent = durations.spent()[experiment.name]
        name: nodes.Node = nodes.literal("", experiment.name)
        if (page := f"notebooks/{experiment.notebook}") in self.env.found_docs:
            name = reference("doc", f"/{page}", [name], "notebook")
        return [
            [name],
            pair(place(experiment.section)),
            [nodes.Text(f"{spent.runs:,}")],
            blocks(self, in_words(spent.seconds)),
        ]


def in_words(seconds: float) -> Text:
    """A duration to two digits, in the largest unit that it has one of."""
    for size, ko, en in ((3600, "시간", "h"), (60, "분", "min")):
        if seconds >= size:
            value = f"{seconds / size:.1f}" if seconds < 10 * size else f"{seconds / size:.0f}"
            return {"ko": f"{value}{ko}", "en": f"{value} {en}"}
    return {"ko": f"{seconds:.0f}초", "en": f"{seconds:.0f} s"}


def setup(app: Sphinx) -> None:
    app.add_directive("durations", DurationsDirective)
