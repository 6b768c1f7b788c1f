"""The figures of Section 4.2's first registration."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import LogLocator

from bnbook import measures, paper
from bnbook.drawing import Figure, style
from bnbook.drawing.style import BN, COLOURS, GREEN, GREY, NAMES, PALE, PLAIN, SMALL, WU, YELLOW
from bnbook.drawing.tables import Rows, averaged, tidy
from bnbook.experiments.inception_first import measures as inception
from bnbook.experiments.inception_first.protocol import FIGURE_VARIANTS, VARIANTS, Results
from bnbook.records import Record

Drawn = tuple[Canvas, pd.DataFrame]

PAPER = paper.numbers()
# The paper's keys, where they differ from ours.
PAPER_NAMES = {"inception": "baseline"}
VARIANT_COLOURS = dict(zip(FIGURE_VARIANTS, (PLAIN, BN, GREEN, WU, YELLOW), strict=True))
DASHES = dict(zip(FIGURE_VARIANTS, ((0, (4, 2)), "-", "-", "-", (0, (1.5, 1.2))), strict=True))


def test_accuracy(results: Results) -> Drawn:
    """Figure 2: accuracy against training steps."""
    figure = style.figure(4.1)
    ax = figure.subplots()
    curves = _curves(ax, results)
    style.heading(
        ax,
        "Test accuracy",
        f"dashed line: the baseline's best, {inception.goal(results):.1f}%; dots: the first step above it",
    )
    target = _goal(ax, results)
    crossings = [row for variant in FIGURE_VARIANTS for row in _mark_crossings(ax, results, variant)]
    style.thousands(ax.xaxis)
    ax.set(xlabel="training steps", ylabel="test accuracy (%)")
    _names(ax)
    return figure, tidy(**curves, crossing=crossings, target=target)


def wall_clock(results: Results) -> Drawn:
    """The same against training time: batch normalization makes a step dearer."""
    cost = {row.variant: row.seconds_per_step for row in inception.table(results)}
    figure = style.figure(4.1)
    ax = figure.subplots()
    curves = _curves(ax, results, {variant: seconds / 60 for variant, seconds in cost.items()})
    style.heading(
        ax,
        "Test accuracy by the clock",
        f"steps times what a step takes; dashed line: the baseline's best, {inception.goal(results):.1f}%",
    )
    target = _goal(ax, results)
    ax.set(xlabel="minutes of training on one core", ylabel="test accuracy (%)")
    _names(ax)
    return figure, tidy(**curves, target=target)


def steps_to_target(results: Results) -> Drawn:
    """Figure 3 and its table: steps to the baseline's maximum, and the maximum itself."""
    rows = [row for row in inception.table(results) if row.variant in FIGURE_VARIANTS]
    figure, (left, right) = style.panels(3.4, 1, 2, sharey=True, gridspec_kw={"wspace": 0.08})
    drawn, medians = [], []
    for index, row in enumerate(rows):
        colour = VARIANT_COLOURS[row.variant]
        steps = np.array([c.step for c in row.crossings])
        reached = np.array([c.reached for c in row.crossings])
        offsets = index + np.linspace(-0.18, 0.18, len(steps))
        left.scatter(steps[reached], offsets[reached], color=colour, s=26, zorder=3)
        left.scatter(
            steps[~reached],
            offsets[~reached],
            facecolors="none",
            edgecolors=colour,
            marker=">",
            s=32,
            zorder=3,
        )
        right.scatter(row.best, offsets, color=colour, s=26, zorder=3)
        right.plot([np.median(row.best)] * 2, [index - 0.3, index + 0.3], color=colour, lw=2)
        drawn += [
            {
                "network": VARIANTS[row.variant].name,
                "seed": seed,
                "steps_to_target": crossing.step,
                "reached": crossing.reached,
                "max_test_accuracy_percent": row.best[seed],
            }
            for seed, crossing in enumerate(row.crossings)
        ]
        medians.append({"network": VARIANTS[row.variant].name})
        medians[-1]["max_test_accuracy_percent"] = np.median(row.best)
    goal = inception.goal(results)
    left.set_xscale("log")
    left.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    style.thousands(left.xaxis)
    left.xaxis.set_minor_formatter(lambda *_: "")
    left.set(xlabel=f"steps to {goal:.2f}%", yticks=range(len(rows)))
    left.set_yticklabels([VARIANTS[row.variant].name for row in rows])
    left.invert_yaxis()
    style.heading(left, "Steps to the baseline's best", "hollow: not reached, all its steps")
    right.axvline(goal, color=GREY, lw=0.8, ls=(0, (2, 2)), zorder=1)
    right.set(xlabel="maximum test accuracy (%)")
    style.heading(right, "Best accuracy", "bar: median over seeds")
    for ax in (left, right):
        ax.grid(axis="x", color=PALE, lw=0.6)
        ax.set_axisbelow(True)
        ax.tick_params(axis="y", length=0)
    target = [{"max_test_accuracy_percent": goal}]
    return figure, tidy(run=drawn, median=medians, target=target)


