"""The live form of a figure: its numbers against what is drawn and its CSV; the page in use."""

import csv
import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from bnbook import figures, paths
from bnbook.drawing import korean, series, style
from bnbook.experiments.mnist_activation_shift.protocol import PERCENTILES
from bnbook.sphinxext import assets, live_figures
from tests.test_book import EDITIONS, PHONE, Page, serious
from tests.test_columns import drawn_numbers, missing

VENDOR = paths.BOOK / "_static" / "vendor"
# uPlot 1.6.32, as its npm package has it.
HASHES = {
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "uPlot.LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}
LIVE = [name for name in figures.FIGURES if figures.has_live_form(name)]
OPEN = "button.bn-plot-open"
READING = ".bn-plot-reading"
PARTS = re.compile(r"vendor|figure-live|\.live\.js")


# The numbers


@pytest.fixture(scope="module")
def drawn(all_synthetic):
    """{id: (canvas, table)} of all figures of records."""
    with style.theme():
        return {
            name: figure.draw(figure.own(all_synthetic))
            for name, figure in figures.FIGURES.items()
            if figure.experiment
        }


@pytest.fixture(scope="module")
def panels(drawn):
    """{id: panels} of those with a live form."""
    with style.theme():
        return {name: series.panels(*drawn[name], {style.BN: "with BN"}) for name in LIVE}


def values(found: list[dict]) -> np.ndarray:
    """All numbers of the marks."""
    marks = [mark for panel in found for mark in panel["marks"]]
    return np.unique([v for mark in marks for v in (*mark["x"], *mark["y"]) if v is not None])


def test_the_library_is_as_its_makers_published_it() -> None:
    found = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in VENDOR.iterdir()}
    assert found == HASHES
    assert not re.search(r"\beval\(|new Function", (VENDOR / "uPlot.iife.min.js").read_text())


def test_every_figure_of_records_has_a_live_form_or_cannot(drawn) -> None:
    readable = {name for name, (canvas, _) in drawn.items() if series.can_be_read(canvas)}
    assert readable == set(LIVE) == set(drawn) - figures.UNREAD


def test_all_that_is_drawn_is_in_the_live_form(drawn, panels) -> None:
    """And so, by test_columns, in the CSV: to the six digits of both."""
    checked = 0
    for name in LIVE:
        known = values(panels[name])
        for numbers in drawn_numbers(name, drawn[name][0]):
            assert not len(lost := missing(numbers, known)), (name, lost[:5])
            checked += len(numbers)
    assert checked > 10_000


def test_a_map_has_all_values_of_its_csv(drawn, panels) -> None:
    _, table = drawn["fig4-disagreement"]
    marks = [mark for panel in panels["fig4-disagreement"] for mark in panel["marks"]]
    cells = np.unique([value for mark in marks for value in mark["values"]])
    pairs = table.loc[table["kind"] == "pair", "disagreement_percent"].to_numpy()
    assert len(pairs) == sum(len(mark["values"]) for mark in marks)
    assert not len(missing(pairs, cells))


def test_a_run_says_its_seed(drawn, panels) -> None:
    """Each curve of a seed is that seed's rows in the CSV."""
    _, table = drawn["first-test-accuracy"]
    [panel] = panels["first-test-accuracy"]
    runs = [mark for mark in panel["marks"] if mark["kind"] == "line" and mark.get("seed") is not None]
    assert len(runs) >= 5 * table["seed"].nunique()
    for run in runs:
        rows = table[table["seed"].astype("Float64") == float(run["seed"])]
        own = np.unique(rows.select_dtypes("number").to_numpy(dtype=float, na_value=np.nan))
        assert not len(missing(np.array(run["y"], dtype=float), own[np.isfinite(own)]))


def test_each_percentile_is_a_series(panels) -> None:
    for name in ("fig1b-input-percentiles-plain", "fig1c-input-percentiles-bn"):
        for panel in panels[name]:
            lines = Counter(mark["name"] for mark in panel["marks"] if mark["kind"] == "line")
            assert set(lines) == {f"{level}th percentile" for level in PERCENTILES}
            assert len(set(lines.values())) == 1  # as many runs of each
            [band] = [mark["name"] for mark in panel["marks"] if mark["kind"] == "band"]
            assert band == "from the 15th to the 85th percentile"


