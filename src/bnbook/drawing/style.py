"""How every figure looks: sizes, fonts, colours, the source line; on paper, on a phone and in the dark.

Whoever draws for a phone says so around the drawing (`narrow`): `figure`, `panels` and `mosaic` then make a
narrow canvas with the panels below one another, and `settle` breaks the lines that do not fit.
"""

import contextvars
import functools
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import matplotlib
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FuncFormatter
from matplotlib.transforms import Bbox

WIDTH = 6.5  # inches; in a chapter's column of 50 rem letters keep their size
NARROW_WIDTH = 3.75  # inches: 360 pixels of CSS, about a phone's column
STACKED = 0.82  # of its height beside others a panel keeps where it has the whole width
SOURCE_HEIGHT = 0.24  # inches at the bottom, for the source line
LINE = 0.17  # inches, of a line of small letters
DPI = 192  # twice the 96 pixels an inch that browsers assume

# After Okabe and Ito's palette, which colour-blind readers can tell apart; dark enough for letters on white
# (contrast above 4.5). One colour a thing, in every figure.
PLAIN, BN, WU = "#c44e00", "#0072b2", "#7d5cb5"
COLOURS = {"plain": PLAIN, "bn": BN}
NAMES = {"plain": "without BN", "bn": "with BN"}
INK, GREY, PALE = "#222222", "#6b6b6b", "#d9d9d9"
GREEN, YELLOW = "#007a59", "#9c6b00"
STAMP = "#b00020"  # of what is no result of the book
# Letters on a colour that is the same by day and night, and so no colour of the table `DARK`.
ON_DARK, ON_LIGHT = "#fefefe", "#232323"

# The same by night, each at least 4.5 : 1 against the page's ground, which is in bnbook.css.
DARK_GROUND = "#14171c"
DARK = {
    PLAIN: "#f58a4a",
    BN: "#5db1ea",
    WU: "#b59be6",
    GREEN: "#3dbd97",
    YELLOW: "#dba63c",
    STAMP: "#ff8f8f",
    INK: "#dbe1e8",
    GREY: "#a5afbb",
    PALE: "#3d4652",
    "#f3f3f3": "#262d36",
    "#f6f6f6": "#1e242c",
    "#ffffff": DARK_GROUND,
    "#000000": "#dbe1e8",
}

STYLE = re.compile(r'<(\w+) [^>]*?style="([^"]*)"')
COLOUR = re.compile(r"\b(fill|stroke): (#[0-9a-f]{6})")
SHEET = re.compile(r" *<defs>\n *<style type=\"text/css\">\*\{(.*?)\}</style>\n *</defs>\n")

PLACES = re.compile(r'\b(?:d|x|y|points)="[^"]+"')
LONG = re.compile(r"-?\d+\.\d{3,}")

WORDS = re.compile(r"(?:\$[^$]*\$|[^ $])+")  # a formula is no place to break a line

SMALL = 9  # points; nothing but the source line is smaller, and on a phone not even that

_narrow = contextvars.ContextVar("narrow", default=False)


