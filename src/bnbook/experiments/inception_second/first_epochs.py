"""Figures of single epochs of Section 4.2's plain network: with which seeds it learns at all."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bnbook.drawing import style
from bnbook.drawing.style import BN, GREY, PALE, PLAIN, SMALL
from bnbook.experiments.inception_second import measures as second
from bnbook.experiments.inception_second.protocol import LEARNS, Results
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


def survival(results: Results) -> tuple[Figure, pd.DataFrame]:
    """The share of seeds that learn by learning rate, with and without batch normalization."""
    cells = results.stages["survival"]
    figure = style.figure(3.4)
    ax = figure.subplots()
    table = []
    for norm, name, colour in ((False, "without BN", PLAIN), (True, "with BN", BN)):
        lrs = sorted(lr for with_norm, lr in cells if with_norm == norm)
        shares = [second.survivors(cells[norm, lr]) for lr in lrs]
        middle, low, high = np.transpose([(100 * s.estimate, 100 * s.low, 100 * s.high) for s in shares])
        ax.fill_between(lrs, low, high, color=colour, alpha=0.15, lw=0)
        ax.plot(lrs, middle, "o-", color=colour, ms=4.5, lw=1.6, label=name)
        table += [
            {"network": name, "learning_rate": lr, "seeds": share.n, "learn_percent": a, "low": b, "high": c}
            for lr, share, a, b, c in zip(lrs, shares, middle, low, high, strict=True)
        ]
    ax.set_xscale("log", base=2)
    rates = sorted({lr for _, lr in cells})
    ax.set_xticks(rates, [f"{lr:g}" for lr in rates], rotation=45)
    ax.minorticks_off()
    ax.set(xlabel="learning rate", ylabel="seeds that learn (%)", ylim=(-4, 104))
    ax.grid(axis="y", color=PALE, lw=0.6)
    ax.set_axisbelow(True)
    ax.legend(frameon=False, loc="lower left", fontsize=SMALL)
    style.heading(ax, "Which learning rates a network survives", "an epoch; bands are 95% intervals")
    return figure, pd.DataFrame(table)


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
