"""The figure on BN-x30's first epoch."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas

from bnbook.drawing import Figure, style
from bnbook.drawing.style import BN, GREEN, GREY, PALE, PLAIN, SMALL, WU, YELLOW
from bnbook.drawing.tables import averaged, tidy
from bnbook.experiments.protocol import ChosenResults as Results
from bnbook.experiments.unprotected_parameters import measures as unprotected
from bnbook.experiments.unprotected_parameters.protocol import VARIANTS

COLOURS = dict(zip(VARIANTS, (WU, YELLOW, PLAIN, BN, GREEN), strict=True))
DASHES = dict(zip(VARIANTS, ("-", (0, (1.5, 1.2)), (0, (4, 2)), "-", (0, (4, 1, 1, 1))), strict=True))


def first_epoch(results: Results) -> tuple[Canvas, pd.DataFrame]:
    """Loss and silent maps of BN-x30 in its first epoch, some of its parameters at the baseline's rate."""
    figure, panels = style.mosaic(4.3, [["loss", "silent"], ["names", "names"]], [1, 0.26])
    axes = [panels["loss"], panels["silent"]]
    rows = []
    for name, variant in VARIANTS.items():
        records = results.main[name]
        steps = unprotected.watched(records[0], "step")
        columns = {
            "training_loss_nats": [unprotected.watched(r, "train_loss") for r in records],
            "silent_maps_percent": [100 * unprotected.watched(r, "silent_last") for r in records],
        }
        for ax, values in zip(axes, columns.values(), strict=True):
            ax.plot(steps, np.transpose(values), color=COLOURS[name], lw=0.5, alpha=0.45)
            ax.plot(
                steps,
                np.median(values, axis=0),
                color=COLOURS[name],
                ls=DASHES[name],
                lw=1.8,
                label=variant.name,
            )
        rows += [
            {"network": variant.name, "seed": record.seed, "step": int(step)}
            | {column: values[seed][index] for column, values in columns.items()}
            for seed, record in enumerate(records)
            for index, step in enumerate(steps)
        ]
    left, right = axes
    chance = np.log(10)
    left.axhline(chance, color=GREY, lw=0.8, ls=(0, (2, 2)), zorder=1)
    left.annotate(
        "guessing",
        (0, chance),
        xycoords=("axes fraction", "data"),
        xytext=(4, -3),
        textcoords="offset points",
        va="top",
        color=GREY,
        fontsize=SMALL,
    )
    left.set(ylabel="training loss (nats)", ylim=(1, 6))
    right.set(ylabel="silent maps (%)", ylim=(-4, 104))
    style.heading(left, "Training loss", "the first epoch")
    style.heading(right, "Maps that fell silent", "of the last module")
    for ax in axes:
        ax.set_xscale("log")
        style.thousands(ax.xaxis)
        ax.set(xlabel="training steps")
        ax.grid(axis="y", color=PALE, lw=0.6)
        ax.set_axisbelow(True)
    handles, labels = left.get_legend_handles_labels()
    panels["names"].axis("off")
    panels["names"].legend(
        handles, labels, loc="center", ncols=1 if style.is_narrow() else 2, frameon=False, fontsize=SMALL
    )
    medians = averaged("median", rows, ["network", "step"], list(columns))
    return figure, tidy(run=rows, median=medians, chance=[{"training_loss_nats": chance}])


FIGURES = [
    Figure("unprotected-first-epoch", first_epoch),
]