def matched_rates(results: Results) -> Drawn:
    """Both networks at equal learning rates, all else equal."""
    lrs = sorted({lr for _, lr in results.rates})
    figure = style.figure(3.6)
    ax = figure.subplots()
    drawn = []
    for norm, name in ((False, "plain"), (True, "bn")):
        values = np.array([[inception.end_validation(r) for r in results.rates[norm, lr]] for lr in lrs])
        colour = COLOURS[name]
        ax.plot(lrs, values.mean(axis=1), color=colour, lw=2, label=NAMES[name])
        for seed in range(values.shape[1]):
            ax.scatter(lrs, values[:, seed], color=colour, s=16, alpha=0.6, lw=0)
        drawn += [
            {
                "network": NAMES[name],
                "learning_rate": lr,
                "seed": seed,
                "validation_accuracy_percent": values[i, seed],
            }
            for i, lr in enumerate(lrs)
            for seed in range(values.shape[1])
        ]
    floor = inception.chance(results.rates[False, lrs[0]])
    ax.axhline(floor, color=GREY, lw=0.8, ls=(0, (2, 2)))
    ax.annotate(
        "chance", (lrs[0], floor), xytext=(0, 3), textcoords="offset points", color=GREY, fontsize=SMALL
    )
    ax.set_xscale("log", base=2)
    ax.set_xticks(lrs, [f"{lr:g}" for lr in lrs], rotation=45 if style.is_narrow() else 0)
    ax.set(xlabel="learning rate", ylabel="validation accuracy (%)")
    style.heading(
        ax,
        "Equal learning rates",
        f"after {results.profile.rates_epochs} epochs, all else equal; dots: seeds",
    )
    ax.legend(
        frameon=False,
        labelcolor="linecolor",
        handlelength=0,
        loc="center left",
        bbox_to_anchor=(0.0, 0.33),
        fontsize=SMALL + 0.5,
    )
    means = averaged("mean", drawn, ["network", "learning_rate"], ["validation_accuracy_percent"])
    return figure, tidy(run=drawn, mean=means, chance=[{"validation_accuracy_percent": floor}])


