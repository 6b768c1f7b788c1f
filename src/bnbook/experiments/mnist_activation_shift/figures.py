"""The figures of Section 4.1: what was measured, beside the paper's Figure 1."""

from collections.abc import Callable, Sequence

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import LogNorm, SymLogNorm
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from bnbook import measures, paper
from bnbook.drawing import Figure, style
from bnbook.drawing.style import COLOURS, GREY, INK, NAMES, PALE, SMALL
from bnbook.drawing.tables import averaged, tidy
from bnbook.experiments.mnist_activation_shift import measures as mnist
from bnbook.experiments.mnist_activation_shift import protocol
from bnbook.experiments.mnist_activation_shift.protocol import VARIANTS, Results
from bnbook.records import Record

Drawn = tuple[Canvas, pd.DataFrame]

TITLES = {"tuned": "Each at its own best setting", "shared": "Both at one shared setting"}
ONE_SETTING = "Both at the setting that is best for each"
OWN_SETTING = "Both at your setting"
PAPER = paper.numbers()


def title(results: Results, setting: str) -> str:
    """What the panel of a setting is called."""
    own = results.profile.lr or results.profile.init_std
    if len(mnist.settings(results)) > 1:
        return TITLES[setting] + (", but for yours" if own else "")
    return OWN_SETTING if own else ONE_SETTING


def setting_words(results: Results, setting: str, variants: Sequence[str] = VARIANTS) -> str:
    """ "learning rate 3, initial std 0.1", for each of `variants` where they differ."""
    words = {
        variant: "learning rate {:g}, initial std {:g}".format(*results.choice.of(setting, variant))
        for variant in variants
    }
    if len(set(words.values())) == 1:
        return words[variants[0]]
    return "; ".join(f"{NAMES[variant]}: {words[variant]}" for variant in variants)


# Figure 1a


def test_accuracy(results: Results) -> Drawn:
    """Test accuracy while training: the paper's axes, and the first steps. The end points are written in."""
    settings = mnist.settings(results)
    figure, grid = style.panels(0.7 + 2.45 * len(settings), len(settings), 2, squeeze=False)
    rows, end_rows = [], []
    for setting, (paper_ax, early_ax) in zip(settings, grid, strict=True):
        ends = []
        late_ax = paper_ax.inset_axes((0.36, 0.34, 0.62, 0.42))
        for variant in VARIANTS:
            steps, values = _curves(results.main[setting, variant])
            for ax in (paper_ax, early_ax, late_ax):
                ax.plot(steps, values.T, color=COLOURS[variant], lw=0.7, alpha=0.35)
                ax.plot(steps, values.mean(axis=0), color=COLOURS[variant], lw=1.8)
            end_points = measures.accuracies(results.main[setting, variant])
            end = end_points.mean()
            below = "" if end > 100 * PAPER["mnist.accuracy_axis_low"] else " (below the axis)"
            ends.append((f"{NAMES[variant]} {end:.2f}%{below}", COLOURS[variant]))
            own = {"setting": setting, "network": NAMES[variant]}
            for record, line, value in zip(results.main[setting, variant], values, end_points, strict=True):
                rows += [
                    own | {"seed": record.seed, "step": step, "test_accuracy_percent": 100 * point}
                    for step, point in zip(steps, line, strict=True)
                ]
                end_rows.append(own | {"seed": record.seed, "test_accuracy_percent": value})
        style.heading(paper_ax, title(results, setting), setting_words(results, setting))
        style.labels(paper_ax, ends[::-1], 0.98, 0.28 if style.is_narrow() else 0.18)
        _magnify(late_ax, [_curves(results.main[setting, variant]) for variant in VARIANTS])
        paper_ax.set(
            ylim=(PAPER["mnist.accuracy_axis_low"], PAPER["mnist.accuracy_axis_high"]), ylabel="test accuracy"
        )
        paper_ax.set(xlim=(0, results.profile.steps), xticks=np.linspace(0.2, 1, 5) * results.profile.steps)
        early_ax.set(xscale="log", xlim=(1, results.profile.steps), ylim=(0, 1))
        style.thousands(paper_ax.xaxis)
        style.thousands(early_ax.xaxis)
    grid[-1, 0].set_xlabel("training step")
    grid[-1, 1].set_xlabel("training step (log scale)")
    alike, accuracy = ["setting", "network"], ["test_accuracy_percent"]
    return figure, tidy(
        run=rows,
        mean=averaged("mean", rows, [*alike, "step"], accuracy),
        end=end_rows,
        mean_end=averaged("mean", end_rows, alike, accuracy),
    )


