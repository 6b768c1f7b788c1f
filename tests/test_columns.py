"""The figures' CSV files hold what is drawn, and every column of theirs is described."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection, PathCollection, PolyCollection

from bnbook import columns, figures, paths
from bnbook.columns import UndescribedColumn
from bnbook.drawing import style
from bnbook.drawing.korean import FORMULA
from bnbook.paper import LANGUAGES

TICK = re.compile(r"[−\d.,]+K?|\$\\mathdefault\{.*\}\$")
# Axes that show what a table has in other terms.
OTHERWISE = {"fig1-speedup-profile": lambda values: 100 - values, "initialization-map": np.log10}
# Places along the x-axis that are no numbers: dots beside one another, the edges of a histogram's steps.
MOVED = ("fig4-ensemble-size", "convolutional-place")
# Printed numbers that say how something was made, not what came out.
SETTING = re.compile(
    r"(learning rate|std|momentum|decay|r =|λ =|width|ratio) [\d.]+|[\d.]+ times the standard"
)


@pytest.fixture(scope="module")
def drawn(all_synthetic):
    """{id: (canvas, table)}."""
    made = {}
    with style.theme():
        for name, figure in figures.FIGURES.items():
            made[name] = figure.draw(figure.own(all_synthetic))
            made[name][0].draw_without_rendering()
    return made


@pytest.fixture(scope="module")
def tables(drawn, tmp_path_factory):
    """The folder with all CSV files, and what they say to programs."""
    folder = tmp_path_factory.mktemp("tables")
    for name, (_, table) in drawn.items():
        (folder / f"{name}.csv").write_bytes(figures._csv(table))
    (folder / columns.METADATA).write_text(columns.metadata(sorted(folder.glob("*.csv"))), encoding="utf-8")
    return folder


def shows_numbers(axis: Axis) -> bool:
    """Not names, and not nothing."""
    labels = [label.get_text() for label in axis.get_ticklabels() if label.get_text()]
    return bool(labels) and all(TICK.fullmatch(label) for label in labels)


def places(name, ax):
    """(transform, points) of lines, dots and bands. In explaining pictures a line of two points is a bar."""
    least = 3 if name.startswith("pic-") else 1
    for line in ax.lines:
        # What may leave the axes is a mark at their edge.
        if len(line.get_xydata()) not in range(2, least) and line.get_clip_on():
            yield line.get_transform(), line.get_xydata()
    for one in ax.collections:
        if isinstance(one, PathCollection):
            yield one.get_offset_transform(), np.asarray(one.get_offsets())
        elif isinstance(one, LineCollection | PolyCollection):
            for path in one.get_paths():
                if len(path.vertices) >= least:
                    yield one.get_transform(), path.vertices


def drawn_numbers(name, canvas):
    """The finite values of all that is drawn along an axis that shows numbers."""
    for ax in canvas.axes:
        if not ax.axison or ax.get_label() == "<colorbar>":
            continue
        for transform, points in places(name, ax):
            along = transform.contains_branch_seperately(ax.transData)
            for number, axis in enumerate((ax.xaxis, ax.yaxis)):
                if along[number] and shows_numbers(axis) and not (number == 0 and name in MOVED):
                    values = np.asarray(points, dtype=float).reshape(-1, 2)[:, number]
                    yield values[np.isfinite(values)]


def numbers(name, table):
    """All numbers of the table, and what they are on the figure's axes. Lines at 0 and 1 guide the eye."""
    own = table.select_dtypes("number").to_numpy(dtype=float).ravel()
    with np.errstate(all="ignore"):
        others = OTHERWISE[name](own) if name in OTHERWISE else own / 100
    found = np.unique(np.concatenate([own, others, [0.0, 1.0]]))
    return found[np.isfinite(found)]


def missing(values, known):
    """Those of `values` that are not `known`, to five digits."""
    after = np.clip(np.searchsorted(known, values), 1, len(known) - 1)
    low, high = known[after - 1], known[after]
    return values[~(np.isclose(values, low, rtol=1e-5) | np.isclose(values, high, rtol=1e-5))]


def test_all_that_is_drawn_is_in_the_file(drawn):
    """Runs, means, bands, target lines and theory alike."""
    checked = 0
    for name, (canvas, table) in drawn.items():
        known = numbers(name, table)
        for values in drawn_numbers(name, canvas):
            assert not len(lost := missing(values, known)), (name, lost[:5])
            checked += len(values)
    assert checked > 10_000


