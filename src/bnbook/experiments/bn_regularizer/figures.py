"""The figures of Section 3.4: the noise of a mini-batch's company, and what it and Dropout do to accuracy."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from bnbook import paper, stats
from bnbook.drawing import Figure, style
from bnbook.drawing.style import BN, COLOURS, GREEN, GREY, INK, NAMES, PALE, PLAIN, SMALL, WU, YELLOW
from bnbook.drawing.tables import Rows, averaged, tidy
from bnbook.experiments.bn_regularizer import measures as regularizer
from bnbook.experiments.bn_regularizer.protocol import NETWORKS
from bnbook.experiments.protocol import FIRST_NEW_SEED, Results
from bnbook.measures import accuracies
from bnbook.records import Record

Drawn = tuple[Canvas, pd.DataFrame]

LAYER_COLOURS = (GREEN, YELLOW, WU)


def companions(_: None = None) -> Drawn:
    """One value in ten mini-batches: as it comes in, and normalized in the company of 7 and of 63 others."""
    rng, value, batches = np.random.default_rng(4), 1.0, 10
    figure, (raw, small, large) = style.panels(3.6, 1, 3, sharey=True)
    rows = []
    for row in range(batches):
        for m, ax in ((8, small), (64, large)):
            x = np.append(rng.normal(size=m - 1), value)
            x_hat = (x - x.mean()) / x.std()
            if m == 8:
                _row(raw, row, x)
            _row(ax, row, x_hat)
            rows += [
                {"mini_batch": row + 1, "batch_size": m, "example": index, "x": a, "x_hat": b}
                for index, (a, b) in enumerate(zip(x, x_hat, strict=True), start=1)
            ]
    style.heading(raw, "What comes in", "the same example, 7 others")
    style.heading(small, "Normalized with 7", "it jitters")
    style.heading(large, "Normalized with 63", "it hardly does")
    raw.set(xlabel="$x$", ylabel="mini-batch", yticks=range(batches), yticklabels=range(1, batches + 1))
    raw.invert_yaxis()
    for ax in (raw, small, large):
        ax.axvline(value, color=PLAIN, lw=0.8, ls=(0, (2, 2)), zorder=0)
        ax.set(xlim=(-3.2, 3.2), xticks=[-2, 0, 2])
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
    for ax in (small, large):
        ax.set_xlabel(r"$\hat{x}$")
    means = averaged("mean", rows, ["mini_batch", "batch_size"], ["x", "x_hat"])
    return figure, tidy(example=rows, mean=means)


def _row(ax: Axes, row: int, values: np.ndarray) -> None:
    """The mini-batch's values, the last of them the example that is watched; a bar at their mean."""
    ax.scatter(values[:-1], [row] * (len(values) - 1), s=12, color=GREY, alpha=0.35, lw=0)
    ax.plot([values.mean()] * 2, [row - 0.3, row + 0.3], color=GREY, lw=1.4)
    ax.scatter(values[-1:], [row], s=44, color=PLAIN, lw=0, zorder=3)