@pytest.mark.parametrize("letter", ["o", *series.SHAPES])
def test_a_marker_keeps_its_shape(letter: str) -> None:
    made, (scattered, plotted) = plt.subplots(1, 2)
    scattered.scatter([1, 2], [1, 2], marker=letter, facecolors="none", edgecolors="C0", label="a")
    plotted.plot([1, 2], [1, 2], letter, label="a")
    found = series.panels(made, pd.DataFrame({"x": [1, 2]}), {})
    assert [mark.get("shape", "o") for panel in found for mark in panel["marks"]] == [letter, letter]
    plt.close(made)


def test_the_page_draws_the_shapes_that_figures_have() -> None:
    script = (VENDOR.parent / "figure-live.js").read_text()
    corners = script[script.index("const CORNERS") : script.index("const STEP")]
    assert {letter.strip('"') for letter in re.findall(r'^ +("?.{1,2}"?): \[\[', corners, re.M)} == {
        *series.SHAPES
    }


def test_formulas_are_plain_words(panels) -> None:
    for name in LIVE:
        found = json.dumps(panels[name], ensure_ascii=False)
        assert not re.search(r"[\\$]", found.replace('\\"', "")), name
    assert series.plain(r"$10^{-3}$ of $\hat{x}$, $\gamma\,/\,\|w\|^2$") == "10⁻³ of x\u0302, γ / ‖w‖²"


def test_colours_are_those_of_day_and_night(panels) -> None:
    for name in LIVE:
        for panel in panels[name]:
            for mark in panel["marks"]:
                if mark["colour"] and mark["colour"][0] == style.BN:
                    assert mark["colour"] == [style.BN, style.DARK[style.BN]]


def test_the_korean_form_is_in_korean(all_synthetic, tmp_path) -> None:
    figures._export_live_data("algorithm2-lag", tmp_path, all_synthetic)
    text = (tmp_path / figures.live_data("algorithm2-lag", "ko")).read_text(encoding="utf-8")
    names = {mark["name"] for panel in json.loads(text[22:-2])["panels"] for mark in panel["marks"]}
    assert korean.korean("moving, momentum 0.5") in names
    assert all(re.search("[가-힣]", name) for name in names if name)


# The page


def opened(open_page: Callable[..., Page], address: str, **viewport: dict) -> Page:
    page = open_page(address, **viewport)
    page.click(OPEN)
    page.wait_for_selector(".bn-plot canvas")
    return page


def read(page: Page, place: int = 0) -> str:
    return page.locator(READING).nth(place).inner_text()


@pytest.mark.parametrize("edition", EDITIONS)
def test_nothing_is_asked_for_before_the_click(open_page, html: Path, edition: str) -> None:
    """Below a site's folder; and then nothing of another site."""
    site, asked = "https://example.org/deep/bn", []
    page = open_page("index.html")

    def answer(route) -> None:
        asked.append(route.request.url)
        route.fulfill(path=html / urlsplit(route.request.url).path.removeprefix("/deep/bn/"))

    page.route("http*://**/*", answer)
    page.goto(f"{site}/{edition}/figures/first-test-accuracy.html")
    assert not [url for url in asked if PARTS.search(url)]
    page.click(OPEN)
    page.wait_for_selector(".bn-plot canvas")
    assert page.locator(".bn-plots").evaluate("box => getComputedStyle(box).borderStyle") == "solid"
    parts = [urlsplit(url) for url in asked if PARTS.search(url)]
    assert len(parts) == 5
    for part in parts:
        assert f"?{part.query}" == assets.token(html / part.path.removeprefix("/deep/bn/"))
    assert all(url.startswith(f"{site}/") for url in asked)


