"""The figures of Section 3.2: over what convolutions are normalized, and where in the layer."""

import itertools

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Rectangle

from bnbook import stats
from bnbook.drawing import Figure, style
from bnbook.drawing.style import BN, GREEN, GREY, INK, PALE, PLAIN, SMALL, WU, YELLOW
from bnbook.drawing.tables import Rows, tidy
from bnbook.experiments.convolutional_norm import measures
from bnbook.experiments.convolutional_norm.protocol import LEARNS, PLACES
from bnbook.experiments.protocol import Results
from bnbook.measures import accuracies

Drawn = tuple[Canvas, pd.DataFrame]

NAMES = {
    "none": "without BN",
    "per_activation": "per activation",
    "per_map": "per map",
    "biased": "before it, bias kept",
    "after": "after it",
    "input": "on the input u",
}
COLOURS = {
    "none": PLAIN,
    "per_activation": GREEN,
    "per_map": BN,
    "biased": BN,
    "after": INK,
    "input": YELLOW,
}


# Over which elements the mean is taken


def blocks(_: None = None) -> Drawn:
    """A mini-batch of three images with two maps of 4x4 places; the elements that share a mean."""
    examples, maps, side = 3, 2, 4
    values = np.random.default_rng(4).uniform(size=(examples, maps, side, side))
    figure, panels = style.panels(4.5, 1, 2)
    chosen = {0: (1, 2), 1: (2, 0)}  # a place in each map
    rows, means = [], []
    for ax, over in zip(panels, ("activation", "map"), strict=True):
        for example, k, row, column in itertools.product(
            range(examples), range(maps), range(side), range(side)
        ):
            shares = over == "map" or chosen[k] == (row, column)
            value = values[example, k, row, column]
            corner = (k * (side + 1.2) + column, -example * (side + 0.8) - row - 1)
            tone = 0.35 + 0.6 * value if shares else 0.12 + 0.3 * value
            colour = (BN, PLAIN)[k] if shares else GREY
            ax.add_patch(Rectangle(corner, 1, 1, facecolor=colour, alpha=tone, lw=0))
            ax.add_patch(Rectangle(corner, 1, 1, fill=False, ec="white", lw=1.2))
            rows.append(
                {
                    "normalization": NAMES[f"per_{over}"],
                    "example": example + 1,
                    "map": k + 1,
                    "row": row + 1,
                    "column": column + 1,
                    "value": value,
                    "in_the_mean": shares,
                }
            )
        for k in range(maps):
            middle = k * (side + 1.2) + side / 2
            ax.text(middle, 0.35, f"map {k + 1}", ha="center", va="bottom", fontsize=SMALL, color=GREY)
            own = values[:, k] if over == "map" else values[:, k, chosen[k][0], chosen[k][1]]
            means.append({"normalization": NAMES[f"per_{over}"], "map": k + 1, "value": own.mean()})
            ax.text(
                middle,
                -examples * (side + 0.8) + 0.3,
                f"mean of {own.size}\n{own.mean():.2f}",
                ha="center",
                va="top",
                fontsize=SMALL + 0.5,
                fontweight="bold",
                color=(BN, PLAIN)[k],
                linespacing=1.4,
            )
        for example in range(examples):
            ax.text(
                -0.5,
                -example * (side + 0.8) - side / 2,
                f"image {example + 1}",
                ha="right",
                va="center",
                fontsize=SMALL,
                color=GREY,
            )
        ax.set(xlim=(-3, maps * (side + 1.2)), ylim=(-examples * (side + 0.8) - 1.8, 1.4), aspect="equal")
        ax.set(xticks=[], yticks=[])
        ax.spines[["left", "bottom"]].set_visible(False)
    places = side * side
    style.heading(panels[0], "Per activation", f"{maps * places} means: one a place of a map")
    style.heading(panels[1], "Per map", f"{maps} means: one a map, m' = {examples}·{side}·{side}")
    return figure, tidy(value=rows, mean=means)


# Results


