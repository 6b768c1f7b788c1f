"""What a figure shows, as numbers: the source of its live form.

Read off the drawn picture itself, so that every figure has one without a word of its own. Numbers keep the
six digits that they have in the figure's CSV.
"""

import dataclasses
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection, PathCollection, PolyCollection, QuadMesh
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import MarkerStyle
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter

from bnbook.drawing import style

PIXELS = 4 / 3  # of CSS in a point
HUNDRED = 100  # some axes are in percent where their table has shares
LETTERS = re.compile("[A-Za-z\uac00-\ud7a3]{2}")
SHAPES = "s^v<>"  # markers that are not round, as `figure-live.js` draws them
QUIET = {style.INK, style.GREY, style.PALE, "#000000", "#ffffff"}  # colours that name nothing
STROKE = '<path style="stroke: {}"/>'
FORMULA = re.compile(r"\$([^$]*)\$")
SIGNS = {
    **{"Theta": "Θ", "eta": "η", "gamma": "γ", "beta": "β", "lambda": "λ", "epsilon": "ε", "sigma": "σ"},
    **{"partial": "∂", "ell": "ℓ", "sqrt": "√", "times": "×", "cdot": "·", "approx": "≈", "div": "÷"},
    **{"|": "‖", ",": " ", ";": " ", "!": "", "%": "%", "mathdefault": "", "mathrm": "", "mathbf": ""},
}
RAISED = str.maketrans("0123456789-−+", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁻⁺")
LEVEL = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
LOWERED = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")

Looks = dict[tuple[Any, ...], str]


@dataclasses.dataclass
class Mark:
    """What is drawn in one go: points (x, y) in the panel's own numbers, in CSS pixels and CSS colours.

    `kind` is "line", "dots", "band" (the outline of a surface), "rule" (across the panel: either x or y is
    empty) or "cells" (`boxes` of x0, x1, y0, y1, each with its own of `colours` and perhaps `values`).
    `name` is that of its series, and where the picture leaves it open a `guess`; `seed` is the run's.
    """

    kind: str
    x: list[float]
    y: list[float]
    name: str = ""
    colour: str = ""
    opacity: float = 1.0
    width: float = 0.0
    dash: list[float] = dataclasses.field(default_factory=list)
    radius: float = 0.0
    shape: str = "o"
    hollow: bool = False
    seed: str | None = None
    boxes: list[list[float | None]] | None = None
    colours: list[str] | None = None
    values: list[Any] | None = None
    order: float = 0.0
    guess: str = ""


def can_be_read(made: Figure) -> bool:
    """Whether all panels with data have axes, and no images: then `panels` gives all that is shown."""
    return all(ax.axison or not ax.has_data() for ax in _panels(made)) and not any(
        ax.images for ax in made.axes
    )


def panels(made: Figure, table: pd.DataFrame, colours: dict[str, str]) -> list[dict[str, Any]]:
    """The panels of a drawn figure whose CSV is `table`, each {"title", "x", "y", "value", "marks"}: the axes
    with label, scale, limits and ticks, and a dictionary of each `Mark`. For JSON. `colours` are names of
    those that say the same in all figures."""
    names, seeds = _Names(made, colours), _Seeds(table)
    found = []
    for ax in _panels(made):
        marks = seeds.settle([seeded for mark in _marks(ax, names) for seeded in seeds.divide(mark)])
        if not marks:
            continue
        marks.sort(key=lambda mark: mark.order)
        axes = {"x": _axis(ax.xaxis, marks, 0), "y": _axis(ax.yaxis, marks, 1)}
        for mark in marks:
            mark.name = mark.name or _row(mark, axes) or mark.guess
        title = ax.get_title(loc="left").strip() or ax.get_title().strip()
        shown = {"title": plain(title), **axes, "value": _value(ax), "marks": [*map(_short, marks)]}
        found.append(shown)
    return found


def relabel(made: Figure, change: Callable[[str], str]) -> None:
    """Have the names that marks were given where they were drawn go through `change`."""
    for ax in made.axes:
        for one in (*ax.lines, *ax.collections):
            if (name := str(one.get_label())).strip() and not name.startswith("_"):
                one.set_label(change(name))


def _panels(made: Figure) -> list[Axes]:
    """The axes but those of colour bars."""
    return [ax for ax in made.axes if ax.get_label() != "<colorbar>"]


def plain(text: str) -> str:
    """`text` in one line, formulas in Unicode: "$10^{-3}$" is "10⁻³"."""
    return " ".join(FORMULA.sub(lambda found: _formula(found[1]), text).split())


def _formula(tex: str) -> str:
    tex = re.sub(r"\\hat\s*(?:\{(\w)\}|(\w))", lambda found: f"{found[1] or found[2]}\u0302", tex)
    tex = re.sub(r"\\([A-Za-z]+|.)\s?", lambda found: SIGNS.get(found[1], found[1]), tex)
    tex = re.sub(r"\^(?:\{([^}]*)\}|(.))", lambda found: (found[1] or found[2]).translate(RAISED), tex)
    tex = re.sub(r"_(?:\{([^}]*)\}|(.))", lambda found: (found[1] or found[2]).translate(LOWERED), tex)
    return re.sub(r"[{}]", "", tex).replace("-", "−").strip()


# Axes


def _axis(axis: Axis, marks: list[Mark], number: int) -> dict[str, Any]:
    low, high = axis.get_view_interval()
    ticks = next((ticks for one in _siblings(axis) if (ticks := _ticks(one))), [])
    names = any(LETTERS.search(text) or "±" in text for _, text in ticks)
    found = {
        "label": next((plain(text) for one in _siblings(axis) if (text := one.get_label_text())), ""),
        "scale": axis.get_scale(),
        "limits": [_six(low), _six(high)],
        "inverted": bool(axis.get_inverted()),
        "ticks": [[_six(place), text] for place, text in ticks],
        "names": names,
    }
    if found["scale"] == "symlog":
        found["linear"] = _six(axis.get_transform().linthresh)
    read = [(at, value) for at, text in ticks if (value := _number(text)) is not None]
    if not names and any(_differs(value, at) for at, value in read):
        # Numbers on an axis of others: what stands there is said as its ticks say it.
        places = {value for mark in marks for value in (mark.x, mark.y)[number]}
        powers = all(not _differs(value, 10**at) for at, value in read)
        found["said"] = [[place, text] for place in sorted(places) if (text := _said(axis, place, powers))]
    return found


def _ticks(axis: Axis) -> list[tuple[float, str]]:
    """Those with a label, within the limits."""
    low, high = sorted(axis.get_view_interval())
    edge = 1e-6 * (high - low)
    places = axis.get_majorticklocs()
    texts = axis.get_major_formatter().format_ticks(places)
    return [
        (place, plain(str(text)))
        for place, text in zip(places, texts, strict=True)
        if str(text).strip() and low - edge <= place <= high + edge
    ]


def _siblings(axis: Axis) -> list[Axis]:
    """Of panels that stand side by side one alone may have labels; its own axis comes first."""
    shared = getattr(axis.axes, f"get_shared_{axis.axis_name}_axes")()
    others = [ax for ax in axis.axes.figure.axes if ax in shared.get_siblings(axis.axes)]
    return [axis, *(getattr(ax, f"{axis.axis_name}axis") for ax in others if ax is not axis.axes)]


def _number(text: str) -> float | None:
    """What a tick's label says; None where it is no plain number."""
    if text.startswith("10") and (power := text[2:].translate(LEVEL)) != text[2:]:
        text = f"1e{power}"
    digits = text.replace("−", "-").replace(",", "")
    thousand = digits.endswith("K")
    try:
        return float(digits.removesuffix("K")) * (1000 if thousand else 1)
    except ValueError:
        return None


def _differs(one: float, other: float) -> bool:
    return not np.isclose(one, other, rtol=0.02, atol=1e-9)


def _said(axis: Axis, place: float, powers: bool) -> str:
    if powers:
        return f"{10**place:.3g}"
    formatter = axis.get_major_formatter()
    return plain(str(formatter(place, None))) if isinstance(formatter, FuncFormatter) else ""


def _value(ax: Axes) -> str:
    """What the colours of a map say."""
    bars = [one.colorbar.ax for one in ax.collections if getattr(one, "colorbar", None)]
    bars += [one for one in ax.figure.axes if one.get_label() == "<colorbar>"]
    labels = (bar.get_ylabel() or bar.get_xlabel() or bar.get_title() for bar in bars)
    return next((plain(label) for label in labels if label), "")


def _row(mark: Mark, axes: dict[str, dict[str, Any]]) -> str:
    """The name at the axis that all points of `mark` stand at, where there are names; "" elsewhere."""
    for axis, values in ((axes["y"], mark.y), (axes["x"], mark.x)):
        if axis["names"] and values and None not in values and mark.kind != "cells":
            near = [min(axis["ticks"], key=lambda tick, at=value: abs(tick[0] - at)) for value in values]
            if len({text for _, text in near}) == 1 and abs(near[0][0] - values[0]) < 0.5:
                return near[0][1]
    return ""


# Marks


def _marks(ax: Axes, names: "_Names") -> Iterator[Mark]:
    texts = {
        (round(x, 6), round(y, 6)): plain(text.get_text())
        for text in ax.texts
        if text.get_transform() == ax.transData
        for x, y in [text.get_position()]
    }
    for line in ax.lines:
        yield from _line(ax, line, names)
    for one in ax.collections:
        if isinstance(one, PathCollection):
            yield from _dots(ax, one, names)
        elif isinstance(one, QuadMesh):
            yield from _mesh(one)
        elif isinstance(one, LineCollection | PolyCollection):
            yield from _outlines(ax, one, names)
    for one in ax.patches:
        if isinstance(one, Rectangle):
            yield from _box(ax, one, names, texts)


def _line(ax: Axes, line: Line2D, names: "_Names") -> Iterator[Mark]:
    x, y = np.asarray(line.get_xydata(), dtype=float).reshape(-1, 2).T
    along = line.get_transform().contains_branch_seperately(ax.transData)
    drawn = line.get_linestyle() not in ("None", "none", "", " ")
    marked = line.get_marker() not in ("None", "none", "", " ", None)
    if not any(along) or not (drawn or marked) or not line.get_visible():
        return
    kind = "rule"
    if all(along):
        kind = "line" if drawn else "dots"
    elif len(set((x if along[0] else y).tolist())) != 1:
        return  # no number of either axis
    face = to_rgba(line.get_markerfacecolor()) if marked else (0, 0, 0, 1)
    yield Mark(
        kind,
        colour=_colour(line),
        x=_sixes(x if along[0] else x[:0])[: 1 if kind == "rule" else None],
        y=_sixes(y if along[1] else y[:0])[: 1 if kind == "rule" else None],
        **names.of(line),
        opacity=_opacity(line, line.get_color()),
        width=PIXELS * line.get_linewidth() if drawn else 0,
        dash=[PIXELS * part for part in (line._dash_pattern[1] or ())] if drawn else [],
        radius=PIXELS * line.get_markersize() / 2 if marked else 0,
        shape=str(line.get_marker()) if marked else "o",
        hollow=marked and (face[3] == 0 or to_hex(face) == "#ffffff"),
        order=line.get_zorder(),
    )


def _dots(ax: Axes, dots: PathCollection, names: "_Names") -> Iterator[Mark]:
    places = np.ma.filled(np.ma.asarray(dots.get_offsets(), dtype=float), np.nan)
    along = dots.get_offset_transform().contains_branch_seperately(ax.transData)
    if not all(along):
        return
    faces, edges = dots.get_facecolors(), dots.get_edgecolors()
    hollow = not len(faces) or faces[0][3] == 0 or to_hex(faces[0]) == "#ffffff"
    colours = edges if hollow else faces
    sizes = dots.get_sizes()
    for colour in dict.fromkeys(map(to_hex, colours)):  # a series for each
        own = [to_hex(colours[place % len(colours)]) == colour for place in range(len(places))]
        yield Mark(
            "dots",
            colour=colour,
            x=_sixes(places[own, 0]),
            y=_sixes(places[own, 1]),
            **names.of(dots, colour),
            opacity=float(colours[0][3]),
            radius=PIXELS * float(np.sqrt(sizes[0])) / 2 if len(sizes) else 3,
            shape=_shape(dots),
            hollow=hollow,
            order=dots.get_zorder(),
        )


def _shape(dots: PathCollection) -> str:
    """The marker's letter, of those that the live form draws; a round one for all others."""
    drawn = dots.get_paths()[0].vertices if dots.get_paths() else np.empty((0, 2))
    for letter in SHAPES:
        marker = MarkerStyle(letter)
        if np.array_equal(drawn, marker.get_path().transformed(marker.get_transform()).vertices):
            return letter
    return "o"


def _outlines(ax: Axes, one: LineCollection | PolyCollection, names: "_Names") -> Iterator[Mark]:
    lines = isinstance(one, LineCollection)
    along = one.get_transform().contains_branch_seperately(ax.transData)
    colours = one.get_edgecolors() if lines else one.get_facecolors()
    if not all(along) or not len(colours):
        return
    for number, path in enumerate(one.get_paths()):
        colour = colours[number % len(colours)]
        yield Mark(
            "line" if lines else "band",
            colour=to_hex(colour),
            x=_sixes(path.vertices[:, 0]),
            y=_sixes(path.vertices[:, 1]),
            **names.of(one, to_hex(colour)),
            opacity=float(colour[3]),
            width=PIXELS * float(one.get_linewidths()[0]) if lines else 0,
            order=one.get_zorder(),
        )


def _mesh(mesh: QuadMesh) -> Iterator[Mark]:
    corners = np.asarray(mesh.get_coordinates(), dtype=float)
    values = np.ma.masked_invalid(np.ma.asarray(mesh.get_array(), dtype=float)).reshape(
        corners.shape[0] - 1, corners.shape[1] - 1
    )
    mark = Mark("cells", x=[], y=[], boxes=[], colours=[], values=[], order=mesh.get_zorder())
    for row, column in np.ndindex(*values.shape):
        if values.mask is np.ma.nomask or not values.mask[row, column]:
            low, high = corners[row, column], corners[row + 1, column + 1]
            middle = (low + high) / 2
            mark.x.append(_six(middle[0]))
            mark.y.append(_six(middle[1]))
            mark.boxes.append([_six(low[0]), _six(high[0]), _six(low[1]), _six(high[1])])
            mark.colours.append(to_hex(mesh.cmap(mesh.norm(values[row, column]))))
            mark.values.append(_six(values[row, column]))
    yield mark


def _box(ax: Axes, box: Rectangle, names: "_Names", texts: dict[tuple[float, float], str]) -> Iterator[Mark]:
    """A bar has its two ends for points, a cell with a text in its middle that one, a strip across none."""
    along = box.get_transform().contains_branch_seperately(ax.transData)
    if not any(along) or not box.get_visible() or not box.get_fill():
        return
    left, low, right, high = *box.get_xy(), box.get_x() + box.get_width(), box.get_y() + box.get_height()
    middle = (left + right) / 2, (low + high) / 2
    value = texts.get((round(middle[0], 6), round(middle[1], 6)))
    x, y = [], []
    bars = [patch for bars in ax.containers for patch in bars.patches]
    if all(along) and value is not None:
        x, y = [_six(middle[0])], [_six(middle[1])]
    elif all(along) and box in bars:
        level = box.get_width() > 0 and any(b.orientation == "horizontal" for b in ax.containers if box in b)
        x = [_six(left), _six(right)] if level else [_six(middle[0])] * 2
        y = [_six(middle[1])] * 2 if level else [_six(low), _six(high)]
    sides = [left, right, low, high]
    inside = [_six(side) if along[number // 2] else None for number, side in enumerate(sides)]
    colour = to_hex(box.get_facecolor())
    yield Mark(
        "cells",
        colour=colour,
        x=x,
        y=y,
        opacity=float(box.get_facecolor()[3]),
        boxes=[inside],
        colours=[colour],
        values=None if value is None else [value],
        order=box.get_zorder(),
        **(names.of(box, colour) if x and value is None else {}),
    )


def _colour(line: Line2D) -> str:
    return to_hex(line.get_color())


def _opacity(artist: Artist, colour: Any) -> float:
    return float(to_rgba(colour, artist.get_alpha())[3])


# Names and seeds


class _Names:
    """What series are called: as they are labelled, or as a key or a coloured word names what looks alike."""

    def __init__(self, made: Figure, colours: dict[str, str]) -> None:
        self.colours: Looks = {(colour,): name for colour, name in colours.items()}
        keys = [*made.legends, *(ax.get_legend() for ax in made.axes)]
        self.keyed: dict[Axes | None, Looks] = {}
        for place, key in zip([*(None for _ in made.legends), *made.axes], keys, strict=True):
            if key:
                _add(self.keyed.setdefault(place, {}), zip(key.legend_handles, key.get_texts(), strict=False))
        for ax in made.axes:
            own = ((one, str(one.get_label())) for one in (*ax.lines, *ax.collections))
            _add(self.keyed.setdefault(ax, {}), own)
            if bar := getattr(ax, "_colorbar", None):
                label = plain(ax.get_ylabel() or ax.get_xlabel())
                for place, text in _ticks(bar.long_axis):
                    self.keyed[ax][(to_hex(bar.cmap(bar.norm(place))),)] = f"{label}: {text}"
        self.written = {ax: _written(ax.texts) for ax in made.axes} | {None: _written(made.texts)}

    def of(self, artist: Artist, colour: str | None = None) -> dict[str, str]:
        """The `name` of what `artist` shows, "" where neither its panel nor the key of all says it; and a
        `guess` by coloured words and by other panels, those above and below first."""
        own = str(artist.get_label())
        if own.strip() and not own.startswith("_"):
            return {"name": plain(own)}
        looks = [(colour,)] if colour else _looks(artist)
        left = artist.axes.get_position().x0
        others = sorted(self.keyed.keys() - {None}, key=lambda ax: abs(ax.get_position().x0 - left) > 0.05)
        guesses = [self.written[artist.axes], self.written[None]]
        guesses += [known[ax] for ax in others for known in (self.keyed, self.written)]
        guesses.append(self.colours)
        return {
            "name": _first([self.keyed[artist.axes], self.keyed.get(None, {})], looks),
            "guess": _first(guesses, looks),
        }


def _first(known: list[Looks], looks: list[tuple[Any, ...]]) -> str:
    return next((names[look] for names in known for look in looks if look in names), "")


def _add(found: Looks, named: Iterable[tuple[Any, Any]]) -> None:
    for one, text in named:
        name = plain(text.get_text() if isinstance(text, Text) else text)
        if name and not name.startswith("_"):
            for look in _looks(one):
                found.setdefault(look, name)


def _written(texts: Iterable[Text]) -> Looks:
    """Coloured words, where their colour has no others."""
    found: dict[str, list[str]] = {}
    for text in texts:
        if LETTERS.search(plain(text.get_text())) and to_hex(text.get_color()) not in QUIET:
            found.setdefault(to_hex(text.get_color()), []).append(plain(text.get_text()))
    return {(colour,): names[0] for colour, names in found.items() if len(set(names)) == 1}


def _looks(artist: Any) -> list[tuple[Any, ...]]:
    """How one knows it again, the surest way first: by colour and dashes, by the colour."""
    if isinstance(artist, Line2D):
        colour = _colour(artist)
        return [(colour, artist.get_linestyle(), artist.get_linestyle() == "None"), (colour,)]
    if isinstance(artist, LineCollection):
        colours = artist.get_edgecolors()
    elif hasattr(artist, "get_facecolors"):
        colours = artist.get_facecolors() if len(artist.get_facecolors()) else artist.get_edgecolors()
    else:
        colours = [artist.get_facecolor()] if hasattr(artist, "get_facecolor") else []
    return [(to_hex(colour),) for colour in colours[:1]]


class _Seeds:
    """Whose run a line or a dot is: that of the one seed whose rows of the table have all its numbers."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.numbers: dict[str, set[float]] = {}
        if "seed" not in table:
            return
        for seed, rows in table[table["seed"].notna()].groupby("seed"):
            own = rows.drop(columns="seed").select_dtypes("number").to_numpy(dtype=float).ravel()
            with np.errstate(all="ignore"):
                self.numbers[f"{seed:g}" if isinstance(seed, float) else str(seed)] = set(
                    _sixes([*own, *(HUNDRED * own), *(own / HUNDRED)])
                )

    def divide(self, mark: Mark) -> list[Mark]:
        """`mark` with its seed; dots of several seeds as a mark for each."""
        if mark.kind == "line":
            return [dataclasses.replace(mark, seed=self._of(mark.x, mark.y))]
        if mark.kind != "dots":
            return [mark]
        seeds = [self._of([x], [y], moved=True) for x, y in zip(mark.x, mark.y, strict=True)]
        parts = []
        for seed in dict.fromkeys(seeds):
            own = [one == seed for one in seeds]
            x, y = ([*itertools.compress(values, own)] for values in (mark.x, mark.y))
            parts.append(dataclasses.replace(mark, x=x, y=y, seed=seed))
        return parts

    def settle(self, marks: list[Mark]) -> list[Mark]:
        """`marks`; where runs of several seeds are alike, each has a seed of those that are left."""
        alike: dict[Any, list[Mark]] = {}
        for mark in marks:
            if mark.kind == "line":
                alike.setdefault((mark.name, mark.colour, mark.width, tuple(mark.dash)), []).append(mark)
        for group in alike.values():
            left = set(self.numbers) - {mark.seed for mark in group}
            open_ = [mark for mark in group if mark.seed is None]
            if len(group) == len(self.numbers) and all(left & self._fits(mark.x, mark.y) for mark in open_):
                for mark, seed in zip(open_, sorted(left, key=lambda one: (len(one), one)), strict=False):
                    mark.seed = seed
        return marks

    def _of(self, x: Iterable[float], y: Iterable[float], *, moved: bool = False) -> str | None:
        found = self._fits(x, y, moved)
        return next(iter(found)) if len(found) == 1 else None

    def _fits(self, x: Iterable[float], y: Iterable[float], moved: bool = False) -> set[str]:
        """The seeds that have all of the numbers. Where the dots may have been `moved` beside one another and
        no seed has the numbers of one axis, the other's are enough."""
        if len(self.numbers) < 2:
            return set()
        fits = [
            {seed for seed, own in self.numbers.items() if own.issuperset(v for v in values if v is not None)}
            for values in (x, y)
        ]
        return fits[0] | fits[1] if moved and not all(fits) else fits[0] & fits[1]


# For JSON


def _six(value: float) -> float | None:
    """As in the CSV; None where it is no number."""
    return float(f"{value:.6g}") if np.isfinite(value) else None


def _sixes(values: Iterable[float]) -> list[float | None]:
    return [_six(value) for value in values]


def _short(mark: Mark) -> dict[str, Any]:
    """What is not as it mostly is; by day and by night."""
    found = {
        field.name: getattr(mark, field.name)
        for field in dataclasses.fields(Mark)
        if field.name == "name" or getattr(mark, field.name) != field.default
    }
    for name in ("opacity", "width", "radius"):
        if name in found:
            found[name] = round(found[name], 2)
    found["dash"] = [round(part, 1) for part in mark.dash]
    found["colour"] = [mark.colour, _by_night(mark.colour)] if mark.colour else []
    for name in ("order", "guess"):
        found.pop(name, None)
    return found


def _by_night(colour: str) -> str:
    """As the figure itself has it on a dark page."""
    return re.search("#[0-9a-f]{6}", style.dark(STROKE.format(colour)))[0]
