"""The figures of Section 3.1: the statistics that a trained network answers with."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter

from bnbook.drawing import Figure, style
from bnbook.drawing.style import BN, GREEN, GREY, INK, PALE, PLAIN, SMALL, WU, YELLOW
from bnbook.drawing.tables import Rows, averaged, tidy
from bnbook.experiments.algorithm2_inference import measures as algorithm2
from bnbook.experiments.algorithm2_inference.protocol import LAGGING, LR, MODES, MOVING
from bnbook.experiments.protocol import Results

Drawn = tuple[Canvas, pd.DataFrame]

NAMES = {
    "population": "Algorithm 2",
    "population_10": "Algorithm 2, 10 batches",
    "population_1": "Algorithm 2, 1 batch",
    "moving_2": "moving, momentum 0.5",
    "moving_10": "moving, momentum 0.1",
    "moving_100": "moving, momentum 0.01",
    "moving_1000": "moving, momentum 0.001",
    "moving_all": "mean over all training",
    "test_60": "test batches of 60",
    "test_8": "test batches of 8",
    "test_sorted": "batches of 60, one digit",
    "test_1": "a batch of one",
}
COLOURS = {
    "population": BN,
    "population_10": BN,
    "population_1": BN,
    "moving_2": INK,
    "moving_10": GREEN,
    "moving_100": YELLOW,
    "moving_1000": PLAIN,
    "moving_all": WU,
    "test_60": GREEN,
    "test_8": YELLOW,
    "test_sorted": PLAIN,
    "test_1": WU,
}
ESTIMATES = {
    "unbiased": (BN, "with m/(m−1)"),
    "biased": (PLAIN, "without"),
    "gain": (GREEN, "mean gain of training"),
}


# Explaining pictures


def companions(_: None = None) -> Drawn:
    """One image's value of one unit, normalized in different company; alone it is always 0."""
    rng = np.random.default_rng(11)
    centre, spread, image, draws = 2.0, 1.5, 3.6, 300
    others = {"all training images": 400, "a batch of 60": 59, "a batch of 8": 7, "another 8": 7, "alone": 0}
    figure, (left, right) = style.panels(3.6, 1, 2, sharey=True, width_ratios=[1.35, 1])
    values, batches, normalized = [], [], []
    for line, (name, count) in enumerate(others.items()):
        fixed = name == "all training images"
        found = [np.append(rng.normal(centre, spread, count), image) for _ in range(1 if fixed else draws)]
        shown = found[0]
        mean, deviation = (centre, spread) if fixed else (shown.mean(), shown.std())
        left.plot(shown[:-1], [line] * count, "o", ms=3.5, color=GREY, alpha=0.15 if fixed else 0.5, mew=0)
        left.plot([mean - deviation, mean + deviation], [line + 0.28] * 2, color=INK, lw=1.4)
        left.plot([mean] * 2, [line + 0.18, line + 0.38], color=INK, lw=1.4)
        hats = [(image - x.mean()) / (x.std() or 1.0) for x in found]
        hats = [(image - centre) / spread] if fixed else hats
        right.plot(
            hats, np.full(len(hats), line), "|", ms=9, color=PLAIN, alpha=0.25 if count and not fixed else 1
        )
        for ax, place in ((left, image), (right, hats[0])):
            ax.plot(place, line, "o", ms=7, color=PLAIN, mec="white", mew=0.8, zorder=3)
        values += [{"statistics": name, "x": x} for x in shown[:-1]]
        batches.append({"statistics": name, "x": mean, "std": deviation})
        normalized += [{"statistics": name, "x": image, "x_hat": hat} for hat in hats]
    right.axvline((image - centre) / spread, color=PALE, lw=1, zorder=0)
    left.set(
        yticks=range(len(others)), yticklabels=others, xlabel="$x$, the value of one unit", ylim=(4.6, -0.5)
    )
    right.set(xlabel=r"$\hat{x}$, what the image receives")
    style.heading(left, "One image, other company", "orange: the image; bar: mean ± deviation")
    style.heading(right, "What it receives", "strokes: 300 other batches")
    for ax in (left, right):
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
    return figure, tidy(value=values, mean=batches, image=normalized)