def _magnify(ax: Axes, curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
    """Make `ax` a magnified view of where the curves end: all seeds, from a fifth of the steps on."""
    last = curves[0][0][-1]
    late = np.concatenate([values[:, steps >= last / 5].ravel() for steps, values in curves])
    ax.set(xlim=(last / 5, last), ylim=np.percentile(late, (1, 99)) + np.array([-0.002, 0.002]), xticks=[])
    ax.yaxis.set_major_locator(MaxNLocator(3))
    ax.tick_params(labelsize=SMALL, length=2)
    ax.set_title("magnified", fontsize=SMALL, color=GREY, loc="left", pad=2)


def _curves(records: Sequence[Record]) -> tuple[np.ndarray, np.ndarray]:
    """(steps, accuracy from 0 to 1 by seed and step); a run that diverged stays at chance from there."""
    found = [measures.curve(record) for record in records]
    steps = max((steps for steps, _ in found), key=len)
    values = np.empty((len(records), len(steps)))
    for row, record, (_, line) in zip(values, records, found, strict=True):
        row[:] = record.final["chance_accuracy"]
        row[: len(line)] = line / 100
    return steps, values


# Figures 1b and 1c


def input_percentiles_plain(results: Results) -> Drawn:
    """What one typical sigmoid of the last hidden layer receives, without BN."""
    return _input_percentiles(results, "plain")


def input_percentiles_bn(results: Results) -> Drawn:
    """The same with BN."""
    return _input_percentiles(results, "bn")


def _input_percentiles(results: Results, variant: str) -> Drawn:
    """The paper's axes; where any typical unit leaves them, beside it axes that hold all."""
    settings = mnist.settings(results)
    lines = {
        (setting, each): [_typical(r) for r in results.main[setting, each] if not r.diverged]
        for setting in settings
        for each in VARIANTS
    }
    every = np.concatenate([v.ravel() for found in lines.values() for _, _, v in found])
    limit = PAPER["mnist.input_axis"]
    # Both figures, with and without BN, get the same axes.
    ranges = [(-limit, limit)]
    if np.abs(every).max() > limit:
        margin = 0.04 * np.ptp(every)
        ranges.append((every.min() - margin, every.max() + margin))
    # A row for each setting.
    figure, grid = style.panels(
        0.7 + 2.45 * len(settings), len(settings), len(ranges), squeeze=False, sharex=True
    )
    for setting, axes in zip(settings, grid, strict=True):
        words = setting_words(results, setting, [variant])
        style.heading(axes[0], title(results, setting).replace("Each at its", "At its"), words)
        for ax, span in zip(axes, ranges, strict=True):
            _draw_percentiles(ax, lines[setting, variant], COLOURS[variant], span)
            ax.set(xlim=(0, results.profile.steps), ylim=span)
            ax.set_xticks(np.linspace(0.2, 1, 5) * results.profile.steps)
            style.thousands(ax.xaxis)
        axes[0].set_ylabel("input of the sigmoid\n(the paper's axis)")
        if len(ranges) > 1:
            axes[1].set_ylabel("the same\n(axis that holds all)")
    for ax in grid[-1]:
        ax.set_xlabel("training step")
    rows = [
        {"setting": setting, "network": NAMES[variant], "seed": record.seed, "unit": unit + 1, "step": step}
        | {f"percentile_{level}": value for level, value in zip(protocol.PERCENTILES, values, strict=True)}
        for setting in settings
        for record, (unit, steps, path) in zip(
            (r for r in results.main[setting, variant] if not r.diverged),
            lines[setting, variant],
            strict=True,
        )
        for step, values in zip(steps, path, strict=True)
    ]
    return figure, pd.DataFrame(rows)


def _typical(record: Record) -> tuple[int, np.ndarray, np.ndarray]:
    """(unit, steps, percentiles (steps, 3)) of the record's typical unit."""
    percentiles = record.arrays["input_percentiles"]
    unit = protocol.typical_unit(percentiles)
    return unit, record.arrays["percentile_step"], percentiles[:, :, unit]


def _draw_percentiles(
    ax: Axes, lines: list[tuple[int, np.ndarray, np.ndarray]], colour: str, span: tuple[float, float]
) -> None:
    """The first seed's unit strong, those of the other seeds faint."""
    ax.axhline(0, color=PALE, lw=0.8, zorder=0)
    for number, (_, steps, path) in enumerate(lines):
        first = number == 0
        ax.plot(
            steps,
            path,
            color=colour,
            lw=1.6 if first else 0.6,
            alpha=1 if first else 0.3,
            zorder=3 - number / 100,
            label=[f"{level}th percentile" for level in protocol.PERCENTILES],
        )
        if first:
            low, _, high = protocol.PERCENTILES
            between = f"from the {low}th to the {high}th percentile"
            ax.fill_between(steps, path[:, 0], path[:, 2], color=colour, alpha=0.13, lw=0, label=between)
    if not lines:
        ax.text(0.5, 0.5, "every run diverged", transform=ax.transAxes, ha="center", color=GREY)
        return
    end = lines[0][2][-1]
    gap = 0.075 * (span[1] - span[0])
    places = [min(end[0], end[1] - gap), end[1], max(end[2], end[1] + gap)]
    for level, value, place in zip(protocol.PERCENTILES, end, places, strict=True):
        if span[0] <= value <= span[1]:
            ax.annotate(
                f" {level}th",
                (1, place),
                xycoords=("axes fraction", "data"),
                color=colour,
                va="center",
                fontsize=SMALL,
            )
    outside = (lines[0][2] < span[0]) | (lines[0][2] > span[1])
    if outside.any():
        ax.text(
            0.98,
            0.03,
            "leaves the axis: see below" if style.is_narrow() else "leaves the axis: see right",
            transform=ax.transAxes,
            ha="right",
            color=GREY,
            fontsize=SMALL,
        )


# All units


COLUMNS = 10  # units in a row
POINTS = 26  # checkpoints drawn of each unit


def all_units(results: Results) -> Drawn:
    """The percentiles of every unit of the last hidden layer: small multiples, steadiest first."""
    found = {variant: results.main["tuned", variant][0] for variant in VARIANTS}
    foot = f"Each box: one unit, steps 1 to {results.profile.steps:,}. Framed: the typical unit."
    figure, axes = style.panels(4.2, 1, 2, foot=foot)
    rows = []
    for ax, variant in zip(axes, VARIANTS, strict=True):
        ax.axis("off")
        if found[variant].diverged:
            style.heading(ax, NAMES[variant])
            ax.text(0.5, 0.5, "diverged", transform=ax.transAxes, ha="center", color=GREY)
            continue
        steps = found[variant].arrays["percentile_step"]
        kept = np.unique(np.searchsorted(steps, np.linspace(steps[0], steps[-1], POINTS)))
        percentiles = found[variant].arrays["input_percentiles"]
        limit = float(f"{np.percentile(np.abs(percentiles), 99):.1g}")  # the few values beyond it are clipped
        style.heading(ax, NAMES[variant], f"height of a box: −{limit:g} to {limit:g}")
        drifts = protocol.drift(percentiles)
        order = np.argsort(drifts, kind="stable")
        chosen = percentiles[kept][:, :, order]
        _draw_units(ax, steps[kept], chosen, COLOURS[variant], limit, len(order) // 2 - (len(order) + 1) % 2)
        rows += [
            {
                "network": NAMES[variant],
                "seed": found[variant].seed,
                "unit": unit + 1,
                "drift_ratio": drifts[unit],
                "step": step,
            }
            | {
                f"percentile_{level}": v
                for level, v in zip(protocol.PERCENTILES, chosen[t, :, index], strict=True)
            }
            for index, unit in enumerate(order)
            for t, step in enumerate(steps[kept])
        ]
    return figure, pd.DataFrame(rows)


def _draw_units(
    ax: Axes, steps: np.ndarray, paths: np.ndarray, colour: str, limit: float, typical: int
) -> None:
    """`paths` is (steps, 3, units): band 15th to 85th, line 50th; clipped at `limit`."""
    x = (steps - steps[0]) / (steps[-1] - steps[0]) * 0.84 + 0.08
    y = np.clip(paths, -limit, limit) / limit * 0.42
    bands, lines, zeros = [], [], []
    for unit in range(paths.shape[2]):
        row, column = divmod(unit, COLUMNS)
        low, middle, high = (y[:, k, unit] - row - 0.5 for k in range(3))
        across = x + column
        bands.append(np.column_stack([np.r_[across, across[::-1]], np.r_[low, high[::-1]]]))
        lines.append(np.column_stack([across, middle]))
        zeros.append([(column + 0.08, -row - 0.5), (column + 0.92, -row - 0.5)])
        ax.add_patch(Rectangle((column + 0.03, -row - 0.97), 0.94, 0.94, fc="#f6f6f6", lw=0, zorder=0))
        if unit == typical:
            ax.add_patch(
                Rectangle((column + 0.03, -row - 0.97), 0.94, 0.94, fill=False, ec=INK, lw=1.2, zorder=4)
            )
    ax.add_collection(LineCollection(zeros, colors=PALE, linewidths=0.5))
    ax.add_collection(PolyCollection(bands, facecolors=colour, alpha=0.3, linewidths=0))
    ax.add_collection(LineCollection(lines, colors=colour, linewidths=1.0))
    ax.set(xlim=(0, COLUMNS), ylim=(-np.ceil(paths.shape[2] / COLUMNS), 0))


# Drift


STRIPS = [  # (label, variant, array, colour), from the top
    ("without BN", "plain", "input_percentiles", style.PLAIN),
    ("with BN", "bn", "input_percentiles", style.BN),
    ("with BN, Wu\n(before BN)", "bn", "wu_percentiles", style.WU),
]


def drift(results: Results) -> Drawn:
    """How far the input of every unit of the last hidden layer travels, in units of its spread."""
    settings = mnist.settings(results)
    figure, grid = style.panels(0.7 + 1.95 * len(settings), len(settings), 1, sharex=True, squeeze=False)
    axes = grid[:, 0]
    shake = np.random.default_rng(0)  # points beside each other, so that they show
    rows, median_rows, median_ends = [], [], []
    for setting, ax in zip(settings, axes, strict=True):
        style.heading(ax, title(results, setting), setting_words(results, setting))
        for index, (_, variant, name, colour) in enumerate(STRIPS):
            found = [mnist.unit_drifts(r, name) for r in results.main[setting, variant]]
            for record, values in zip(results.main[setting, variant], found, strict=True):
                ax.plot(
                    values,
                    index + shake.uniform(-0.3, 0.3, values.size),
                    ".",
                    ms=2.6,
                    mew=0,
                    color=colour,
                    alpha=0.45,
                )
                own = {"setting": setting, "network": NAMES[variant]}
                own["values"] = name.removesuffix("_percentiles")
                rows += [
                    own | {"seed": record.seed, "unit": unit, "drift_ratio": value}
                    for unit, value in enumerate(values, start=1)
                ]
                if np.isfinite(values).any():
                    median_rows.append(own | {"seed": record.seed, "drift_ratio": np.nanmedian(values)})
            medians = [np.nanmedian(values) for values in found if np.isfinite(values).any()]
            ax.plot(medians, [index] * len(medians), "o", ms=6, color=colour, mec="white", mew=1)
            if medians:
                median = np.median(medians)
                median_ends.append(own | {"drift_ratio": median})
                text = f"median {median:.2f}" if median < 10 else f"median {median:.0f}"
                ax.annotate(
                    text,
                    (1.0, index),
                    xycoords=("axes fraction", "data"),
                    color=colour,
                    fontweight="bold",
                    fontsize=SMALL,
                    ha="left",
                    va="center",
                )
        ax.set(yticks=range(len(STRIPS)), ylim=(len(STRIPS) - 0.5, -0.5), xscale="log")
        ax.set_yticklabels([label for label, *_ in STRIPS])
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        ax.grid(axis="x", color=PALE, lw=0.6)
        ax.set_axisbelow(True)
        style.plain_log(ax.xaxis)
    axes[-1].set_xlabel("drift: path length of the percentiles ÷ mean 15–85 spread (log scale)")
    return figure, tidy(unit=rows, median=median_rows, median_of_seeds=median_ends)


# Steps to an accuracy


def speedup(results: Results) -> Drawn:
    """Steps until the target, by seed."""
    settings, goal = mnist.settings(results), mnist.target(results)
    figure, grid = style.panels(3.4, 1, len(settings), sharex=True, squeeze=False)
    axes = grid[0]
    rows, ratios = [], []
    for setting, ax in zip(settings, axes, strict=True):
        style.heading(ax, title(results, setting), f"target: {goal:.2f}% test accuracy")
        pairs = list(zip(*(results.main[setting, variant] for variant in VARIANTS), strict=True))
        for number, pair in enumerate(pairs):
            found = {v: measures.crossing(r, goal) for v, r in zip(VARIANTS, pair, strict=True)}
            shift = 0.12 * (number - (len(pairs) - 1) / 2) / max(1, len(pairs) / 5)
            heights = {"plain": 1 + shift, "bn": shift}
            ax.plot(
                [found[v].step for v in VARIANTS],
                [heights[v] for v in VARIANTS],
                color=PALE,
                lw=0.8,
                zorder=1,
            )
            for variant, crossing in found.items():
                face = COLOURS[variant] if crossing.reached else "white"
                marker = "o" if crossing.reached else ">"
                ax.plot(
                    crossing.step, heights[variant], marker, ms=6, color=COLOURS[variant], mfc=face, mew=1.3
                )
                rows.append({"setting": setting, "network": NAMES[variant], "seed": pair[0].seed})
                rows[-1] |= {"steps_to_target": crossing.step, "reached": crossing.reached}
        found = mnist.speedup(results, setting)
        ratios.append({"setting": setting, "steps_ratio": found.interval.estimate})
        ratios[-1] |= {"low_ratio": found.interval.low, "high_ratio": found.interval.high}
        ax.text(
            0.02,
            0.5,
            _times(found),
            transform=ax.transAxes,
            va="center",
            fontsize=SMALL + 0.5,
            linespacing=1.5,
        )
        ax.set(xscale="log", ylim=(-0.55, 1.55), yticks=[0, 1], xlabel="steps (log scale)")
        ax.set_yticklabels([NAMES["bn"], NAMES["plain"]] if setting == "tuned" else ["", ""])
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        ax.grid(axis="x", color=PALE, lw=0.6)
        ax.set_axisbelow(True)
        style.thousands(ax.xaxis)
    reached = [row["steps_to_target"] for row in rows]
    axes[0].set_xlim(min(reached) / 12, 1.15 * max(reached))  # words on the left, whole dots on the right
    for label, variant in zip(axes[0].get_yticklabels(), ("bn", "plain"), strict=True):
        label.set(color=COLOURS[variant], fontweight="bold")
    return figure, tidy(run=rows, mean=ratios, target=[{"target_percent": goal}])


def speedup_profile(results: Results) -> Drawn:
    """The ratio of steps at every accuracy, with its band over seeds."""
    settings, goal = mnist.settings(results), mnist.target(results)
    figure, grid = style.panels(3.3, 1, len(settings), sharey=True, squeeze=False)
    axes = grid[0]
    rows = []
    for setting, ax in zip(settings, axes, strict=True):
        style.heading(ax, title(results, setting), "line: mean over seeds; band: its 95% interval")
        points = mnist.speedup_profile(results, setting)
        if not points:
            ax.text(0.5, 0.5, "no accuracy that both reach", transform=ax.transAxes, ha="center", color=GREY)
            continue
        whole = [point for point in points if point[1].bound is None]
        bounds = points[max(len(whole) - 1, 0) :]  # joined to the line
        for shown, dashes, alpha in ((whole, "-", 0.18), (bounds, ":", 0.08)):
            errors = [100 - accuracy for accuracy, _ in shown]
            middle, low, high = (
                [getattr(ratio.interval, name) for _, ratio in shown] for name in ("estimate", "low", "high")
            )
            ax.fill_between(errors, low, high, color=COLOURS["bn"], alpha=alpha, lw=0)
            ax.plot(errors, middle, dashes, color=COLOURS["bn"], lw=1.8)
        rows += [
            {"setting": setting, "test_accuracy_percent": accuracy, "steps_ratio": ratio.interval.estimate}
            | {"low_ratio": ratio.interval.low, "high_ratio": ratio.interval.high}
            | {"only_at_least": ratio.bound is not None}
            for accuracy, ratio in points
        ]
        ax.axvline(100 - goal, color=GREY, lw=0.8, ls="--", zorder=0)
        ax.annotate(
            "target ",
            (100 - goal, 0.03),
            xycoords=("data", "axes fraction"),
            ha="right",
            fontsize=SMALL,
            color=GREY,
        )
        ax.axhline(1, color=GREY, lw=0.8, zorder=0)
        ax.grid(color=PALE, lw=0.6)
        ax.set_axisbelow(True)
        # Wide where accuracies are high: most of training goes into the last percents.
        first, last = (100 - points[k][0] for k in (0, -1))
        ax.set(xscale="log", yscale="log", xlim=(1.02 * first, 0.94 * last))
        ax.set_xlabel("test accuracy (%), its distance from 100% on a log scale")
        shown = (accuracy for accuracy in (50, 60, 70, 80, 90, 95, 97) if accuracy <= points[-1][0])
        ax.set_xticks([100 - accuracy for accuracy in shown])
        ax.xaxis.set_major_formatter(FuncFormatter(lambda error, _: f"{100 - error:g}"))
        ax.xaxis.set_minor_locator(NullLocator())
        highest = max(ratio.interval.estimate for _, ratio in points)
        ax.set_ylim(0.5, 2 * max(2.0, highest))
        ax.yaxis.set_major_locator(LogLocator(base=2, numticks=12))
        style.plain_log(ax.yaxis)
        ax.tick_params(axis="y", which="minor", length=0)
    axes[0].set_ylabel("steps without BN ÷ steps with BN")
    return figure, tidy(mean=rows, target=[{"test_accuracy_percent": goal}])


def _times(estimate: measures.Estimate) -> str:
    interval = estimate.interval
    middle, low, high = (
        f"{value:.1f}" if value < 10 else f"{value:,.0f}"
        for value in (interval.estimate, interval.low, interval.high)
    )
    return {
        None: f"{middle}× fewer steps\n(95%: {low} to {high})",
        "lower": f"at least {low}× fewer steps\n(95% limit)",
        "upper": f"at most {high}× fewer steps\n(95% limit)",
        "both": "not to be told\nfrom these runs",
    }[estimate.bound]


# Multiverse


def multiverse(results: Results) -> Drawn:
    """Final accuracy in every cell: learning rate x initialisation x input, and the variants' difference."""
    kinds = {"binarised input": True, "grey input": False}
    height = 1.15 + 2 * (0.85 + 0.36 * len(results.profile.init_stds))
    figure, grid = style.panels(height, 2, 3, sharex=True, sharey=True)
    rows, differences = [], []
    effect = paper.effect("c-4.1-accuracy")
    for (kind, binarise), axes in zip(kinds.items(), grid, strict=True):
        found = mnist.cells(results, binarise)
        means = {v: {cell: measures.accuracies(r).mean() for cell, r in found[v].items()} for v in VARIANTS}
        gaps = mnist.gaps(results, binarise)
        above, below = mnist.clear(list(gaps.values()), effect)
        sure = {cell for cell, clear in zip(gaps, above | below, strict=True) if clear}
        for variant, ax in zip(VARIANTS, axes, strict=False):
            _heat(
                ax,
                results,
                means[variant],
                "{:.1f}".format,
                sns.color_palette("crest_r", as_cmap=True),
                _by_error,
                set(),
            )
            style.heading(ax, NAMES[variant], kind).set_color(COLOURS[variant])
            if binarise:
                _mark(ax, results, results.choice.tuned[variant])
        difference = {cell: gap.mean() for cell, gap in gaps.items()}
        blue_to_orange = sns.blend_palette([style.PLAIN, "#f7f7f7", style.BN], as_cmap=True)
        _heat(
            axes[2],
            results,
            difference,
            _signed,
            blue_to_orange,
            SymLogNorm(effect, vmin=-100, vmax=100),
            sure,
        )
        style.heading(axes[2], "with − without", f"{kind}, points")
        axes[0].set_ylabel("initial std")
        for lr, std in gaps:
            cell = {"input": kind.split()[0], "learning_rate": lr, "initial_std": std}
            rows += [
                cell | {"network": NAMES[v], "test_accuracy_percent": means[v][lr, std]} for v in VARIANTS
            ]
            differences.append(cell | {"difference_points": difference[lr, std], "clear": (lr, std) in sure})
    for ax in grid[1]:
        ax.set_xlabel("learning rate")
    chosen = [
        {"network": NAMES[v], "learning_rate": lr, "initial_std": std}
        for v, (lr, std) in results.choice.tuned.items()
    ]
    return figure, tidy(mean=rows, difference=differences, chosen=chosen)


def _signed(points: float) -> str:
    """A difference, short enough for a cell."""
    return f"{points:+.1f}" if abs(points) < 10 else f"{points:+.0f}"


def _by_error(percent: float) -> float:
    """Colours follow the error rate on a log scale: most cells differ in their last percents."""
    return float(LogNorm(1, 90, clip=True)(max(100 - percent, 1)))


def _heat(
    ax: Axes,
    results: Results,
    values: dict,
    words: Callable[[float], str],
    colours: matplotlib.colors.Colormap,
    scale,
    bold: set,
) -> None:
    """One heat map: learning rates across, initial stds upwards, each cell's value written in it."""
    lrs, stds = results.profile.lrs, results.profile.init_stds
    for (lr, std), value in values.items():
        x, y = lrs.index(lr), stds.index(std)
        colour = colours(float(scale(value)))
        ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fc=colour, ec="white", lw=1))
        dark = np.dot(colour[:3], (0.299, 0.587, 0.114)) < 0.55
        text = words(value).replace("-", "−")
        weight = "bold" if (lr, std) in bold else "normal"
        ax.text(
            x,
            y,
            text,
            ha="center",
            va="center",
            color=style.ON_DARK if dark else style.ON_LIGHT,
            fontsize=SMALL,
            fontweight=weight,
        )
    ax.set(
        xlim=(-0.5, len(lrs) - 0.5),
        ylim=(-0.5, len(stds) - 0.5),
        xticks=range(len(lrs)),
        yticks=range(len(stds)),
    )
    ax.set_xticklabels([f"{lr:g}" for lr in lrs])
    ax.set_yticklabels([f"{std:g}" for std in stds])
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _mark(ax: Axes, results: Results, cell: mnist.Cell) -> None:
    """A frame around the cell that the main runs use, where it is one of them."""
    if cell[0] not in results.profile.lrs or cell[1] not in results.profile.init_stds:
        return
    x, y = results.profile.lrs.index(cell[0]), results.profile.init_stds.index(cell[1])
    ax.add_patch(Rectangle((x - 0.47, y - 0.47), 0.94, 0.94, fill=False, ec=INK, lw=1.8, zorder=4))


FIGURES = [
    Figure("fig1a-test-accuracy", test_accuracy),
    Figure("fig1b-input-percentiles-plain", input_percentiles_plain),
    Figure("fig1c-input-percentiles-bn", input_percentiles_bn),
    Figure("fig1-drift", drift),
    Figure("fig1-all-units", all_units),
    Figure("fig1-multiverse", multiverse, "multiverse"),
    Figure("fig1-speedup", speedup, "speed"),
    Figure("fig1-speedup-profile", speedup_profile, "speed"),
]
