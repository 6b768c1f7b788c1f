"""The figure of Section 4.2.1: what each change is worth."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnbook.figures import style
from bnbook.figures.style import BN, GREEN, GREY, PALE
from bnbook.measures import accelerating_ablation as ablation
from bnbook.protocols.accelerating_ablation import CHANGES, FULL, Results
from bnbook.stats import Interval

Drawn = tuple[Figure, pd.DataFrame]


def undo_one(results: Results) -> Drawn:
    """What is lost in accuracy and in speed where one change is undone: seeds, mean, Holm's interval."""
    figure = style.figure(4.0)
    left, right = figure.subplots(1, 2, sharey=True, gridspec_kw={"wspace": 0.06})
    gains, intervals = ablation.gains(results), ablation.gain_intervals(results)
    ratios = {change: np.exp(logs) for change, logs in ablation.log_ratios(results).items()}
    factors = ablation.ratio_intervals(results)
    rows = []
    for place, change in enumerate(CHANGES):
        reached = [
            a.reached and b.reached
            for a, b in zip(
                ablation.crossings(results, change), ablation.crossings(results, FULL), strict=True
            )
        ]
        _row(left, place, gains[change], intervals[change], BN, [True] * len(reached))
        _row(right, place, ratios[change], factors[change], GREEN, reached)
        rows += [
            {
                "change": CHANGES[change],
                "seed": seed,
                "gain_points": gain,
                "steps_ratio": ratio,
                "reached": ok,
            }
            for seed, (gain, ratio, ok) in enumerate(zip(gains[change], ratios[change], reached, strict=True))
        ]
    left.axvline(0, color=GREY, lw=0.8, ls=(0, (2, 2)), zorder=1)
    right.axvline(1, color=GREY, lw=0.8, ls=(0, (2, 2)), zorder=1)
    style.heading(left, "What it adds to accuracy", "dots: seeds; line: Holm's 95% interval")
    style.heading(right, "How much sooner it arrives", "hollow: target never reached")
    left.set(xlabel="points of best test accuracy", yticks=range(len(CHANGES)))
    left.set_yticklabels([_wrapped(name) for name in CHANGES.values()])
    left.set_xlim(_range(gains, 0.0, 0.5))
    right.set_xscale("log")
    low, high = _range({k: np.log(v) for k, v in ratios.items()}, 0.0, 0.1)
    right.set_xlim(np.exp(low), np.exp(high))
    ticks = [t for t in (0.125, 0.25, 0.5, 0.8, 1, 1.25, 2, 4, 8, 16) if np.exp(low) <= t <= np.exp(high)]
    right.set_xticks(ticks, [f"{t:g}" for t in ticks])
    right.minorticks_off()
    right.set(xlabel=f"steps to {ablation.goal(results):.2f}%, over BN-x5's")
    left.set_ylim(len(CHANGES) - 0.5, -0.5)
    for ax in (left, right):
        ax.grid(axis="x", color=PALE, lw=0.6)
        ax.set_axisbelow(True)
        ax.tick_params(axis="y", length=0)
    return figure, pd.DataFrame(rows)


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
