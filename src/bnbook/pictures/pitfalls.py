"""The pictures of the chapter on pitfalls: what three of its probes printed, seed by seed."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from bnbook import probes
from bnbook.drawing import Figure, style
from bnbook.drawing.style import BN, GREEN, GREY, PLAIN, SMALL
from bnbook.drawing.tables import Rows, tidy
from bnbook.probes import Probe

Drawn = tuple[Canvas, pd.DataFrame]

WHOLE = 32  # samples of a batch
SIZES = (WHOLE, 16, 8, 4, 2)  # of a micro-batch


def leak(_: None = None) -> Drawn:
    """Accuracy as training shows it and as use does, trained on batches of one class and on mixed ones."""
    probe, column = probes.recorded("leak"), "test_accuracy_percent"
    figure = style.figure(3.4)
    ax = figure.subplots()
    runs, means = [], []
    for place, (fact, batches) in enumerate({"found": "one class", "mended": "mixed"}.items()):
        for mode, colour, aside in (("train()", PLAIN, -0.12), ("eval()", BN, 0.12)):
            own = {"batches": batches, "mode": mode}
            seeds, mean = rows(probe, f"{fact}, {mode}", column, own)
            dots(ax, place + aside, seeds, mean, column, colour)
            runs, means = [*runs, *seeds], [*means, mean]
    ax.axhline(50, color=GREY, lw=1, ls=":", zorder=0)
    ax.text(0.5, 51, "guessing", color=GREY, fontsize=SMALL, ha="center")
    style.labels(ax, [("in train(), on such batches", PLAIN), ("in eval()", BN)], 0.99, 0.85)
    ax.set(xlim=(-0.5, 1.5), ylim=(40, 103), ylabel="accuracy on new signals (%)")
    ax.set_xticks([0, 1], ["batches of one class", "mixed batches"])
    ax.tick_params(axis="x", length=0)
    style.heading(ax, "Two ways to compose the batches of training", "dots: seeds; bar: 95% interval")
    return figure, tidy(run=runs, mean=means, chance=[{column: 50}])


def accumulation(_: None = None) -> Drawn:
    """How the accumulated gradient lies to that of the whole batch, and the accuracy that it trains to."""
    figure, (left, right) = style.panels(3.2, 1, 2)
    cosines, accuracies = probes.recorded("accumulation"), probes.recorded("micro_batches")
    drawn = [
        (left, cosines, f"{WHOLE // size} x {size}", "cosine_ratio", size, "BatchNorm", BN)
        for size in SIZES[1:]
    ]
    drawn.append((left, cosines, "mended", "cosine_ratio", 8, "GroupNorm", GREEN))
    drawn += [
        (right, accuracies, f"{WHOLE // size} x {size}", "test_accuracy_percent", size, "BatchNorm", BN)
        for size in SIZES
    ]
    runs, means = [], []
    for ax, probe, fact, column, size, norm, colour in drawn:
        seeds, mean = rows(probe, fact, column, {"normalization": norm, "batch_size": size})
        dots(ax, size, seeds, mean, column, colour)
        runs, means = [*runs, *seeds], [*means, mean]
    for ax in (left, right):
        ax.set_xscale("log", base=2)
        ax.set_xticks(SIZES, [str(size) for size in SIZES])
        ax.set(xlim=(40, 1.6), xlabel="samples in a micro-batch")
        ax.minorticks_off()
    style.labels(left, [("GroupNorm", GREEN), ("BatchNorm", BN)], 0.99, 0.85)
    left.set(ylabel="cosine", ylim=(-0.12, 1.05))
    right.set(ylabel="test accuracy (%)")
    style.heading(left, "The gradient", "against that of 32 at once")
    style.heading(right, "After 60 steps", "dots: seeds; bar: 95% interval")
    return figure, tidy(run=runs, mean=means)


def rows(probe: Probe, fact: str, column: str, own: dict[str, Any]) -> tuple[Rows, dict[str, Any]]:
    """The rows of a fact, a seed each, and that of their mean with its interval."""
    seeds = [own | {"seed": seed, column: value} for seed, value in enumerate(probe.values(fact))]
    whole, unit = probe.interval(fact), column.rpartition("_")[2]
    return seeds, own | {column: whole.estimate, f"low_{unit}": whole.low, f"high_{unit}": whole.high}


def dots(ax: Axes, x: float, seeds: Rows, mean: dict[str, Any], column: str, colour: str) -> None:
    """At `x` a dot for each seed, and the interval of their mean as a bar."""
    unit = column.rpartition("_")[2]
    ax.plot([x, x], [mean[f"low_{unit}"], mean[f"high_{unit}"]], color=colour, lw=6, alpha=0.3)
    ax.scatter([x] * len(seeds), [row[column] for row in seeds], s=18, color=colour, alpha=0.8, lw=0)


FIGURES = [
    Figure("leaking-label", leak, stage=None),
    Figure("accumulated-gradient", accumulation, stage=None, data="scikit-learn digits"),
]
