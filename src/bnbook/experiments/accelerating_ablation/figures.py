"""The figure of Section 4.2.1: what each change is worth."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from bnbook.drawing import Figure, style
from bnbook.drawing.style import BN, GREEN, GREY, PALE
from bnbook.experiments.accelerating_ablation import measures as ablation
from bnbook.experiments.accelerating_ablation.protocol import CHANGES, FULL
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
    table = [_gains(axes[0], results)]
    for ax, line in zip(axes[1:], lines, strict=True):
        table.append(_slowdowns(ax, results, line))
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
    return figure, pd.concat(table, ignore_index=True)


def _gains(ax: Axes, results: Results) -> pd.DataFrame:
    gains, intervals = ablation.gains(results), ablation.gain_intervals(results)
    ax.axvline(0, color=GREY, lw=0.8, ls=(0, (2, 2)), zorder=1)
    for index, change in enumerate(CHANGES):
        _row(ax, index, gains[change], intervals[change], BN, [True] * len(gains[change]))
    ax.set(xlabel="points", xlim=_range(gains, 0.0, 0.5))
    return _rows(gains, "points of best accuracy")


def _slowdowns(ax: Axes, results: Results, line: float) -> pd.DataFrame:
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
    return _rows(ratios, f"steps to {line:.2f}%, undone / BN-x5", reached)


def _rows(
    values: dict[str, np.ndarray], quantity: str, reached: dict[str, list[bool]] | None = None
) -> pd.DataFrame:
    """A line of the CSV for each change and seed."""
    return pd.DataFrame(
        {
            "quantity": quantity,
            "change": CHANGES[change],
            "seed": seed,
            "value": value,
            "reached": reached is None or reached[change][seed],
        }
        for change, found in values.items()
        for seed, value in enumerate(found)
    )


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
    Figure("ablation-undo-one", undo_one),
]