def theme(*fallbacks: str) -> AbstractContextManager:
    """The settings under which figures are drawn and saved, letters that the font lacks from the `fallbacks`.
    The salt makes SVGs the same in every run."""
    settings = sns.axes_style("ticks") | sns.plotting_context("paper")
    settings |= {
        "font.family": [
            "DejaVu Sans",
            *fallbacks,
        ],  # ships with matplotlib: the same letters on every machine
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


@contextmanager
def narrow() -> Iterator[None]:
    """What is drawn inside is drawn for a phone."""
    token = _narrow.set(True)
    try:
        yield
    finally:
        _narrow.reset(token)


def is_narrow() -> bool:
    """Whether the drawing is for a phone."""
    return _narrow.get()


def figure(height: float, foot: str = "") -> Figure:
    """An empty figure of the book's width, `height` inches high, with room left for the source line.

    `foot` is a line of text under all panels; on a phone it may take two, and so may the source line.
    """
    below = SOURCE_HEIGHT + LINE * is_narrow() + (0.2 + LINE * is_narrow() if foot else 0)
    if is_narrow():
        height += below - SOURCE_HEIGHT
    made = Figure(figsize=(NARROW_WIDTH if is_narrow() else WIDTH, height), layout="constrained")
    share = below / height
    made.text(0.5, share, foot, fontsize=SMALL, ha="center", va="top")
    side = 0.09 if is_narrow() else 0.06
    made.get_layout_engine().set(rect=(0, share, 1, 1 - share), w_pad=side, h_pad=0.05)
    return made


def panels(
    height: float,
    rows: int,
    columns: int,
    *,
    foot: str = "",
    stacked: bool = True,
    by_column: bool = False,
    **options: Any,
) -> tuple[Figure, Any]:
    """A figure and its panels, as `Figure.subplots(rows, columns, **options)` gives them.

    On a phone the panels stand below one another, row by row, or `by_column`; small ones stay where they are,
    not `stacked`.
    """
    if not is_narrow() or columns == 1 or not stacked:
        made = figure(height, foot)
        return made, made.subplots(rows, columns, **options)
    made = figure(STACKED * columns * height, foot)
    squeeze, share_x, share_y = (options.get(key) for key in ("squeeze", "sharex", "sharey"))
    places = list(np.ndindex(rows, columns))
    if by_column:
        places.sort(key=lambda place: place[::-1])
    ratios = [options.get("height_ratios", [1] * rows)[row] for row, _ in places]
    grid = made.add_gridspec(len(places), 1, height_ratios=ratios)
    axes = np.empty((rows, columns), dtype=object)
    for cell, place in zip(grid, places, strict=True):
        x, y = _partner(axes, share_x, place), _partner(axes, share_y, place)
        axes[place] = made.add_subplot(cell, sharex=x, sharey=y, label="_stacked")
    return made, axes if squeeze is False else axes.squeeze()


def _partner(axes: np.ndarray, share: bool | str | None, place: tuple[int, int]) -> Axes | None:
    """The panel whose axis a new one at `place` shares, of those that are there."""
    row, column = place
    among = {"row": axes[row], "col": axes[:, column], True: axes.flat, "all": axes.flat}.get(share or "", [])
    return next((ax for ax in among if ax is not None), None)


def mosaic(
    height: float, layout: list[list[str]], height_ratios: Sequence[float]
) -> tuple[Figure, dict[str, Axes]]:
    """A figure and its panels by name, as of `Figure.subplot_mosaic`; on a phone they stand in one column."""
    if is_narrow():
        rows = {name: ratio for row, ratio in zip(layout, height_ratios, strict=True) for name in row}
        height *= STACKED * sum(rows.values()) / sum(height_ratios)
        layout, height_ratios = [[name] for name in rows], list(rows.values())
    made = figure(height)
    return made, made.subplot_mosaic(layout, height_ratios=height_ratios)


def columns(count: int) -> int:
    """Of a key as wide as the figure: on a phone two at most."""
    return min(count, 2) if is_narrow() else count


def key(made: Figure, ax: Axes, columns: int) -> None:
    """A key to what is labelled in `ax`, above all panels: below them stands the source line."""
    made.legend(
        handles=ax.get_legend_handles_labels()[0],
        frameon=False,
        fontsize=SMALL,
        loc="outside upper center",
        ncols=columns,
        labelcolor="linecolor",
    )


def sign(made: Figure, source: str, stamp: str = "") -> None:
    """Write the source line, and at its other end a `stamp` that is not to be overlooked."""
    y = 0.04 / made.get_figheight()
    if is_narrow():  # both in the same lines
        words, colour = (f"{stamp} · {source}", STAMP) if stamp else (source, GREY)
        made.text(0.995, y, words, fontsize=SMALL, color=colour, ha="right", va="bottom")
        return
    made.text(0.995, y, source, fontsize=7, color=GREY, ha="right", va="bottom")
    if stamp:
        made.text(0.005, y, stamp, fontsize=8, color=STAMP, fontweight="bold", ha="left", va="bottom")


# Lines that fit


def settle(made: Figure) -> None:
    """Lay `made` out, once for all its files, and put its panels on a grid finer than an eye can see.

    The layout is solved in an order that follows memory addresses: from run to run its last digits differ,
    and SVGs name their clipping paths by all digits.
    """
    if is_narrow():
        _name_axes(made)
        _wrap_labels(made)
        made.draw_without_rendering()  # ticks depend on the layout, and the layout on their labels
    made.draw_without_rendering()
    while _wrap_headings(made):  # which moves the panels
        made.draw_without_rendering()
    made.set_layout_engine("none")
    for ax in made.axes:
        ax.set_position(Bbox(ax.get_position(original=True).get_points().round(6)))


def _name_axes(made: Figure) -> None:
    """Label every axis that has numbers: of panels that stood beside one another one alone was labelled."""
    for ax in made.axes:
        if ax.get_label() != "_stacked":
            continue
        for name, side, shared in (
            ("xaxis", "labelbottom", ax.get_shared_x_axes()),
            ("yaxis", "labelleft", ax.get_shared_y_axes()),
        ):
            axis = getattr(ax, name)
            if axis.get_tick_params().get(side, True) and not axis.get_label_text():
                labels = [getattr(one, name).label for one in shared.get_siblings(ax)]
                found = next((label for label in labels if label.get_text()), None)
                if found:
                    axis.set_label_text(found.get_text(), color=found.get_color())


def _wrap_labels(made: Figure) -> None:
    """Break what stands beside or under the panels."""
    width = made.bbox.width
    for ax in made.axes:
        _wrap(ax.xaxis.label, 0.75 * width)
        for label in ax.yaxis.get_ticklabels()[:1]:
            # Once, while pixels are those of the layout: files have pixels of their own.
            relabel(ax.yaxis, functools.cache(functools.partial(_wrapped, label, room=0.33 * width)))
    for text in made.texts:
        _wrap(text, 0.97 * width)


def _wrap_headings(made: Figure) -> bool:
    """Break headings where they would run into the next one or off the canvas, and labels that are longer
    than their axis; whether there were any."""
    tops = {ax: title for ax in made.axes for title in ax.findobj(_is("_title"))}
    changed = False
    for ax, title in tops.items():
        start = ax.bbox.x0
        ends = [
            other.bbox.x0 - 8
            for other in tops
            if other.bbox.x0 > start and abs(other.bbox.y1 - ax.bbox.y1) < 8
        ]
        room = min([made.bbox.width - 3, *ends]) - start
        details = ax.findobj(_is("_detail"))
        before = title.get_text()
        words = _wrapped(title, before.rstrip("\n"), room)
        for detail in details:
            _wrap(detail, room)
        title.set_text(words + "\n" * sum(1 + detail.get_text().count("\n") for detail in details))
        changed |= title.get_text() != before
    for ax in made.axes:
        if is_narrow():
            middle = ax.bbox.x0 + ax.bbox.width / 2
            changed |= _wrap(ax.xaxis.label, 2 * min(middle, made.bbox.width - middle))
            changed |= _wrap(ax.yaxis.label, max(ax.bbox.height, 80))
    return changed


def _is(label: str) -> Callable[[Any], bool]:
    return lambda artist: isinstance(artist, Text) and artist.get_label() == label


def _wrap(text: Text, room: float) -> bool:
    """Break the lines of `text` that are longer than `room` pixels; whether there were any."""
    before = text.get_text()
    text.set_text(_wrapped(text, before, room))
    return text.get_text() != before


def _wrapped(model: Text, text: str, room: float) -> str:
    """`text` with its lines, set as `model` is, broken between words where they are longer than `room`."""
    lines = []
    for line in text.split("\n"):
        if _width(model, line) <= room:
            lines.append(line)
            continue
        first, *others = WORDS.findall(line)
        lines.append(first)
        for word in others:
            if _width(model, f"{lines[-1]} {word}") <= room:
                lines[-1] += f" {word}"
            else:
                lines.append(word)
    return "\n".join(lines)


def _width(model: Text, text: str) -> float:
    """In pixels, of `text` in one line, set as `model` is."""
    made = model.get_figure(root=True)
    measure = made.text(0, 0, text, fontproperties=model.get_fontproperties())
    width = measure.get_window_extent().width
    measure.remove()
    return width


# Files


def svg(made: Figure) -> str:
    """The picture as SVG, its places to a hundredth of a point. What matplotlib says of all elements in a
    style sheet, which would reach the page around an SVG that stands in it, is said of the picture here."""
    stream = io.StringIO()
    made.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    head, sheet, rest = SHEET.split(stream.getvalue())
    joins = " ".join(f'{key}="{value}"' for key, value in re.findall(r"([\w-]+): (\w+)", sheet))
    rest = PLACES.sub(lambda found: LONG.sub(lambda number: _short(number[0]), found[0]), rest)
    return head.replace("<svg ", f"<svg {joins} ", 1) + rest


def _short(number: str) -> str:
    return f"{float(number):.2f}".rstrip("0").rstrip(".")


def dark(picture: str) -> str:
    """The SVG for a dark page: no ground, and in the colours' place lighter ones. Maps and images stay."""
    return STYLE.sub(_darkened, picture.replace('style="fill: #ffffff"', 'style="fill: none"', 1))


def _darkened(found: re.Match[str]) -> str:
    """An element's tag and style, the colours after the table; lines and marks of other colours that the
    ground would swallow get lighter, but for the edge of a surface that has its surface's colour."""
    tag, style = found.groups()
    edged = len(set(dict(COLOUR.findall(style)).values())) == 2

    def other(part: re.Match[str]) -> str:
        what, colour = part.groups()
        if colour in DARK:
            return f"{what}: {DARK[colour]}"
        surface = tag == "path" and (what == "fill" or ("fill: #" in style and not edged))
        return part[0] if surface or colour == ON_LIGHT else f"{what}: {_lightened(colour)}"

    return f'{found[0][: -len(style) - 1]}{COLOUR.sub(other, style)}"'


def _lightened(colour: str) -> str:
    """`colour`, mixed with as little white as shows on the dark ground."""
    shades = (np.array(to_rgb(colour)) * (1 - white) + white for white in np.linspace(0, 1, 21))
    return next(to_hex(shade) for shade in shades if contrast(to_hex(shade), DARK_GROUND) >= 3)


def contrast(one: str, other: str) -> float:
    """The contrast of two colours after WCAG 2, from 1 to 21."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def png(made: Figure) -> bytes:
    """The picture as PNG, for screens of twice the usual resolution."""
    stream = io.BytesIO()
    made.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    return stream.getvalue()


def heading(ax: Axes, title: str, detail: str = "") -> Text:
    """A bold title over the panel, which is returned, and one grey line under it."""
    made = ax.set_title(title + ("\n" if detail else ""), fontweight="bold", linespacing=1.3)
    made.set_label("_title")
    for old in ax.findobj(_is("_detail")):
        old.remove()
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
            label="_detail",
        ).set_in_layout(False)  # it may run on over the next panel
    return made


def thousands(axis: matplotlib.axis.Axis) -> None:
    """Ticks as "10K", as the paper's axes have them."""
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / 1000:g}K" if x >= 1000 else f"{x:g}"))


def relabel(axis: matplotlib.axis.Axis, change: Callable[[str], str]) -> None:
    """Have the labels at the ticks that are written by us go through `change`."""
    formatter = axis.get_major_formatter()
    if isinstance(formatter, FixedFormatter | FuncFormatter):
        axis.set_major_formatter(FuncFormatter(lambda x, place: change(str(formatter(x, place)))))


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
