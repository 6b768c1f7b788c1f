"""The figures of weight decay: the grid by the product, what decay does to the norms, and rates in its
place."""

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import LogLocator

from bnbook import stats
from bnbook.drawing import Figure, style
from bnbook.drawing.style import GREEN, GREY, INK, NAMES, PALE, SMALL, WU, YELLOW
from bnbook.drawing.tables import Rows, averaged, tidy
from bnbook.experiments.protocol import Results
from bnbook.experiments.weight_decay import measures as decay
from bnbook.experiments.weight_decay.protocol import ARMS, NETWORKS, validation
from bnbook.measures import accuracies

Drawn = tuple[Canvas, pd.DataFrame]

ARM_NAMES = {"decay": "weight decay", "matched": "no decay, rates matched", "none": "no decay"}
ARM_COLOURS = {"decay": INK, "matched": GREEN, "none": YELLOW}
LAYER_COLOURS = (GREEN, YELLOW, WU)


def product(results: Results) -> Drawn:
    """Validation accuracy by weight decay, a line a rate; and the same by rate times decay."""
    figure, (left, right) = style.panels(3.6, 1, 2, sharey=True)
    rates, found = decay.rates(results), decay.cells(results)
    colours = colormaps["viridis"](np.linspace(0, 0.85, len(rates)))
    rows: Rows = []
    for rate, colour in zip(rates, colours, strict=True):
        own = {cell[1]: validation(records) for cell, records in found.items() if cell[0] == rate and cell[1]}
        for ax, factor in ((left, 1.0), (right, rate)):
            at = [factor * one for one in own]
            ax.plot(at, [values.mean() for values in own.values()], color=colour, lw=1.8, label=f"{rate:g}")
            for place, values in zip(at, own.values(), strict=True):
                ax.scatter([place] * len(values), values, color=[colour], s=11, alpha=0.5, lw=0)
        rows += [
            {"learning_rate": rate, "weight_decay": one, "product": rate * one, "seed": seed}
            | {"validation_accuracy_percent": value}
            for one, values in own.items()
            for seed, value in enumerate(values)
        ]
    decays = decay.decays(results)[1:]
    products = sorted({float(f"{rate * one:.6g}") for rate in rates for one in decays})
    for ax, ticks in ((left, decays), (right, products[::2])):
        ax.set_xscale("log")
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.minorticks_off()
        ax.grid(color=PALE, lw=0.6)
        ax.set_axisbelow(True)
    left.set(xlabel=r"weight decay $\lambda$", ylabel="validation accuracy (%)")
    right.set_xlabel(r"$\eta\lambda$")
    style.heading(left, "By weight decay", "with BN; lines: mean, dots: seeds")
    style.heading(right, "By rate times decay")
    legend = left.legend(
        frameon=False, fontsize=SMALL, labelcolor="linecolor", handlelength=1.2, title="learning rate"
    )
    legend.get_title().set_fontsize(SMALL)
    by = ["learning_rate", "weight_decay", "product"]
    return figure, tidy(run=rows, mean=averaged("mean", rows, by, ["validation_accuracy_percent"]))


def norms(results: Results) -> Drawn:
    """Squared norms of the weights by layer over training with BN, with decay and without; and what that
    makes of the effective rate."""
    figure, (left, right) = style.panels(3.5, 1, 2, sharex=True)
    rows: Rows = []
    falls = decay.arm(results, "bn", "decay")[0].config["decay"]
    for name, dashes in (("decay", "-"), ("none", (0, (4, 2)))):
        steps, found = decay.shrunk(results, "bn", name)
        given = falls ** (steps / steps[-1])
        for layer, (ratios, colour) in enumerate(zip(found, LAYER_COLOURS, strict=False), start=1):
            label = f"layer {layer}" if name == "decay" else None
            left.plot(steps, ratios, color=colour, ls=dashes, lw=1.6, label=label)
            right.plot(steps, given / ratios, color=colour, ls=dashes, lw=1.6)
            rows += [
                {"network": ARM_NAMES[name], "layer": layer, "step": step}
                | {"squared_norm_ratio": ratio, "effective_rate_ratio": rate}
                for step, ratio, rate in zip(steps, ratios, given / ratios, strict=True)
            ]
    for ax in (left, right):
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        style.plain_log(ax.yaxis)
        ax.minorticks_off()
        style.thousands(ax.xaxis)
        ax.set_xlabel("training steps")
        ax.axhline(1, color=GREY, lw=0.8)
        ax.grid(color=PALE, lw=0.6)
        ax.set_axisbelow(True)
    left.set_ylabel("squared norm of the weights ÷ initial")
    right.set_ylabel("effective rate ÷ initial")
    left.legend(frameon=False, fontsize=SMALL, labelcolor="linecolor", handlelength=1.2)
    style.heading(left, "Decay shrinks the weights", "with BN; dashed: no decay")
    style.heading(right, "Which keeps the rate up", "the rate that is set falls tenfold")
    return figure, pd.DataFrame(rows)


