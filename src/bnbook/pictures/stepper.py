"""Algorithm 1 line by line for eight values: the stepper's still picture, and the values it starts from."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from bnbook.drawing import Figure, style
from bnbook.drawing.style import GREY, INK, PALE, SMALL, WU, YELLOW
from bnbook.drawing.tables import tidy

# Examples 1, 3, 5, 7 should come out at -1, the others at 1. Most are in that order, and gamma and beta could
# do the rest; 7 and 8 are not, and there the gradient with respect to x is largest.
X = (3.0, 6.0, 1.5, 5.0, 2.0, 7.0, 4.0, 3.5)
TARGETS = (-1.0, 1.0) * 4
START = {"x": X, "targets": TARGETS, "gamma": 1.5, "beta": -1.0, "eps": 1e-5}
RANGE = (-8, 10)  # of the axis, and of the points
STRETCH = 4  # gradients are drawn this many times as long
ARROW = {"arrowstyle": "-|>", "color": INK, "lw": 1.4, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 9}
MARKS = {-1.0: ("o", WU), 1.0: ("s", YELLOW)}


def algorithm(x: np.ndarray, targets: np.ndarray, gamma: float, beta: float, eps: float) -> dict:
    """Algorithm 1 for the values of one unit, and the gradient of half the squared distance to `targets`."""
    mean, variance = x.mean(), x.var()
    std = np.sqrt(variance + eps)
    x_hat = (x - mean) / std
    y = gamma * x_hat + beta
    d_y = y - targets
    d_x = gamma / std * (d_y - d_y.mean() - x_hat * (d_y * x_hat).mean())
    return {"mean": mean, "variance": variance, "std": std, "x_hat": x_hat, "y": y, "d_y": d_y, "d_x": d_x}


def lines(_: None = None) -> tuple[Canvas, pd.DataFrame]:
    """The four lines of Algorithm 1 and the gradient, each with the eight points."""
    x, targets = np.array(X), np.array(TARGETS)
    gamma, beta, eps = START["gamma"], START["beta"], START["eps"]
    found = algorithm(x, targets, gamma, beta, eps)
    mean, std = found["mean"], np.sqrt(found["variance"])
    loss = 0.5 * (found["d_y"] ** 2).sum()
    rows = [
        ("1  mean", r"$\mu=\frac{1}{m}\sum_i x_i$", rf"$={mean:.2f}$"),
        ("2  variance", r"$\sigma^2=\frac{1}{m}\sum_i (x_i-\mu)^2$", rf"$={found['variance']:.2f}$"),
        ("3  normalize", r"$\hat{x}_i=(x_i-\mu)\,/\sqrt{\sigma^2+\epsilon}$", ""),
        ("4  scale and shift", r"$y_i=\gamma\hat{x}_i+\beta$", rf"$\gamma={gamma:g},\ \beta={beta:g}$"),
        (
            "5  gradient",
            r"$\frac{\partial\ell}{\partial x_i},\ \ \ell=\frac{1}{2}\sum_i (y_i-t_i)^2$",
            rf"$\ell={loss:.2f}$",
        ),
    ]
    figure, panels = style.panels(6.6, len(rows), 2, width_ratios=[0.56, 1], sharey="row", sharex="col")
    for (words, ax), (name, formula, detail) in zip(panels, rows, strict=True):
        words.axis("off")
        words.set_xlim(0, 1)
        words.text(0, 1.4, name, fontweight="bold", va="center")
        words.text(0, 4.4, formula, fontsize=12, va="center")
        words.text(0, 7.4, detail, va="center", color=GREY)
        ax.axvline(0, color=INK, lw=0.8, ls=":", zorder=0)
        ax.set(xlim=RANGE, ylim=(8.9, 0.1), yticks=[])
        ax.spines["left"].set_visible(False)
        ax.tick_params(length=0)
    first, second, third, fourth, fifth = panels[:, 1]
    second.axvspan(mean - std, mean + std, color=PALE, alpha=0.7, lw=0, zorder=0)
    _note(second, mean + std, r"$\mu\pm\sigma$")
    _note(first, mean, r"$\mu$", row=1)
    for ax in (first, second, fifth):
        ax.axvline(mean, color=INK, lw=1.4, zorder=1)
        _points(ax, x)
    third.axvspan(-1, 1, color=PALE, alpha=0.7, lw=0, zorder=0)
    _note(third, 1, "mean 0, variance 1")
    _points(third, found["x_hat"])
    _points(fourth, found["y"], targets)
    _note(fourth, 2.2, r"outlined: targets $t_i=\pm1$")
    for row, (start, slope) in enumerate(zip(x, found["d_x"], strict=True), start=1):
        end = (start - STRETCH * slope, row)
        fifth.annotate("", end, (start, row), arrowprops=ARROW, zorder=4)
    arrows = "arrows:\n" r"$-\partial\ell/\partial x_i$,"
    _note(fifth, -8.2, f"{arrows}\n{STRETCH} times as long;\nthey add up to 0", row=4.2)
    fifth.tick_params(length=3)
    fifth.set_xticks(range(RANGE[0], RANGE[1] + 1, 2))
    fifth.set_xlabel("value (a row for each of the eight examples)")
    columns = {"x": x, "target": targets, **{name: found[name] for name in ("x_hat", "y", "d_y", "d_x")}}
    examples = pd.DataFrame({"example": range(1, len(x) + 1), **columns}).to_dict("records")
    whole = {"mean": mean, "variance": found["variance"], "gamma": gamma, "beta": beta, "loss": loss}
    return figure, tidy(example=examples, mini_batch=[whole])


def _points(ax: Axes, values: np.ndarray, targets: np.ndarray | None = None) -> None:
    """A row for each example; its mark tells where it should come out."""
    for row, (value, kind) in enumerate(zip(values, TARGETS, strict=True), start=1):
        mark, colour = MARKS[kind]
        ax.plot(value, row, mark, color=colour, ms=5, mew=0, zorder=3)
        if targets is not None:
            ax.plot(targets[row - 1], row, mark, mfc="white", mec=colour, ms=5, mew=1, zorder=2)


def _note(ax: Axes, at: float, text: str, row: float = 7.5) -> None:
    ax.text(at + 0.25, row, text, fontsize=SMALL, va="center", color=GREY, linespacing=1.5)


FIGURES = [
    Figure("pic-stepper", lines, stage=None),
]
