"""The figures of Santurkar et al. 2018: what the last sigmoids receive, speed beside drift, and what lies
along a step."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import LogLocator

from bnbook.drawing import Figure, style
from bnbook.drawing.style import BN, GREY, NAMES, PALE, PLAIN, SMALL, WU
from bnbook.drawing.tables import Rows, averaged, tidy
from bnbook.experiments.covariate_shift_tested import measures as shifted
from bnbook.experiments.covariate_shift_tested.protocol import VARIANTS
from bnbook.experiments.protocol import Results
from bnbook.records import Record

Drawn = tuple[Canvas, pd.DataFrame]

COLOURS = {"plain": PLAIN, "bn": BN, "noisy": WU}
WORDS = NAMES | {"noisy": "with BN and noise"}
LEVELS = ("percentile_15", "percentile_50", "percentile_85")
# What is measured along a step: the name of its column, its unit, and how it is measured.
ALONG: dict[str, tuple[str, str, Callable[[Record], np.ndarray]]] = {
    "gradient_change_ratio": ("Gradient, layers below moved", "change ÷ gradient", shifted.shift),
    "beta": ("Gradient, along the step", "effective β", shifted.beta),
    "loss_range_nats": ("Loss, along the step", "range (nats)", shifted.loss_range),
}


def inputs(results: Results) -> Drawn:
    """The typical unit's percentiles in each network, at the largest rate, the first seed."""
    rate = shifted.rates(results)[-1]
    figure, axes = style.panels(2.9, 1, 3, sharex=True, sharey=True)
    rows: Rows = []
    for ax, variant in zip(axes, VARIANTS, strict=True):
        record = shifted.runs(results, variant, rate)[0]
        steps = record.arrays.get("percentile_step", np.array([], dtype=int))
        found = record.arrays.get("percentiles", np.zeros((0, 3)))
        for values, width in zip(found.T, (1.0, 1.8, 1.0), strict=True):
            ax.plot(steps, values, color=COLOURS[variant], lw=width)
        ax.fill_between(steps, found[:, 0], found[:, 2], color=COLOURS[variant], alpha=0.15, lw=0)
        rows += [
            {"network": WORDS[variant], "learning_rate": rate, "seed": record.seed, "step": step}
            | dict(zip(LEVELS, values, strict=True))
            for step, values in zip(steps, found, strict=True)
        ]
        style.heading(ax, _capital(WORDS[variant]))
        ax.axhline(0, color=GREY, lw=0.6)
        ax.set_xscale("log")
        style.thousands(ax.xaxis)
        ax.set_xlabel("training step (log scale)")
        ax.grid(axis="y", color=PALE, lw=0.6)
    axes[0].set_ylabel("input of a last sigmoid")
    return figure, pd.DataFrame(rows)


def speed(results: Results) -> Drawn:
    """Drift of the inputs, and steps to the target, by learning rate."""
    figure, (left, right) = style.panels(3.5, 1, 2)
    rates = shifted.rates(results)
    drifts = {variant: shifted.drifts(results, variant) for variant in VARIANTS}
    steps = {variant: np.exp(shifted.log_steps(results, variant)) for variant in VARIANTS}
    rows: Rows = []
    for ax, found in ((left, drifts), (right, steps)):
        for variant, values in found.items():
            middle = np.exp(np.log(values).mean(1))
            ax.plot(rates, middle, color=COLOURS[variant], lw=1.8, label=WORDS[variant])
            for rate, own in zip(rates, values, strict=True):
                ax.scatter([rate] * len(own), own, color=COLOURS[variant], s=13, alpha=0.5, lw=0)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xticks(rates, [f"{rate:g}" for rate in rates])
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        style.plain_log(ax.yaxis)
        ax.minorticks_off()
        ax.set_xlabel("learning rate")
        ax.grid(axis="y", color=PALE, lw=0.6)
        ax.set_axisbelow(True)
    for variant in VARIANTS:
        rows += [
            {"network": WORDS[variant], "learning_rate": rate, "seed": record.seed}
            | {
                "drift_ratio": drifts[variant][place, number],
                "steps_to_target": steps[variant][place, number],
            }
            for place, rate in enumerate(rates)
            for number, record in enumerate(shifted.runs(results, variant, rate))
        ]
    left.set_ylabel("drift")
    right.set_ylabel("steps (log scale)")
    style.heading(left, "How far inputs drift", "dots: seeds; lines: geometric mean")
    style.heading(right, "How long it takes", f"to {shifted.target(results)}% test accuracy")
    right.legend(frameon=False, fontsize=SMALL, labelcolor="linecolor", handlelength=1.2)
    means = _geometric(rows, ["network", "learning_rate"], ["drift_ratio", "steps_to_target"])
    return figure, tidy(run=rows, mean=means)