def trailing(_: None = None) -> Drawn:
    """A mean that moves while the network trains, and averages of noisy looks at it."""
    rng = np.random.default_rng(5)
    steps = np.arange(1, 1001)
    truth = 2 * (1 - np.exp(-steps / 150)) + 0.5 * np.sin(steps / 120)
    looks = truth + rng.normal(0, 0.25, len(steps))
    averages = {
        "momentum 0.1": (GREEN, _moving(looks, 0.1)),
        "momentum 0.01": (YELLOW, _moving(looks, 0.01)),
        "all steps alike": (WU, np.cumsum(looks) / steps),
    }
    figure = style.figure(3.5)
    ax = figure.subplots()
    ax.plot(steps[::4], looks[::4], ".", ms=3, color=GREY, alpha=0.35)
    ax.plot(steps, truth, color=BN, lw=2.4)
    for colour, values in averages.values():
        ax.plot(steps, values, color=colour, lw=1.4)
    after = truth[-1] + rng.normal(0, 0.25, 100).mean()
    ax.plot(steps[-1] + 12, after, "*", ms=13, color=BN, mec="white", clip_on=False, zorder=4)
    ax.set(xlabel="steps of training", ylabel="mean of a unit", xlim=(0, 1000), ylim=(-0.6, 3.2))
    style.heading(
        ax, "Averages trail what they average", "dots: mini-batches; ★: Algorithm 2, training stopped"
    )
    lines = [("the mean as it is", BN)] + [(name, colour) for name, (colour, _) in averages.items()]
    style.labels(ax, lines, 0.98, 0.42)
    _plain(ax)

    def rows(values: np.ndarray, every: int = 1) -> Rows:
        return [{"step": s, "mean": v} for s, v in zip(steps[::every], values[::every], strict=True)]

    return figure, tidy(
        truth=rows(truth),
        mini_batch=rows(looks, 4),
        average=[
            {"statistics": name} | row for name, (_, values) in averages.items() for row in rows(values)
        ],
        algorithm_2=[{"step": steps[-1], "mean": after}],
    )


def _moving(values: np.ndarray, momentum: float) -> np.ndarray:
    """The moving average after each value, from 0."""
    found, average = np.empty_like(values), 0.0
    for step, value in enumerate(values):
        average += momentum * (value - average)
        found[step] = average
    return found


# Results


def training(results: Results) -> Drawn:
    """Errors in each inference mode while the network trains, and how many answers are not Algorithm 2's."""
    figure, axes = style.panels(6.2, 2, 2, by_column=True, sharex=True, sharey="row")
    columns = {
        "Moving averages": list(MOVING),
        "Statistics of test batches": [mode for mode in NAMES if mode.startswith("test")],
    }
    rows = []
    for index, (title, modes) in enumerate(columns.items()):
        for mode in (*modes, "population"):
            for record in algorithm2.net(results):
                steps = algorithm2.column(record, "step")
                wrong = 100 - algorithm2.column(record, f"{mode}_accuracy")
                other = algorithm2.column(record, f"{mode}_disagreement")
                own = mode == "population"
                axes[0, index].plot(steps, wrong, color=COLOURS[mode], lw=1.3 if own else 0.9, alpha=0.8)
                if not own:
                    shown = np.where(other > 0, other, np.nan)
                    axes[1, index].plot(steps, shown, color=COLOURS[mode], lw=0.9, alpha=0.8)
                if own and index:
                    continue  # it is drawn in both columns
                rows += [
                    {"statistics": NAMES[mode], "seed": record.seed, "step": step}
                    | {"test_error_percent": error, "disagreement_percent": unlike}
                    for step, error, unlike in zip(steps, wrong, other, strict=True)
                ]
        style.heading(axes[0, index], title, "test errors (%), a line a seed")
        style.heading(axes[1, index], "", "answers unlike Algorithm 2's (%)")
        _key(axes[0, index], (*modes, "population"))
        axes[1, index].set_xlabel("steps")
    for ax in axes.flat:
        ax.set_xscale("log")
        ax.set_yscale("log")
        style.thousands(ax.xaxis)
        style.plain_log(ax.yaxis)
        ax.tick_params(axis="y", which="minor", length=0)
        _plain(ax)
    for above, below in axes.T:
        above.set(ylim=(0.07, 130), yticks=[2, 5, 20, 100])  # room below for the key
        below.set(ylim=(0.15, 130), yticks=[0.2, 1, 5, 20, 100])
    return figure, pd.DataFrame(rows)