def matched(results: Results) -> Drawn:
    """Test accuracy over training with decay, without, and at matched rates, with BN and without; and below,
    what it ends at less what decay ends at."""
    figure, axes = style.panels(4.9, 2, 2, height_ratios=[3, 1.3], by_column=True)
    rows: Rows = []
    ends: Rows = []
    means: Rows = []
    for (top, bottom), network in zip(axes.T, reversed(NETWORKS), strict=True):
        for name in ARMS:
            steps, values = decay.curves(results, network, name)
            dashes = (0, (4, 2)) if name == "matched" else "-"  # what lies beneath shows through
            width = 2.4 if name == "decay" else 1.6
            top.plot(
                steps, values.mean(0), color=ARM_COLOURS[name], lw=width, ls=dashes, label=ARM_NAMES[name]
            )
            means += [
                {"network": NAMES[network], "training": ARM_NAMES[name], "step": step}
                | {"test_accuracy_percent": value}
                for step, value in zip(steps, values.mean(0), strict=True)
            ]
        lines = _ends(bottom, results, network)
        ends += lines[0]
        rows += lines[1]
        style.thousands(top.xaxis)
        top.set(xlabel="training steps", ylabel="test accuracy (%)")
        top.grid(color=PALE, lw=0.6)
        top.set_axisbelow(True)
        style.heading(top, NAMES[network][0].upper() + NAMES[network][1:], "lines: mean of the seeds")
    axes[0, 0].legend(frameon=False, fontsize=SMALL, labelcolor="linecolor", handlelength=1.6)
    effect = [{"difference_points": sign * decay.MARGIN} for sign in (-1, 1)]
    return figure, tidy(mean=means, run=rows, new_mean=ends, effect=effect)


def _ends(ax: Axes, results: Results, network: str) -> tuple[Rows, Rows]:
    """Draw the differences to decay at the end, by seed and in the mean with its interval; both as rows."""
    means: Rows = []
    rows: Rows = []
    decayed = accuracies(decay.arm(results, network, "decay"))
    for height, name in enumerate(("none", "matched")):
        records = decay.arm(results, network, name)
        values = accuracies(records) - decayed
        whole = stats.mean_interval(values)
        ax.scatter(values, np.full(len(values), height), color=ARM_COLOURS[name], s=11, alpha=0.3, lw=0)
        ax.plot([whole.low, whole.high], [height + 0.3] * 2, color=ARM_COLOURS[name], lw=3)
        own = {"network": NAMES[network], "training": ARM_NAMES[name]}
        rows += [
            own | {"seed": record.seed, "difference_points": value}
            for record, value in zip(records, values, strict=True)
        ]
        means.append(
            own | {"difference_points": whole.estimate, "low_points": whole.low, "high_points": whole.high}
        )
    ax.axvline(0, color=GREY, lw=0.8)
    for sign in (-1, 1):
        ax.axvline(sign * decay.MARGIN, color=INK, lw=1, ls=(0, (4, 3)))
    ax.set(ylim=(-0.4, 1.7), yticks=[], xlabel="difference at the end (points)")
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x", color=PALE, lw=0.6)
    ax.set_axisbelow(True)
    style.heading(ax, "Difference to weight decay", "dashed: what counts as the same")
    return means, rows


FIGURES = [
    Figure("decay-product", product, "bn"),
    Figure("decay-norms", norms, "new"),
    Figure("decay-matched", matched, "new"),
]
