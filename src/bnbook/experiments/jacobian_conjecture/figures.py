"""The figures of Section 3.3: the singular values of the Jacobians between normalized layers."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from bnbook.drawing import Figure, style
from bnbook.drawing.style import BN, GREEN, GREY, INK, PALE, SMALL, YELLOW
from bnbook.drawing.tables import Rows, tidy
from bnbook.experiments.jacobian_conjecture import measures as jacobian
from bnbook.experiments.jacobian_conjecture.protocol import LEVELS, NEAR
from bnbook.experiments.protocol import Results
from bnbook.measures import curve

Drawn = tuple[Canvas, pd.DataFrame]

LINEAR = {"whiten": ("whitened", GREEN), "bn": ("batch normalization", BN), "null": ("random matrix", GREY)}
TITLES = {"sigmoid": "Sigmoids", "relu": "ReLUs"}
FLOOR = 1e-3  # where singular values of 0 are drawn


# The picture: what a stack of layers does to a circle


def circles(_: None = None) -> Drawn:
    """Sixteen directions on a circle after 0, 2, 4 and 6 layers: rotations, matrices with rows of length 1,
    and rotations that shrink."""
    depths, angle = (0, 2, 4, 6), np.linspace(0, 2 * np.pi, 97)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    stacks = [
        ("all are 1", "every length is kept", GREEN, _rotations(1.0)),
        ("1 on average", "flattened to a line", GREY, _row_normalized()),
        ("all are 0.7", "everything dies away", YELLOW, _rotations(0.7)),
    ]
    figure, axes = style.panels(5.0, len(stacks), len(depths), stacked=False, sharex=True, sharey=True)
    rows, found = [], []
    for line, (title, detail, colour, matrices) in zip(axes, stacks, strict=True):
        for ax, depth in zip(line, depths, strict=True):
            total = np.linalg.multi_dot([np.eye(2), np.eye(2), *reversed(matrices[:depth])])
            moved = total @ circle
            ax.plot(*circle, color=PALE, lw=1)
            ax.plot(*moved, color=colour, lw=1.2)
            ax.scatter(*moved[:, :-1:6], c=angle[:-1:6], cmap="twilight", s=20, lw=0, zorder=3)
            ax.set(xticks=[], yticks=[], aspect="equal", xlim=(-1.75, 1.75), ylim=(-1.75, 1.75))
            ax.spines[["left", "bottom"]].set_visible(False)
            values = np.linalg.svd(total, compute_uv=False)
            ax.set_xlabel(f"{values[0]:.2f}, {values[1]:.2f}", fontsize=SMALL, color=GREY, labelpad=1)
            rows += [
                {"stack": title, "layers": depth, "angle_degrees": np.degrees(a), "x": x, "y": y}
                for a, x, y in zip(angle, *moved, strict=True)
            ]
            found += [{"stack": title, "layers": depth, "singular_value": value} for value in values]
        line[0].set_ylabel(f"{title}\n", fontweight="bold", color=colour)
        line[0].annotate(
            detail,
            (0, 0.5),
            xycoords="axes fraction",
            xytext=(-4, 0),
            textcoords="offset points",
            rotation=90,
            ha="right",
            va="center",
            fontsize=SMALL,
            color=GREY,
        )
    for ax, depth in zip(axes[0], depths, strict=True):
        ax.set_title(f"{depth} layers" if depth else "the start", loc="center")
    return figure, tidy(direction=rows, singular_value=found)


def _rotations(scale: float) -> list[np.ndarray]:
    angles = np.random.default_rng(5).uniform(0.3, 1.2, 6)
    return [scale * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) for a in angles]


def _row_normalized() -> list[np.ndarray]:
    """Random matrices whose rows have length 1: the mean square of their singular values is 1."""
    made = np.random.default_rng(12).normal(size=(6, 2, 2))
    return list(made / np.linalg.norm(made, axis=2, keepdims=True))


# Results


def linear(results: Results) -> Drawn:
    """The spectra of linear layers, whitened and batch-normalized, and of random matrices."""
    figure = style.figure(3.5)
    ax = figure.subplots()
    rows = []
    _near(ax)
    for name, (label, colour) in LINEAR.items():
        for record in results.main["linear", name]:
            spectrum = record.arrays["spectrum"]
            ax.plot(LEVELS_PERCENT, spectrum, color=colour, lw=1.0, alpha=0.7)
            rows += _rows({"network": label, "seed": record.seed}, spectrum)
    ax.plot(LEVELS_PERCENT, quarter_circle(), color=INK, lw=1.1, ls=(0, (4, 3)))
    ax.set(xlabel="share of singular values below (%)", ylabel="singular value")
    ax.set(xlim=(-2, 102), ylim=(0, max(3.3, ax.get_ylim()[1])))
    style.heading(
        ax, "Linear layers, Gaussian inputs", "a line a seed; band: ½ to 2; dashes: theory of random matrices"
    )
    named = [(label, colour) for label, colour in LINEAR.values()]
    style.labels(ax, [*named, ("theory", INK)], 0.03, 0.97, ha="left")
    return figure, tidy(
        run=rows, theory=_rows({"network": LINEAR["null"][0]}, quarter_circle()), threshold=NEAR_ROWS
    )


def spectra(results: Results) -> Drawn:
    """The spectra of the trained networks, and, dotted, after their first step, beside random matrices."""
    figure, axes = style.panels(4.0, 1, 2, sharey=True)
    null = jacobian.linear_spectrum(results, "null")
    rows = []
    for ax, activation in zip(axes, TITLES, strict=True):
        _near(ax)
        ax.plot(LEVELS_PERCENT, np.maximum(null, FLOOR), color=GREY, lw=2.2)
        for name, colour in style.COLOURS.items():
            for record in results.main["net", activation, name]:
                found = record.arrays["spectra"]
                for when, spectrum, look in (("end", found[-1], "-"), ("first step", found[0], ":")):
                    shown = np.maximum(spectrum, FLOOR)
                    ax.plot(LEVELS_PERCENT, shown, color=colour, lw=1.0, ls=look, alpha=0.8)
                    own = {"network": f"{activation} {style.NAMES[name]}", "seed": record.seed, "when": when}
                    rows += _rows(own, shown)
        ax.set_yscale("log")
        ax.set(xlabel="share of singular values below (%)", ylim=(FLOOR * 0.8, 12))
        style.heading(ax, TITLES[activation], "solid: trained; dotted: first step")
    axes[0].set_ylabel("singular value")
    style.plain_log(axes[0].yaxis)
    style.labels(axes[0], [*_names(), ("random matrix", GREY)], 0.97, 0.34)
    reference = _rows({"network": LINEAR["null"][0]}, np.maximum(null, FLOOR))
    return figure, tidy(run=rows, mean=reference, threshold=NEAR_ROWS)


def training(results: Results) -> Drawn:
    """The share of singular values near 1 all through training, against that of random matrices: over steps,
    and over the accuracy reached."""
    figure, axes = style.panels(5.6, 2, 2, by_column=True, sharey=True)
    null = float(jacobian.shares(results, "linear", "null").mean())
    rows = []
    for (above, below), activation in zip(axes.T, TITLES, strict=True):
        for name, colour in style.COLOURS.items():
            for record in results.main["net", activation, name]:
                spectra, (_, accuracies) = record.curves["spectra"], curve(record)
                for ax, at in ((above, spectra["step"]), (below, accuracies)):
                    ax.plot(at, spectra["near"], color=colour, lw=1.0, alpha=0.8, marker=".", ms=3)
                network = f"{activation} {style.NAMES[name]}"
                rows += [
                    {"network": network, "seed": record.seed, "step": s, "test_accuracy_percent": a}
                    | {"near_one_percent": n}
                    for s, a, n in zip(spectra["step"], accuracies, spectra["near"], strict=True)
                ]
        above.set_xscale("log")
        style.thousands(above.xaxis)
        above.set(xlabel="steps")
        below.set(xlabel="test accuracy (%)", xlim=(0, 100))
        style.heading(above, TITLES[activation], "a line a seed")
        style.heading(below, "At equal accuracy", f"{TITLES[activation]}, the same lines")
    for ax in axes.flat:
        ax.axhline(null, color=GREY, lw=2.2, zorder=0)
        ax.set(ylim=(0, 150 if style.is_narrow() else 118), yticks=range(0, 101, 20))
        ax.grid(color=PALE, lw=0.6)
        ax.set_axisbelow(True)
    for ax in axes[:, 0]:
        ax.set_ylabel("singular values\nfrom ½ to 2 (%)")
    style.labels(axes[0, 0], [*_names(), ("random matrix", GREY)], 0.97, 0.98)
    return figure, tidy(run=rows, mean=[{"network": LINEAR["null"][0], "near_one_percent": null}])


LEVELS_PERCENT = 100 * np.array(LEVELS)
NEAR_ROWS: Rows = [{"singular_value": value} for value in (*NEAR, 1.0)]


def quarter_circle() -> np.ndarray:
    """(len(LEVELS),): quantiles of the singular values of a large random matrix of mean square 1; their
    density is sqrt(4 - s^2) / pi."""
    s = np.linspace(0, 2, 2001)
    below = (s / 2 * np.sqrt(4 - s**2) + 2 * np.arcsin(s / 2)) / np.pi
    return np.interp(LEVELS, below, s)


def _names() -> list[tuple[str, str]]:
    return [(style.NAMES[name], colour) for name, colour in style.COLOURS.items()]


def _near(ax: Axes) -> None:
    """The band of what counts as near 1, and 1."""
    ax.axhspan(*NEAR, color=YELLOW, alpha=0.13, lw=0)
    ax.axhline(1, color=YELLOW, lw=0.8)


def _rows(own: dict, spectrum: np.ndarray) -> Rows:
    return [
        own | {"share_below_percent": percent, "singular_value": value}
        for percent, value in zip(LEVELS_PERCENT, spectrum, strict=True)
    ]


FIGURES = [
    Figure("jacobian-linear", linear, "linear", data="random numbers"),
    Figure("jacobian-spectra", spectra, "net"),
    Figure("jacobian-training", training, "net"),
    Figure("pic-jacobian", circles, stage=None),
]