def batch(results: Results) -> Drawn:
    """Accuracy with small and larger mini-batches; and what an image is worth to a map's mean."""
    profile = results.profile
    figure, panels = style.mosaic(4.8, [["tiny", "larger"], ["worth", "worth"]], [1, 0.85])
    rows: Rows = []
    means: Rows = []
    counted: Rows = []
    sizes = ((profile.small_batch, "tiny mini-batches"), (profile.batch_size, "larger mini-batches"))
    for ax, (size, words) in zip((panels["tiny"], panels["larger"]), sizes, strict=True):
        found = _accuracy_rows(ax, results, ("none", "per_activation", "per_map"), size)
        rows, means = rows + found[0], means + found[1]
        style.heading(ax, f"m = {size}", words)
        if ax is panels["larger"] and not style.is_narrow():
            ax.set_yticklabels([])
    ax = panels["worth"]
    for layer, places in zip((1, 2), measures.layer_places(profile), strict=True):
        found = measures.inside(results, "per_map", f"worth_{layer}")
        height = 2 - layer
        ax.plot([1, places], [height] * 2, color=PALE, lw=1.2, zorder=0)
        ax.scatter([1], [height], s=52, color=GREEN, marker="s", lw=0, zorder=2)
        ax.scatter([places], [height], s=60, facecolor="white", edgecolor=BN, lw=1.6, zorder=2)
        ax.scatter(found, np.full(len(found), height), s=22, color=BN, alpha=0.7, lw=0, zorder=3)
        rows += [
            {"normalization": NAMES["per_map"], "layer": layer, "seed": seed, "independent_values": value}
            for seed, value in enumerate(found)
        ]
        counted += [
            {"normalization": NAMES[name], "layer": layer, "independent_values": count}
            for name, count in (("per_activation", 1), ("per_map", places))
        ]
    handles = [
        ax.scatter([], [], s=40, color=GREEN, marker="s", lw=0, label="per activation"),
        ax.scatter([], [], s=22, color=BN, lw=0, label="per map, measured (a dot a seed)"),
        ax.scatter([], [], s=46, facecolor="white", edgecolor=BN, lw=1.6, label="per map, counted (pq)"),
    ]
    ax.legend(
        handles=handles,
        frameon=False,
        fontsize=SMALL,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.85 if style.is_narrow() else -0.42),
        ncols=1 if style.is_narrow() else 3,
        handletextpad=0.2,
        columnspacing=1.2,
    )
    ax.set(
        xscale="log",
        ylim=(-0.6, 1.6),
        yticks=[1, 0],
        yticklabels=["layer 1", "layer 2"],
        xlabel="independent values",
    )
    style.plain_log(ax.xaxis)
    style.heading(ax, "What one image is worth to a mean", "of Wu, over a mini-batch")
    _plain(ax)
    return figure, tidy(run=rows, mean=means, counted=counted)


def shift(results: Results) -> Drawn:
    """One map of the first layer for an image and for the image shifted, moved back, and their difference."""
    figure, axes = style.panels(4.6, 2, 3, stacked=False)
    rows, errors = [], []
    for line, variant in enumerate(("per_map", "per_activation")):
        record = measures.chosen(results, variant)[0]
        before, moved = (record.arrays[name].astype(float) for name in ("map", "map_moved"))
        # Columns that have a neighbour on both sides in both images.
        inner = (slice(1, -1), slice(1, before.shape[1] - 1 - results.profile.shift))
        before, moved = before[inner], moved[inner]
        most = np.abs(before).max()
        for ax, picture in zip(axes[line], (before, moved, moved - before), strict=True):
            ax.imshow(picture, cmap="PuOr", vmin=-most, vmax=most, interpolation="nearest")
            ax.set(xticks=[], yticks=[])
            for spine in ax.spines.values():
                spine.set(visible=True, color=PALE)
        axes[line, 0].set_ylabel(NAMES[variant], color=COLOURS[variant], fontweight="bold")
        error = measures.shift_errors(results, variant)[0]
        axes[line, 2].set_xlabel(f"error {error:.0f}%", fontsize=SMALL + 0.5)
        rows += [
            {"normalization": NAMES[variant], "row": y + 1, "column": x + 1, "value": before[y, x]}
            | {"moved_value": moved[y, x], "difference": moved[y, x] - before[y, x]}
            for y, x in np.ndindex(before.shape)
        ]
        errors.append({"normalization": NAMES[variant], "error_percent": error})
    titles = ("The image", "Shifted, moved back", "Difference")
    for ax, title in zip(axes[0], titles, strict=True):
        style.heading(ax, title)
    return figure, tidy(value=rows, error=errors)