def noise(results: Results) -> Drawn:
    """Spread of a normalized value, and answers changed, by the size of the mini-batch."""
    sizes = np.array(regularizer.sizes_of(results))
    figure, (left, right) = style.panels(3.5, 1, 2)
    spreads = []
    for layer, colour in zip(regularizer.layers(results), LAYER_COLOURS, strict=False):
        found = regularizer.spread(results, layer)
        left.plot(
            sizes, found.mean(1), "-o", color=colour, lw=1.5, ms=4, mew=0, label=f"hidden layer {layer}"
        )
        spreads += [{"layer": layer} | row for row in _long(sizes, found, "x_hat_std")]
    finest = np.geomspace(sizes[0], sizes[-1], 50)
    left.plot(finest, regularizer.law(finest), color=INK, lw=1, ls=(0, (3, 2)), label=r"$\sqrt{1.5/m}$")
    found = regularizer.changed(results)
    right.plot(sizes, found.mean(1), color=BN, lw=1.5)
    _dots(right, sizes, found, BN)
    changed = _long(sizes, found, "disagreement_percent")
    for ax in (left, right):
        ax.set_xscale("log")
        ax.set_xticks(ticks := _thinned(sizes), [str(size) for size in ticks])
        ax.minorticks_off()
        ax.set_xlabel("examples in the mini-batch, $m$")
        _plain(ax)
    left.set_yscale("log")
    left.set_yticks(levels := [0.05, 0.1, 0.2, 0.5, 1], [f"{level:g}" for level in levels])
    left.minorticks_off()
    right.set_ylim(bottom=0)
    left.set_ylabel(r"standard deviation of $\hat{x}$")
    right.set_ylabel("answers changed (%)")
    left.legend(frameon=False, fontsize=SMALL, loc="lower left", handlelength=1.6)
    style.heading(left, "How an example jitters", "over random mini-batches")
    style.heading(right, "How often that shows", "dots: seeds")
    return figure, tidy(
        run=spreads + changed,
        mean=averaged("mean", spreads, ["layer", "batch_size"], ["x_hat_std"])
        + averaged("mean", changed, ["batch_size"], ["disagreement_percent"]),
        theory=[
            {"batch_size": m, "x_hat_std": s} for m, s in zip(finest, regularizer.law(finest), strict=True)
        ],
    )


def dropout(results: Results) -> Drawn:
    """Test accuracy, and the gap to training accuracy, by rate of Dropout, with and without BN; below, what
    new seeds say of leaving it out."""
    rates = regularizer.rates(results)
    axes, below = _panels()
    figure, rows = below.figure, []
    for name in NETWORKS:
        found = [regularizer.with_dropout(results, name, rate) for rate in rates]
        percents = [100 * rate for rate in rates]
        rows += _test_and_gap(axes, percents, found, "dropout_percent", COLOURS[name], NAMES[name])
    for ax in axes:
        ax.set(xlabel="Dropout (%)", xticks=[100 * rate for rate in rates])
    axes[1].legend(frameon=False, fontsize=SMALL + 0.5, labelcolor="linecolor", handlelength=1.2)
    differences = _differences(below, regularizer.saved(results), paper.effect("c-3.4-dropout"))
    style.heading(below, "With BN: without Dropout less with it", "new seeds; dashed: as much as may be lost")
    return figure, tidy(run=rows, mean=_means(rows, "dropout_percent"), **differences)


def statistics(results: Results) -> Drawn:
    """The same by the number of examples that mean and variance are taken over; below, what new seeds say of
    the mini-batch's noise against nearly none."""
    groups = regularizer.groups(results)
    axes, below = _panels()
    figure = below.figure
    found = [regularizer.chosen(results, "statistics", str(group)) for group in groups]
    rows = _test_and_gap(axes, groups, found, "group_size", BN, "with BN, no Dropout")
    plain = regularizer.with_dropout(results, "plain", 0.0)
    test, train = accuracies(plain), regularizer.train_accuracies(plain)
    for ax, level in zip(axes, (test.mean(), (train - test).mean()), strict=True):
        ax.axhline(level, color=PLAIN, lw=1.2, ls=(0, (4, 2)), label="without BN, no Dropout")
        ax.set_xscale("log")
        ax.set_xticks(groups, [str(group) for group in groups])
        ax.minorticks_off()
        ax.set_xlabel("examples a statistic is taken over")
    rows += _rows([None], [plain], "group_size", "without BN, no Dropout")
    axes[1].legend(frameon=False, fontsize=SMALL, labelcolor="linecolor", handlelength=1.4)
    quiet = regularizer.new(results, "company")[0].config
    differences = _differences(below, regularizer.noise_gains(results), paper.effect("c-3.4-generalization"))
    title = f"{quiet['batch_size']} examples less {quiet['group']:,}"
    style.heading(below, title, "new seeds; dashed: the smallest gain that matters")
    return figure, tidy(run=rows, mean=_means(rows, "group_size"), **differences)


def _panels() -> tuple[tuple[Axes, Axes], Axes]:
    """Two panels side by side, and a low one under both."""
    _, panels = style.mosaic(4.4, [["left", "right"], ["below", "below"]], [4, 1])
    return (panels["left"], panels["right"]), panels["below"]


