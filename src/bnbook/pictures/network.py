"""The pictures that explain Section 4.2: the network, and what its learning rates do."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from bnbook.architecture import BLOCKS, CLASSES, STEM
from bnbook.drawing import Figure, style
from bnbook.drawing.style import BN, GREEN, GREY, INK, PALE, PLAIN, SMALL, WU, YELLOW
from bnbook.experiments.inception_first.protocol import PROFILES

Drawn = tuple[Canvas, pd.DataFrame]

IMAGE_SIDE = 28  # pixels


@dataclass(frozen=True)
class Stage:
    """One column of the chain: `side` of its maps in pixels, how many there are, and from which branches."""

    name: str
    kind: str
    side: int
    maps: int
    branches: str


KIND_COLOURS = {"conv": GREY, "module": BN, "halving": YELLOW, "pool": GREY, "output": INK}


def stages() -> list[Stage]:
    """The small Inception at full width, from the image's first convolution to the logits."""
    side, maps = IMAGE_SIDE, STEM
    found = [Stage("conv", "conv", side, maps, f"{STEM}")]
    for block in BLOCKS:
        if isinstance(block, int):
            side, maps = side // 2, maps + block
            found.append(Stage("halving", "halving", side, maps, f"{block} + pooled"))
        else:
            maps = sum(block)
            found.append(Stage("module", "module", side, maps, f"{block[0]} + {block[1]}"))
    return [
        *found,
        Stage("mean", "pool", 1, maps, f"{maps}"),
        Stage("output", "output", 1, CLASSES, f"{CLASSES}"),
    ]


def inception(_: None = None) -> Drawn:
    """The chain of blocks, and the inside of its two kinds."""
    figure, panels = style.mosaic(5.3, [["chain", "chain"], ["module", "halving"]], [1.15, 1])
    found = stages()
    _draw_chain(panels["chain"], found)
    _draw_inside(
        panels["module"],
        "Inception module",
        "two views of the same input, stacked",
        BN,
        (["1×1 conv", "BN", "ReLU"], ["3×3 conv", "BN", "ReLU"]),
    )
    _draw_inside(
        panels["halving"],
        "Halving block",
        "side halved, what came in kept by its maximum",
        YELLOW,
        (["3×3 conv, stride 2", "BN", "ReLU"], ["3×3 max, stride 2"]),
    )
    table = pd.DataFrame([vars(stage) for stage in found])
    return figure, table.rename(columns={"kind": "block", "side": "side_pixels"})


def _draw_chain(ax: Axes, found: list[Stage]) -> None:
    """A bar a block, as tall as its maps have pixels on a side; the number of maps above it."""
    style.heading(ax, "The small Inception", "bars: side of the feature maps; numbers: how many maps")
    turned = 90 if style.is_narrow() else 0
    for index, stage in enumerate(found):
        height = max(stage.side, 1.2)
        colour = KIND_COLOURS[stage.kind]
        ax.add_patch(
            Rectangle(
                (index - 0.38, (IMAGE_SIDE - height) / 2),
                0.76,
                height,
                fc=colour,
                ec=colour,
                alpha=0.85 if stage.kind in ("module", "halving") else 0.55,
                lw=0,
            )
        )
        above = (IMAGE_SIDE + height) / 2 + 0.8
        ax.text(index, above, f"{stage.maps}", ha="center", fontsize=SMALL, rotation=turned)
    for index in range(len(found) - 1):
        ax.plot([index + 0.38, index + 0.62], [IMAGE_SIDE / 2] * 2, color=INK, lw=0.9, zorder=0)
    for side in sorted({stage.side for stage in found if stage.side > 1}, reverse=True):
        own = [index for index, stage in enumerate(found) if stage.side == side]
        ax.plot([own[0] - 0.38, own[-1] + 0.38], [-2.2] * 2, color=GREY, lw=0.9)
        middle = (own[0] + own[-1]) / 2
        ax.text(middle, -3.2, f"{side}×{side}", ha="center", va="top", color=GREY, fontsize=SMALL)
    sideways = {"rotation": 90, "ha": "center", "va": "center", "fontsize": SMALL}
    ax.text(0, IMAGE_SIDE / 2, "3×3 conv", color="white", **sideways)
    for index, name in ((len(found) - 2, "mean"), (len(found) - 1, "classes")):
        ax.text(index, -3.2, name, ha="center", va="top", color=GREY, fontsize=SMALL, rotation=turned)
    ax.text(-0.75, IMAGE_SIDE / 2, "image", color=GREY, **sideways)
    names = [("Inception module", BN), ("halving block", YELLOW)]
    for row, (name, colour) in enumerate(names):
        place = (4.0, IMAGE_SIDE + 5.5 - 4.4 * row) if turned else (9.0, IMAGE_SIDE - 1 - 3.4 * row)
        ax.text(*place, name, color=colour, fontsize=SMALL, fontweight="bold")
    ax.set(xlim=(-1, len(found) - 0.4), ylim=(-14 if turned else -6, IMAGE_SIDE + (8 if turned else 4)))
    ax.axis("off")