def test_what_is_left_out_of_a_file_is_missed(drawn):
    left_out = {"regularizer-noise": "theory", "initialization-gaps": "threshold", "fig1-speedup": "run"}
    for name, kind in left_out.items():
        canvas, table = drawn[name]
        known = numbers(name, table[table["kind"] != kind])
        assert any(len(missing(values, known)) for values in drawn_numbers(name, canvas)), name


def test_what_is_printed_is_in_the_file(drawn):
    """Numbers with decimals in headings, keys and notes, as rounded there."""
    checked = 0
    for name, (canvas, table) in drawn.items():
        known = numbers(name, table)
        for ax in canvas.axes:
            legend = ax.get_legend()
            texts = [*ax.texts, ax.title, ax._left_title, ax.xaxis.label, *(legend.texts if legend else [])]
            words = SETTING.sub("", FORMULA.sub("", "\n".join(text.get_text() for text in texts)))
            for number in re.findall(r"(?<![\d.,])\d+\.\d+", words):
                half = 0.5001 * 10.0 ** -len(number.partition(".")[2])
                assert np.isclose(np.abs(known), float(number), rtol=0, atol=half).any(), (name, number)
                checked += 1
    assert checked > 30


def test_every_column_is_described(tables):
    """In both languages; and what is described is a column, of today's figures or of those to come."""
    words = columns._dictionary()
    names, kinds = set(), set()
    for figure in figures.FIGURES:
        found = columns.columns(tables / f"{figure}.csv")
        for column in found:
            assert all(column.meaning[lang] for lang in LANGUAGES), (figure, column)
        names |= {column.name for column in found}
        assert set(words["figures"].get(figure, {})) <= {
            *(column.name for column in found),
            *(f"kind {kind}" for kind in words["kinds"]),
        }, figure
        if found[0].name == "kind":
            lines = (tables / f"{figure}.csv").read_text().splitlines()[1:]
            kinds |= {line.partition(",")[0] for line in lines}
    assert set(words["figures"]) <= set(figures.FIGURES)
    assert set(words["columns"]) <= names and set(words["kinds"]) <= kinds


def test_accuracies_say_their_unit(tables):
    """No fraction in one file and percent in another, and one word for one thing."""
    for file in tables.glob("*.csv"):
        for column in columns.columns(file):
            if re.search("accuracy|error|share|disagreement|confidence|gap|missed", column.name):
                assert column.unit["en"] in ("percent", "percentage points", "ratio"), (
                    file.name,
                    column.name,
                )
            assert column.name not in ("variant", "lr", "m", "eps", "dtype", "test_accuracy"), file.name


def test_no_column_repeats_another():
    """In the committed files: made-up records may have the same numbers twice."""
    for file in paths.FIGURES.glob("*.csv"):
        table = pd.read_csv(file)
        for number, one in enumerate(table.columns):
            for other in table.columns[number + 1 :]:
                assert table[one].nunique() < 3 or not table[one].equals(table[other]), (
                    file.name,
                    one,
                    other,
                )


def test_the_unit_is_the_end_of_the_name(tmp_path):
    file = tmp_path / "fig9.csv"
    file.write_text("kind,step,test_accuracy_percent,steps_ratio,seed\nmedian,1,50,2,\ntarget,,70,,\n")
    found = {column.name: column for column in columns.columns(file)}
    assert [column.unit["en"] for column in found.values()] == ["", "training steps", "percent", "ratio", ""]
    assert "median = the median; target = " in found["kind"].meaning["en"]
    file.write_text("kind,loss_of_face\nmedian,1\n")
    with pytest.raises(UndescribedColumn, match=r"'loss_of_face' is in fig9\.csv"):
        columns.columns(file)


def test_programs_are_told_the_same(tables):
    described = json.loads((tables / columns.METADATA).read_text(encoding="utf-8"))
    by_url = {table["url"]: table["tableSchema"]["columns"] for table in described["tables"]}
    assert set(by_url) == {file.name for file in tables.glob("*.csv")}
    for url, own in by_url.items():
        header = (tables / url).read_text().partition("\n")[0]
        assert [column["name"] for column in own] == header.split(",")
    accuracy = by_url["fig2-test-accuracy.csv"][-1]
    assert accuracy["schema:unitText"] == "percent"
    assert {"@value": "테스트 정확도", "@language": "ko"} in accuracy["dc:description"]