def _differences(ax: Axes, values: np.ndarray, effect: float) -> dict[str, Rows]:
    """Differences in points by new seed: dots, mean and its interval; `effect` is what the claim is held
    against. The rows of the table, by kind."""
    whole = stats.mean_interval(values)
    ax.scatter(values, np.zeros(len(values)), color=BN, s=11, alpha=0.25, lw=0)
    ax.plot([whole.low, whole.high], [0.3] * 2, color=BN, lw=3)
    ax.plot([whole.estimate] * 2, [0.15, 0.45], color=BN, lw=1.6)
    ax.axvline(0, color=GREY, lw=0.8)
    ax.axvline(effect, color=INK, lw=1, ls=(0, (4, 3)))
    ax.set(ylim=(-0.3, 0.6), yticks=[], xlabel="difference in test accuracy (points)")
    ax.locator_params(axis="x", nbins=6)
    ax.spines["left"].set_visible(False)
    _plain(ax)
    return {
        "new_run": [
            {"seed": seed, "difference_points": value}
            for seed, value in enumerate(values, start=FIRST_NEW_SEED)
        ],
        "new_mean": [
            {"difference_points": whole.estimate, "low_points": whole.low, "high_points": whole.high}
        ],
        "effect": [{"difference_points": effect}],
    }


def _test_and_gap(
    axes: Sequence[Axes],
    at: Sequence[float],
    found: Sequence[list[Record]],
    column: str,
    colour: str,
    name: str,
) -> Rows:
    """Draw test accuracy on the left and the gap to training accuracy on the right; the rows of the table,
    with `at` in `column`."""
    test = np.array([accuracies(records) for records in found])
    gap = np.array([regularizer.train_accuracies(records) for records in found]) - test
    for ax, values in zip(axes, (test, gap), strict=True):
        ax.plot(at, values.mean(1), color=colour, lw=1.8, label=name)
        _dots(ax, at, values, colour)
        _plain(ax)
    axes[0].set_ylabel("test accuracy (%)")
    axes[1].set_ylabel("training less test (points)")
    style.heading(axes[0], "On images never seen", "dots: seeds")
    style.heading(axes[1], "Learned by heart", "the gap between training and test")
    return _rows(at, found, column, name)


def _rows(at: Sequence, found: Sequence[list[Record]], column: str, name: str) -> Rows:
    return [
        {
            "network": name,
            column: place,
            "learning_rate": record.config["lr"],
            "seed": record.seed,
            "test_accuracy_percent": test,
            "training_accuracy_percent": train,
            "gap_points": train - test,
        }
        for place, records in zip(at, found, strict=True)
        for record, test, train in zip(
            records, accuracies(records), regularizer.train_accuracies(records), strict=True
        )
    ]


def _means(rows: Rows, column: str) -> Rows:
    return averaged("mean", rows, ["network", column], ["test_accuracy_percent", "gap_points"])


def _long(sizes: np.ndarray, found: np.ndarray, column: str) -> Rows:
    return [
        {"batch_size": size, "seed": seed, column: value}
        for size, values in zip(sizes, found, strict=True)
        for seed, value in enumerate(values)
    ]


def _dots(ax: Axes, at: Sequence[float], found: np.ndarray, colour: str) -> None:
    for place, values in zip(at, found, strict=True):
        ax.scatter([place] * len(values), values, color=colour, s=13, alpha=0.55, lw=0)


def _thinned(sizes: np.ndarray) -> np.ndarray:
    """Every second size where there are many, the last among them: labels that do not touch."""
    return sizes[::-1][::2][::-1] if len(sizes) > 5 else sizes


def _plain(ax: Axes) -> None:
    ax.grid(color=PALE, lw=0.6)
    ax.set_axisbelow(True)


FIGURES = [
    Figure("regularizer-noise", noise, "noise"),
    Figure("regularizer-dropout", dropout),
    Figure("regularizer-statistics", statistics),
    Figure("pic-company", companions, stage=None),
]
