"""The figures of Section 3's Algorithm 1: its graph, its gradient, its precision."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from bnbook.drawing import Figure, style
from bnbook.drawing.style import BN, GREEN, GREY, INK, PALE, PLAIN, SMALL, WU, YELLOW
from bnbook.drawing.tables import tidy
from bnbook.experiments.algorithm1_line_by_line import measures as algorithm1
from bnbook.experiments.algorithm1_line_by_line.protocol import DTYPES, IMPLEMENTATIONS, INPUTS, VARIANCES
from bnbook.experiments.protocol import Results

Drawn = tuple[Canvas, pd.DataFrame]

NAMES = {"ours": "this book's", "torch": "torch", "printed": "as printed", "naive": "naive variance"}
COLOURS = {"ours": BN, "torch": WU, "printed": YELLOW, "naive": PLAIN}
MARKERS = {"ours": "o", "torch": "D", "printed": "s", "naive": "X"}
VARIANCE_NAMES = {"naive": r"$E[x^2] - E[x]^2$", "deviations": "deviations", "ours": "this book's"}
VARIANCE_WORDS = {"naive": "naive variance", "deviations": "deviations", "ours": "this book's"}
VARIANCE_COLOURS = {"naive": PLAIN, "deviations": YELLOW, "ours": BN}
PRECISIONS = {"float64": 2.0**-53, "float32": 2.0**-24, "bfloat16": 2.0**-8}  # largest error of rounding

DIRECTLY, BY_VARIANCE, BY_MEAN = BN, PLAIN, GREEN  # the three ways in which x acts


# The graph

NODES = {
    # name: (x, y, symbol, shape)
    "x": (0.0, 0.0, r"$x$", "(m, C)"),
    "variance": (2.55, 1.15, r"$\sigma^2_B$", "(C,)"),
    "mean": (2.55, -1.15, r"$\mu_B$", "(C,)"),
    "x_hat": (5.1, 0.0, r"$\hat{x}$", "(m, C)"),
    "y": (7.4, 0.0, r"$y$", "(m, C)"),
    "gamma": (6.9, 1.15, r"$\gamma$", "(C,)"),
    "beta": (7.9, 1.15, r"$\beta$", "(C,)"),
}
ONE_OVER_STD = r"1 / \sqrt{\sigma^2_B + \epsilon}"
EDGES = [
    # from, to, colour, the derivative written at it, where (x, y), how it is aligned
    ("x", "x_hat", DIRECTLY, f"${ONE_OVER_STD}$", (3.6, 0.08), "center", "bottom"),
    ("x", "variance", BY_VARIANCE, r"$2 (x - \mu_B) / m$", (0.95, 0.84), "center", "bottom"),
    ("x", "mean", BY_MEAN, r"$1 / m$", (0.95, -0.86), "center", "top"),
    (
        "variance",
        "x_hat",
        BY_VARIANCE,
        r"$-\frac{1}{2} (x - \mu_B) (\sigma^2_B + \epsilon)^{-3/2}$",
        (3.95, 0.84),
        "left",
        "bottom",
    ),
    ("mean", "x_hat", BY_MEAN, f"$-{ONE_OVER_STD}$", (3.95, -0.82), "left", "top"),
    ("mean", "variance", GREY, "", (0, 0), "center", "center"),
    ("x_hat", "y", INK, r"$\gamma$", (6.25, 0.08), "center", "bottom"),
    ("gamma", "y", INK, "", (0, 0), "center", "center"),
    ("beta", "y", INK, "", (0, 0), "center", "center"),
]
# On a phone the graph runs downwards: where the nodes are, and where what is written at the edges.
DOWN = {
    **{"x": (0, 0), "variance": (-1.55, -2.5), "mean": (1.55, -2.5), "x_hat": (0, -5.0)},
    **{"gamma": (-1.55, -7.3), "y": (0, -7.3), "beta": (1.55, -7.3)},
}
DOWN_TEXTS = {
    ("x", "x_hat"): ((0.08, -2.05), "left", "center"),
    ("x", "variance"): ((-0.85, -0.95), "right", "center"),
    ("x", "mean"): ((0.85, -0.95), "left", "center"),
    ("variance", "x_hat"): ((-2.6, -4.6), "left", "center"),
    ("mean", "x_hat"): ((0.85, -4.1), "left", "center"),
    ("x_hat", "y"): ((-0.1, -6.2), "right", "center"),
}


def graph(_: None = None) -> Drawn:
    """What depends on what in Algorithm 1, with shapes; the three ways from x to x_hat in three colours."""
    down = style.is_narrow()
    figure = style.figure(5.2 if down else 3.5)
    ax = figure.subplots()
    places = DOWN if down else {name: (x, y) for name, (x, y, *_) in NODES.items()}
    half = 0.45 if down else 0.3  # a box's height
    for name, (_, _, symbol, shape) in NODES.items():
        x, y = places[name]
        vector = shape == "(C,)"
        ax.add_patch(
            FancyBboxPatch(
                (x - 0.38, y - half),
                0.76,
                2 * half,
                boxstyle="round,pad=0.02,rounding_size=0.12",
                fc="#f3f3f3" if vector else "white",
                ec=GREY,
                lw=1.0,
                zorder=3,
            )
        )
        ax.text(x, y + 0.27 * half, symbol, ha="center", va="center", fontsize=12, zorder=4)
        ax.text(x, y - 0.6 * half, shape, ha="center", va="center", fontsize=SMALL, color=GREY, zorder=4)
    for start, end, colour, text, place, ha, va in EDGES:
        idle = (start, end) == ("mean", "variance")
        ax.add_patch(
            FancyArrowPatch(
                places[start],
                places[end],
                arrowstyle="-|>",
                mutation_scale=11,
                color=colour,
                lw=1.0 if idle else 1.8,
                ls=(0, (3, 2)) if idle else "-",
                shrinkA=21,
                shrinkB=24,
                zorder=2,
            )
        )
        if down:
            place, ha, va = DOWN_TEXTS.get((start, end), (place, ha, va))
        ax.text(*place, text, color=colour, ha=ha, va=va, fontsize=SMALL + 0.5, zorder=5)
    idle_at, key_at, line_height = (
        ((-1.1, -2.42), (0.35, -5.75), 0.4) if down else ((2.68, -0.4), (5.9, -0.75), 0.29)
    )
    ax.text(*idle_at, "adds nothing", color=GREY, fontsize=SMALL, va="bottom" if down else "center", zorder=5)
    for line, (text, colour) in enumerate(
        [("directly", DIRECTLY), ("through the variance", BY_VARIANCE), ("through the mean", BY_MEAN)]
    ):
        at = (key_at[0], key_at[1] - line_height * line)
        ax.text(*at, text, color=colour, fontweight="bold", fontsize=SMALL + 0.5)
    limits = ((-2.65, 2.65), (-7.9, 0.6)) if down else ((-0.5, 8.4), (-1.55, 1.55))
    ax.set(xlim=limits[0], ylim=limits[1], xticks=[], yticks=[])
    ax.spines[["left", "bottom"]].set_visible(False)
    style.heading(ax, "Algorithm 1 as a graph", "forward along the arrows; at an arrow: its derivative")
    rows = [{"from": start, "to": end, "shape": NODES[end][3]} for start, end, *_ in EDGES]
    return figure, pd.DataFrame(rows)


# What is left of a gradient


def left_over(_: None = None) -> Drawn:
    """A toy mini-batch of 12 values: the gradient with respect to x_hat, the straight line that the ways
    through mean and variance take away, and what is left."""
    rng = np.random.default_rng(5)
    m = 12
    x = rng.normal(size=m)
    x_hat = (x - x.mean()) / x.std()
    d_x_hat = 0.9 + 0.8 * x_hat + 0.7 * rng.normal(size=m)  # gamma is 1, and so is the deviation
    by_mean = -np.full(m, d_x_hat.mean())
    by_variance = -x_hat * (d_x_hat * x_hat).mean()
    d_x = d_x_hat + by_mean + by_variance
    figure, (left, right) = style.panels(3.7, 1, 2, sharey=True)
    ends = np.array([x_hat.min() - 0.3, x_hat.max() + 0.3])
    slope = (d_x_hat * x_hat).mean()
    left.plot(ends, [d_x_hat.mean()] * 2, color=BY_MEAN, lw=1.8)
    left.plot(ends, d_x_hat.mean() + slope * ends, color=BY_VARIANCE, lw=1.8)
    left.vlines(x_hat, d_x_hat - d_x, d_x_hat, color=PALE, lw=1.6, zorder=1)
    left.scatter(x_hat, d_x_hat, s=28, color=DIRECTLY, lw=0, zorder=3)
    right.vlines(x_hat, 0, d_x, color=PALE, lw=1.6, zorder=1)
    right.scatter(x_hat, d_x, s=28, color=INK, lw=0, zorder=3)
    for ax in (left, right):
        ax.axhline(0, color=GREY, lw=0.8, zorder=0)
        ax.set(xlabel=r"$\hat{x}$", xlim=(ends[0] - 0.1, ends[1] + 0.1))
    left.set_ylabel("derivative of the loss")
    style.heading(left, r"What comes directly", r"a dot an example; $\sigma_B = 1$")
    style.heading(right, r"What is left: $\partial \ell / \partial x$", "mean 0, and no slope")
    style.labels(
        left, [("a line for the mean", BY_MEAN), ("tilted by the variance", BY_VARIANCE)], 0.03, 0.98, "left"
    )
    left.set_ylim(top=max(d_x_hat.max(), 2.0) + 1.3)
    columns = {
        "x": x,
        "x_hat": x_hat,
        "directly": d_x_hat,
        "through_the_mean": by_mean,
        "through_the_variance": by_variance,
        "d_x": d_x,
    }
    return figure, pd.DataFrame(columns)


# Finite differences


def differences(results: Results) -> Drawn:
    """How far the gradient is from finite differences, by their stride."""
    figure = style.figure(3.6)
    ax = figure.subplots()
    strides = algorithm1.column(results, "differences", "stride")[0]
    shown = {
        "ignored": (PLAIN, "mean and variance taken for constants", "--"),
        "float32": (YELLOW, "differences in float32", "-"),
        "float64": (BN, "differences in float64", "-"),
    }
    rows = []
    for name, (colour, label, line) in shown.items():
        errors = algorithm1.column(results, "differences", name)
        ax.plot(strides, errors.T, color=colour, lw=0.8, alpha=0.6, ls=line)
        ax.plot([], [], color=colour, lw=2, ls=line, label=label)
        rows += [
            {"gradient": name, "seed": seed, "stride_std": stride, "error_ratio": error}
            for seed, found in enumerate(errors)
            for stride, error in zip(strides, found, strict=True)
        ]
    ax.set(xscale="log", yscale="log", xlabel="stride of the differences, in standard deviations of x")
    ax.set_ylabel("largest error / largest derivative")
    ax.set_ylim(top=1e10 if style.is_narrow() else 1e6)  # room for the key
    style.heading(ax, "The gradient by hand against finite differences", "a line a seed")
    ax.legend(frameon=False, fontsize=SMALL, loc="upper right", labelspacing=0.3)
    _plain(ax)
    return figure, pd.DataFrame(rows)


# The variance


def variance(results: Results) -> Drawn:
    """The error of the variance as the mean moves away from zero."""
    figure, axes = style.panels(3.6, 1, 2, sharey=True)
    distances = algorithm1.column(results, "variance", "distance")[0]
    rows = []
    for ax, dtype in zip(axes, ("float32", "float64"), strict=True):
        for how in reversed(VARIANCES):
            errors = algorithm1.column(results, "variance", f"{how}.{dtype}")
            colour = VARIANCE_COLOURS[how]
            # An error of exactly 0 has no place on a logarithmic axis: it is drawn at the rounding's.
            drawn = np.maximum(errors, PRECISIONS[dtype] / 10)
            ax.plot(distances, drawn.T, color=colour, lw=0.8, alpha=0.7)
            ax.plot([], [], color=colour, lw=2, label=VARIANCE_NAMES[how])
            rows += [
                {"precision": dtype, "method": VARIANCE_WORDS[how], "seed": seed}
                | {"mean_std": distance, "error_ratio": error}
                for seed, found in enumerate(drawn)
                for distance, error in zip(distances, found, strict=True)
            ]
        ax.axhline(1, color=GREY, lw=0.8, ls=":")
        ax.set(xscale="log", yscale="log", xlabel="mean / standard deviation")
        ax.set_xticks([1, 1e2, 1e4, 1e6])
        ax.minorticks_off()
        style.heading(ax, dtype, "a line a seed")
        _plain(ax)
    axes[0].set_ylabel("relative error of the variance")
    axes[0].text(1.1, 1.6, "nothing right", color=GREY, fontsize=SMALL)
    axes[1].legend(frameon=False, fontsize=SMALL, loc="upper left", labelspacing=0.3)
    return figure, pd.DataFrame(rows)


# Precisions and inputs


def precision(results: Results) -> Drawn:
    """Errors of y and of dl/dx by input, precision and way of computing."""
    figure, axes = style.panels(6.4, 2, 3, stacked=False, sharey=True, sharex=True)
    places = np.arange(len(INPUTS))
    rows, medians = [], []
    for line, (what, title) in enumerate((("y", "Output"), ("d_x", "Gradient"))):
        for ax, dtype in zip(axes[line], DTYPES, strict=True):
            ax.axvline(PRECISIONS[dtype], color=GREY, lw=0.8, ls=":")
            for number, way in enumerate(reversed(IMPLEMENTATIONS)):
                errors = np.array(
                    [algorithm1.finals(results, name, f"{way}.{dtype}.{what}") for name in INPUTS]
                )
                # An error of exactly 0 has no place on a logarithmic axis.
                middle = np.maximum(np.median(errors, axis=1), 1e-17)
                ax.scatter(
                    middle,
                    places + 0.18 * (1.5 - number),
                    s=19,
                    marker=MARKERS[way],
                    color=COLOURS[way],
                    lw=0,
                    zorder=3,
                )
                own = {"quantity": title.lower(), "precision": dtype, "method": NAMES[way]}
                rows += [
                    own | {"input": name, "seed": seed, "error_ratio": error}
                    for name, found in zip(INPUTS, errors, strict=True)
                    for seed, error in enumerate(found)
                ]
                medians += [
                    own | {"input": name, "error_ratio": value}
                    for name, value in zip(INPUTS, middle, strict=True)
                ]
            style.heading(ax, f"{title}, {dtype}" if ax is axes[line, 0] else dtype)
            ax.grid(axis="x", color=PALE, lw=0.6)
            ax.set_axisbelow(True)
            for place in places[:-1]:
                ax.axhline(place + 0.5, color=PALE, lw=0.6)
            ax.tick_params(axis="y", length=0)
    axes[0, 0].set(
        xscale="log",
        xlim=(1e-18, 1e4),
        xticks=[1e-16, 1] if style.is_narrow() else [1e-16, 1e-8, 1],
        yticks=places,
        ylim=(len(INPUTS) - 0.5, -0.5),
    )
    axes[0, 0].set_yticklabels([name.replace("10000", "10,000") for name in INPUTS])
    for ax in axes[:, 0]:
        ax.set_ylabel("input: mean ± standard deviation")
    axes[1, 1].set_xlabel("relative error (dotted: one rounding)")
    handles = [
        axes[0, 0].scatter([], [], s=24, marker=MARKERS[way], color=COLOURS[way], lw=0, label=NAMES[way])
        for way in IMPLEMENTATIONS
    ]
    figure.legend(
        handles=handles, loc="outside upper center", ncols=style.columns(4), frameon=False, fontsize=SMALL
    )
    rounding = [{"precision": dtype, "error_ratio": error} for dtype, error in PRECISIONS.items()]
    return figure, tidy(run=rows, median=medians, rounding=rounding)


def _plain(ax: Axes) -> None:
    ax.grid(color=PALE, lw=0.6)
    ax.set_axisbelow(True)


FIGURES = [
    Figure("algorithm1-differences", differences, "differences", data="random numbers"),
    Figure("algorithm1-variance", variance, "variance", data="random numbers"),
    Figure("algorithm1-precision", precision, "input", data="random numbers"),
    Figure("pic-algorithm1", graph, stage=None),
    Figure("pic-gradient-left", left_over, stage=None),
]
