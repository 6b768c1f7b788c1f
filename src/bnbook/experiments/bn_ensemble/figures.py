"""The figures of Section 4.2.3: the ensemble, and the picture that explains why averaging helps."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import to_hex
from matplotlib.figure import Figure as Canvas
from scipy.stats import norm

from bnbook.drawing import Figure, style
from bnbook.drawing.style import BN, GREEN, GREY, INK, PALE, PLAIN, SMALL, WU, YELLOW
from bnbook.drawing.tables import averaged, tidy
from bnbook.experiments.bn_ensemble import measures as ensemble
from bnbook.experiments.bn_ensemble.measures import CROPS, GROUPS, LEAST
from bnbook.experiments.protocol import ChosenResults as Results

Drawn = tuple[Canvas, pd.DataFrame]

GROUP_NAMES = {"members": "different settings", "control": "different seeds alone"}
GROUP_COLOURS = {"members": BN, "control": PLAIN}
CROP_NAMES = {"single": "one crop", "multicrop": "ten crops"}
CROP_DASHES = {"single": (0, (3, 2)), "multicrop": "-"}
SHIFTS = {  # to the side, so that no dots hide others
    ("members", "single"): -0.15,
    ("members", "multicrop"): -0.05,
    ("control", "multicrop"): 0.05,
    ("control", "single"): 0.15,
}


def size(results: Results) -> Drawn:
    """Error against the number of networks averaged: all subsets, and their mean."""
    truth = ensemble.labels(results.main["members"])
    figure = style.figure(3.9)
    ax = figure.subplots()
    rows = []
    for group in GROUPS:
        for crops in CROPS:
            found = ensemble.errors_by_size(ensemble.probabilities(results.main[group], crops), truth)
            sizes = np.arange(1, len(found) + 1)
            colour, shift = GROUP_COLOURS[group], SHIFTS[group, crops]
            face = colour if crops == "multicrop" else "none"
            for number, errors in zip(sizes, found, strict=True):
                places = [number + shift] * len(errors)
                ax.scatter(places, errors, s=10, alpha=0.4, lw=0.7, facecolors=face, edgecolors=colour)
                rows += [
                    {
                        "ensemble": GROUP_NAMES[group],
                        "crops": CROP_NAMES[crops],
                        "networks": number,
                        "test_error_percent": value,
                    }
                    for value in errors
                ]
            means = [errors.mean() for errors in found]
            label = f"{GROUP_NAMES[group]}, {CROP_NAMES[crops]}"
            ax.plot(sizes + shift, means, color=colour, ls=CROP_DASHES[crops], lw=1.8, label=label)
    style.heading(
        ax, "Errors of ensembles", "dots: every subset of that size (hollow: one crop); lines: their mean"
    )
    ax.set(xlabel="networks averaged", ylabel="top-1 test error (%)", xticks=sizes)
    ax.grid(axis="y", color=PALE, lw=0.6)
    ax.legend(frameon=False, fontsize=SMALL, loc="upper right")
    means = averaged("mean", rows, ["ensemble", "crops", "networks"], ["test_error_percent"])
    return figure, tidy(subset=rows, mean=means)


def calibration(results: Results) -> Drawn:
    """How often an answer given with some confidence is right: the members alone, and together."""
    truth = ensemble.labels(results.main["members"])
    found = ensemble.probabilities(results.main["members"], "multicrop")
    figure, axes = style.panels(3.5, 1, 2, sharex=True, sharey=True)
    rows, gaps = [], []
    for ax, name, networks, colour in (
        (axes[0], "Single networks", found, PLAIN),
        (axes[1], "Their ensemble", found.mean(0, keepdims=True), BN),
    ):
        ax.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=(0, (2, 2)))
        gap = np.mean([ensemble.calibration_error(one, truth) for one in networks])
        for number, one in enumerate(networks, start=1):
            confidence, accuracy, share = ensemble.reliability(one, truth)
            kept = share * len(truth) >= LEAST
            ax.plot(confidence[kept], accuracy[kept], "-o", color=colour, ms=2.5, lw=1, alpha=0.7)
            rows += [
                {"answers": name, "network": number, "confidence_percent": 100 * c}
                | {"test_accuracy_percent": 100 * a, "share_percent": 100 * s}
                for c, a, s in zip(confidence[kept], accuracy[kept], share[kept], strict=True)
            ]
        gaps.append({"answers": name, "difference_points": gap})
        style.heading(ax, name, f"mean gap between the two: {gap:.1f} points")
        ax.set(xlabel="confidence", xlim=(0, 1), ylim=(0, 1), aspect="equal")
        ax.text(0.06, 0.9, "too modest", color=GREY, fontsize=SMALL)
        ax.text(0.94, 0.08, "too sure", color=GREY, fontsize=SMALL, ha="right")
    axes[0].set(ylabel="share of right answers")
    return figure, tidy(bin=rows, mean=gaps)


def disagreement(results: Results) -> Drawn:
    """On how many test images two networks give different answers."""
    figure, axes = style.panels(3.5, 1, 2)
    tables = {
        group: ensemble.disagreement(ensemble.probabilities(results.main[group], "single"))
        for group in GROUPS
    }
    top = max(table.max() for table in tables.values())
    rows, means = [], []
    for ax, (group, table) in zip(axes, tables.items(), strict=True):
        names = np.arange(1, len(table) + 1)
        sns.heatmap(
            table,
            ax=ax,
            vmin=0,
            vmax=top,
            cmap="Blues",
            cbar=False,
            square=True,
            annot=True,
            fmt=".0f",
            annot_kws={"fontsize": SMALL},
            linewidths=0.8,
            xticklabels=names,
            yticklabels=names,
        )
        for text in ax.texts:
            text.set_color(style.ON_DARK if to_hex(text.get_color()) == "#ffffff" else style.ON_LIGHT)
        off = table[np.triu_indices(len(table), k=1)].mean()
        style.heading(ax, GROUP_NAMES[group].capitalize(), f"mean over pairs: {off:.1f}% of the images")
        ax.tick_params(length=0)
        ax.set_xlabel("network")
        rows += [
            {"ensemble": GROUP_NAMES[group], "network": i + 1, "other_network": j + 1}
            | {"disagreement_percent": table[i, j]}
            for i in range(len(table))
            for j in range(len(table))
        ]
        means.append({"ensemble": GROUP_NAMES[group], "disagreement_percent": off})
    axes[0].set_ylabel("network")
    return figure, tidy(pair=rows, mean=means)


SIGNAL = 0.7  # how far, in standard deviations, a network's margin lies on the right side on average


def averaging(_: None = None) -> Drawn:
    """Why averaging helps, and when it stops: margins with a part that all networks share."""
    rng = np.random.default_rng(39)
    figure, (left, right) = style.panels(3.7, 1, 2, width_ratios=[1, 1.1])
    rows, curves = [], []
    margins = SIGNAL + rng.normal(size=6)
    for number, margin in enumerate(margins, start=1):
        left.barh(number, margin, color=BN if margin > 0 else PLAIN, height=0.62)
        rows.append({"network": number, "margin": margin})
    left.barh(7.4, margins.mean(), color=BN if margins.mean() > 0 else PLAIN, height=0.9)
    left.axvline(0, color=INK, lw=0.9)
    left.set(yticks=[*range(1, 7), 7.4], xlabel="margin of the right answer", xticks=[0])
    left.set_yticklabels([*map(str, range(1, 7)), "mean"])
    left.invert_yaxis()
    left.tick_params(axis="y", length=0)
    left.spines["left"].set_visible(False)
    style.heading(left, "One image, six networks", "left of 0: a wrong answer")
    sizes = np.arange(1, 21)
    for shared, colour in ((0.0, GREEN), (0.5, YELLOW), (0.9, WU)):
        # The mean of k margins has the variance shared + (1 - shared) / k.
        errors = 100 * norm.cdf(-SIGNAL / np.sqrt(shared + (1 - shared) / sizes))
        right.plot(sizes, errors, "-o", ms=2.5, lw=1.6, color=colour)
        right.annotate(
            f"{shared:.0%} shared",
            (sizes[-1], errors[-1]),
            xytext=(0, 5),
            textcoords="offset points",
            ha="right",
            color=colour,
            fontsize=SMALL,
            fontweight="bold",
        )
        curves += [
            {"shared_percent": 100 * shared, "networks": k, "error_percent": e}
            for k, e in zip(sizes, errors, strict=True)
        ]
    right.set(
        xlabel="networks averaged", ylabel="wrong answers (%)", ylim=(0, None), xticks=[1, 5, 10, 15, 20]
    )
    right.grid(axis="y", color=PALE, lw=0.6)
    style.heading(right, "Many images", "by how much of their noise networks share")
    return figure, tidy(network=rows, mean=[{"margin": margins.mean()}], theory=curves)


FIGURES = [
    Figure("fig4-ensemble-size", size),
    Figure("fig4-disagreement", disagreement),
    Figure("fig4-calibration", calibration),
    Figure("pic-averaging", averaging, stage=None),
]
