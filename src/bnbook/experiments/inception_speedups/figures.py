"""The figures of Section 4.2: beside the paper's Figures 2 and 3 the ratio of steps at every accuracy, and
where all arms end."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import LogLocator

from bnbook import measures, paper, stats
from bnbook.drawing import Figure, style
from bnbook.drawing.style import BN, GREEN, GREY, PALE, PLAIN, SMALL, WU, YELLOW
from bnbook.drawing.tables import tidy
from bnbook.experiments.inception_speedups import first_epochs
from bnbook.experiments.inception_speedups import measures as inception
from bnbook.experiments.inception_speedups.protocol import ARMS, Results

Drawn = tuple[Canvas, pd.DataFrame]

# The five networks of the paper's Figure 2, in its order.
FIVE = ("inception", "bn_baseline", "bn_x5", "bn_x30", "bn_x5_sigmoid")
COLOURS = dict(zip(FIVE, (PLAIN, BN, GREEN, WU, YELLOW), strict=True))
DASHES = dict(zip(FIVE, ((0, (4, 2)), "-", "-", "-", (0, (1.5, 1.2))), strict=True))
# Slow and fast network of a ratio of steps, its colour, and the paper's steps by the keys of paper.yml.
RATIOS = (
    ("inception", "bn_baseline", BN, ("baseline", "bn_baseline")),
    ("inception", "bn_x5", GREEN, ("baseline", "bn_x5")),
    ("bn_baseline", "bn_x5", WU, ("bn_baseline", "bn_x5")),
)
# Where networks end, by what they are there to tell apart.
ENDS = (
    *FIVE,
    "bn_x1_changed",
    "bn_x30_slow",
    "bn_x5_long",
    "bn_x5_long_r2",
    "bn_x5_long_r",
)
# How the figure calls them where a name alone would not do.
BESIDES = {
    "bn_x1_changed": "BN-x1, all else as BN-x5",
    "bn_x30_slow": "BN-x30, output layer, γ, β at ×1",
    "bn_x5_long": "BN-x5, three times as long, r⁶",
    "bn_x5_long_r2": "BN-x5, three times as long, r²",
    "bn_x5_long_r": "BN-x5, three times as long, r",
}


def test_accuracy(results: Results) -> Drawn:
    """Figure 2: accuracy by Algorithm 2 against training steps, every seed and the median."""
    figure = style.figure(4.1)
    ax = figure.subplots()
    rows, medians = [], []
    for arm in FIVE:
        curves = [measures.curve(record) for record in results.arm(arm)]
        for record, (steps, values) in zip(results.arm(arm), curves, strict=True):
            ax.plot(steps, values, color=COLOURS[arm], lw=0.5, alpha=0.45)
            rows += [
                {"network": ARMS[arm].name, "seed": record.seed, "step": step, "test_accuracy_percent": value}
                for step, value in zip(steps, values, strict=True)
            ]
        length = min(len(steps) for steps, _ in curves)
        median = np.median([values[:length] for _, values in curves], axis=0)
        line = {"color": COLOURS[arm], "ls": DASHES[arm], "lw": 1.8, "label": ARMS[arm].name}
        ax.plot(curves[0][0][:length], median, **line)
        medians += [
            {"network": ARMS[arm].name, "step": step, "test_accuracy_percent": value}
            for step, value in zip(curves[0][0][:length], median, strict=True)
        ]
    ax.axhline(results.choice.target, color=GREY, lw=0.8, ls=(0, (2, 2)), zorder=1)
    style.heading(ax, "Test accuracy", f"dashed line: the target, {results.choice.target:.1f}%")
    ax.set(xlabel="training steps", ylabel="test accuracy (%)", ylim=(0, 100))
    ax.set_xlim(left=0)
    ax.grid(axis="y", color=PALE, lw=0.6)
    style.thousands(ax.xaxis)
    ax.legend(frameon=False, loc="lower right", fontsize=SMALL + 0.5)
    target = [{"test_accuracy_percent": results.choice.target}]
    return figure, tidy(run=rows, median=medians, target=target)


def reached(results: Results) -> Drawn:
    """Figure 3: the share of seeds that have reached the target by each step (Kaplan and Meier)."""
    figure = style.figure(3.6)
    ax = figure.subplots()
    table, curves = [], []
    for arm in FIVE:
        found = inception.crossings(results, arm)
        steps, shares = stats.kaplan_meier(inception.arrivals(found))
        last = max(one.step for one in found)
        x, y = np.append(np.maximum(steps, 1), last), 100 * np.append(shares, shares[-1])
        line = {"color": COLOURS[arm], "ls": DASHES[arm], "lw": 1.8, "label": ARMS[arm].name}
        ax.step(x, y, where="post", **line)
        cut = [one.step for one in found if not one.reached]
        ax.plot(cut, [y[-1]] * len(cut), "|", color=COLOURS[arm], ms=9)
        table += [
            {"network": ARMS[arm].name, "seed": record.seed}
            | {"steps_to_target": one.step, "reached": one.reached}
            for record, one in zip(results.arm(arm), found, strict=True)
        ]
        curves += [
            {"network": ARMS[arm].name, "step": step, "reached_percent": share}
            for step, share in zip(x, y, strict=True)
        ]
    first = min(row["steps_to_target"] for row in table)
    ax.set_xscale("log")
    _steps_axis(ax)
    ax.set_xlim(left=first / 1.3)
    ax.set(xlabel="training steps", ylabel="seeds there (%)", ylim=(-4, 104))
    ax.grid(axis="y", color=PALE, lw=0.6)
    goal = results.choice.target
    style.heading(ax, f"Which seeds have reached {goal:.1f}%", "a stroke: training ended short of it")
    style.key(figure, ax, style.columns(len(FIVE)))
    return figure, tidy(run=table, share=curves, target=[{"target_percent": goal}])


def times_the_steps(results: Results) -> Drawn:
    """S(T): the ratio of steps at every accuracy, with its band; the paper's ratio at its own target."""
    figure = style.figure(3.6)
    ax = figure.subplots()
    table, papers = [], []
    for slow, fast, colour, keys in RATIOS:
        found = inception.profile(results, slow, fast)
        if not found:
            continue
        x = [one.accuracy for one in found]
        middle, low, high = np.transpose([_ends(one.ratio) for one in found])
        ax.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
        ax.plot(x, middle, color=colour, lw=1.8, label=f"{ARMS[slow].name} / {ARMS[fast].name}")
        printed = printed_steps(keys[0]) / printed_steps(keys[1])
        ax.annotate(
            f"paper {printed:.1f}",
            (1, printed),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            color=colour,
            fontsize=SMALL,
            va="center",
            annotation_clip=False,
        )
        ax.axhline(printed, color=colour, lw=0.8, ls=(0, (2, 2)), zorder=1)
        own = {"slow_network": ARMS[slow].name, "fast_network": ARMS[fast].name}
        table += [
            own
            | {"test_accuracy_percent": at, "seeds": one.ratio.n}
            | {"steps_ratio": a, "low_ratio": b, "high_ratio": c}
            for at, one, a, b, c in zip(x, found, middle, low, high, strict=True)
        ]
        papers.append(own | {"steps_ratio": printed})
    ax.axvline(results.choice.target, color=GREY, lw=0.8, ls=(0, (2, 2)), zorder=1)
    ax.set_yscale("log", base=2)
    style.plain_log(ax.yaxis)
    ax.grid(axis="y", color=PALE, lw=0.6)
    ax.set(xlabel="test accuracy to be reached (%)", ylabel="times the steps")
    style.heading(
        ax,
        "How many times the steps, at every accuracy",
        "bands: 95% intervals; dotted: the target, and what the paper has at its own",
    )
    style.key(figure, ax, style.columns(len(RATIOS)))
    target = [{"test_accuracy_percent": results.choice.target}]
    return figure, tidy(mean=table, paper=papers, target=target)


