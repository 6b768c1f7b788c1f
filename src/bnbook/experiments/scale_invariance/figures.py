"""The figures of Section 3.3: the scale of the weights, and the learning rates that work."""

import itertools

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from bnbook.drawing import Figure, style
from bnbook.drawing.style import BN, COLOURS, GREEN, GREY, INK, NAMES, PALE, PLAIN, SMALL, YELLOW
from bnbook.drawing.tables import Rows, tidy
from bnbook.experiments.protocol import Results
from bnbook.experiments.scale_invariance import measures as scale
from bnbook.experiments.scale_invariance.protocol import EPSILONS, VARIANTS

Drawn = tuple[Canvas, pd.DataFrame]

EPSILON_COLOURS = {"large": PLAIN, "usual": BN, "tiny": GREEN, "none": GREY}
EPSILON_NAMES = {"large": r"$10^{-3}$", "usual": r"$10^{-5}$", "tiny": r"$10^{-8}$", "none": "0"}
PANELS = {
    "output": ("BN((aW)u)", "size of the output"),
    "input_gradient": ("∂BN((aW)u)/∂u", "size of the gradient"),
    "weight_gradient": ("∂BN((aW)u)/∂(aW)", "size of the gradient"),
}


# The picture: a loss that knows only the direction of w


TOP = np.array([0.0, 1.0])  # the direction of the lowest loss


def at(degrees: float, length: float = 1.0) -> np.ndarray:
    """The vector of this direction, counted from the right, and length."""
    return length * np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])


def gradient(w: np.ndarray, target: np.ndarray = TOP) -> np.ndarray:
    """Of -cos of the angle between w and `target`: at a right angle to w, and shorter the longer w is."""
    length = np.linalg.norm(w)
    direction = w / length
    return -(target - direction * (direction @ target)) / length


def descent(w: np.ndarray, lr: float, targets: list[np.ndarray]) -> np.ndarray:
    """(steps + 1, 2): the path of gradient descent, a step for each of the mini-batches' targets."""
    path = [w]
    for target in targets:
        path.append(path[-1] - lr * gradient(path[-1], target))
    return np.array(path)


def turned(a: np.ndarray, b: np.ndarray) -> float:
    """The angle between two vectors, in degrees."""
    return float(np.degrees(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))))


def spiral(_: None = None) -> Drawn:
    """One step from w and from 2w; then eight, of mini-batches that pull to either side."""
    figure, (left, right) = style.panels(3.5, 1, 2)
    rows, turns = [], []
    for name, factor, colour in (("w", 1, PLAIN), ("2w", 2, BN)):
        path = descent(at(10, factor), 0.5, [TOP])
        angle = turned(*path)
        for end, dashes in zip(path, ("-", (0, (2, 2))), strict=True):
            left.plot([0, end[0]], [0, end[1]], color=colour, lw=1.3, ls=dashes, alpha=0.8)
        _arrow(left, *path, colour)
        arc = np.transpose([at(degrees, 0.62 * factor) for degrees in np.linspace(10, 10 + angle, 50)])
        left.plot(*arc, color=colour, lw=1.1)
        left.text(*at(10 + angle / 2, 0.62 * factor + 0.08), f"{angle:.0f}°", color=colour, fontsize=SMALL)
        left.text(*(path[0] + (0.06, -0.07)), name, color=colour, fontweight="bold", va="top", ha="center")
        rows += _rows("one step", name, path)
        turns.append({"panel": "one step", "start": name, "angle_degrees": angle})
    left.text(0.06, 1.62, "lowest loss,\nat any length", color=GREEN, fontsize=SMALL, va="top")
    left.set(xlim=(-0.12, 2.4), ylim=(-0.2, 1.66))
    style.heading(left, "One step, from w and from 2w", "half the length, about a quarter of the turn")

    path = descent(at(35), 1.4, [at(140), at(40)] * 4)
    for start, end in itertools.pairwise(path):
        _arrow(right, start, end, YELLOW)
    for radius in (1, np.linalg.norm(path[-1])):
        right.plot(*np.transpose([at(degrees, radius) for degrees in range(181)]), color=PALE, lw=1, zorder=0)
    rows += _rows("eight steps", "w", path)
    height = np.linalg.norm(path[-1]) + 0.25
    right.set(xlim=(-0.75 * height, 0.75 * height), ylim=(-0.107 * height, height))
    right.text(*(path[0] + (0.08, -0.02)), "w", color=YELLOW, fontweight="bold", va="top")
    style.heading(right, "Eight steps that disagree", "w grows, and they get shorter; arcs: equal length")
    for ax in (left, right):
        ax.plot([0, 0], [0, ax.get_ylim()[1]], color=GREEN, lw=1.3, ls=(0, (4, 3)), zorder=0)
        ax.plot(0, 0, "o", color=INK, ms=4)
        ax.set(aspect="equal", xticks=[], yticks=[])
        ax.spines[["left", "bottom"]].set_visible(False)
    return figure, tidy(path=rows, turn=turns)


