"""The figures of careless initialization: the map, the signal at the start, what ends the freedom."""

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import LogLocator, MaxNLocator

from bnbook.drawing import Figure, style
from bnbook.drawing.style import BN, COLOURS, GREEN, GREY, NAMES, PALE, SMALL, WU, YELLOW
from bnbook.drawing.tables import Rows, averaged, tidy
from bnbook.experiments.careless_initialization import measures as initialization
from bnbook.experiments.careless_initialization.protocol import ACTIVATIONS, VARIANTS, WORKS
from bnbook.experiments.protocol import Results

Drawn = tuple[Canvas, pd.DataFrame]

UNITS = {"relu": "ReLU", "sigmoid": "Sigmoid"}
CONTROL_NAMES = {
    "none": "as in the map",
    "epsilon": "smaller epsilon",
    "output": "output layer standard",
    "both": "both",
}
CONTROL_COLOURS = {"none": BN, "epsilon": YELLOW, "output": GREEN, "both": WU}
DETAILS = {"spread": "of a layer's outputs", "gradient": "of the loss by a layer's outputs"}


def signal_bands(_: None = None) -> Drawn:
    """A toy network of ReLUs: what its layers receive, with weights too small, right and too large."""
    generator = np.random.default_rng(3)
    width, depth, examples = 64, 12, 500
    weights = generator.normal(0, (2 / width) ** 0.5, (depth, width, width))
    start = generator.normal(size=(examples, width))
    levels = (5, 25, 75, 95)
    figure, axes = style.panels(3.9, 2, 3, stacked=False, sharex=True, sharey=True)
    rows = []
    for index, (scale, name) in enumerate(((0.6, "too small"), (1.0, "right"), (1.7, "too large"))):
        for ax, variant in zip(axes[:, index], VARIANTS, strict=True):
            x, bands = start, []
            for matrix in weights:
                x = x @ (scale * matrix)
                if variant == "bn":
                    x = (x - x.mean(0)) / x.std(0)
                bands.append(np.percentile(x, levels))
                x = np.maximum(x, 0)
            shown, layers = np.array(bands).T, np.arange(1, depth + 1)
            for low, high, alpha in ((0, 3, 0.3), (1, 2, 0.75)):
                ax.fill_between(layers, shown[low], shown[high], color=COLOURS[variant], alpha=alpha, lw=0)
            rows += [
                {"scale": scale, "network": NAMES[variant], "layer": layer}
                | {f"percentile_{level}": value for level, value in zip(levels, band, strict=True)}
                for layer, band in zip(layers, bands, strict=True)
            ]
            ax.axhline(0, color=GREY, lw=0.6)
            ax.set(ylim=(-6, 6), xlim=(1, depth), yticks=[-5, 0, 5], xticks=[1, 4, 8, 12])
        style.heading(axes[0, index], f"Weights {name}", f"{scale:g} times the standard")
    for ax, variant in zip(axes[:, 0], VARIANTS, strict=True):
        ax.set_ylabel(f"{NAMES[variant]}", color=COLOURS[variant], fontweight="bold")
    for ax in axes[1]:
        ax.set_xlabel("layer")
    return figure, pd.DataFrame(rows)


def accuracy_map(results: Results) -> Drawn:
    """Validation accuracy by scale and depth, and where training works."""
    foot = "dot: training works with every seed;  ring: with some;  right: in how many decades"
    figure, axes = style.panels(4.7, 2, 2, foot=foot, sharex=True, sharey=True)
    depths, scales = initialization.depths(results), initialization.scales(results)
    position, rows, cells, freedom = np.log10(scales), [], [], []
    for line, activation in enumerate(ACTIVATIONS):
        for ax, variant in zip(axes[line], VARIANTS, strict=True):
            found = initialization.accuracies(results, activation, variant)
            mesh = ax.pcolormesh(
                position,
                range(len(depths)),
                100 * found.mean(0),
                vmin=10,
                vmax=100,
                cmap="cividis",
                edgecolors="face",
            )
            works = (found > WORKS).mean(0)
            decades = initialization.decades(results, activation, variant).mean(0)
            for level, value in enumerate(decades):
                ax.text(
                    1.02,
                    level,
                    f"{value:.1f}",
                    transform=ax.get_yaxis_transform(),
                    va="center",
                    fontsize=SMALL,
                )
            for level, scale in np.ndindex(works.shape):
                if works[level, scale]:
                    _mark(ax, position[scale], level, filled=works[level, scale] == 1)
            style.heading(ax, f"{UNITS[activation]}, {NAMES[variant]}")
            own = {"activation": activation, "network": NAMES[variant]}
            rows += [
                own
                | {"depth": depths[d], "scale": scales[s], "seed": seed}
                | {"validation_accuracy_percent": 100 * found[seed, d, s]}
                for seed, d, s in np.ndindex(found.shape)
            ]
            cells += [
                own
                | {"depth": depths[d], "scale": scales[s], "works_percent": 100 * works[d, s]}
                | {"validation_accuracy_percent": 100 * found[:, d, s].mean()}
                for d, s in np.ndindex(works.shape)
            ]
            freedom += [
                own | {"depth": depth, "decades": value} for depth, value in zip(depths, decades, strict=True)
            ]
    for ax in axes.flat:
        ax.set_yticks(range(len(depths)), depths)
        _powers_of_ten(ax, position)
        ax.tick_params(length=0)
        for spine in ax.spines.values():
            spine.set_visible(False)
    for ax in axes[:, 0]:
        ax.set_ylabel("hidden layers")
    for ax in axes[1]:
        ax.set_xlabel("initial weights (standard: 1)")
    bar = figure.colorbar(mesh, ax=axes, fraction=0.04, pad=0.02, ticks=[10, 50, 100])
    bar.set_label("validation accuracy (%)")
    bar.outline.set_visible(False)
    return figure, tidy(run=rows, mean=cells + freedom)


