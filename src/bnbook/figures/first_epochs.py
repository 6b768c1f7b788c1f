"""Figures of single epochs of Section 4.2's plain network: with which seeds it learns at all."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnbook.figures import style
from bnbook.figures.style import BN, GREY, PALE, PLAIN, SMALL
from bnbook.measures import inception_second as second
from bnbook.protocols.inception_second import LEARNS, Results
from bnbook.records import Record

INITIAL_NAMES = {"he": "He", "xavier": "Xavier", "gaussian": "Gaussian"}


def precision(results: Results) -> tuple[Figure, pd.DataFrame]:
    """Validation accuracy after an epoch of the plain network, by precision and decay; a dot a seed."""
    cells = results.stages["precision"]
    rows = [
        (f"{name}, decay {decay:g}", PLAIN if name == "float32" else BN, records)
        for (name, decay), records in cells.items()
    ]
    return _strips(rows, "One rate, one network, one epoch")


def initial(results: Results) -> tuple[Figure, pd.DataFrame]:
    """The same by initial weights."""
    rows = [
        (INITIAL_NAMES[name] + (", output layer × 0.1" if scale < 1 else ""), PLAIN, records)
        for (name, scale), records in results.stages["initial"].items()
    ]
    return _strips(rows, "Initial weights")


def _strips(rows: Sequence[tuple[str, str, Sequence[Record]]], heading: str) -> tuple[Figure, pd.DataFrame]:
    figure = style.figure(1.2 + 0.42 * len(rows))
    ax = figure.subplots()
    table = []
    for place, (name, colour, records) in enumerate(rows):
        values = second.accuracies(records)
        _strip(ax, place, values, colour)
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


def _strip(ax: Axes, place: int, values: np.ndarray, colour: str) -> None:
    """Dots at `values` on the line `place`, close ones beside one another, in the order of the seeds."""
    spread = 0.24 * ((np.arange(len(values)) * 0.618) % 1 - 0.5) * 2
    ax.plot(values, place + spread, "o", color=colour, ms=4.5, alpha=0.75, mew=0)