def tuning(results: Results) -> Drawn:
    """How the baseline was tuned: validation accuracy along the runs of every (r, lambda)."""
    figure = style.figure(3.4)
    ax = figure.subplots()
    drawn, ends = [], []
    decays = sorted({r.config["lr_decay"] for r in results.tuning})
    weights = sorted({r.config["weight_decay"] for r in results.tuning})
    for record in results.tuning:
        config = record.config
        steps, values = inception.validation_curve(record)
        epochs = steps / results.profile.steps_per_epoch
        chosen = (config["lr_decay"], config["weight_decay"]) == (
            results.choice.lr_decay,
            results.choice.weight_decay,
        )
        colour = (PLAIN, BN, GREEN)[decays.index(config["lr_decay"])]
        ax.plot(
            epochs,
            values,
            color=colour,
            lw=2.4 if chosen else 1.2,
            ls=("-", (0, (4, 2)), (0, (1.5, 1.2)))[weights.index(config["weight_decay"])],
            label=f"r = {config['lr_decay']:g}, λ = {config['weight_decay']:g}: "
            f"{inception.end_validation(record):.2f}%" + (" (chosen)" if chosen else ""),
        )
        own = {"learning_rate_decay": config["lr_decay"], "weight_decay": config["weight_decay"]}
        drawn += [
            own | {"step": step, "epoch": epoch, "validation_accuracy_percent": value}
            for step, epoch, value in zip(steps, epochs, values, strict=True)
        ]
        ends.append(own | {"validation_accuracy_percent": inception.end_validation(record), "chosen": chosen})
    style.heading(
        ax, "Tuning the baseline", f"Inception at learning rate {results.choice.lr:g}; one seed each"
    )
    ax.set(xlabel="epochs", ylabel="validation accuracy (%)")
    ax.legend(frameon=False, fontsize=SMALL, loc="lower right")
    return figure, tidy(run=drawn, end=ends)


def _curves(ax: Axes, results: Results, minutes: dict[str, float] | None = None) -> dict[str, Rows]:
    """Every seed and the median of the five variants over steps, or over time, a step of a variant taking so
    many `minutes`. The rows of the table, by kind.

    Not the mean: where some seeds learn and others do not, it is where none is.
    """
    table: dict[str, Rows] = {"run": [], "median": []}
    for variant in FIGURE_VARIANTS:
        colour, found = VARIANT_COLOURS[variant], results.main[variant]
        lines = [("run", {"seed": record.seed}, *measures.curve(record)) for record in found]
        for kind, own, steps, values in [*lines, ("median", {}, *_median(found))]:
            look = {"lw": 0.5, "alpha": 0.45} if kind == "run" else {"lw": 1.8, "ls": DASHES[variant]}
            x = steps * minutes[variant] if minutes else steps
            ax.plot(x, values, color=colour, **look)
            rows = pd.DataFrame({"network": VARIANTS[variant].name, **own, "step": steps})
            rows = rows.assign(minutes=x) if minutes else rows
            table[kind] += rows.assign(test_accuracy_percent=values).to_dict("records")
    ax.set_ylim(bottom=0, top=100)
    ax.set_xlim(left=0)
    ax.grid(axis="y", color=PALE, lw=0.6)
    return table


def _median(records: Sequence[Record]) -> tuple[np.ndarray, np.ndarray]:
    """The median curve over the steps that all seeds have."""
    curves = [measures.curve(record) for record in records]
    length = min(len(steps) for steps, _ in curves)
    return curves[0][0][:length], np.median([values[:length] for _, values in curves], axis=0)


def _goal(ax: Axes, results: Results) -> Rows:
    goal = inception.goal(results)
    ax.axhline(goal, color=GREY, lw=0.8, ls=(0, (2, 2)), zorder=1)
    return [{"test_accuracy_percent": goal}]


def _mark_crossings(ax: Axes, results: Results, variant: str) -> Rows:
    goal = inception.goal(results)
    steps = {seed: c.step for seed, c in enumerate(inception.crossings(results, variant)) if c.reached}
    ax.scatter(list(steps.values()), [goal] * len(steps), color=VARIANT_COLOURS[variant], s=14, zorder=4)
    return [
        {"network": VARIANTS[variant].name, "seed": seed, "step": step, "test_accuracy_percent": goal}
        for seed, step in steps.items()
    ]


def _names(ax: Axes) -> None:
    for variant in FIGURE_VARIANTS:
        ax.plot(
            [], [], color=VARIANT_COLOURS[variant], ls=DASHES[variant], lw=1.8, label=VARIANTS[variant].name
        )
    ax.legend(frameon=False, loc="lower right", fontsize=SMALL + 0.5)


FIGURES = [
    Figure("first-test-accuracy", test_accuracy),
    Figure("fig2-wall-clock", wall_clock),
    Figure("fig2-matched-rates", matched_rates, "control"),
    Figure("fig2-tuning", tuning, "tuning"),
    Figure("first-steps-to-target", steps_to_target),
]