def _rows(panel: str, start: str, path: np.ndarray) -> Rows:
    return [
        {"panel": panel, "start": start, "step": step, "w1": w[0], "w2": w[1], "norm": np.linalg.norm(w)}
        for step, w in enumerate(path)
    ]


def _arrow(ax: Axes, start: np.ndarray, end: np.ndarray, colour: str) -> None:
    shape = {"arrowstyle": "-|>", "color": colour, "lw": 2, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", end, start, arrowprops=shape)


# Results


def relations(results: Results) -> Drawn:
    """What the three equations speak of, over the factor a, at four eps."""
    figure, axes = style.panels(
        3.6, 1, len(PANELS), foot="a, the factor before the weights (log scale)", sharex=True
    )
    rows, turning = [], []
    for (quantity, (title, detail)), ax in zip(PANELS.items(), axes, strict=True):
        for name, colour in EPSILON_COLOURS.items():
            for record in results.main["relations", name]:
                a, size = scale.column(record, "scale"), scale.column(record, f"{quantity}_size")
                if quantity == "weight_gradient":
                    size = size / a  # the record has it times a
                ax.plot(a, size, color=colour, lw=1.3, ls=(0, (4, 3)) if name == "none" else "-", alpha=0.8)
                rows += [
                    {"quantity": quantity, "epsilon": EPSILONS[name], "seed": record.seed}
                    | {"scale": x, "size_ratio": s}
                    for x, s in zip(a, size, strict=True)
                ]
            if EPSILONS[name]:
                variance = np.median([r.final["variance"] for r in results.main["relations", name]])
                place = (EPSILONS[name] / variance) ** 0.5
                height = 1 / place if quantity == "weight_gradient" else 1
                ax.plot([place], [height], marker="v", color=colour, ms=6, mec="white", zorder=4)
                turning.append({"quantity": quantity, "epsilon": EPSILONS[name], "scale": place})
                turning[-1]["size_ratio"] = height
        ax.set(xscale="log", yscale="log", xticks=[1e-4, 1e-2, 1, 1e2, 1e4])
        ax.set(ylim=(3e-5, 3e4) if quantity == "weight_gradient" else (3e-4, 3))
        ax.minorticks_off()
        style.heading(ax, title, detail)
        _plain(ax)
    axes[0].set_ylabel("over that at a = 1")
    lines = [(f"ε = {EPSILON_NAMES[name]}", colour) for name, colour in EPSILON_COLOURS.items()]
    style.labels(axes[0], lines, 0.97, 0.5)
    return figure, tidy(run=rows, turning_point=turning)


def rates(results: Results) -> Drawn:
    """Validation accuracy at the end over the learning rate; below, the rates that work."""
    figure, (ax, bars) = style.panels(4.4, 2, 1, sharex=True, height_ratios=[4, 1])
    tried, rows, means = scale.rates(results), [], []
    half = scale.grid_step(results) ** 0.5
    for index, variant in enumerate(reversed(VARIANTS)):
        found, colour = scale.accuracies(results, variant), COLOURS[variant]
        ax.plot(tried, found.mean(1), color=colour, lw=1.8)
        for seed, values in enumerate(found.T):
            ax.scatter(tried, values, color=colour, s=11, alpha=0.55, lw=0, zorder=3)
            rows += [
                {"network": NAMES[variant], "learning_rate": rate, "seed": seed}
                | {"validation_accuracy_percent": value}
                for rate, value in zip(tried, values, strict=True)
            ]
        share = (found >= scale.WORKS).mean(1)
        for rate, part, mean in zip(tried, share, found.mean(1), strict=True):
            means.append({"network": NAMES[variant], "learning_rate": rate})
            means[-1] |= {"validation_accuracy_percent": mean, "works_percent": 100 * part}
            if part:
                bars.barh(
                    index,
                    rate * half - rate / half,
                    left=rate / half,
                    height=0.6,
                    color=colour,
                    alpha=part,
                    lw=0,
                )
    ax.axhline(scale.WORKS, color=GREY, lw=1, ls=(0, (4, 3)))
    ax.set(
        xscale="log",
        ylabel="validation accuracy (%)",
        ylim=(0, 102),
        xlim=(tried[0] / half, tried[-1] * half),
    )
    style.heading(
        ax,
        "Accuracy at the end of training",
        f"dots: seeds, line: mean; dashed: {scale.WORKS:g}%, from which a rate works",
    )
    style.labels(ax, [(NAMES[v], COLOURS[v]) for v in reversed(VARIANTS)], 0.7, 0.55)
    bars.set(yticks=[], ylim=(-0.6, 1.6), xlabel="learning rate (log scale)")
    bars.spines["left"].set_visible(False)
    style.heading(bars, "Rates that work", "paler: not with every seed")
    style.plain_log(bars.xaxis)
    _plain(ax)
    threshold = [{"validation_accuracy_percent": scale.WORKS}]
    return figure, tidy(run=rows, mean=means, threshold=threshold)


def norms(results: Results) -> Drawn:
    """How many times the weights have grown, with batch normalization and without; and, with it, the
    effective rate before and after."""
    figure, (left, right) = style.panels(3.7, 1, 2)
    rows = []
    for variant, rate in itertools.product(VARIANTS, scale.rates(results)):
        for record in scale.runs(results, variant, rate):
            squares, effective = scale.square_norm(record), scale.effective_rates(record)
            works, colour = scale.validation(record) >= scale.WORKS, COLOURS[variant]
            look = {
                "s": 16,
                "color": colour if works else "white",
                "edgecolor": colour,
                "lw": 0.8,
                "alpha": 0.8,
            }
            growth = scale.last(squares) / squares[0]
            left.scatter(rate, growth, zorder=3, **look)
            rows.append({"network": NAMES[variant], "learning_rate": rate, "seed": record.seed})
            rows[-1] |= {"works": works, "growth_ratio": growth}
            if variant == "bn":
                right.scatter(rate, scale.last(effective), zorder=3, **look)
                right.scatter(rate, effective[0], marker="_", s=40, color=GREY, lw=1.2)
                rows[-1] |= {
                    "effective_rate_before": effective[0],
                    "effective_rate_at_end": scale.last(effective),
                }
    left.set(xscale="log", yscale="log", xlabel="learning rate", ylabel=r"growth of $\|w\|^2$ (times)")
    style.heading(left, "How the weights grow", "filled: a rate that works")
    style.labels(left, [(NAMES[v], COLOURS[v]) for v in reversed(VARIANTS)], 0.03, 0.97, ha="left")
    right.set(
        xscale="log", yscale="log", xlabel="learning rate chosen", ylabel=r"effective rate $\eta\,/\,\|w\|^2$"
    )
    style.heading(right, "The rate sets itself", "with BN; filled: a rate that works")
    style.labels(right, [("before training", GREY), ("at its end", BN)], 0.03, 0.97, ha="left")
    style.plain_log(left.yaxis)
    for ax in (left, right):
        style.plain_log(ax.xaxis)
        _plain(ax)
    return figure, pd.DataFrame(rows)


def _plain(ax: Axes) -> None:
    ax.grid(color=PALE, lw=0.6)
    ax.set_axisbelow(True)


FIGURES = [
    Figure("scale-relations", relations, "relations"),
    Figure("scale-norms", norms, "sweep"),
    Figure("scale-rates", rates, "sweep"),
    Figure("pic-scale", spiral, stage=None),
]
