"""The figure of Section 4.2.1, registered a second time: what each change is worth."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FixedLocator, NullLocator

from bnbook import stats
from bnbook.drawing import Figure, style
from bnbook.drawing.style import BN, GREEN, GREY, PALE
from bnbook.drawing.tables import tidy
from bnbook.experiments.ablation_second import measures as ablation
from bnbook.experiments.ablation_second.protocol import CHANGES
from bnbook.experiments.inception_speedups.figures import beside
from bnbook.experiments.protocol import ChosenResults as Results


def undo_one(results: Results) -> tuple[Canvas, pd.DataFrame]:
    """Section 4.2.1: what is lost in accuracy and in speed where one change is undone."""
    height = 4.8 if style.is_narrow() else 3.8  # where a name takes three lines
    figure, (left, right) = style.panels(height, 1, 2, sharey=True, gridspec_kw={"wspace": 0.08})
    gains, intervals = ablation.gains(results), ablation.gain_intervals(results)
    matters = float(ablation.effect_of("dropout"))
    left.axvspan(-matters, matters, color=PALE, alpha=0.6, lw=0, zorder=0)
    left.axvline(0, color=GREY, lw=0.8, ls=(0, (2, 2)), zorder=1)
    right.axvline(1, color=GREY, lw=0.8, ls=(0, (2, 2)), zorder=1)
    seeds, means = [], []
    for index, change in enumerate(CHANGES):
        values = gains[change]
        added = intervals[change]
        _interval(left, index, added, BN)
        left.plot(values, beside(index, len(values)), "o", color=BN, ms=4.5, mew=0, alpha=0.75)
        times = ablation.slowdown(results, change).interval
        _interval(right, index, times, GREEN)
        own = {"change": CHANGES[change]}
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
    left.set(xlabel="points at the end of training", ylim=(len(CHANGES) - 0.5, -0.5))
    right.set(xlabel=f"times the steps to {results.choice.target:.1f}%")
    left.set_yticks(
        range(len(CHANGES)), [name.replace(" response", "\nresponse") for name in CHANGES.values()]
    )
    for ax in (left, right):
        ax.grid(axis="x", color=PALE, lw=0.6)
        ax.set_axisbelow(True)
        ax.tick_params(axis="y", length=0)
    return figure, tidy(run=seeds, mean=means)


def _interval(ax: Axes, place: int, found: stats.Interval, colour: str) -> None:
    ax.plot([found.low, found.high], [place] * 2, color=colour, lw=1.2, alpha=0.6)
    ax.plot([found.estimate] * 2, [place - 0.26, place + 0.26], color=colour, lw=2.2)


FIGURES: list[Figure] = []  # to come with its runs