def ends(results: Results) -> Drawn:
    """Test accuracy at the end of training, every arm and seed; seeds that never learned are counted."""
    figure = style.figure(0.9 + 0.34 * len(ENDS))
    ax = figure.subplots()
    table, means = [], []
    for index, arm in enumerate(ENDS):
        records = results.arm(arm)
        colour = COLOURS.get(arm, PLAIN if not ARMS[arm].norm else BN)
        values, learned = measures.accuracies(records), inception.ends_learned(records)
        ax.plot(values[learned], beside(index, learned.sum()), "o", color=colour, ms=4.5, alpha=0.75, mew=0)
        if learned.any():
            ax.plot([values[learned].mean()] * 2, [index - 0.3, index + 0.3], color=colour, lw=2)
        note = f"{values[learned].mean():.1f}%" if learned.any() else ""
        if not learned.all():
            note = f"{note}; " * bool(note) + f"{(~learned).sum()} of {len(records)} at chance"
        first_epochs.beside_the_axes(ax, index, note)
        table += [
            {"network": ARMS[arm].name, "seed": record.seed, "steps": record.config["steps"]}
            | {"test_accuracy_percent": value, "learned": bool(ok)}
            for record, value, ok in zip(records, values, learned, strict=True)
        ]
        if learned.any():
            means.append({"network": ARMS[arm].name, "test_accuracy_percent": values[learned].mean()})
    ax.axhline(len(FIVE) - 0.5, color=PALE, lw=0.8)
    ax.set(xlabel="test accuracy at the end (%)", ylim=(len(ENDS) - 0.5, -0.5))
    ax.set_yticks(range(len(ENDS)), [BESIDES.get(arm, ARMS[arm].name) for arm in ENDS])
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color=PALE, lw=0.6)
    ax.set_axisbelow(True)
    style.heading(ax, "Where the networks end", "dots: seeds that learn; bar and number: their mean")
    return figure, tidy(run=table, mean=means)


def printed_steps(network: str) -> float:
    """The paper's steps to 72.2%, from its Figure 3."""
    return paper.numbers()[f"inception.{network}.steps_to_72_2"]


def _ends(found: stats.Interval) -> tuple[float, float, float]:
    return found.estimate, found.low, found.high


def beside(place: int, count: int) -> np.ndarray:
    """Heights about `place` that part dots which would lie on one another."""
    return place + np.linspace(-0.18, 0.18, count)


def _steps_axis(ax: Axes) -> None:
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    style.thousands(ax.xaxis)
    ax.xaxis.set_minor_formatter(lambda *_: "")


FIGURES = [
    Figure("fig2-test-accuracy", test_accuracy),
    Figure("fig3-steps-to-target", reached),
    Figure("fig2-speedup-profile", times_the_steps),
    Figure("fig2-ends", ends),
    Figure("first-epoch-precision", first_epochs.precision, "precision"),
    Figure("first-epoch-initial", first_epochs.initial, "initial"),
    Figure("first-epoch-survival", first_epochs.survival, "survival"),
]
