"""The figures of small mini-batches: where each normalization breaks, and by which statistics BN does."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure as Canvas

from bnbook.drawing import Figure, style
from bnbook.drawing.style import BN, GREEN, GREY, PALE, WU, YELLOW
from bnbook.drawing.tables import Rows, averaged, tidy
from bnbook.experiments.protocol import Results
from bnbook.experiments.small_batches import measures as small
from bnbook.experiments.small_batches.protocol import SORTABLE, VARIANTS, at

Drawn = tuple[Canvas, pd.DataFrame]

NAMES = {
    "bn": "batch normalization",
    "ghost": "ghost batch normalization",
    "renorm": "batch renormalization",
    "gn": "group normalization",
    "ln": "layer normalization",
}
SHORT = {
    "bn": "batch",
    "renorm": "batch\nrenorm.",
    "gn": "group",
    "ln": "layer",
}  # where many stand side by side
COLOURS = {"bn": BN, "ghost": WU, "renorm": GREEN, "gn": YELLOW, "ln": GREY}
WAYS = {
    small.BATCH: ("as in training", GREEN),
    small.POPULATION: ("Algorithm 2", BN),
    small.MOVING: ("moving averages", YELLOW),
    small.SHUFFLED: ("Algorithm 2, shuffled", WU),
}
ACCURACY = "test_accuracy_percent"


def shared(_: None = None) -> Drawn:
    """Which values share a mean and a variance: maps across, images down."""
    images, maps = 8, 8
    example, place = np.mgrid[:images, :maps]
    sets = {
        "batch normalization": place == 1,
        "ghost batch normalization": (place == 1) & (example < images // 2),
        "layer normalization": example == 1,
        "group normalization": (example == 1) & (place < maps // 2),
    }
    figure, axes = style.panels(2.4, 1, len(sets), stacked=False, sharey=True)
    if style.is_narrow():
        figure, axes = style.panels(4.4, 2, 2, stacked=False, sharex=True, sharey=True)
    rows = []
    for ax, (name, inside) in zip(axes.flat, sets.items(), strict=True):
        ax.pcolormesh(
            np.arange(1, maps + 1),
            np.arange(1, images + 1),
            inside,
            cmap=ListedColormap([PALE, BN]),
            edgecolors=style.ON_DARK,
            linewidth=1,
        )
        ax.set(xticks=[1, maps], yticks=[1, images], aspect="equal", xlabel="map")
        ax.tick_params(length=0)
        for spine in ax.spines.values():
            spine.set_visible(False)
        style.heading(ax, name.removesuffix(" normalization"))
        rows += [
            {"normalization": name, "example": i + 1, "map": j + 1, "in_the_mean": bool(inside[i, j])}
            for i, j in np.ndindex(inside.shape)
        ]
    axes.flat[0].set_ylabel("image")
    axes.flat[0].invert_yaxis()  # of all
    return figure, pd.DataFrame(rows)


def by_size(results: Results) -> Drawn:
    """Test accuracy by the size of the mini-batch, and in sorted ones."""
    sizes, m = results.profile.sizes, results.profile.sorted_size
    figure, (left, right) = style.panels(4.1, 1, 2, sharey=True, width_ratios=[1.6, 1])
    rows: Rows = []
    for variant in VARIANTS:
        present = [size for size in sizes if variant in at(size)]
        found = {size: _rows(results, "shuffled", variant, size) for size in present}
        _dots_and_line(left, found, COLOURS[variant], NAMES[variant])
        rows += [row for own in found.values() for row in own]
    _powers_of_two(left, sizes)
    left.set(xlabel="images in a mini-batch", ylabel="test accuracy (%)")
    for place, variant in enumerate(SORTABLE):
        own = _rows(results, "sorted", variant, m)
        _bar(right, place, own, COLOURS[variant])
        rows += own
    right.set_xticks(range(len(SORTABLE)), [SHORT[name] for name in SORTABLE])
    right.set_xlim(-0.5, len(SORTABLE) - 0.5)
    style.heading(left, "Shuffled", "dots: seeds; line: mean")
    style.heading(right, "One class each", f"{m} images; bar: mean")
    _key(figure, left)
    alike = ["normalization", "order", "batch_size"]
    return figure, tidy(run=rows, mean=averaged("mean", rows, alike, [ACCURACY]))


def by_statistics(results: Results) -> Drawn:
    """Test accuracy with BN by the statistics that it answers with: by size, and in sorted mini-batches."""
    sizes, m = results.profile.sizes, results.profile.sorted_size
    figure, (left, right) = style.panels(4.1, 1, 2, sharey=True)
    rows: Rows = []
    for place, (way, (name, colour)) in enumerate(WAYS.items()):
        if way != small.SHUFFLED:
            found = {size: _rows(results, "shuffled", "bn", size, way) for size in sizes}
            _dots_and_line(left, found, colour, name)
            rows += [row for own in found.values() for row in own]
        own = _rows(results, "sorted", "bn", m, way)
        _bar(right, place, own, colour)
        rows += own
    _powers_of_two(left, sizes)
    left.set(xlabel="images in a mini-batch", ylabel="test accuracy (%)")
    right.set_xticks(range(len(WAYS)), ["\n".join(name.split()) for name, _ in WAYS.values()])
    right.set_xlim(-0.5, len(WAYS) - 0.5)
    style.heading(left, "Shuffled", "dots: seeds; line: mean")
    style.heading(right, "One class each", f"{m} images; bar: mean")
    _key(figure, left)
    alike = ["statistics", "order", "batch_size"]
    return figure, tidy(run=rows, mean=averaged("mean", rows, alike, [ACCURACY]))


def _rows(results: Results, order: str, variant: str, m: int, way: str | None = None) -> Rows:
    """A row a seed: of the normalization, or of what BN answers by."""
    what = {"normalization": NAMES[variant]} if way is None else {"statistics": WAYS[way][0]}
    return [
        what | {"order": order, "batch_size": m, "seed": record.seed, ACCURACY: value}
        for record, value in zip(
            small.runs(results, order, variant, m),
            small.accuracy(results, order, variant, m, way),
            strict=True,
        )
    ]


def _dots_and_line(ax: Axes, found: dict[int, Rows], colour: str, name: str) -> None:
    means = [np.mean([row[ACCURACY] for row in own]) for own in found.values()]
    ax.plot(list(found), means, color=colour, lw=1.8, marker="o", ms=3, label=name)
    for size, own in found.items():
        ax.scatter([size] * len(own), [row[ACCURACY] for row in own], color=colour, s=9, alpha=0.5, lw=0)


def _bar(ax: Axes, place: int, own: Rows, colour: str) -> None:
    values = [row[ACCURACY] for row in own]
    ax.plot([place - 0.3, place + 0.3], [np.mean(values)] * 2, color=colour, lw=2)
    ax.scatter([place] * len(values), values, color=colour, s=14, alpha=0.6, lw=0)


def _powers_of_two(ax: Axes, sizes: tuple[int, ...]) -> None:
    ax.set_xscale("log", base=2)
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.minorticks_off()


def _key(figure: Canvas, ax: Axes) -> None:
    style.key(figure, ax, 1 if style.is_narrow() else 3)  # the names are long


FIGURES = [
    Figure("pic-small-batches", shared, stage=None),
    Figure("small-batches", by_size),
    Figure("small-batches-statistics", by_statistics),
]
