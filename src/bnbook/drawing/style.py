"""How every figure looks: sizes, fonts, colours, the source line."""

import io
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager

import matplotlib
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from matplotlib.transforms import Bbox

WIDTH = 6.5  # inches; wider figures would shrink their letters on a phone
SOURCE_HEIGHT = 0.24  # inches at the bottom, for the source line
DPI = 192  # twice the 96 pixels an inch that browsers assume

# After Okabe and Ito's palette, which colour-blind readers can tell apart; dark enough for letters on white
# (contrast above 4.5). One colour a thing, in every figure.
PLAIN, BN, WU = "#c44e00", "#0072b2", "#7d5cb5"
COLOURS = {"plain": PLAIN, "bn": BN}
NAMES = {"plain": "without BN", "bn": "with BN"}
INK, GREY, PALE = "#222222", "#6b6b6b", "#d9d9d9"
GREEN, YELLOW = "#007a59", "#9c6b00"
STAMP = "#b00020"  # of what is no result of the book

SHEET = re.compile(r" *<defs>\n *<style type=\"text/css\">\*\{(.*?)\}</style>\n *</defs>\n")

SMALL = 9  # points; nothing but the source line is smaller


def theme() -> AbstractContextManager:
    """The settings under which figures are drawn and saved. The salt makes SVGs the same in every run."""
    settings = sns.axes_style("ticks") | sns.plotting_context("paper")
    settings |= {
        "font.family": "DejaVu Sans",  # ships with matplotlib: the same letters on every machine
        "font.size": 10,
        "axes.titlesize": 10,
        "axes.labelsize": 10,
        "xtick.labelsize": SMALL,
        "ytick.labelsize": SMALL,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": GREY,
        "axes.labelcolor": INK,
        "text.color": INK,
        "xtick.color": GREY,
        "ytick.color": GREY,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "xtick.direction": "out",
        "ytick.direction": "out",
        "axes.linewidth": 0.8,
        "xtick.major.width": 0.8,
        "ytick.major.width": 0.8,
        "xtick.minor.width": 0.5,
        "ytick.minor.width": 0.5,
        "mathtext.fontset": "dejavusans",
        "svg.hashsalt": "bnbook",
        "svg.fonttype": "path",
        "figure.facecolor": "white",
        "savefig.facecolor": "white",
    }
    return matplotlib.rc_context(settings)


def figure(height: float, foot: str = "") -> Figure:
    """An empty figure of the book's width, `height` inches high, with room left for the source line.

    `foot` is a line of text under all panels.
    """
    made = Figure(figsize=(WIDTH, height), layout="constrained")
    share = (SOURCE_HEIGHT + (0.2 if foot else 0)) / height
    made.text(0.5, share, foot, fontsize=SMALL, ha="center", va="top")
    made.get_layout_engine().set(rect=(0, share, 1, 1 - share), w_pad=0.06, h_pad=0.05)
    return made


def sign(made: Figure, source: str, stamp: str = "") -> None:
    """Write the source line, and at its other end a `stamp` that is not to be overlooked."""
    y = 0.04 / made.get_figheight()
    made.text(0.995, y, source, fontsize=7, color=GREY, ha="right", va="bottom")
    if stamp:
        made.text(0.005, y, stamp, fontsize=8, color=STAMP, fontweight="bold", ha="left", va="bottom")


def settle(made: Figure) -> None:
    """Lay `made` out, once for all its files, and put its panels on a grid finer than an eye can see.

    The layout is solved in an order that follows memory addresses: from run to run its last digits differ,
    and SVGs name their clipping paths by all digits.
    """
    made.draw_without_rendering()
    made.set_layout_engine("none")
    for ax in made.axes:
        ax.set_position(Bbox(ax.get_position(original=True).get_points().round(6)))


def svg(made: Figure) -> str:
    """The picture as SVG. What matplotlib says of all elements in a style sheet, which would reach the page
    around an SVG that stands in it, is said of the picture here."""
    stream = io.StringIO()
    made.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    head, sheet, rest = SHEET.split(stream.getvalue())
    joins = " ".join(f'{key}="{value}"' for key, value in re.findall(r"([\w-]+): (\w+)", sheet))
    return head.replace("<svg ", f"<svg {joins} ", 1) + rest


def png(made: Figure) -> bytes:
    """The picture as PNG, for screens of twice the usual resolution."""
    stream = io.BytesIO()
    made.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    return stream.getvalue()


def heading(ax: Axes, title: str, detail: str = "") -> None:
    """A bold title over the panel, and one grey line under it."""
    ax.set_title(title + ("\n" if detail else ""), fontweight="bold", linespacing=1.3)
    if detail:
        ax.annotate(
            detail,
            (0, 1),
            xycoords="axes fraction",
            xytext=(0, 4),
            textcoords="offset points",
            fontsize=SMALL,
            color=GREY,
            va="bottom",
        ).set_in_layout(False)  # it may run on over the next panel


def thousands(axis: matplotlib.axis.Axis) -> None:
    """Ticks as "10K", as the paper's axes have them."""
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / 1000:g}K" if x >= 1000 else f"{x:g}"))


def plain_log(axis: matplotlib.axis.Axis) -> None:
    """Ticks of a logarithmic axis as plain numbers: 0.1, 1, 10."""
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))
    axis.set_minor_formatter(FuncFormatter(lambda x, _: ""))


def labels(ax: Axes, lines: Sequence[tuple[str, str]], x: float, y: float, ha: str = "right") -> None:
    """Coloured lines of text (text, colour), the first at (x, y) of the panel, the rest below it."""
    for number, (text, colour) in enumerate(lines):
        ax.annotate(
            text,
            (x, y),
            xycoords="axes fraction",
            xytext=(0, -15 * number),
            textcoords="offset points",
            color=colour,
            ha=ha,
            va="top",
            fontweight="bold",
            fontsize=SMALL + 0.5,
        )
