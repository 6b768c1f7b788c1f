"""The figures of recurrent networks: where BN stands, training, where it ends, the gradient through time."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.ticker import LogLocator

from bnbook.drawing import Figure, style
from bnbook.drawing.style import BN, GREEN, GREY, INK, PALE, PLAIN, SMALL, WU, YELLOW
from bnbook.drawing.tables import Rows, averaged, tidy
from bnbook.experiments.protocol import Results
from bnbook.experiments.recurrent import measures as recurrent
from bnbook.experiments.recurrent.protocol import ARMS, FOLLOWED
from bnbook.measures import accuracies
from bnbook.records import Record

Drawn = tuple[Canvas, pd.DataFrame]

COLOURS = {"plain": PLAIN, "input": BN, "within": GREEN, "within_one": YELLOW, "layer": WU}
NAMES = {
    "plain": "no normalization",
    "input": "BN on the input",
    "within": "BN within, γ=0.1",
    "within_one": "BN within, γ=1",
    "layer": "layer norm",
}
GAMMA_COLOURS = (GREEN, BN, WU, YELLOW)
PANELS = {
    "identity": ("Tanh, identity", "a pixel a step"),
    "orthogonal": ("Tanh, orthogonal", "a pixel a step"),
    "lstm": ("The LSTM", "a row a step"),
}
UNROLLED = 4  # steps of the explaining picture


# Explaining picture


def unrolled(_: None = None) -> Drawn:
    """A recurrent network, unrolled, and over what BN takes its statistics there."""
    figure, axes = style.panels(3.3, 1, 2)
    rows = []
    panels = {"On the input": "one statistic for all steps", "Within": "a statistic a step, one γ for all"}
    for ax, (title, detail) in zip(axes, panels.items(), strict=True):
        for step in range(UNROLLED):
            _box(ax, step, 1, f"$h_{step + 1}$")
            _box(ax, step, 0, f"$x_{step + 1}$")
            _arrow(ax, (step, 0.2), (step, 0.8))
            _arrow(ax, (step - 0.8, 1), (step - 0.2, 1))
        if title == "On the input":
            rows.append(_norm(ax, title, (-0.2, UNROLLED - 0.8), 0.5, BN))
        else:
            for step, colour in zip(range(UNROLLED), GAMMA_COLOURS, strict=True):
                rows.append(_norm(ax, title, (step - 0.2, step + 0.2), 0.5, colour))
                rows.append(_norm(ax, title, (step - 0.66, step - 0.34), 1, colour))
        style.heading(ax, title, detail)
        ax.set(xlim=(-0.9, UNROLLED - 0.6), ylim=(-0.35, 1.35), xticks=[], yticks=[0, 1])
        ax.set_yticklabels(["input", "state"])
        ax.spines[["left", "bottom"]].set_visible(False)
        ax.tick_params(length=0)
    return figure, pd.DataFrame(rows)


def _box(ax: Axes, x: float, y: float, text: str) -> None:
    ax.add_patch(
        FancyBboxPatch(
            (x - 0.13, y - 0.13),
            0.26,
            0.26,
            boxstyle="round,pad=0.04",
            facecolor="white",
            edgecolor=INK,
            lw=1,
        )
    )
    ax.text(x, y, text, ha="center", va="center")


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=9, color=GREY, lw=1, shrinkA=0, shrinkB=0
        )
    )


def _norm(ax: Axes, panel: str, ends: tuple[float, float], y: float, colour: str) -> dict[str, object]:
    """A normalization from `ends[0]` to `ends[1]`; its row of the table."""
    ax.add_patch(
        FancyBboxPatch(
            (ends[0], y - 0.05),
            ends[1] - ends[0],
            0.1,
            boxstyle="round,pad=0.02",
            facecolor=colour,
            lw=0,
            zorder=3,
        )
    )
    first, last = max(0, round(ends[0] + 0.3)), round(ends[1] + 0.01)
    return {
        "panel": panel,
        "normalized": "state" if y == 1 else "input",
        "first_step": first + 1,
        "last_step": last + 1,
    }


# Results


def curves(results: Results) -> Drawn:
    """Validation errors against training steps, a line a seed."""
    figure = style.figure(3.7)
    ax = figure.subplots()
    rows: Rows = []
    for arm in ARMS:
        for record in recurrent.new(results, arm):
            steps, values = recurrent.curve(record)
            ax.plot(steps, 100 - values, color=COLOURS[arm], lw=0.6, alpha=0.35)
            rows += [
                {"network": NAMES[arm], "learning_rate": record.config["lr"], "seed": record.seed}
                | {"step": step, "error_percent": 100 - value}
                for step, value in zip(steps, values, strict=True)
            ]
    means = averaged("mean", rows, ["network", "step"], ["error_percent"])
    for arm in ARMS:
        own = [row for row in means if row["network"] == NAMES[arm]]
        line = [[row[column] for row in own] for column in ("step", "error_percent")]
        ax.plot(*line, color=COLOURS[arm], lw=1.8, label=NAMES[arm])
    goal = 100 - recurrent.target(results)
    ax.axhline(goal, color=INK, lw=1, ls=(0, (4, 3)))
    for axis in (ax.xaxis, ax.yaxis):
        getattr(ax, f"set_{axis.axis_name}scale")("log")
        style.plain_log(axis)
    style.thousands(ax.xaxis)
    ax.set_yticks([2, 5, 10, 20, 50])
    ax.set(xlabel="training steps", ylabel="validation errors (%)")
    _plain(ax)
    ax.legend(frameon=False, fontsize=SMALL, loc="upper right", labelcolor="linecolor", handlelength=1.2)
    style.heading(ax, "Reading digits row by row", "thin: seeds; line: their mean; dashed: the target")
    return figure, tidy(run=rows, mean=means, target=[{"error_percent": goal}])


def arms(results: Results) -> Drawn:
    """Steps to the target, and test accuracy at the end, by network."""
    figure, (left, right) = style.panels(3.3, 1, 2, sharey=True)
    rows, means = [], []
    shown = _shown(results)
    for line, (name, colour, records) in enumerate(shown):
        found, ends = recurrent.crossings_of(results, records), accuracies(records)
        for one in found:
            face = colour if one.reached else "none"
            left.scatter(one.step, line, s=20, facecolor=face, edgecolor=colour, alpha=0.7, lw=1)
        middle = float(np.exp(np.mean([np.log(one.step) for one in found])))
        right.scatter(ends, [line] * len(ends), s=20, color=colour, alpha=0.7, lw=0)
        for ax, value in ((left, middle), (right, ends.mean())):
            ax.plot([value] * 2, [line - 0.3, line + 0.3], color=colour, lw=2)
        rows += [
            {"network": name, "learning_rate": record.config["lr"], "seed": record.seed}
            | {"steps_to_target": one.step, "reached": one.reached, "test_accuracy_percent": end}
            for record, one, end in zip(records, found, ends, strict=True)
        ]
        means.append({"network": name, "steps_to_target": middle, "test_accuracy_percent": ends.mean()})
    left.set_xscale("log")
    left.xaxis.set_major_locator(LogLocator(subs=(1, 2, 4, 6)))  # one of ten would stand alone
    style.plain_log(left.xaxis)
    left.minorticks_off()
    names = [name for name, *_ in shown]
    left.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.5))
    left.set_xlabel("steps (log scale)")
    right.set_xlabel("test accuracy (%)")
    style.heading(left, "Steps to the target", "dots: seeds; ring: not reached")
    style.heading(right, "Where training ends", "dots: seeds, bar: mean")
    for ax in (left, right):
        _plain(ax)
    return figure, tidy(run=rows, mean=means)


def _shown(results: Results) -> list[tuple[str, str, list[Record]]]:
    """(name, colour, records) of each network; after the plain one the same at the others' rate, where its
    own is another."""
    found = [(NAMES[arm], COLOURS[arm], recurrent.new(results, arm)) for arm in ARMS]
    beside = recurrent.held(results)
    if beside != recurrent.new(results, "plain"):
        found.insert(1, (f"no normalization, η={beside[0].config['lr']:g}", PLAIN, beside))
    return found


def gradient(results: Results) -> Drawn:
    """The gradient by each state before training, as it comes back through time, by gamma."""
    figure, axes = style.panels(3.4, 1, len(FOLLOWED))
    gammas = [None, *recurrent.gammas(results)]
    rows: Rows = []
    for ax, name in zip(axes, FOLLOWED, strict=True):
        for gamma, colour in zip(gammas, (PLAIN, *GAMMA_COLOURS), strict=True):
            found = recurrent.paths(results, name, gamma)
            steps = np.arange(1, found.shape[1] + 1)
            for path in found:
                ax.plot(steps, path, color=colour, lw=0.5, alpha=0.35)
            word = NAMES["plain"] if gamma is None else f"γ={gamma:g}"
            ax.plot(steps, found.mean(0), color=colour, lw=1.7, label=word)
            rows += [
                {"network": PANELS[name][0], "gamma": gamma, "seed": record.seed, "time_step": step}
                | {"gradient_decades": value}
                for record, path in zip(recurrent.followed(results, name), found, strict=True)
                for step, value in zip(steps, path, strict=True)
            ]
        ax.axhline(0, color=GREY, lw=0.8, zorder=0)
        ax.set_xlabel("step of the input")
        ax.locator_params(nbins=5)
        _plain(ax)
        style.heading(ax, *PANELS[name])
    axes[0].set_ylabel("gradient (powers of ten)")
    # Where the gradient vanishes, it leaves room below.
    axes[0].legend(
        frameon=False,
        fontsize=SMALL,
        labelcolor="linecolor",
        handlelength=0,
        labelspacing=0.25,
        loc="lower right",
    )
    means = averaged("mean", rows, ["network", "gamma", "time_step"], ["gradient_decades"])
    return figure, tidy(run=rows, mean=means)


def _plain(ax: Axes) -> None:
    ax.grid(color=PALE, lw=0.6)
    ax.set_axisbelow(True)


FIGURES = [
    Figure("recurrent-curves", curves, "new"),
    Figure("recurrent-arms", arms, "new"),
    Figure("recurrent-gradient", gradient, "gradient"),
    Figure("pic-unrolled", unrolled, stage=None),
]
