"""Figures of single epochs of Section 4.2's plain network: with which seeds it learns at all."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnbook.drawing import style
from bnbook.drawing.style import BN, GREY, PALE, PLAIN, SMALL
from bnbook.drawing.tables import Rows, tidy
from bnbook.experiments.inception_speedups import measures as inception
from bnbook.experiments.inception_speedups.protocol import INITIALS, LEARNS, Results
from bnbook.records import Record

Cells = dict[Any, list[Record]]  # of a stage, by the key of its configurations

INITIAL_NAMES = {"he": "He", "xavier": "Xavier", "gaussian": "Gaussian"}
ROW = 0.42  # inches
STRIPS = "a dot a seed; left of the dashed line it has learned next to nothing"
ACCURACY = "validation accuracy after an epoch (%)"
THRESHOLD: Rows = [{"validation_accuracy_percent": 100 * LEARNS}]


def precision(results: Results) -> tuple[Figure, pd.DataFrame]:
    """Validation accuracy after an epoch of the plain network, by precision and decay; a dot a seed."""
    cells = results.stages["precision"]
    rows = [(f"{name}, decay {decay:g}", records) for (name, decay), records in cells.items()]
    figure = style.figure(1.2 + ROW * len(rows))
    ax = figure.subplots()
    runs, counts = _strips(ax, rows, ringed=inception.SEED)
    style.heading(ax, "One rate, one network, one epoch", STRIPS)
    ax.set(xlabel=ACCURACY, xlim=(5, None))
    return figure, tidy(run=runs, count=counts, threshold=THRESHOLD)


def initial(results: Results) -> tuple[Figure, pd.DataFrame]:
    """The same by initial weights; where it has been made, at the full width too."""
    panels = _panels(results, "initial")
    height = 0.5 + (0.7 + ROW * len(INITIALS)) * len(panels)
    figure, grid = style.panels(height, len(panels), 1, sharex=True, squeeze=False)
    axes = grid[:, 0]
    runs, counts = [], []
    for ax, cells in zip(axes, panels, strict=True):
        rows = [
            (INITIAL_NAMES[name] + (", output layer × 0.1" if scale < 1 else ""), records)
            for (name, scale), records in cells.items()
        ]
        for table, found in zip((runs, counts), _strips(ax, rows), strict=True):
            table += [{"width": _config(cells)["width"]} | row for row in found]
    style.heading(axes[0], "Initial weights", STRIPS)
    for ax, cells in zip(axes[1:], panels[1:], strict=True):
        style.heading(ax, "At the full width", f"the same in {_config(cells)['precision']}")
    axes[-1].set(xlabel=ACCURACY, xlim=(5, None))
    return figure, tidy(run=runs, count=counts, threshold=THRESHOLD)


def survival(results: Results) -> tuple[Figure, pd.DataFrame]:
    """The share of seeds that learn by learning rate, with and without batch normalization; where it has been
    made, at the full width too."""
    panels = _panels(results, "survival")
    figure, grid = style.panels(0.5 + 2.7 * len(panels), len(panels), 1, sharex=True, squeeze=False)
    axes = grid[:, 0]
    table = pd.concat([_shares(ax, cells) for ax, cells in zip(axes, panels, strict=True)], ignore_index=True)
    rates = sorted(table["learning_rate"].unique())
    axes[-1].set_xticks(rates, [f"{lr:g}" for lr in rates], rotation=45)
    axes[-1].set_xlabel("learning rate")
    style.heading(axes[0], "Which learning rates a network survives", _setting(panels[0]))
    for ax, cells in zip(axes[1:], panels[1:], strict=True):
        style.heading(ax, "At the full width", _setting(cells))
    return figure, table


def _panels(results: Results, stage: str) -> list[Cells]:
    """The stage, and where it has been made the same at the full width."""
    return [stages[stage] for stages in (results.stages, results.full_width) if stage in stages]


def _config(cells: Cells) -> dict[str, Any]:
    """Of one of the records: what is asked of it is the same in all."""
    return next(iter(cells.values()))[0].config


def _shares(ax: Axes, cells: Cells) -> pd.DataFrame:
    """A panel: a line a network, its 95% interval a band."""
    table = []
    for norm, name, colour in ((False, "without BN", PLAIN), (True, "with BN", BN)):
        lrs = sorted(lr for with_norm, lr in cells if with_norm == norm)
        shares = [inception.survivors(cells[norm, lr]) for lr in lrs]
        middle, low, high = np.transpose([(100 * s.estimate, 100 * s.low, 100 * s.high) for s in shares])
        ax.fill_between(lrs, low, high, color=colour, alpha=0.15, lw=0)
        ax.plot(lrs, middle, "o-", color=colour, ms=4.5, lw=1.6, label=name)
        table += [
            {
                "network": name,
                "width": _config(cells)["width"],
                "learning_rate": lr,
                "seeds": share.n,
                "learned_percent": a,
                "low_percent": b,
                "high_percent": c,
            }
            for lr, share, a, b, c in zip(lrs, shares, middle, low, high, strict=True)
        ]
    ax.set_xscale("log", base=2)
    ax.minorticks_off()
    ax.set(ylabel="seeds that learn (%)", ylim=(-4, 104))
    ax.grid(axis="y", color=PALE, lw=0.6)
    ax.set_axisbelow(True)
    ax.legend(frameon=False, loc="lower left", fontsize=SMALL)
    return pd.DataFrame(table)


def _setting(cells: Cells) -> str:
    """Width, precision and seeds of a panel in a line."""
    config = _config(cells)
    seeds = [min(len(found) for (norm, _), found in cells.items() if norm == side) for side in (False, True)]
    count = f"{seeds[0]} seeds" if seeds[0] == seeds[1] else f"{seeds[0]} seeds without BN, {seeds[1]} with"
    return f"width {config['width']:g}, {config['precision']}, {count}, an epoch each; bands: 95% intervals"


def _strips(
    ax: Axes, rows: Sequence[tuple[str, Sequence[Record]]], ringed: int | None = None
) -> tuple[Rows, Rows]:
    """A panel: a line of dots for each (name, records); the seed `ringed` has a ring around its dots. The
    table's rows of the runs, and of how many learn."""
    runs, counts = [], []
    for index, (name, records) in enumerate(rows):
        values = inception.accuracies(records)
        heights = index + _beside(len(values))
        ax.plot(values, heights, "o", color=PLAIN, ms=4.5, alpha=0.75, mew=0)
        if ringed is not None and ringed < len(values):
            ax.plot(values[ringed], heights[ringed], "o", color="none", mec=GREY, ms=9)
        beside_the_axes(ax, index, f"{inception.learned(records)} of {len(records)} learn")
        runs += [
            {"setting": name, "seed": record.seed, "validation_accuracy_percent": value}
            for record, value in zip(records, values, strict=True)
        ]
        counts.append({"setting": name, "seeds": len(records), "learned_seeds": inception.learned(records)})
    ax.axvline(100 * LEARNS, color=GREY, lw=0.8, ls=(0, (2, 2)), zorder=1)
    ax.set(ylim=(len(rows) - 0.5, -0.5))
    ax.set_yticks(range(len(rows)), [name for name, *_ in rows])
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color=PALE, lw=0.6)
    ax.set_axisbelow(True)
    return runs, counts


def _beside(count: int) -> np.ndarray:
    """Heights that part dots which would lie on one another, in the order of the seeds."""
    return 0.48 * ((np.arange(count) * 0.618) % 1 - 0.5)


def beside_the_axes(ax: Axes, place: int, text: str) -> None:
    """Words to the right of the row at `place`."""
    ax.annotate(
        text,
        (1, place),
        xycoords=("axes fraction", "data"),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        fontsize=SMALL,
        annotation_clip=False,
    )