def ends(results: Results) -> Drawn:
    """At the end of training: how many answers differ from Algorithm 2's, and the accuracy."""
    modes = [mode for mode in NAMES if mode in MODES and mode != "population"]
    figure = style.figure(5.4 if style.is_narrow() else 4.1)
    ax = figure.subplots()
    rows, means = [], []
    for line, mode in enumerate(modes):
        other = algorithm2.ends(results, f"{mode}_disagreement")
        right = algorithm2.ends(results, f"{mode}_accuracy")
        shown = np.maximum(other, 0.05)
        ax.plot([shown.mean()] * 2, [line - 0.3, line + 0.3], color=COLOURS[mode], lw=2)
        ax.scatter(shown, [line] * len(other), color=COLOURS[mode], s=16, alpha=0.7, lw=0)
        ax.text(
            1.03, line, f"{right.mean():.2f}", transform=ax.get_yaxis_transform(), va="center", fontsize=SMALL
        )
        rows += [
            {"statistics": NAMES[mode], "seed": seed, "disagreement_percent": d, "test_accuracy_percent": a}
            for seed, (d, a) in enumerate(zip(other, right, strict=True))
        ]
        means.append({"statistics": NAMES[mode], "disagreement_percent": shown.mean()})
        means[-1]["test_accuracy_percent"] = right.mean()
    ax.annotate(
        "accuracy (%)",
        (1.03, (len(modes) - 1) / 2),
        xycoords=ax.get_yaxis_transform(),
        xytext=(32, 0),
        textcoords="offset points",
        rotation=270,
        va="center",
        fontsize=SMALL,
        color=GREY,
    )
    ax.set_xscale("log")
    style.plain_log(ax.xaxis)
    ax.set(
        yticks=range(len(modes)), yticklabels=[NAMES[mode] for mode in modes], ylim=(len(modes) - 0.5, -0.7)
    )
    ax.set(xlabel="answers unlike Algorithm 2's (%)", xlim=(0.1, 130), xticks=[0.1, 1, 10, 100])
    own = algorithm2.ends(results, "population_accuracy").mean()
    style.heading(ax, "At the end of training", f"dots: seeds, bar: mean; Algorithm 2 itself: {own:.2f}%")
    _plain(ax)
    means.append({"statistics": NAMES["population"], "test_accuracy_percent": own})
    return figure, tidy(run=rows, mean=means)


def lag(results: Results) -> Drawn:
    """How far test accuracy by moving averages stays below that by Algorithm 2: step by step at Section 4.1's
    learning rate, and over the learning rates."""
    judged, rates = algorithm2.highest_rate(results), algorithm2.learning_rates(results)
    learned = [lr for lr in rates if lr <= judged]
    figure, (left, right) = style.panels(3.9, 1, 2, sharey=True)
    runs, over_steps = [], []
    for mode in LAGGING:
        colour = COLOURS[mode]
        found = [algorithm2.missed(record, mode) for record in algorithm2.lagging(results, LR)]
        for steps, points in found:
            left.plot(steps, points, color=colour, lw=0.4, alpha=0.2)
        left.plot(found[0][0], np.mean([points for _, points in found], axis=0), color=colour, lw=1.8)
        means = {
            lr: [algorithm2.mean_missed(record, mode) for record in algorithm2.lagging(results, lr)]
            for lr in rates
        }
        right.plot(learned, [np.mean(means[lr]) for lr in learned], color=colour, lw=1.8)
        for lr in rates:
            right.scatter([lr] * len(means[lr]), means[lr], color=colour, s=9, alpha=0.5, lw=0)
        runs += [
            {"statistics": NAMES[mode], "learning_rate": LR, "seed": record.seed, "step": step}
            | {"missed_points": value}
            for record, path in zip(algorithm2.lagging(results, LR), found, strict=True)
            for step, value in zip(*path, strict=True)
        ]
        over_steps += [
            {"statistics": NAMES[mode], "learning_rate": lr, "seed": record.seed, "missed_points": value}
            for lr in rates
            for record, value in zip(algorithm2.lagging(results, lr), means[lr], strict=True)
        ]
    left.axvline(algorithm2.STARTED, color=GREY, lw=0.8, ls="--", zorder=0)
    right.axvline(judged, color=GREY, lw=0.8, ls="--", zorder=0)
    for ax in (left, right):
        ax.axhline(0, color=GREY, lw=0.8, zorder=0)
        ax.set(xscale="log")
        ax.set_yscale("symlog", linthresh=1)
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}".replace("-", "−")))
        _plain(ax)
    style.thousands(left.xaxis)
    style.plain_log(right.xaxis)
    left.set(xlabel="steps", ylabel="accuracy missed (points)")
    right.set(xlabel="learning rate")
    style.heading(left, f"Learning rate {LR:g}", "thin: seeds; line: their mean")
    style.heading(right, "By learning rate", f"mean from step {algorithm2.STARTED} on; dots: seeds")
    _key(right, tuple(LAGGING))
    alike, missed = ["statistics", "learning_rate"], ["missed_points"]
    return figure, tidy(
        run=runs,
        mean=averaged("mean", runs, [*alike, "step"], missed),
        run_over_steps=over_steps,
        mean_over_steps=averaged("mean", over_steps, alike, missed),
        counted_from=[{"step": algorithm2.STARTED}],
        judged=[{"learning_rate": judged}],
    )


