"""The figures of Section 2: normalization outside the gradient, and whitening."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from bnbook.drawing import TOY, Figure, style
from bnbook.drawing.style import BN, GREEN, GREY, PALE, PLAIN, SMALL, WU, YELLOW
from bnbook.drawing.tables import averaged, tidy
from bnbook.experiments.outside_the_gradient import measures as outside
from bnbook.experiments.protocol import Results

Drawn = tuple[Canvas, pd.DataFrame]

NAMES = {
    "none": "not normalized",
    "mean_ignored": "mean, ignored",
    "mean_through": "mean, through",
    "mean_std_ignored": "mean and std, ignored",
    "mean_std_through": "mean and std, through",
    "whiten_through": "whitened, through",
}
COLOURS = {
    "none": GREY,
    "mean_ignored": YELLOW,
    "mean_through": GREEN,
    "mean_std_ignored": PLAIN,
    "mean_std_through": BN,
    "whiten_through": WU,
}


def march(_: None = None) -> Drawn:
    """Eight numbers u; what gradient descent moves, and what comes out of the normalization."""
    u = np.random.default_rng(2).normal(size=8)
    stride, steps = 0.8, 6
    figure, (left, right) = style.panels(3.3, 1, 2, sharey=True, width_ratios=[1.5, 1])
    rows = []
    for step in range(steps):
        x = u + stride * step
        left.scatter(x, [step] * len(u), s=26, color=YELLOW, alpha=0.8, lw=0)
        left.plot([x.mean()] * 2, [step - 0.3, step + 0.3], color=GREY, lw=1.6)
        right.scatter(x - x.mean(), [step] * len(u), s=26, color=GREEN, alpha=0.8, lw=0)
        right.plot([0, 0], [step - 0.3, step + 0.3], color=GREY, lw=1.6)
        rows += [
            {"step": step, "example": example, "u": a, "x": b, "x_hat": b - x.mean()}
            for example, (a, b) in enumerate(zip(u, x, strict=True), start=1)
        ]
    edge = u.max() + 0.7
    left.annotate(
        "",
        (edge + stride * (steps - 1), steps - 1),
        (edge, 0),
        arrowprops={"arrowstyle": "-|>", "color": GREY, "lw": 1.2},
        annotation_clip=False,
    )
    left.set_xlim(right=edge + stride * (steps - 1) + 0.3)
    left.text(edge + stride * 2 + 0.6, 2, "b grows", color=GREY, fontsize=SMALL, va="center")
    left.set(xlabel=r"$x = u + b$", ylabel="step of gradient descent", yticks=range(steps), xticks=[])
    right.set(xlabel=r"$\hat{x} = x - \mathrm{E}[x]$", xticks=[])
    left.invert_yaxis()
    style.heading(left, "What is moved", "a dot an example, bar: mean")
    style.heading(right, "What the loss sees", "the same at every step")
    for ax in (left, right):
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
    return figure, tidy(example=rows, mean=averaged("mean", rows, ["step"], ["x", "x_hat"]))


def toy(results: Results) -> Drawn:
    """The paper's example: the bias runs away, the loss does not move; with the scale it leaps."""
    figure, axes = style.panels(4.8, 2, 2, by_column=True, sharex=True)
    rows = []
    for index, kind in enumerate(("mean", "mean_std")):
        for how in ("ignored", "through"):
            name = f"{kind}_{how}"
            for record in results.main["toy", name]:
                steps = outside.column(record, "step")
                bias, loss = np.abs(outside.column(record, "bias")), outside.column(record, "loss")
                for ax, values in zip(axes[:, index], (bias, loss / loss[0]), strict=True):
                    ax.plot(steps, values, color=COLOURS[name], lw=1.1, alpha=0.75)
                rows += [
                    {"normalization": NAMES[name], "seed": record.seed, "step": step}
                    | {"bias_size": size, "loss_ratio": ratio}
                    for step, size, ratio in zip(steps, bias, loss / loss[0], strict=True)
                ]
    style.heading(axes[0, 0], "Mean subtracted", "size of the bias")
    style.heading(axes[0, 1], "Divided by the deviation too", "size of the bias")
    style.heading(axes[1, 0], "", "loss over its first value")
    style.heading(axes[1, 1], "", "loss over its first value")
    style.labels(axes[0, 0], [("ignored", YELLOW), ("through", GREEN)], 0.3, 0.95)
    style.labels(axes[0, 1], [("ignored", PLAIN), ("through", BN)], 0.3, 0.95)
    for ax in axes.flat:
        _plain(ax)
    for ax in axes[1]:
        ax.set(xlabel="steps", ylim=(0, max(axes[1, 1].get_ylim()[1], 1.5)))
        style.thousands(ax.xaxis)
    return figure, pd.DataFrame(rows)


