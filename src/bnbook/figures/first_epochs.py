"""Figures of single epochs of Section 4.2's plain network: with which seeds it learns at all."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bnbook.figures import style
from bnbook.figures.style import GREY, PALE, PLAIN, SMALL
from bnbook.measures import inception_second as second
from bnbook.protocols.inception_second import LEARNS, Results
from bnbook.records import Record

INITIAL_NAMES = {"he": "He", "xavier": "Xavier", "gaussian": "Gaussian"}


def precision(results: Results) -> tuple[Figure, pd.DataFrame]:
    """Validation accuracy after an epoch of the plain network, by precision and decay; a dot a seed."""
    cells = results.stages["precision"]
    rows = [(f"{name}, decay {decay:g}", records) for (name, decay), records in cells.items()]
    return _strips(rows, "One rate, one network, one epoch", ringed=second.SEED)


def initial(results: Results) -> tuple[Figure, pd.DataFrame]:
    """The same by initial weights."""
    rows = [
        (INITIAL_NAMES[name] + (", output layer × 0.1" if scale < 1 else ""), records)
        for (name, scale), records in results.stages["initial"].items()
    ]
    return _strips(rows, "Initial weights")


def _strips(
    rows: Sequence[tuple[str, Sequence[Record]]], heading: str, ringed: int | None = None
) -> tuple[Figure, pd.DataFrame]:
    """A line of dots for each (name, records); the seed `ringed` has a ring around its dots."""
    figure = style.figure(1.2 + 0.42 * len(rows))
    ax = figure.subplots()
    table = []
    for place, (name, records) in enumerate(rows):
        values = second.accuracies(records)
        heights = place + _beside(len(values))
        ax.plot(values, heights, "o", color=PLAIN, ms=4.5, alpha=0.75, mew=0)
        if ringed is not None and ringed < len(values):
            ax.plot(values[ringed], heights[ringed], "o", color="none", mec=GREY, ms=9)
        ax.annotate(
            f"{second.learned(records)} of {len(records)} learn",
            (1, place),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL,
            annotation_clip=False,
        )
        table += [
            {"runs": name, "seed": record.seed, "validation_accuracy_percent": value}
            for record, value in zip(records, values, strict=True)
        ]
    ax.axvline(100 * LEARNS, color=GREY, lw=0.8, ls=(0, (2, 2)), zorder=1)
    ax.set(xlabel="validation accuracy after an epoch (%)", ylim=(len(rows) - 0.5, -0.5), xlim=(5, None))
    ax.set_yticks(range(len(rows)), [name for name, *_ in rows])
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color=PALE, lw=0.6)
    ax.set_axisbelow(True)
    style.heading(ax, heading, "a dot a seed; left of the dashed line it has learned next to nothing")
    return figure, pd.DataFrame(table)


def _beside(count: int) -> np.ndarray:
    """Heights that part dots which would lie on one another, in the order of the seeds."""
    return 0.48 * ((np.arange(count) * 0.618) % 1 - 0.5)