def small_batches(results: Results) -> Drawn:
    """The factor m / (m - 1): what it does to the variance, and to the errors."""
    sizes = algorithm2.small_batches(results)
    figure, (left, right) = style.panels(3.7, 1, 2)
    rows = []
    m = np.geomspace(sizes[0], sizes[-1], 60)
    left.plot(m, (m - 1) / m, color=PALE, lw=3)
    for name, (colour, words) in ESTIMATES.items():
        variances = [algorithm2.small(results, size, f"{name}_variance") for size in sizes]
        wrong = [1 - algorithm2.small(results, size, f"{name}_accuracy") for size in sizes]
        usual = [1 - algorithm2.small(results, size, "unbiased_accuracy") for size in sizes]
        ratios = [a / b for a, b in zip(wrong, usual, strict=True)]
        for ax, values in ((left, variances), (right, ratios)):
            ax.plot(sizes, [value.mean() for value in values], color=colour, lw=1.4, label=words)
            for size, value in zip(sizes, values, strict=True):
                ax.scatter([size] * len(value), value, color=colour, s=12, alpha=0.6, lw=0)
        rows += [
            {"batch_size": size, "method": words, "seed": seed}
            | {"variance_ratio": variance, "error_ratio": ratio, "test_error_percent": 100 * error}
            for size, *columns in zip(sizes, variances, ratios, wrong, strict=True)
            for seed, (variance, ratio, error) in enumerate(zip(*columns, strict=True))
        ]
    for ax in (left, right):
        ax.set_xscale("log", base=2)
        ax.set_xticks(sizes, [str(size) for size in sizes])
        ax.set_xlabel("m, images in a mini-batch")
        _plain(ax)
    left.set_ylim(0, 1.3)
    left.set_ylabel("variance over the true one")
    right.set_ylabel("errors over those with the factor")
    style.heading(left, "The variance", "pale: (m−1)/m; dots: seeds")
    style.heading(right, "The errors", "below 1: fewer than with m/(m−1)")
    left.legend(frameon=False, fontsize=SMALL, loc="lower right", labelcolor="linecolor", handlelength=1.2)
    return figure, tidy(
        run=rows,
        mean=averaged("mean", rows, ["batch_size", "method"], ["variance_ratio", "error_ratio"]),
        theory=[{"batch_size": size, "variance_ratio": (size - 1) / size} for size in m],
    )


def _key(ax: Axes, modes: tuple[str, ...]) -> None:
    for mode in modes:
        ax.plot([], [], color=COLOURS[mode], lw=2, label=NAMES[mode])
    ax.legend(
        frameon=False,
        fontsize=SMALL,
        loc="lower left",
        labelcolor="linecolor",
        handlelength=1.2,
        labelspacing=0.25,
    )


def _plain(ax: Axes) -> None:
    ax.grid(color=PALE, lw=0.6)
    ax.set_axisbelow(True)


FIGURES = [
    Figure("algorithm2-training", training, "net"),
    Figure("algorithm2-ends", ends, "net"),
    Figure("algorithm2-lag", lag, "lag"),
    Figure("algorithm2-small-batches", small_batches),
    Figure("pic-alone", companions, stage=None),
    Figure("pic-trailing", trailing, stage=None),
]
