"""The figure of Section 4.2.1: what each change is worth."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FixedLocator, NullLocator

from bnbook import stats
from bnbook.drawing import Figure, style
from bnbook.drawing.style import BN, GREEN, GREY, PALE
from bnbook.drawing.tables import tidy
from bnbook.experiments.accelerating_ablation import measures as ablation
from bnbook.experiments.accelerating_ablation.protocol import CHANGES, NOTHING
from bnbook.experiments.inception_speedups.figures import beside
from bnbook.experiments.protocol import ChosenResults as Results
from bnbook.paper import effect

AGAIN = "BN-x5 once more"


def undo_one(results: Results) -> tuple[Canvas, pd.DataFrame]:
    """Section 4.2.1: what is lost in accuracy and in speed where one change is undone; below, in grey, what
    another machine does where nothing is."""
    height = 5.3 if style.is_narrow() else 4.2  # where a name takes three lines
    figure, (left, right) = style.panels(height, 1, 2, sharey=True, gridspec_kw={"wspace": 0.08})
    rows = CHANGES | {NOTHING: AGAIN}
    gains = ablation.gains(results) | {NOTHING: ablation.by_machine(results)}
    intervals = ablation.gain_intervals(results)
    matters = effect("c-4.2.1-dropout")
    left.axvspan(-matters, matters, color=PALE, alpha=0.6, lw=0, zorder=0)
    left.axvline(0, color=GREY, lw=0.8, ls=(0, (2, 2)), zorder=1)
    right.axvline(1, color=GREY, lw=0.8, ls=(0, (2, 2)), zorder=1)
    seeds, means = [], []
    for index, (change, name) in enumerate(rows.items()):
        values, added = gains[change], intervals[change]
        times = ablation.slowdown(results, change).interval
        points, steps = (GREY, GREY) if change == NOTHING else (BN, GREEN)
        _interval(left, index, added, points)
        left.plot(values, beside(index, len(values)), "o", color=points, ms=4.5, mew=0, alpha=0.75)
        _interval(right, index, times, steps)
        own = {"change": name}
        seeds += [
            own | {"seed": record.seed, "difference_points": value}
            for record, value in zip(results.main[change], values, strict=True)
        ]
        means += [
            own | {"difference_points": added.estimate, "low_points": added.low, "high_points": added.high},
            own
            | {"target_percent": results.choice.target, "steps_ratio": times.estimate}
            | {"low_ratio": times.low, "high_ratio": times.high},
        ]
    right.set_xscale("log")
    right.xaxis.set_major_locator(FixedLocator([0.25, 0.35, 0.5, 0.7, 1, 1.4, 2, 2.8, 4, 5.6, 8]))
    style.plain_log(right.xaxis)
    right.xaxis.set_minor_locator(NullLocator())
    style.heading(left, "Adds to accuracy", "band: too little to matter")
    style.heading(right, "Saves steps", "line: 95%")
    left.set(xlabel="points at the end of training", ylim=(len(rows) - 0.5, -0.5))
    right.set(xlabel=f"times the steps to {results.choice.target:.1f}%")
    broken = [name.replace(" response", "\nresponse").replace(" once", "\nonce") for name in rows.values()]
    left.set_yticks(range(len(rows)), broken)
    for ax in (left, right):
        ax.axhline(len(CHANGES) - 0.5, color=PALE, lw=0.8)
        ax.grid(axis="x", color=PALE, lw=0.6)
        ax.set_axisbelow(True)
        ax.tick_params(axis="y", length=0)
    return figure, tidy(run=seeds, mean=means)


def _interval(ax: Axes, place: int, found: stats.Interval, colour: str) -> None:
    ax.plot([found.low, found.high], [place] * 2, color=colour, lw=1.2, alpha=0.6)
    ax.plot([found.estimate] * 2, [place - 0.26, place + 0.26], color=colour, lw=2.2)


FIGURES = [
    Figure("ablation-undo-one", undo_one),
]
