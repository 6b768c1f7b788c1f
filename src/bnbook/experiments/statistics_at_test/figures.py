"""The figures of statistics at test: accuracy on corrupted images, what comes back, how far inputs move."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from bnbook import paper
from bnbook.drawing import Figure, style
from bnbook.drawing.style import BN, GREEN, GREY, INK, PALE, PLAIN, WU, YELLOW
from bnbook.drawing.tables import averaged, tidy
from bnbook.experiments.protocol import Results
from bnbook.experiments.statistics_at_test import measures as adapted
from bnbook.experiments.statistics_at_test.corruptions import CORRUPTIONS, KINDS
from bnbook.experiments.statistics_at_test.protocol import COUNTED, VARIANTS

Drawn = tuple[Canvas, pd.DataFrame]

CLAIM = "c-after-adaptation"
KIND_COLOURS = {
    "noise": PLAIN,
    "blur": GREEN,
    "contrast": YELLOW,
    "brightness": BN,
    "inversion": WU,
}
COUNT_COLOURS = {"few": YELLOW, "more": GREEN, "most": BN}
DRAWS = {"few": "as drawn", "even": "classes even", "one_class": "one class", "mixed": "mixed"}


def normalized(_: None = None) -> Drawn:
    """A map's values on images that are paler than those of training, normalized by the statistics of
    training and by their own."""
    centre, spread = 1.0, 1.0  # of training
    pale, narrow = 0.4, 0.35  # of the new images
    figure, axes = style.panels(3.1, 1, 2, sharey=True)
    x = np.linspace(-3.4, 3.4, 241)
    training = _density(x, 0, 1)
    seen = {
        "By the statistics of training": _density(x, (pale - centre) / spread, narrow / spread),
        "By those of the new images": training,
    }
    rows = []
    for ax, (title, density) in zip(axes, seen.items(), strict=True):
        ax.axvspan(0, x[-1], color=PALE, alpha=0.35, lw=0, zorder=0)
        ax.fill_between(x, training, color=BN, alpha=0.25, lw=0)
        ax.plot(x, density, color=PLAIN, lw=2)
        ax.set(xlabel=r"$\hat{x}$, normalized", yticks=[], xlim=(x[0], x[-1]), ylim=(0, 1.35))
        style.heading(ax, title, "shaded: what a ReLU lets through")
        ax.spines["left"].set_visible(False)
        for images, values in (("training images", training), ("new images", density)):
            rows += [
                {"statistics": title, "images": images, "x_hat": at, "density": value}
                for at, value in zip(x, values, strict=True)
            ]
    style.labels(axes[0], [("training images", BN), ("new images", PLAIN)], 0.98, 0.95)
    return figure, pd.DataFrame(rows)


def _density(x: np.ndarray, mean: float, std: float) -> np.ndarray:
    return np.exp(-0.5 * ((x - mean) / std) ** 2) / (std * np.sqrt(2 * np.pi))


def accuracies(results: Results) -> Drawn:
    """Test accuracy by kind of image: without BN, with the statistics of training, with those of images of
    the kind."""
    series = {
        "without BN": (PLAIN, "plain", ""),
        "with BN, statistics of training": (INK, "bn", ""),
    } | {
        f"of {results.profile.counts[place]:,} images": (COUNT_COLOURS[way], "bn", way)
        for place, way in enumerate(COUNTED)
    }
    figure = style.figure(6.2 if style.is_narrow() else 5.0)
    ax = figure.subplots()
    rows = []
    for place, (name, (colour, variant, way)) in enumerate(series.items()):
        for line, kind in enumerate(KINDS):
            y = line + 0.15 * (place - 2)
            found = adapted.accuracy(results, variant, kind, way)
            ax.plot([found.mean()] * 2, [y - 0.07, y + 0.07], color=colour, lw=2)
            ax.scatter(found, [y] * len(found), color=colour, s=10, alpha=0.6, lw=0)
            rows += [
                {"images": kind, "statistics": name, "seed": record.seed, "test_accuracy_percent": value}
                for record, value in zip(adapted.runs(results, variant), found, strict=True)
            ]
        ax.plot([], [], color=colour, lw=2, label=name)
    for line in range(len(KINDS) - 1):
        ax.axhline(line + 0.5, color=PALE, lw=0.6)
    ax.set(yticks=range(len(KINDS)), yticklabels=KINDS, ylim=(len(KINDS) - 0.5, -0.5))
    ax.set(xlabel="test accuracy (%)", xlim=(0, 100))
    ax.tick_params(axis="y", length=0)
    style.heading(ax, "Trained on clean images, asked about others", "dots: seeds; bar: mean")
    style.key(figure, ax, style.columns(3))
    means = averaged("mean", rows, ["images", "statistics"], ["test_accuracy_percent"])
    return figure, tidy(run=rows, mean=means)


def shares(results: Results) -> Drawn:
    """How much of the loss comes back: by the number of images, and by what the few of them are."""
    figure, (left, right) = style.panels(3.9, 1, 2, sharey=True)
    counts, effect = results.profile.counts, paper.effect(CLAIM)
    for kind in CORRUPTIONS:
        means = [adapted.returned_of(results, kind, way).mean() for way in COUNTED]
        left.plot(counts, means, color=KIND_COLOURS[kind], lw=1.2, label=kind)
    by_kind = [
        {
            "corruption": kind,
            "images_lent": n,
            "returned_percent": adapted.returned_of(results, kind, way).mean(),
        }
        for kind in CORRUPTIONS
        for n, way in zip(counts, COUNTED, strict=True)
    ]
    rows = _all_of_them(results, left, counts)
    left.set_xscale("log")
    left.set_xticks(counts, [f"{n:,}" for n in counts])
    left.minorticks_off()
    left.set(xlabel="images that lend their statistics", ylabel="loss that returns (%)")
    for place, (way, name) in enumerate(DRAWS.items()):
        found = adapted.returned(results, way)
        right.plot([place - 0.25, place + 0.25], [found.mean()] * 2, color=INK, lw=2)
        right.scatter([place] * len(found), found, color=INK, s=14, alpha=0.6, lw=0)
        rows += [
            {"images_lent": counts[0], "selection": name, "seed": record.seed, "returned_percent": value}
            for record, value in zip(adapted.runs(results, "bn"), found, strict=True)
            if way != "few"  # they are drawn on the left too
        ]
    right.set_xticks(range(len(DRAWS)), ["\n".join(name.split()) for name in DRAWS.values()])
    right.set_xlim(-0.5, len(DRAWS) - 0.5)
    for ax in (left, right):
        ax.axhline(effect, color=GREY, lw=0.9, ls=(0, (4, 3)), zorder=0)
        ax.axhline(0, color=GREY, lw=0.6, zorder=0)
    style.heading(left, "By how many", "black: all corruptions; dashed: asked for")
    style.heading(right, f"By which {counts[0]}", "all corruptions; dots: seeds")
    style.key(figure, left, style.columns(5))
    alike = ["images_lent", "selection"]
    return figure, tidy(
        run=rows,
        mean=averaged("mean", rows, alike, ["returned_percent"]) + by_kind,
        effect=[{"returned_percent": effect}],
    )


def _all_of_them(results: Results, ax: Axes, counts: tuple[int, ...]) -> list[dict]:
    """Draws the shares of all corruptions together, and gives their rows."""
    rows = []
    for n, way in zip(counts, COUNTED, strict=True):
        found = adapted.returned(results, way)
        ax.scatter([n] * len(found), found, color=INK, s=14, alpha=0.6, lw=0, zorder=3)
        rows += [
            {"images_lent": n, "selection": DRAWS["few"], "seed": record.seed, "returned_percent": value}
            for record, value in zip(adapted.runs(results, "bn"), found, strict=True)
        ]
    ax.plot(counts, [adapted.returned(results, way).mean() for way in COUNTED], color=INK, lw=2.2)
    return rows


def drifts(results: Results) -> Drawn:
    """How far the mean of a layer's Wu moves with each corruption, before any adaptation."""
    figure, axes = style.panels(3.5, 1, 2, sharey=True)
    rows = []
    for ax, variant in zip(axes, VARIANTS, strict=True):
        found = adapted.drift(results, variant)
        layers = np.arange(1, found.shape[2] + 1)
        for kind in CORRUPTIONS:
            by_seed = found[:, KINDS.index(kind)]
            ax.plot(layers, by_seed.mean(0), color=KIND_COLOURS[kind], lw=1.8, label=kind)
            for seed, values in enumerate(by_seed):
                ax.scatter(layers, values, color=KIND_COLOURS[kind], s=8, alpha=0.4, lw=0)
                rows += [
                    {"network": style.NAMES[variant], "corruption": kind, "layer": layer, "seed": seed}
                    | {"moved_std": value}
                    for layer, value in zip(layers, values, strict=True)
                ]
        ax.set_xticks(layers)
        ax.set(xlabel="layer")
        style.heading(ax, style.NAMES[variant], "dots: seeds; line: mean")
    axes[0].set(ylabel="mean of Wu moves by (std)", ylim=(0, None))  # of both, now that both are drawn
    style.key(figure, axes[0], style.columns(5))
    means = averaged("mean", rows, ["network", "corruption", "layer"], ["moved_std"])
    return figure, tidy(run=rows, mean=means)


FIGURES = [
    Figure("pic-test-statistics", normalized, stage=None),
    Figure("test-statistics", accuracies),
    Figure("test-statistics-share", shares),
    Figure("test-statistics-drift", drifts),
]