def place(results: Results) -> Drawn:
    """Accuracy by BN's place; and the shapes of the distributions that the paper argues with."""
    figure, (left, right) = style.panels(3.5, 1, 2, width_ratios=[1, 0.95])
    variants = ("none", "input", "after", "biased", "per_map")
    rows, means = _accuracy_rows(left, results, variants, results.profile.batch_size, judged=True)
    densities = []
    words = [{"per_map": "before it"}.get(name, NAMES[name]) for name in variants]
    left.set_yticklabels(words)
    style.heading(left, "BN and the nonlinearity", "its place in the layer")
    edges = np.linspace(-4, 4, 65)
    middles, width = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    for name, label, colour in (("u", "input u", YELLOW), ("wu", "Wu", WU)):
        found = [r.arrays[f"{name}_density"].astype(float) for r in measures.chosen(results, "none")]
        height = np.mean(found, axis=0) / width
        right.fill_between(middles, height, step="mid", color=colour, alpha=0.25, lw=0)
        right.step(middles, height, where="mid", color=colour, lw=1.5, label=label)
        densities += [
            {"values": label, "standardized_value": x, "density": y}
            for x, y in zip(middles, height, strict=True)
        ]
    normal = np.exp(-(middles**2) / 2) / np.sqrt(2 * np.pi)
    right.plot(middles, normal, ":", color=INK, label="normal")
    right.set(xlabel="standardised value", yticks=[], xlim=(-4, 4), ylim=(0, None))
    right.spines["left"].set_visible(False)
    right.legend(frameon=False, fontsize=SMALL, loc="upper right", labelcolor="linecolor")
    style.heading(right, "Layer 2, without BN", "which looks like a Gaussian?")
    theory = [
        {"values": "normal", "standardized_value": x, "density": y}
        for x, y in zip(middles, normal, strict=True)
    ]
    return figure, tidy(run=rows, mean=means + densities, theory=theory)


def _accuracy_rows(
    ax: Axes,
    results: Results,
    variants: tuple[str, ...],
    size: int,
    judged: bool = False,
) -> tuple[Rows, Rows]:
    """A row of dots (seeds that learn) with mean and interval for each variant, the last on top; `judged`:
    by the new seeds where there are any. The table's rows of the runs, and of their means."""
    rows, means = [], []
    for height, variant in enumerate(variants):
        new = judged and variant in PLACES
        records = measures.new(results, variant) if new else measures.chosen(results, variant, size)
        records = [r for r in records if r.accuracy > LEARNS] or records
        found, colour = accuracies(records), COLOURS[variant]
        whole = stats.mean_interval(found)
        ax.plot([whole.low, whole.high], [height] * 2, color=colour, lw=2, alpha=0.45)
        ax.plot([whole.estimate] * 2, [height - 0.22, height + 0.22], color=colour, lw=2)
        ax.scatter(found, np.full(len(found), height), s=20, color=colour, alpha=0.7, lw=0)
        rows += [
            {
                "normalization": NAMES[variant],
                "batch_size": size,
                "learning_rate": record.config["lr"],
                "seed": record.seed,
                "test_accuracy_percent": value,
            }
            for record, value in zip(records, found, strict=True)
        ]
        means.append(
            {"normalization": NAMES[variant], "batch_size": size, "test_accuracy_percent": whole.estimate}
            | {"low_percent": whole.low, "high_percent": whole.high}
        )
    ax.set(
        xlabel="test accuracy (%)",
        ylim=(-0.6, len(variants) - 0.4),
        yticks=range(len(variants)),
        yticklabels=[NAMES[name] for name in variants],
    )
    _plain(ax)
    return rows, means


def _plain(ax: Axes) -> None:
    ax.grid(axis="x", color=PALE, lw=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(axis="y", length=0)


FIGURES = [
    Figure("convolutional-batch", batch),
    Figure("convolutional-shift", shift),
    Figure("convolutional-place", place),
    Figure("pic-convolutional", blocks, stage=None),
]
