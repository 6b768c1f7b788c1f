"""The figure of Section 4.2.1's first registration: what each change seemed to be worth."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from bnbook.drawing import Figure, style
from bnbook.drawing.style import BN, GREEN, GREY, PALE
from bnbook.drawing.tables import Rows, tidy
from bnbook.experiments.ablation_first import measures as ablation
from bnbook.experiments.ablation_first.protocol import CHANGES, FULL
from bnbook.experiments.protocol import ChosenResults as Results
from bnbook.stats import Interval

Drawn = tuple[Canvas, pd.DataFrame]


def undo_one(results: Results) -> Drawn:
    """What is lost in accuracy and in speed where one change is undone: seeds, mean, simultaneous interval.

    Where some seeds of the baseline stayed at chance, a second target, that of the seeds that learned.
    """
    lines = list(dict.fromkeys([ablation.goal(results), ablation.learned_goal(results)]))
    figure, axes = style.panels(
        4.7 if style.is_narrow() else 4.0, 1, 1 + len(lines), sharey=True, gridspec_kw={"wspace": 0.08}
    )
    runs, means = _gains(axes[0], results)
    for ax, line in zip(axes[1:], lines, strict=True):
        further = _slowdowns(ax, results, line)
        runs, means = runs + further[0], means + further[1]
    style.heading(axes[0], "Adds to accuracy", "line: simultaneous 95% interval")
    style.heading(axes[1], "Saves steps", "hollow: never reached")
    if len(lines) > 1:
        style.heading(axes[2], "To a higher target", "dots: seeds; bar: mean")
    axes[0].set(yticks=range(len(CHANGES)), ylim=(len(CHANGES) - 0.5, -0.5))
    axes[0].set_yticklabels([_wrapped(name) for name in CHANGES.values()])
    for ax in axes:
        ax.grid(axis="x", color=PALE, lw=0.6)
        ax.set_axisbelow(True)
        ax.tick_params(axis="y", length=0)
    return figure, tidy(run=runs, mean=means)


def _gains(ax: Axes, results: Results) -> tuple[Rows, Rows]:
    gains, intervals = ablation.gains(results), ablation.gain_intervals(results)
    ax.axvline(0, color=GREY, lw=0.8, ls=(0, (2, 2)), zorder=1)
    for index, change in enumerate(CHANGES):
        _row(ax, index, gains[change], intervals[change], BN, [True] * len(gains[change]))
    ax.set(xlabel="points", xlim=_range(gains, 0.0, 0.5))
    return _rows("difference", "points", gains, intervals)


def _slowdowns(ax: Axes, results: Results, line: float) -> tuple[Rows, Rows]:
    ratios = {change: np.exp(logs) for change, logs in ablation.log_ratios(results, line).items()}
    intervals = ablation.ratio_intervals(results, line)
    full = ablation.crossings(results, FULL, line)
    ax.axvline(1, color=GREY, lw=0.8, ls=(0, (2, 2)), zorder=1)
    reached = {}
    for index, change in enumerate(CHANGES):
        pairs = zip(ablation.crossings(results, change, line), full, strict=True)
        reached[change] = [a.reached and b.reached for a, b in pairs]
        _row(ax, index, ratios[change], intervals[change], GREEN, reached[change])
    ax.set_xscale("log")
    low, high = np.exp(_range({k: np.log(v) for k, v in ratios.items()}, 0.0, 0.1))
    ticks = [t for t in (0.125, 0.25, 0.5, 0.7, 1, 1.4, 2, 4, 8, 16) if low <= t <= high]
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    ax.set(xlabel=f"× steps to {line:.2f}%", xlim=(low, high))
    runs, means = _rows("steps", "ratio", ratios, intervals)
    for row, ok in zip(runs, (ok for change in ratios for ok in reached[change]), strict=True):
        row["reached"] = ok
    return [{"target_percent": line} | row for row in runs], [{"target_percent": line} | row for row in means]


def _rows(
    name: str, unit: str, values: dict[str, np.ndarray], intervals: dict[str, Interval]
) -> tuple[Rows, Rows]:
    """A row of the CSV for each change and seed; and one for each change, with mean and interval."""
    runs = [
        {"change": CHANGES[change], "seed": seed, f"{name}_{unit}": value}
        for change, found in values.items()
        for seed, value in enumerate(found)
    ]
    means = [
        {"change": CHANGES[change], f"{name}_{unit}": found.estimate}
        | {f"low_{unit}": found.low, f"high_{unit}": found.high}
        for change, found in ((change, intervals[change]) for change in values)
    ]
    return runs, means


def _row(ax: Axes, place: int, values: np.ndarray, found: Interval, colour: str, reached: list[bool]) -> None:
    """The interval as a line, which the axes may cut, the mean as a bar, a dot a seed."""
    ax.plot([found.low, found.high], [place] * 2, color=colour, lw=1.2, alpha=0.6)
    ax.plot([found.estimate] * 2, [place - 0.26, place + 0.26], color=colour, lw=2.2)
    offsets = place + np.linspace(-0.14, 0.14, len(values))
    faces = [colour if ok else "white" for ok in reached]
    ax.scatter(values, offsets, s=22, facecolors=faces, edgecolors=colour, zorder=3)


def _range(values: dict[str, np.ndarray], neutral: float, least: float) -> tuple[float, float]:
    """Axis limits that hold every seed and `neutral`, with room: intervals of few seeds run off the page."""
    everything = np.concatenate([*values.values(), [neutral]])
    room = max(0.25 * float(np.ptp(everything)), least)
    return float(everything.min()) - room, float(everything.max()) + room


def _wrapped(name: str) -> str:
    """Long names on two lines."""
    words = name.split()
    if len(name) < 20:
        return name
    half = (len(words) + 1) // 2
    return " ".join(words[:half]) + "\n" + " ".join(words[half:])


FIGURES = [
    Figure("first-undo-one", undo_one),
]
