"""The figures of the learning rate's share: where networks end, and their first steps at a large one."""

import itertools

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import LogLocator, MaxNLocator

from bnbook.drawing import Figure, style
from bnbook.drawing.style import COLOURS, NAMES, PALE, SMALL
from bnbook.drawing.tables import Rows, averaged, tidy
from bnbook.experiments.learning_rate_share import measures
from bnbook.experiments.learning_rate_share.protocol import NETWORKS
from bnbook.experiments.protocol import Results
from bnbook.measures import accuracies

Drawn = tuple[Canvas, pd.DataFrame]

SHOWN_STEPS = (0, 1, 2, 4, 8, 16, 32, 64)
WHAT = {"activation": "Output", "gradient": "Gradient"}
DETAILS = {"activation": "of a layer", "gradient": "of the loss by a layer's weights"}


def accuracy(results: Results) -> Drawn:
    """Test accuracy at the end by learning rate: the matched ones, and each network's own."""
    figure = style.figure(3.6)
    ax = figure.subplots()
    rows: Rows = []
    for network in NETWORKS:
        colour = COLOURS[network]
        groups = [measures.at(results, network, lr) for lr in results.profile.matched]
        groups.append(measures.own(results, network))
        table = [
            {"network": NAMES[network], "learning_rate": record.config["lr"], "seed": record.seed}
            | {"test_accuracy_percent": value}
            for records in {id(group): group for group in groups}.values()
            for record, value in zip(records, accuracies(records), strict=True)
        ]
        rows += table
        own = pd.DataFrame(table)
        ax.plot(
            own["learning_rate"], own["test_accuracy_percent"], "o", color=colour, ms=4.5, alpha=0.6, mew=0
        )
        mean = own.groupby("learning_rate")["test_accuracy_percent"].mean()
        ax.plot(mean.index, mean, color=colour, lw=1.8, label=NAMES[network])
        best = measures.own(results, network)[0].config["lr"]
        ax.plot([best], [mean[best]], "o", color=colour, ms=12, mfc="none", mew=1.5)
    ax.set_xscale("log")
    rates = sorted({row["learning_rate"] for row in rows})
    ax.set_xticks(rates, [f"{lr:g}" for lr in rates])
    ax.minorticks_off()
    ax.set(xlabel="learning rate", ylabel="test accuracy (%)")
    style.heading(
        ax, "At the same small rates, and at its own", "dots: seeds; line: mean; ring: its own rate"
    )
    ax.grid(axis="y", color=PALE, lw=0.6)
    ax.legend(frameon=False, fontsize=SMALL, labelcolor="linecolor", loc="best")
    means = averaged("mean", rows, ["network", "learning_rate"], ["test_accuracy_percent"])
    return figure, tidy(run=rows, mean=means)


def first_steps(results: Results) -> Drawn:
    """Layer by layer, what a layer puts out and the gradient of its weights, step after step at BN's rate."""
    figure, axes = style.panels(5.2, 2, 2, sharex=True, sharey="row")
    last = results.profile.start_steps
    steps = [step for step in SHOWN_STEPS if step <= last]
    colours = colormaps["viridis"](np.linspace(0, 0.88, len(steps)))
    rows: Rows = []
    for ax, (what, network) in zip(axes.flat, itertools.product(WHAT, NETWORKS), strict=True):
        records = measures.started(results, network)
        for step, colour in zip(steps, colours, strict=True):
            found = [record.arrays[what][record.arrays["size_step"] == step] for record in records]
            found = np.concatenate(found)  # of the seeds that got there
            if not len(found):
                continue
            middle = np.median(np.minimum(found, np.finfo(np.float32).max), axis=0)
            layers = np.arange(1, len(middle) + 1)
            ax.plot(layers, np.where(middle > 0, middle, np.nan), color=colour, lw=1.5)
            rows += [
                {"network": NAMES[network], "step": step, "layer": int(layer), "quantity": what}
                | {"seeds": len(found), "value": value}
                for layer, value in zip(layers, middle, strict=True)
            ]
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(numticks=6))
        ax.minorticks_off()
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.grid(color=PALE, lw=0.6)
        ax.set_axisbelow(True)
        style.heading(ax, f"{WHAT[what]}, {NAMES[network]}", DETAILS[what])
    for ax in axes[1]:
        ax.set_xlabel("layer")
    norm = BoundaryNorm(np.arange(len(steps) + 1), len(steps))
    bar = figure.colorbar(ScalarMappable(norm, ListedColormap(colours)), ax=axes, fraction=0.04, pad=0.02)
    bar.set_ticks(np.arange(len(steps)) + 0.5, labels=[str(step) for step in steps])
    bar.set_label("after so many steps")
    bar.ax.tick_params(length=0)
    bar.outline.set_visible(False)
    return figure, tidy(median=rows)


FIGURES = [
    Figure("rate-share-accuracy", accuracy, "net"),
    Figure("rate-share-first-steps", first_steps, "start"),
]