@pytest.mark.parametrize(
    "name", ["first-test-accuracy", "algorithm2-lag", "fig4-disagreement", "scale-rates"]
)
@pytest.mark.parametrize("size", ["desk", "phone"])
def test_from_a_file_values_are_read_with_the_keyboard(open_page, name: str, size: str) -> None:
    page = opened(open_page, f"ko/figures/{name}.html", **({"viewport": PHONE} if size == "phone" else {}))
    page.locator(".bn-plot-frame").first.focus()
    page.keyboard.press("ArrowRight")
    first = read(page)
    page.keyboard.press("ArrowRight")
    assert re.search(r"\d", first) and read(page) != first
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_what_is_read_is_in_the_csv(open_page, html: Path) -> None:
    page = opened(open_page, "en/figures/first-test-accuracy.html")
    page.locator(".bn-plot-frame").focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    found = re.search(r"seed (\d).*training steps: ([\d,.]+) · test accuracy \(%\): ([\d.]+)", read(page))
    table = pd.read_csv(html / "en" / "figures" / "first-test-accuracy.csv")
    rows = table[(table["seed"].astype(str).str.startswith(found[1]))].select_dtypes("number").to_numpy()
    step, accuracy = float(found[2].replace(",", "")), float(found[3])
    assert any(np.isclose(row, step).any() and np.isclose(row, accuracy, rtol=1e-5).any() for row in rows)


def rows(page: Page) -> list[list[str]]:
    """Those of the CSV that the first panel gives."""
    with page.expect_download() as download:
        page.locator(".bn-plot").first.locator(".bn-plot-tools button").last.click()
    return list(csv.reader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8-sig"))))


def test_choices_and_zoom_decide_the_rows(open_page) -> None:
    page = opened(open_page, "en/figures/first-test-accuracy.html")
    head, *all_rows = rows(page)
    assert head == ["Series", "seed", "training steps", "test accuracy (%)"]
    assert {row[1] for row in all_rows} == {"", "0", "1", "2"}
    page.get_by_label("BN-x30").uncheck()
    page.get_by_label("1", exact=True).uncheck()
    _, *fewer = rows(page)
    assert fewer == [row for row in all_rows if row[0] != "BN-x30" and row[1] != "1"]

    over = page.locator(".u-over")
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    _, *zoomed = rows(page)
    assert 0 < len(zoomed) < len(fewer) and all(row in fewer for row in zoomed)
    steps = [float(row[2]) for row in zoomed if row[2]]
    assert max(steps) < max(float(row[2]) for row in fewer if row[2]) / 2
    page.get_by_role("button", name="All", exact=True).click()
    assert rows(page)[1:] == fewer


def test_the_mouse_reads_what_it_is_at(open_page) -> None:
    page = opened(open_page, "en/figures/fig4-disagreement.html")
    over = page.locator(".u-over").first
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.08)
    assert re.fullmatch(r"network: 2 · network: 1 · (.+: )?[\d.]+", read(page))


def test_a_finger_reads_and_two_zoom(open_page) -> None:
    page = opened(open_page, "ko/figures/first-test-accuracy.html", viewport=PHONE)
    over = page.locator(".u-over")
    over.scroll_into_view_if_needed()
    send = """(over, [kind, id, x, y]) => {
      const { left, top, width, height } = over.getBoundingClientRect();
      over.dispatchEvent(new PointerEvent(kind, { pointerId: id, pointerType: "touch", bubbles: true,
        clientX: left + x * width, clientY: top + y * height }));
    }"""
    over.evaluate(send, ["pointerdown", 11, 0.4, 0.3])
    assert "학습 스텝" in read(page)
    over.evaluate(send, ["pointerdown", 12, 0.6, 0.5])
    before = rows(page)
    over.evaluate(send, ["pointermove", 11, 0.1, 0.1])
    over.evaluate(send, ["pointermove", 12, 0.9, 0.9])
    assert 1 < len(rows(page)) < len(before)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_it(open_page, theme: str) -> None:
    page = opened(open_page, "en/figures/algorithm2-lag.html")
    page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    assert not [found for found in serious(page, {}) if "bn-plot" in found[1]]


def test_a_figure_without_one_says_so(open_page) -> None:
    page = open_page("en/figures/convolutional-shift.html")
    assert page.locator(OPEN).count() == 0
    assert page.locator(".bn-plot-none").inner_text() == live_figures.WORDS["none"]["en"]
    assert open_page("en/figures/pic-sgd.html").locator(f"{OPEN}, .bn-plot-none").count() == 0
