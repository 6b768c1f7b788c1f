"""The figures of the learning rate's share: where networks end, and their first steps at a large one."""

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import LogLocator, MaxNLocator

from bnbook.drawing import Figure, style
from bnbook.drawing.style import BN, COLOURS, NAMES, PALE, PLAIN, SMALL, YELLOW
from bnbook.drawing.tables import Rows, averaged, tidy
from bnbook.experiments.learning_rate_share import measures
from bnbook.experiments.learning_rate_share.protocol import NETWORKS
from bnbook.experiments.protocol import Results
from bnbook.measures import accuracies

Drawn = tuple[Canvas, pd.DataFrame]

SHOWN_STEPS = (0, 1, 2, 4, 8, 16, 32, 64)
LAST = 4  # steps before the numbers end
FATES = {"exploded": ("explodes", PLAIN), "died": ("dies away", YELLOW), "kept": ("keeps its size", BN)}
FLOOR, CEILING = 1e-6, float(np.finfo(np.float32).max)  # what is smaller is drawn there; larger is no number


def accuracy(results: Results) -> Drawn:
    """Test accuracy at the end by learning rate: the matched ones, and each network's own."""
    figure = style.figure(3.6)
    ax = figure.subplots()
    rows: Rows = []
    for network in NETWORKS:
        colour = COLOURS[network]
        groups = [measures.at(results, network, lr) for lr in results.profile.matched]
        groups.append(measures.own(results, network))
        table = [
            {"network": NAMES[network], "learning_rate": record.config["lr"], "seed": record.seed}
            | {"test_accuracy_percent": value}
            for records in {id(group): group for group in groups}.values()
            for record, value in zip(records, accuracies(records), strict=True)
        ]
        rows += table
        own = pd.DataFrame(table)
        ax.plot(
            own["learning_rate"], own["test_accuracy_percent"], "o", color=colour, ms=4.5, alpha=0.6, mew=0
        )
        mean = own.groupby("learning_rate")["test_accuracy_percent"].mean()
        ax.plot(mean.index, mean, color=colour, lw=1.8, label=NAMES[network])
        best = measures.own(results, network)[0].config["lr"]
        ax.plot([best], [mean[best]], "o", color=colour, ms=12, mfc="none", mew=1.5)
    ax.set_xscale("log")
    rates = sorted({row["learning_rate"] for row in rows})
    ax.set_xticks(rates, [f"{lr:g}" for lr in rates])
    ax.minorticks_off()
    ax.set(xlabel="learning rate", ylabel="test accuracy (%)")
    style.heading(
        ax, "At the same small rates, and at its own", "dots: seeds; line: mean; ring: its own rate"
    )
    ax.grid(axis="y", color=PALE, lw=0.6)
    ax.legend(frameon=False, fontsize=SMALL, labelcolor="linecolor", loc="best")
    means = averaged("mean", rows, ["network", "learning_rate"], ["test_accuracy_percent"])
    return figure, tidy(run=rows, mean=means)


def first_steps(results: Results) -> Drawn:
    """At BN's rate the last layer's output, step after step, by seed; and layer by layer, without BN, of a
    seed with which it explodes and of one with which it dies away."""
    figure, axes = style.panels(5.4, 2, 2)
    rows: Rows = []
    for ax, network in zip(axes[0], NETWORKS, strict=True):
        rows += _outputs(ax, results, network)
    profiles: Rows = []
    for ax, end in zip(axes[1], ("exploded", "died"), strict=True):
        profiles += _profile(ax, results, end)
    return figure, tidy(run=rows + profiles)


def _outputs(ax: Axes, results: Results, network: str) -> Rows:
    """A line a seed; where the numbers end, a cross."""
    rows: Rows = []
    for record in measures.started(results, network):
        step, size = record.arrays["size_step"], _finite(record.arrays["activation"][:, -1])
        end = measures.fate(record)
        ax.plot(step, np.maximum(size, FLOOR), color=FATES[end][1], lw=1.5, alpha=0.8)
        if end == "exploded":
            ax.plot(step[-1], size[-1], "x", color=FATES[end][1], ms=7, mew=1.8, clip_on=False)
        rows += [
            {"network": NAMES[network], "seed": record.seed, "ending": end, "step": int(at)}
            | {"value": value}
            for at, value in zip(step, size, strict=True)
        ]
    ax.set_xscale("symlog", linthresh=1)
    ax.set(xlabel="step", ylabel="last layer's output")
    ticks = [step for step in (0, 1, 3, 10, 30, 100) if step <= results.profile.start_steps]
    ax.set_xticks(ticks, [str(step) for step in ticks])
    _decades(ax, CEILING)
    style.heading(ax, NAMES[network][0].upper() + NAMES[network][1:], "root mean square, a line a seed")
    style.labels(
        ax, [FATES[end] for end in FATES if end in {row["ending"] for row in rows}], 0.04, 0.92, "left"
    )
    return rows


def _profile(ax: Axes, results: Results, end: str) -> Rows:
    """What the layers put out, of the first seed that ends so: at its last steps where it explodes."""
    records = [one for one in measures.started(results, "plain") if measures.fate(one) == end]
    rows: Rows = []
    for record in records[:1]:
        known = record.arrays["size_step"].tolist()
        steps = known[-LAST:] if end == "exploded" else [step for step in SHOWN_STEPS if step in known]
        for step, colour in zip(steps, colormaps["viridis"](np.linspace(0, 0.88, len(steps))), strict=True):
            values = _finite(record.arrays["activation"][known.index(step)])
            layers = np.arange(1, len(values) + 1)
            ax.plot(layers, np.maximum(values, FLOOR), color=colour, lw=1.5, label=str(step))
            rows += [
                {"network": NAMES["plain"], "seed": record.seed, "ending": end, "step": step}
                | {"layer": int(layer), "value": value}
                for layer, value in zip(layers, values, strict=True)
            ]
    ax.set(xlabel="layer", ylabel="a layer's output")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if rows:
        _decades(ax, CEILING if end == "exploded" else 1.0)
        ax.legend(
            title="after step", frameon=False, fontsize=SMALL, title_fontsize=SMALL, ncol=2, handlelength=1
        )
    seed = f"seed {records[0].seed}, {NAMES['plain']}" if records else "no seed"
    style.heading(ax, f"Where it {FATES[end][0]}", seed)
    return rows


def _finite(sizes: np.ndarray) -> np.ndarray:
    """What is infinite counts as the largest float32."""
    return np.minimum(sizes, CEILING)


def _decades(ax: Axes, top: float) -> None:
    ax.set(yscale="log", ylim=(FLOOR, 10 * top))
    ax.yaxis.set_major_locator(LogLocator(numticks=6))
    ax.minorticks_off()
    ax.grid(color=PALE, lw=0.6)
    ax.set_axisbelow(True)


FIGURES = [
    Figure("rate-share-accuracy", accuracy, "net"),
    Figure("rate-share-first-steps", first_steps, "start"),
]
