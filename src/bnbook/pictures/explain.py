"""The pictures that carry the introduction, computed too: toy examples in NumPy, each with its own seed."""

import itertools

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from bnbook.drawing import Figure, style
from bnbook.drawing.style import BN, GREEN, GREY, INK, PALE, PLAIN, SMALL, WU, YELLOW
from bnbook.drawing.tables import Rows, tidy

Drawn = tuple[Canvas, pd.DataFrame]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def slope(x: np.ndarray) -> np.ndarray:
    """The derivative of the sigmoid."""
    return sigmoid(x) * (1 - sigmoid(x))


def density(values: np.ndarray, at: np.ndarray, width: float) -> np.ndarray:
    """A smooth histogram: the mean of normal bumps of standard deviation `width` over the values."""
    bumps = np.exp(-0.5 * ((at[:, None] - values[None, :]) / width) ** 2)
    return bumps.mean(axis=1) / (width * np.sqrt(2 * np.pi))


# One step of SGD


def sgd(_: None = None) -> Drawn:
    """Fitting a line (two parameters) to 600 points with mini-batches of 4."""
    rng = np.random.default_rng(3)
    n, m, lr, steps = 600, 4, 0.2, 30
    x = rng.normal(0.0, 1.0, n)
    x = np.column_stack([x, 0.6 * x + 0.8 * rng.normal(size=n)]) * (1.4, 1.0)
    y = x @ (1.0, 1.0) + rng.normal(0, 1.0, n)

    def gradient(theta: np.ndarray, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        return x[rows].T @ (x[rows] @ theta - y[rows]) / len(y[rows])

    a, b = np.meshgrid(np.linspace(-1.9, 2.3, 120), np.linspace(-1.5, 2.9, 120))
    loss = np.mean((x @ np.stack([a.ravel(), b.ravel()]) - y[:, None]) ** 2, axis=0).reshape(a.shape) / 2
    start = np.array([-1.3, 0.3])
    lowest = np.linalg.lstsq(x, y, rcond=None)[0]
    figure, (left, right) = style.panels(3.9, 1, 2, sharex=True, sharey=True)
    for ax in (left, right):
        ax.contour(a, b, loss, levels=np.geomspace(0.55, 9, 9), colors=PALE, linewidths=0.9)
        ax.plot(*lowest, marker="*", ms=11, color=INK, mew=0)
        ax.set(xticks=[], yticks=[], aspect="equal", xlim=(-1.9, 2.3), ylim=(-1.5, 2.9))
        ax.spines[["left", "bottom"]].set_visible(False)
        ax.set_xlabel(r"$\Theta_1$")
    left.set_ylabel(r"$\Theta_2$")
    rows: Rows = []

    def walk(panel: str, path: str, points: list[np.ndarray], batch: int | None = None) -> None:
        for step, (theta1, theta2) in enumerate(points):
            rows.append({"panel": panel, "path": path, "mini_batch": batch, "step": step})
            rows[-1] |= {"theta1": theta1, "theta2": theta2}

    style.heading(left, "One step", "where each mini-batch would go")
    batches = [rng.choice(n, m, replace=False) for _ in range(25)]
    for number, batch in enumerate(batches, start=1):
        end = start - 1.5 * lr * gradient(start, batch)
        left.plot(*np.transpose([start, end]), color=PLAIN, lw=0.8, alpha=0.45)
        left.plot(*end, ".", color=PLAIN, ms=4, alpha=0.6)
        walk("one step", "mini-batch", [start, end], number)
    end = start - 1.5 * lr * gradient(start)
    left.annotate(
        "", end, start, arrowprops={"arrowstyle": "-|>", "color": BN, "lw": 2.2, "shrinkA": 0, "shrinkB": 0}
    )
    walk("one step", "all data", [start, end])
    left.plot(*start, "o", color=INK, ms=5)

    style.heading(right, f"{steps} steps", "noisy, yet down to the lowest loss (★)")
    for name, colour, width in (("mini-batch", PLAIN, 1.2), ("all data", BN, 1.8)):
        path = [start]
        for _ in range(steps):
            batch = rng.choice(n, m, replace=False) if name == "mini-batch" else slice(None)
            path.append(path[-1] - lr * gradient(path[-1], batch))
        right.plot(*np.transpose(path), "-o", color=colour, lw=width, ms=2.5, mew=0)
        walk(f"{steps} steps", name, path)
    right.plot(*start, "o", color=INK, ms=5, zorder=4)
    style.labels(right, [(f"mini-batches of {m}", PLAIN), (f"all {n} examples", BN)], 0.99, 0.16)
    style.labels(left, [("each of 25 mini-batches", PLAIN), ("all examples", BN)], 0.99, 0.16)
    return figure, tidy(path=rows, lowest_loss=[{"theta1": lowest[0], "theta2": lowest[1]}])


# Internal covariate shift

SNAPSHOTS = (1, 100, 1000)


def covariate_shift(_: None = None) -> Drawn:
    """A toy network of two layers; the input of one unit of the second layer at three moments of training."""
    inputs = _train_chain()
    chain_height = 0.85 if style.is_narrow() else 0.62
    figure, (chain, plot) = style.panels(4.6, 2, 1, height_ratios=[chain_height, 2])
    _draw_chain(chain)
    at = np.linspace(-9, 5, 500)
    rows, curves, bars = [], [], []
    plot.axvspan(-2, 2, color=GREEN, alpha=0.1, lw=0)
    plot.text(0, 3.72, "the sigmoid is steep here", ha="center", color=GREEN, fontsize=SMALL, va="center")
    for index, (step, values) in enumerate(inputs.items()):
        base = len(inputs) - 1 - index
        height = density(values, at, 0.28)
        curves += [{"step": step, "input": x, "density": y} for x, y in zip(at, height, strict=True)]
        height = 1.15 * height / height.max()
        colour = (PLAIN, YELLOW, WU)[index]
        plot.fill_between(at, base, base + height, color=colour, alpha=0.55, lw=0, zorder=index + 2)
        plot.plot(at, base + height, color=colour, lw=1.4, zorder=index + 2)
        plot.plot([values.mean()] * 2, [base, base + 0.32], color=INK, lw=1.6, zorder=index + 3)
        plot.text(at[0], base + 0.16, f"step {step:,}", fontweight="bold", color=colour, fontsize=10)
        rows += [{"step": step, "example": k, "input": value} for k, value in enumerate(values, start=1)]
        bars.append({"step": step, "input": values.mean()})
    means = [values.mean() for values in inputs.values()]
    plot.plot(means, [len(inputs) - 0.84 - k for k in range(len(inputs))], ":", color=INK, lw=1.1, zorder=9)
    plot.set(
        xlim=(at[0], at[-1]),
        ylim=(0, 3.95),
        yticks=[],
        xlabel="input of one sigmoid of layer 2, over all examples (bar: mean)",
    )
    plot.spines["left"].set_visible(False)
    return figure, tidy(example=rows, density=curves, mean=bars)


def _train_chain(examples: int = 400, units: int = 30, lr: float = 1.2) -> dict[int, np.ndarray]:
    """Gradient descent on a net of two sigmoid layers; {step: input of the unit that moves most, by example}.

    The task: tell the inside of a ring from the outside, from two coordinates.
    """
    rng = np.random.default_rng(5)
    x = rng.normal(size=(examples, 2)) * 1.5
    y = (np.hypot(*x.T) > 1.6).astype(float)[:, None]
    sizes = [2, units, units, 1]
    w = [rng.normal(0, 1.0 / np.sqrt(a) * 1.6, (a, b)) for a, b in itertools.pairwise(sizes)]
    c = [np.zeros(b) for b in sizes[1:]]
    seen = {}
    for step in range(1, max(SNAPSHOTS) + 1):
        first = sigmoid(x @ w[0] + c[0])
        inputs = first @ w[1] + c[1]
        second = sigmoid(inputs)
        if step in SNAPSHOTS:
            seen[step] = inputs.copy()
        back = (sigmoid(second @ w[2] + c[2]) - y) / examples
        gradients = [None, None, (second.T @ back, back.sum(axis=0))]
        back = back @ w[2].T * second * (1 - second)
        gradients[1] = (first.T @ back, back.sum(axis=0))
        back = back @ w[1].T * first * (1 - first)
        gradients[0] = (x.T @ back, back.sum(axis=0))
        for k, (dw, dc) in enumerate(gradients):
            w[k] -= lr * dw
            c[k] -= lr * dc
    unit = int(np.argmax(np.abs(seen[max(SNAPSHOTS)].mean(axis=0) - seen[1].mean(axis=0))))
    return {step: values[:, unit] for step, values in seen.items()}


def _draw_chain(ax: Axes) -> None:
    """input -> layer 1 -> u -> layer 2 -> loss."""
    narrow = style.is_narrow()
    ax.set(xlim=(0, 10), ylim=(-0.25, 2.7 if narrow else 2))
    ax.axis("off")
    boxes = [(1.0, "layer 1", r"$\Theta_1$"), (6.1, "layer 2", r"$\Theta_2$")]
    for x, name, parameter in boxes:
        ax.add_patch(
            FancyBboxPatch((x, 0.25), 1.9, 1.1, boxstyle="round,pad=0.06", fc="white", ec=INK, lw=1.2)
        )
        ax.text(
            x + 0.95,
            0.8,
            f"{name}\n{parameter}" if narrow else f"{name}  {parameter}",
            ha="center",
            va="center",
        )
    for start, end in ((0.45, 0.92), (2.98, 6.02), (8.08, 8.9)):
        ax.add_patch(
            FancyArrowPatch((start, 0.8), (end, 0.8), arrowstyle="-|>", mutation_scale=12, color=INK, lw=1.2)
        )
    ax.text(0.3, 0.8, r"$x$", ha="right", va="center", fontsize=12)
    sees = "what layer 2\nsees" if narrow else "what layer 2 sees"
    ax.text(4.5, 1.0, sees, ha="center", va="bottom", color=PLAIN, fontweight="bold")
    ax.text(9.05, 0.8, "loss", va="center")
    above = 2.1 if narrow else 1.55
    ax.text(1.95, above, "every step changes this …", ha="center", va="bottom", color=GREY, fontsize=SMALL)
    ax.text(4.5, 0.6, "… so this moves", ha="center", va="top", color=GREY, fontsize=SMALL)


# Saturation


def saturation(_: None = None) -> Drawn:
    """The sigmoid, its slope, and three distributions of inputs with the mean slope that each meets."""
    x = np.linspace(-10, 10, 401)
    wide = np.linspace(-60, 60, 24_001)  # to integrate over
    groups = [
        ("narrow, around 0", 0, 1, GREEN),
        ("shifted by 5", 5, 1, YELLOW),
        ("five times wider", 0, 5, PLAIN),
    ]
    figure, (top, middle, bottom) = style.panels(5.2, 3, 1, sharex=True, height_ratios=[1, 1, 1.5])
    for ax in (top, middle, bottom):
        ax.axvspan(-10, -4, color=PALE, alpha=0.45, lw=0)
        ax.axvspan(4, 10, color=PALE, alpha=0.45, lw=0)
    top.plot(x, sigmoid(x), color=INK, lw=2)
    top.set(ylabel=r"$g(x)$", yticks=[0, 0.5, 1])
    middle.plot(x, slope(x), color=BN, lw=2)
    middle.fill_between(x, slope(x), color=BN, alpha=0.12, lw=0)
    middle.set(ylabel=r"slope $g\,'(x)$", yticks=[0, 0.125, 0.25], ylim=(0, 0.28))
    middle.set_yticklabels(["0", "1/8", "1/4"])
    for side in (-7, 7):
        top.text(side, 0.5, "saturated", ha="center", va="center", color=GREY)
        words = "almost no\ngradient\npasses" if style.is_narrow() else "almost no\ngradient passes"
        middle.text(side, 0.075, words, ha="center", color=GREY, fontsize=SMALL)
    words, densities, mean_slopes = [], [], []
    for index, (name, mean, std, colour) in enumerate(groups):
        base = len(groups) - 1 - index
        height = normal(x, mean, std)
        mean_slope = np.sum(slope(wide) * normal(wide, mean, std)) * (wide[1] - wide[0])
        curve = base + 0.8 * height / height.max()
        bottom.fill_between(x, base, curve, color=colour, alpha=0.5, lw=0)
        bottom.plot(x, curve, color=colour, lw=1.4)
        words.append(f"{name}\nmean slope {mean_slope:.3f}")
        own = {"distribution": name}
        densities += [own | {"x": a, "density": b} for a, b in zip(x, height, strict=True)]
        mean_slopes.append(own | {"slope": mean_slope})
    bottom.set(ylim=(0, 3), xlim=(-10, 10), xticks=[-8, -4, 0, 4, 8])
    bottom.set_yticks([2.35, 1.35, 0.35], words, linespacing=1.4)
    bottom.set_xlabel(r"input of the sigmoid, $x$")
    bottom.set_title("Where the inputs lie", fontsize=SMALL + 0.5, color=GREY)
    bottom.tick_params(axis="y", length=0)
    bottom.spines["left"].set_visible(False)
    curves = [{"x": a, "sigmoid": b, "slope": c} for a, b, c in zip(x, sigmoid(x), slope(x), strict=True)]
    return figure, tidy(curve=curves, density=densities, mean=mean_slopes)


def normal(x: np.ndarray, mean: float, std: float) -> np.ndarray:
    """The density of the normal distribution."""
    return np.exp(-0.5 * ((x - mean) / std) ** 2) / (std * np.sqrt(2 * np.pi))


# Batch normalization of one unit


def batchnorm(_: None = None) -> Drawn:
    """One unit's 24 values of a mini-batch on their way through Algorithm 1."""
    rng = np.random.default_rng(11)
    values = np.sort(rng.normal(4.2, 2.1, 24))
    gamma, beta = 1.5, -1.0
    centred = values - values.mean()
    normal = centred / values.std()
    stages = [
        (r"$Wu$", "what the layer computes", values),
        (r"$Wu-\mu_B$", "mean 0", centred),
        (r"$\hat{x}=(Wu-\mu_B)\,/\,\sigma_B$", "mean 0, standard deviation 1", normal),
        (
            r"$y=\gamma\hat{x}+\beta$",
            rf"learned: here $\gamma={gamma:g}$, $\beta={beta:g}$",
            gamma * normal + beta,
        ),
    ]
    if style.is_narrow():  # the words of a stage stand over its dots instead of beside them
        figure = style.figure(6)
        ax = words = figure.subplots()
    else:
        figure, (words, ax) = style.panels(4.4, 1, 2, width_ratios=[0.62, 1], sharey=True)
        words.axis("off")
    over = 0.43 if style.is_narrow() else 0
    ground = dict(facecolor="white", edgecolor="none", pad=1.5) if style.is_narrow() else None
    tones = sns.color_palette("crest", len(values))
    heights = np.arange(len(stages))[::-1]
    for (formula, detail, stage), height in zip(stages, heights, strict=True):
        ax.axhline(height, color=PALE, lw=0.8, zorder=0)
        low, high = stage.mean() - stage.std(), stage.mean() + stage.std()
        ax.plot([low, high], [height - 0.2] * 2, color=GREY, lw=2.2, solid_capstyle="butt")
        ax.plot([stage.mean()] * 2, [height - 0.27, height - 0.13], color=INK, lw=1.6)
        place = dict(transform=words.get_yaxis_transform(), va="center", bbox=ground)
        words.text(0, height + 0.08 + over, formula, fontsize=12, **place)
        words.text(0, height - 0.2 * (1 - over) + over, detail, fontsize=SMALL, color=GREY, **place)
    points = np.array([stage for _, _, stage in stages])
    for column, tone in zip(points.T, tones, strict=True):
        ax.plot(column, heights, color=tone, lw=0.7, alpha=0.55, zorder=1)
        ax.scatter(column, heights, s=26, color=[tone], edgecolor="white", linewidth=0.6, zorder=3)
    ax.axvline(0, color=INK, lw=0.8, ls=":", zorder=0)
    ax.set(
        ylim=(-0.5, len(stages) - 0.55 + over / 2),
        yticks=[],
        xlabel="value (grey bar: mean ± standard deviation)",
    )
    ax.spines["left"].set_visible(False)
    style.heading(words, "One unit, one mini-batch", f"{len(values)} examples, a dot each")
    columns = ("wu", "centred", "x_hat", "y")
    rows = [
        {"example": k} | dict(zip(columns, values, strict=True)) for k, values in enumerate(points.T, start=1)
    ]
    mean, std = (
        dict(zip(columns, found, strict=True)) for found in (points.mean(axis=1), points.std(axis=1))
    )
    return figure, tidy(example=rows, mean=[mean], std=[std])


FIGURES = [
    Figure("pic-sgd", sgd, stage=None),
    Figure("pic-covariate-shift", covariate_shift, stage=None),
    Figure("pic-saturation", saturation, stage=None),
    Figure("pic-batchnorm", batchnorm, stage=None),
]
