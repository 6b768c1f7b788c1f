"""The figures of `only_gamma_beta`: what each part of a network can do alone, and what becomes of gamma."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from bnbook import paper, stats
from bnbook.drawing import Figure, style
from bnbook.drawing.style import BN, GREEN, GREY, INK, PALE, PLAIN, SMALL
from bnbook.drawing.tables import Rows, averaged, tidy
from bnbook.experiments.only_gamma_beta import measures
from bnbook.experiments.only_gamma_beta.protocol import ARMS, NEAR_ZERO
from bnbook.experiments.protocol import Results
from bnbook.measures import accuracies

Drawn = tuple[Canvas, pd.DataFrame]

NAMES = {
    "gamma_beta": "γ and β alone",
    "random": "as many weights",
    "output": "output layer alone",
    "all": "whole network",
}
COLOURS = {"gamma_beta": BN, "random": PLAIN, "output": GREEN, "all": INK}
CHANCE = 10.0  # percent, of ten classes
EDGES = np.linspace(-4, 4, 81)  # of the histogram of gammas; those beyond count in the outermost
SWITCHES = ((1.0, 0.0, "half passes"), (0.5, -0.7, "only rare values pass"), (0.02, 0.6, "switched off"))


def switches(_: None = None) -> Drawn:
    """What gamma and beta make of one random feature, normalized, and what of it a ReLU passes."""
    figure, axes = style.panels(2.7, 1, 3, sharex=True)
    values = np.linspace(-3, 3, 601)
    rows = []
    for ax, (gamma, beta, words) in zip(axes, SWITCHES, strict=True):
        density = np.exp(-(((values - beta) / gamma) ** 2) / 2) / (gamma * np.sqrt(2 * np.pi))
        ax.plot(values, density, color=BN, lw=1.4)
        ax.fill_between(values, density, where=values > 0, color=BN, alpha=0.3, lw=0)
        ax.axvline(0, color=GREY, lw=0.8)
        ax.set(xlabel=r"$\gamma \hat{x} + \beta$", yticks=[], ylim=(0, 1.1), xlim=(-3, 3))
        ax.spines["left"].set_visible(False)
        style.heading(ax, words.capitalize(), rf"$\gamma$ = {gamma:g}, $\beta$ = {beta:g}".replace("-", "−"))
        rows += [
            {"gamma": gamma, "beta": beta, "y": y, "density": d}
            for y, d in zip(values, density, strict=True)
            if d < 1.1
        ]
    return figure, tidy(curve=rows)


def arms(results: Results) -> Drawn:
    """Test accuracy of the network that decides, by what of it is trained."""
    figure = style.figure(2.9)
    ax = figure.subplots()
    rows, means = [], []
    for height, arm in enumerate(reversed(ARMS)):
        records = measures.runs(results, arm)
        found, colour = accuracies(records), COLOURS[arm]
        count = int(records[0].final["parameters"])
        whole = stats.mean_interval(found)
        ax.plot([whole.low, whole.high], [height] * 2, color=colour, lw=2, alpha=0.45)
        ax.plot([whole.estimate] * 2, [height - 0.2, height + 0.2], color=colour, lw=2)
        ax.scatter(found, np.full(len(found), height), s=20, color=colour, alpha=0.7, lw=0)
        ax.annotate(
            f"{whole.estimate:.1f}",
            (whole.estimate, height + 0.24),
            ha="center",
            va="bottom",
            color=colour,
            fontsize=SMALL,
        )
        own = {"trained": NAMES[arm], "parameters": count}
        rows += [
            own | {"seed": record.seed, "test_accuracy_percent": value}
            for record, value in zip(records, found, strict=True)
        ]
        means.append(
            own
            | {"test_accuracy_percent": whole.estimate, "low_percent": whole.low, "high_percent": whole.high}
        )
    ax.axvline(CHANCE, color=GREY, lw=0.8, ls=(0, (2, 2)))
    ax.set_yticks(range(len(ARMS)), [f"{row['trained']} ({row['parameters']:,})" for row in means])
    ax.set(xlabel="test accuracy (%)", ylim=(-0.5, len(ARMS) - 0.3))
    _plain(ax, "x")
    ax.tick_params(axis="y", length=0)
    style.heading(ax, "What is trained", "in brackets: how many parameters; dots: seeds; dashed: guessing")
    return figure, tidy(run=rows, mean=means, chance=[{"test_accuracy_percent": CHANCE}])


def sizes(results: Results) -> Drawn:
    """Test accuracy by depth and by width, by what is trained."""
    figure, axes = style.panels(3.6, 1, 2, sharey=True)
    rows, means = [], []
    parts = ((measures.by_depth(results), 0), (measures.by_width(results), 1))
    for ax, (networks, part) in zip(axes, parts, strict=True):
        for arm in ARMS:
            found = []
            for size in networks:
                records = measures.runs(results, arm, size)
                own = {"trained": NAMES[arm], "depth": size[0], "width": size[1]}
                found += [
                    own | {"seed": record.seed, "test_accuracy_percent": value}
                    for record, value in zip(records, accuracies(records), strict=True)
                ]
                ax.scatter(
                    np.full(len(records), size[part]),
                    accuracies(records),
                    s=14,
                    color=COLOURS[arm],
                    alpha=0.6,
                    lw=0,
                )
            middle = averaged("mean", found, ["trained", "depth", "width"], ["test_accuracy_percent"])
            ax.plot(
                [size[part] for size in networks],
                [row["test_accuracy_percent"] for row in middle],
                color=COLOURS[arm],
                lw=1.6,
                label=NAMES[arm],
            )
            rows, means = rows + found, means + middle
        ax.set_xscale("log")
        ax.set_xticks([size[part] for size in networks], [str(size[part]) for size in networks])
        ax.minorticks_off()
        ax.axhline(CHANCE, color=GREY, lw=0.8, ls=(0, (2, 2)))
        _plain(ax, "y")
    axes[0].set(xlabel="depth (layers)", ylabel="test accuracy (%)")
    axes[1].set(xlabel="width (channels of the first stage)")
    style.heading(axes[0], "By depth", "dots: seeds; line: mean")
    style.heading(axes[1], "By width", "dashed: guessing")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(
        handles,
        names,
        loc="outside upper center",
        ncols=style.columns(4),
        frameon=False,
        fontsize=SMALL,
        labelcolor="linecolor",
    )
    table = tidy(run=rows, mean=means, chance=[{"test_accuracy_percent": CHANCE}])
    return figure, table.drop_duplicates(ignore_index=True)  # the network that decides is in both panels


def gammas(results: Results) -> Drawn:
    """Where only gamma and beta are trained: gamma before training and after, and the share near 0."""
    figure, (left, right) = style.panels(3.5, 1, 2, width_ratios=[1.2, 1])
    records = measures.runs(results, "gamma_beta")
    middles, width = (EDGES[1:] + EDGES[:-1]) / 2, EDGES[1] - EDGES[0]
    densities: Rows = []
    for at, words, colour in (("gamma_start", "before training", GREY), ("gamma", "after training", BN)):
        values = np.concatenate([record.arrays[at] for record in records]).clip(EDGES[0], EDGES[-1])
        height = np.histogram(values, EDGES)[0] / len(values) / width
        left.fill_between(middles, height, color=colour, alpha=0.2, lw=0)
        left.plot(middles, height, color=colour, lw=1.4, label=words)
        densities += [
            {"when": words, "gamma": gamma, "density": value}
            for gamma, value in zip(middles, height, strict=True)
        ]
    left.set(xlabel=r"$\gamma$", yticks=[], xlim=(EDGES[0], EDGES[-1]), ylim=(0, None))
    left.spines["left"].set_visible(False)
    left.legend(frameon=False, fontsize=SMALL, loc="upper left", labelcolor="linecolor")
    style.heading(left, "All gammas", "all layers and seeds")
    rows: Rows = []
    for record in records:
        columns = record.curves["gammas"]
        shares = 100 * np.array(columns["near_zero"])
        right.plot(columns["step"], shares, color=BN, lw=1, alpha=0.6)
        rows += [
            {"seed": record.seed, "step": step, "near_zero_percent": share}
            for step, share in zip(columns["step"], shares, strict=True)
        ]
    asked = measures.near_zero(results, "gamma_beta", at="gamma_start").mean()
    asked += paper.effect("c-after-gamma-beta-off")
    right.axhline(asked, color=GREY, lw=0.8, ls=(0, (2, 2)))
    right.set_xscale("log")
    style.plain_log(right.xaxis)
    right.set(xlabel="training steps", ylabel=rf"$|\gamma|$ < {NEAR_ZERO:g} (%)", ylim=(0, None))
    _plain(right, "y")
    style.heading(right, "Gammas near 0", "a line a seed; dashed: asked for")
    return figure, tidy(run=rows, density=densities, effect=[{"near_zero_percent": asked}])


def _plain(ax: Axes, axis: str) -> None:
    ax.grid(axis=axis, color=PALE, lw=0.6)
    ax.set_axisbelow(True)


FIGURES = [
    Figure("gamma-beta-arms", arms),
    Figure("gamma-beta-sizes", sizes),
    Figure("gamma-beta-gammas", gammas),
    Figure("pic-gamma-beta", switches, stage=None),
]