def landscape(results: Results) -> Drawn:
    """What changes along a step while a network learns, at the lowest rate and the highest: thick in the
    phase that is judged."""
    rates, goal = sorted({shifted.rates(results)[place] for place in (0, -1)}), shifted.target(results)
    foot = f"thick: from {shifted.PHASE_FROM}% test accuracy to {goal}%, which is judged"
    figure, axes = style.panels(
        6.2, len(ALONG), len(rates), foot=foot, squeeze=False, by_column=True, sharex=True, sharey="row"
    )
    rows: Rows = []
    for column, rate in enumerate(rates):
        for line, (name, (title, unit, of)) in enumerate(ALONG.items()):
            ax = axes[line, column]
            for variant in VARIANTS:
                found = _course(shifted.runs(results, variant, rate), of, goal)
                for part, width in (("all", 1.0), ("judged", 2.6)):
                    own = found[found["judged"]] if part == "judged" else found
                    ax.plot(own["step"], own["value"], color=COLOURS[variant], lw=width)
                rows += [
                    {"network": WORDS[variant], "learning_rate": rate, "quantity": name}
                    | {"step": one.step, "value": one.value, "judged": one.judged}
                    for one in found.itertuples()
                ]
            ax.set_xscale("log")
            ax.set_yscale("log")
            style.thousands(ax.xaxis)
            if name == "beta":  # all of it within a power of ten
                ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            style.plain_log(ax.yaxis)
            ax.grid(color=PALE, lw=0.6)
            ax.set_axisbelow(True)
            style.heading(ax, title, f"learning rate {rate:g}")
            if column == 0:
                ax.set_ylabel(unit)
    for ax in axes[-1]:
        ax.set_xlabel("training step (log scale)")
    for variant in VARIANTS:
        axes[0, -1].plot([], [], color=COLOURS[variant], label=WORDS[variant])
    axes[0, -1].legend(frameon=False, fontsize=SMALL, labelcolor="linecolor", handlelength=0.8)
    return figure, pd.DataFrame(rows)


def _course(records: list[Record], of: Callable[[Record], np.ndarray], goal: float) -> pd.DataFrame:
    """Geometric mean over seeds at each probe, and whether most of them are in the judged phase there."""
    found = pd.DataFrame(
        [
            {"step": int(step), "value": np.log(value), "judged": within}
            for record in records
            for step, value, within in zip(
                shifted.column(record, "step"), of(record), shifted.phase(record, goal), strict=True
            )
        ]
    )
    means = found.groupby("step", as_index=False).mean()
    return means.assign(value=np.exp(means["value"]), judged=means["judged"] >= 0.5)


def _geometric(rows: Rows, by: list[str], of: list[str]) -> Rows:
    logs = [row | {name: np.log(row[name]) for name in of} for row in rows]
    return [row | {name: np.exp(row[name]) for name in of} for row in averaged("mean", logs, by, of)]


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]


FIGURES = [
    Figure("shift-inputs", inputs),
    Figure("shift-speed", speed),
    Figure("shift-landscape", landscape),
]