def net(results: Results) -> Drawn:
    """The same inside the network of Section 4.1: accuracy, and the mean size of the biases."""
    figure, (left, right) = style.panels(4.1, 1, 2)
    rows = []
    for name in NAMES:
        records = [r for r in results.main["net", name] if not r.diverged]
        for record in records:
            evaluation, sizes = record.curves["evaluation"], record.curves["sizes"]
            accuracy = 100 * np.array(evaluation["test_accuracy"])
            left.plot(evaluation["step"], accuracy, color=COLOURS[name], lw=0.7, alpha=0.7)
            right.plot(sizes["step"], sizes["bias"], color=COLOURS[name], lw=0.7, alpha=0.7)
            rows += [
                {"normalization": NAMES[name], "seed": record.seed, "step": s}
                | {"test_accuracy_percent": a, "bias_size": b}
                for s, a, b in zip(evaluation["step"], accuracy, sizes["bias"], strict=True)
            ]
    left.set_xscale("log")
    style.thousands(left.xaxis)
    left.set(xlabel="steps", ylabel="test accuracy (%)")
    right.set(xlabel="steps", ylabel="mean size of a bias")
    style.thousands(right.xaxis)
    style.heading(left, "How well it learns", "a line a seed")
    style.heading(right, "How the biases grow", "those with the gradient through stay at 0")
    for ax in (left, right):
        _plain(ax)
    for name, colour in COLOURS.items():
        left.plot([], [], color=colour, lw=2, label=NAMES[name])
    left.set_yticks([20, 40, 60, 80, 100])
    figure.legend(
        *left.get_legend_handles_labels(),
        loc="outside upper left",
        ncols=1 if style.is_narrow() else 3,
        frameon=False,
        fontsize=SMALL,
    )
    return figure, pd.DataFrame(rows)


def cost(results: Results) -> Drawn:
    """Time of a normalized layer, in times that of the bare one, as it gets wider."""
    figure = style.figure(3.3)
    ax = figure.subplots()
    widths, rows = outside.widths(results), []
    for name in ("whiten_through", "mean_std_through"):
        found = outside.costs(results, name)
        ax.plot(widths, np.median(found, axis=1), color=COLOURS[name], lw=1.8, label=NAMES[name])
        for index, width in enumerate(widths):
            ax.scatter([width] * found.shape[1], found[index], color=COLOURS[name], s=12, alpha=0.6, lw=0)
            rows += [
                {"normalization": NAMES[name], "units": width, "seed": seed, "time_ratio": value}
                for seed, value in enumerate(found[index])
            ]
    ax.set_xscale("log", base=2)
    ax.set_xticks(widths, [str(width) for width in widths])
    ax.set(xlabel="units of the layer", ylabel="times the bare layer", ylim=(0, None))
    style.heading(ax, "The cost of a normalized layer", "forward and backward; dots: seeds")
    _plain(ax)
    ax.legend(frameon=False, fontsize=SMALL, loc="upper left", labelcolor="linecolor")
    return figure, tidy(run=rows, median=averaged("median", rows, ["normalization", "units"], ["time_ratio"]))


def _plain(ax: Axes) -> None:
    ax.grid(color=PALE, lw=0.6)
    ax.set_axisbelow(True)


FIGURES = [
    Figure("outside-toy", toy, "toy", data=TOY),
    Figure("outside-net", net, "net"),
    Figure("outside-cost", cost, "cost", data="random numbers"),
    Figure("pic-outside", march, stage=None),
]
