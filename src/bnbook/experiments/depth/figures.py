"""The figures of deep networks: where they end, how the gradient grows at the start, what features span."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from bnbook.drawing import Figure, style
from bnbook.drawing.style import BN, GREEN, INK, PALE, PLAIN, SMALL, WU, YELLOW
from bnbook.drawing.tables import Rows, averaged, tidy
from bnbook.experiments.depth import measures
from bnbook.experiments.depth.protocol import ARMS, LAYERS_A_BLOCK
from bnbook.experiments.protocol import Results

Drawn = tuple[Canvas, pd.DataFrame]

KEY_ABOVE = 1.45  # the axis goes on, so that the key stands above all lines
COLOURS = {"plain": PLAIN, "plain_bn": BN, "residual": YELLOW, "residual_bn": GREEN, "skipinit": WU}
NAMES = {arm: kind.name for arm, kind in ARMS.items()}
PANELS = {
    "Without BN": ("plain", "residual", "skipinit"),
    "With BN": ("plain_bn", "residual_bn"),
}


def accuracy(results: Results) -> Drawn:
    """Accuracy at the end by depth: test images, and training images beside them."""
    figure, axes = style.panels(3.6, 1, 2, sharex=True, sharey=True)
    rows: Rows = []
    for ax, (title, arms) in zip(axes, PANELS.items(), strict=True):
        for arm in arms:
            own = []
            for depth in results.profile.depths:
                pairs = zip(
                    measures.of(results, arm, depth),
                    measures.ends(results, arm, depth),
                    measures.train_ends(results, arm, depth),
                    strict=True,
                )
                own += [
                    {"network": NAMES[arm], "depth": depth, "seed": record.seed}
                    | {"test_accuracy_percent": test, "training_accuracy_percent": train}
                    for record, test, train in pairs
                ]
            rows += own
            colour, table = COLOURS[arm], pd.DataFrame(own)
            ax.plot(table["depth"], table["test_accuracy_percent"], "o", color=colour, ms=4, alpha=0.6, mew=0)
            mean = table.groupby("depth")[["test_accuracy_percent", "training_accuracy_percent"]].mean()
            ax.plot(mean.index, mean["test_accuracy_percent"], color=colour, lw=1.8, label=NAMES[arm])
            ax.plot(mean.index, mean["training_accuracy_percent"], color=colour, lw=1, ls=(0, (4, 2)))
        style.heading(ax, title, "dots: seeds; dashed: training images")
        ax.set(xlabel="layers", xticks=results.profile.depths)
        ax.grid(axis="y", color=PALE, lw=0.6)
        ax.legend(frameon=False, fontsize=SMALL, labelcolor="linecolor", loc="upper right")
    lines = [line for ax in axes for line in ax.lines]
    highest = max(np.nanmax(line.get_ydata()) for line in lines)
    axes[0].set(ylabel="accuracy (%)", ylim=(0, KEY_ABOVE * highest))
    measured = ["test_accuracy_percent", "training_accuracy_percent"]
    return figure, tidy(run=rows, mean=averaged("mean", rows, ["network", "depth"], measured))


def gradient(results: Results) -> Drawn:
    """The gradient before training by layer, over that at the end: the deepest networks, and a wide one
    beside the theory's line."""
    figure, axes = style.panels(3.8, 1, 2)
    rows, lines = [], []
    deep = results.profile.deep
    for arm in ARMS:
        found = np.array([record.arrays["gradient"] for record in measures.of(results, arm, deep)])
        layers = 1 + LAYERS_A_BLOCK * np.arange(found.shape[1])
        rows += _line(axes[0], layers, found, NAMES[arm], COLOURS[arm])
    style.heading(axes[0], f"{deep} layers of convolutions", "untrained; geometric mean over seeds")
    widest, largest = results.profile.widths[-1], results.profile.batches[-1]
    for network, colour in (("plain", PLAIN), ("bn", BN)):
        records = results.main["wide", network, str(widest), str(largest)]
        found = np.array([record.arrays["gradient"] for record in records])
        layers = np.arange(1, found.shape[1] + 1)
        rows += _line(axes[1], layers, found, f"wide, {style.NAMES[network]}", colour)
    theory = measures.theory() ** (layers[-1] - layers)
    axes[1].plot(layers, theory, color=INK, lw=1.2, ls=(0, (2, 2)), label="theory")
    lines += [
        {"layer": int(layer), "gradient_ratio": value} for layer, value in zip(layers, theory, strict=True)
    ]
    style.heading(axes[1], f"{widest:,} units a layer", f"mini-batches of {largest:,}; untrained")
    for ax in axes:
        ax.set_yscale("log")
        style.plain_log(ax.yaxis)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set(xlabel="layer")
        ax.grid(axis="y", color=PALE, lw=0.6)
        ax.legend(frameon=False, fontsize=SMALL, labelcolor="linecolor")
    axes[0].set_ylabel("gradient, over that at the end")
    return figure, tidy(mean=rows, theory=lines)


def rank(results: Results) -> Drawn:
    """Effective rank of the features by layer in the deepest networks, before training and after."""
    figure, axes = style.panels(3.8, 1, 2, sharex=True, sharey=True)
    rows, deep = [], results.profile.deep
    moments = {"rank": "Before training", "rank_end": "After training"}
    for ax, (when, title) in zip(axes, moments.items(), strict=True):
        for arm in ARMS:
            found = measures.ranks(results, arm, deep, when)
            if not len(found):  # all diverged
                continue
            middle = found.mean(0)
            layers = 1 + LAYERS_A_BLOCK * np.arange(len(middle))
            ax.plot(layers, middle, color=COLOURS[arm], lw=1.8, label=NAMES[arm])
            rows += [
                {"when": title, "network": NAMES[arm], "layer": int(layer), "effective_rank": value}
                for layer, value in zip(layers, middle, strict=True)
            ]
        ax.set_yscale("log")
        style.plain_log(ax.yaxis)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        style.heading(ax, title, "mean over seeds")
        ax.set_xlabel("layer")
        ax.grid(axis="y", color=PALE, lw=0.6)
    axes[0].set_ylabel("directions that the features span")
    style.key(figure, axes[0], style.columns(len(ARMS)))
    return figure, tidy(mean=rows)


def _line(ax: Axes, layers: np.ndarray, found: np.ndarray, name: str, colour: str) -> Rows:
    """A line of the gradient (seeds, layers) over that of the last layer; its rows."""
    middle = np.exp(np.log(found / found[:, -1:]).mean(0))
    ax.plot(layers, middle, color=colour, lw=1.8, label=name)
    return [
        {"network": name, "layer": int(layer), "gradient_ratio": value}
        for layer, value in zip(layers, middle, strict=True)
    ]


FIGURES = [
    Figure("depth-accuracy", accuracy, "net"),
    Figure("depth-gradient", gradient),
    Figure("depth-rank", rank, "net"),
]