def gaps(results: Results) -> Drawn:
    """Validation accuracy by scale of a network with BN, and with what limits its freedom changed."""
    figure = style.figure(3.5)
    ax = figure.subplots()
    scales, rows = initialization.scales(results), []
    for name, found in initialization.controls(results).items():
        for seed, values in enumerate(100 * found):
            ax.scatter(scales, values, color=CONTROL_COLOURS[name], s=9, alpha=0.5, lw=0)
            rows += [
                {"control": CONTROL_NAMES[name], "scale": scale, "seed": seed}
                | {"validation_accuracy_percent": value}
                for scale, value in zip(scales, values, strict=True)
            ]
        mean = 100 * found.mean(0)
        dashes = (0, (4, 2)) if name in ("epsilon", "both") else "-"  # what lies beneath shows through
        ax.plot(scales, mean, color=CONTROL_COLOURS[name], lw=1.8, ls=dashes, label=CONTROL_NAMES[name])
    ax.axhline(100 * WORKS, color=GREY, lw=0.8, ls=(0, (4, 3)))
    ax.set_xscale("log")
    ax.set(xlabel="initial weights (standard: 1)", ylabel="validation accuracy (%)", ylim=(0, 130))
    ax.set_yticks([0, 25, 50, 75, 100])
    style.heading(ax, "What ends the freedom", "with BN; line: mean, dots: seeds; dashed: works above it")
    ax.grid(color=PALE, lw=0.6)
    ax.set_axisbelow(True)
    ax.legend(frameon=False, fontsize=SMALL, loc="upper center", ncols=2, labelcolor="linecolor")
    means = averaged("mean", rows, ["control", "scale"], ["validation_accuracy_percent"])
    return figure, tidy(run=rows, mean=means, threshold=[{"validation_accuracy_percent": 100 * WORKS}])


def signal(results: Results) -> Drawn:
    """The deepest network of ReLUs before training: spread of the layers' outputs, and the gradient there."""
    figure, axes = style.panels(5.2, 2, 2, sharex=True)
    scales = initialization.scales(results)
    whole = np.flatnonzero(np.isclose(np.log10(scales) % 1, 0) | np.isclose(np.log10(scales) % 1, 1))
    colours = colormaps["viridis"](np.linspace(0, 0.88, len(whole)))
    rows: dict[str, Rows] = {"spread": [], "gradient": []}
    for ax, (name, variant) in zip(
        axes.flat, [(n, v) for n in ("spread", "gradient") for v in VARIANTS], strict=True
    ):
        found = initialization.rows(results, "relu", variant, name)[-1]
        with np.errstate(divide="ignore"):
            middle = np.exp(np.log(found).mean(0))  # over seeds; 0 where nothing arrives
        layers = np.arange(1, middle.shape[1] + 1)
        for index, colour in zip(whole, colours, strict=True):
            ax.plot(layers, np.where(middle[index] > 0, middle[index], np.nan), color=colour, lw=1.6)
        rows[name] += [
            {"network": NAMES[variant], "scale": scales[index], "layer": layer, f"{name}_std": value}
            for index in whole
            for layer, value in zip(layers, middle[index], strict=True)
        ]
        ax.set_yscale("log")
        arrived = middle[whole][middle[whole] > 0]
        ax.set_ylim(10 ** np.floor(np.log10(arrived.min())), 10 ** np.ceil(np.log10(arrived.max())))
        ax.yaxis.set_major_locator(LogLocator(numticks=6))
        ax.minorticks_off()
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.grid(color=PALE, lw=0.6)
        ax.set_axisbelow(True)
        style.heading(ax, f"{name.capitalize()}, {NAMES[variant]}", DETAILS[name])
    for ax in axes[1]:
        ax.set_xlabel("layer")
    norm = BoundaryNorm(np.arange(len(whole) + 1), len(whole))
    bar = figure.colorbar(ScalarMappable(norm, ListedColormap(colours)), ax=axes, fraction=0.04, pad=0.02)
    bar.set_ticks(np.arange(len(whole)) + 0.5, labels=[f"{scales[i]:,g}" for i in whole])
    bar.set_label("initial weights (standard: 1)")
    bar.ax.tick_params(length=0)
    bar.outline.set_visible(False)
    return figure, pd.merge(*map(pd.DataFrame, rows.values()))


def _mark(ax: Axes, x: float, y: float, filled: bool) -> None:
    """A dot, or a ring, that shows on light and dark alike."""
    ax.scatter([x], [y], s=26, facecolor=style.ON_DARK if filled else "none", edgecolor=style.ON_DARK, lw=1.6)
    ax.scatter([x], [y], s=40, facecolor="none", edgecolor=GREY, lw=0.7)


def _powers_of_ten(ax: Axes, position: np.ndarray) -> None:
    """Ticks of an axis of log10 values: the scales themselves."""
    ticks = np.arange(np.ceil(position[0]), position[-1] + 0.01)
    ax.set_xticks(ticks, [f"$10^{{{tick:.0f}}}$" for tick in ticks])


FIGURES = [
    Figure("initialization-map", accuracy_map),
    Figure("initialization-signal", signal, "relu"),
    Figure("initialization-gaps", gaps),
    Figure("pic-initialization", signal_bands, stage=None),
]