def _draw_inside(
    ax: Axes, name: str, detail: str, colour: str, branches: tuple[list[str], list[str]]
) -> None:
    """Input at the bottom, two branches, their outputs side by side at the top."""
    style.heading(ax, name, detail)
    ax.set(xlim=(0, 10), ylim=(0, 10))
    ax.axis("off")
    for centre, steps in zip((2.6, 7.4), branches, strict=True):
        heights = np.linspace(2.0, 6.3, 3)
        shown = heights if len(steps) == 3 else heights[1:2]
        _arrow(ax, (5, 0.95), (centre, shown[0]))
        for index, (step, height) in enumerate(zip(steps, shown, strict=True)):
            normalizes = step == "BN"
            ax.add_patch(
                FancyBboxPatch(
                    (centre - 2.3, height),
                    4.6,
                    1.3,
                    boxstyle="round,pad=0.02,rounding_size=0.25",
                    fc=colour if normalizes else "white",
                    ec=colour,
                    lw=1.2,
                    alpha=1,
                )
            )
            ax.text(
                centre,
                height + 0.62,
                step,
                ha="center",
                va="center",
                fontsize=SMALL,
                color="white" if normalizes else INK,
                fontweight="bold" if normalizes else "normal",
            )
            if index:
                _arrow(ax, (centre, shown[index - 1] + 1.3), (centre, height))
        _arrow(ax, (centre, shown[-1] + 1.3), (centre, 8.6))
    ax.plot([0.6, 9.4], [8.75, 8.75], color=colour, lw=3, solid_capstyle="butt")
    ax.text(5, 9.0, "maps of both, one stack", ha="center", va="bottom", fontsize=SMALL, color=GREY)
    ax.plot([2.6, 7.4], [0.85, 0.85], color=INK, lw=3, solid_capstyle="butt")
    ax.text(5, 0.6, "what comes in", ha="center", va="top", fontsize=SMALL, color=GREY)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=8, color=INK, lw=0.9, shrinkB=0)
    )


DECAY = 0.9  # an example: what was tuned here is in the records


def learning_rates(_: None = None) -> Drawn:
    """The learning rates of the variants over training, and what they add up to."""
    profile = PROFILES["cpu"]
    lines = [
        ("×1, decay r", 1, DECAY, profile.epochs, PLAIN),
        ("×5, decay r⁶", 5, DECAY**6, profile.changed_epochs, GREEN),
        ("×30, decay r⁶", 30, DECAY**6, profile.changed_epochs, WU),
    ]
    figure, (left, right) = style.panels(3.4, 1, 2)
    rows = []
    for name, factor, decay, epochs, colour in lines:
        time = np.linspace(0, epochs, 20 * epochs + 1)
        rate = factor * decay**time
        # The integral of the rate from 0: what the strides add up to.
        travelled = factor * (decay**time - 1) / np.log(decay)
        left.plot(time, rate, color=colour, lw=1.8)
        right.plot(time, travelled, color=colour, lw=1.8)
        right.plot(time[-1], travelled[-1], "o", color=colour, ms=4)
        rows += [
            {"schedule": name, "epoch": t, "learning_rate_ratio": a, "sum_of_rates": b}
            for t, a, b in zip(time, rate, travelled, strict=True)
        ]
    left.set_yscale("log")
    left.set(xlabel="epochs", ylabel="rate over the baseline's first")
    left.set_yticks([0.01, 0.1, 1, 5, 30], ["0.01", "0.1", "1", "5", "30"])
    left.minorticks_off()
    style.heading(left, "Stride", f"example: r = {DECAY:g}")
    style.labels(left, [(name, colour) for name, *_, colour in lines], 0.99, 0.98)
    right.set(xlabel="epochs", ylabel="sum of the rates so far", ylim=(0, None))
    style.heading(right, "Strides added up", "an epoch at rate 1 counts as 1")
    for ax in (left, right):
        ax.grid(color=PALE, lw=0.6)
        ax.set_axisbelow(True)
        ax.set_xlim(0, None)
    return figure, pd.DataFrame(rows)


FIGURES = [
    Figure("pic-inception", inception, stage=None),
    Figure("pic-learning-rates", learning_rates, stage=None),
]
