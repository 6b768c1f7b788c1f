"""The export kit on synthetic records: same bytes every time, whole tables, texts with their numbers."""

import dataclasses
import errno
import functools
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pandas as pd
import pytest
import yaml
from matplotlib.figure import Figure as Canvas
from matplotlib.text import Text

from bnbook import claims, columns, examples, figures, measures, paths
from bnbook.drawing import korean, style
from bnbook.experiments.mnist_activation_shift.protocol import Choice
from bnbook.paper import LANGUAGES


@pytest.fixture(scope="module")
def exported(all_synthetic, tmp_path_factory):
    """(folder, manifest) of all figures."""
    folder = tmp_path_factory.mktemp("figures")
    return folder, figures.export_all(folder, all_synthetic)


def test_every_figure_is_exported(exported):
    folder, manifest = exported
    assert set(manifest) == set(figures.FIGURES)
    assert manifest == json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for entry in manifest.values():
        assert all((folder / file).stat().st_size > 0 for file in entry["files"])
    assert not list(folder.glob("*.tmp"))
    assert (folder / columns.METADATA).stat().st_size > 0


@pytest.mark.parametrize("name", ["fig1-speedup", "fig2-test-accuracy", "pic-batchnorm"])
def test_the_same_bytes_again(name, exported, all_synthetic, tmp_path):
    folder, _ = exported
    again = figures.export(name, tmp_path, all_synthetic)
    for file in (again.svg, again.png, again.csv):
        assert file.read_bytes() == (folder / file.name).read_bytes(), file.name


# Pictures whose clipping paths were once named by the last digits of a layout.
TOUCHY = (
    *("pic-saturation", "algorithm2-training", "fig1-multiverse", "algorithm1-precision"),
    *("initialization-signal", "pic-stepper"),
)
EXPORT = """
import sys
from pathlib import Path
from bnbook import claims, figures
results = claims.results()
for name in sys.argv[2:]:
    figures.export(name, Path(sys.argv[1]), results)
"""


def test_the_same_bytes_in_another_process(tmp_path):
    """With another order of sets and other memory addresses."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", EXPORT, tmp_path / seed, *TOUCHY],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONMALLOC": allocator},
        )
        for seed, allocator in (("1", "pymalloc"), ("2", "malloc"))
    ]
    assert [process.wait() for process in running] == [0, 0]
    for file in (tmp_path / "1").iterdir():
        assert file.read_bytes() == (tmp_path / "2" / file.name).read_bytes(), file.name
    assert len(list((tmp_path / "1").iterdir())) == 3 * len(TOUCHY)


def test_the_last_digits_of_the_layout_do_not_show(monkeypatch, tmp_path, exported):
    """The layout is solved in an order that follows memory addresses: other digits at the end."""
    lay_out = Canvas.draw_without_rendering

    def otherwise(canvas):
        lay_out(canvas)
        for ax in canvas.axes:
            box = ax.get_position(original=True)
            ax.set_position([box.x0 * (1 + 3e-16), box.y0 + 2e-16, box.width - 1e-16, box.height + 1e-16])

    monkeypatch.setattr(Canvas, "draw_without_rendering", otherwise)
    for name in ("pic-saturation", "pic-stepper"):
        figures.export(name, tmp_path, {})
        for kind in ("svg", "png"):
            file = f"{name}.{kind}"
            assert (tmp_path / file).read_bytes() == (exported[0] / file).read_bytes(), file


def test_an_svg_has_no_styles_that_reach_the_page_around_it(exported):
    """It may stand in a page, as the outputs of notebooks do."""
    for file in exported[0].glob("*.svg"):
        text = file.read_text(encoding="utf-8")
        assert "<style" not in text, file.name
        assert '<svg stroke-linejoin="round" stroke-linecap="butt" ' in text, file.name


def test_every_program_reads_a_csv(exported):
    """Excel in Korea too: all are ASCII, and none begins with a byte order mark."""
    for file in exported[0].glob("*.csv"):
        assert file.read_bytes().isascii(), file.name
    table = pd.DataFrame({"gamma": [1.5], "name": ["8×8 ± γ"]})
    assert figures._csv(table) == b"gamma,name\n1.5,8x8 +/- gamma\n"
    with pytest.raises(ValueError, match="'漢'"):
        figures._csv(table.assign(name="漢"))


@pytest.mark.parametrize("which", [1, 2, 3])
def test_a_full_disk_leaves_the_old_figure(which, exported, all_synthetic, tmp_path, monkeypatch):
    folder = Path(shutil.copytree(exported[0], tmp_path / "figures"))
    for kind in ("svg", "png", "csv"):
        (folder / f"pic-sgd.{kind}").write_text("old")
    synced, calls = os.fsync, []

    def fsync(descriptor):
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            calls.append(1)
            if len(calls) == which:
                raise OSError(errno.ENOSPC, "No space left on device")
        synced(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    before = {file.name for file in folder.iterdir()}
    with pytest.raises(OSError, match="No space left"):
        figures.export("pic-sgd", folder, all_synthetic)
    assert {file.name for file in folder.iterdir()} == before
    for number, kind in enumerate(("svg", "png", "csv"), start=1):
        content = (folder / f"pic-sgd.{kind}").read_bytes()
        whole = (exported[0] / f"pic-sgd.{kind}").read_bytes()
        assert content == (whole if number < which else b"old"), kind


def test_what_is_up_to_date_is_left_alone(exported, all_synthetic):
    folder, before = exported
    times = {file: file.stat().st_mtime_ns for file in folder.glob("*.svg")}
    (folder / "pic-sgd.svg").unlink()
    assert figures.export_all(folder, all_synthetic) == before
    touched = {file.stem for file, time in times.items() if file.stat().st_mtime_ns != time}
    assert touched == {"pic-sgd"}


def test_a_changed_record_changes_the_hash(synthetic, all_synthetic):
    def change(record):
        return dataclasses.replace(record, final=record.final | {"test_accuracy": 0.5})

    main = {key: [change(r) for r in rs] if key[1] == "bn" else rs for key, rs in synthetic.main.items()}
    changed = dataclasses.replace(synthetic, main=main)
    for name, same in (("fig1a-test-accuracy", False), ("fig1-multiverse", True), ("pic-sgd", True)):
        hashes = {
            figures.content_hash(name, all_synthetic | {"mnist_activation_shift": r})
            for r in (synthetic, changed)
        }
        assert (len(hashes) == 1) == same


def test_the_hash_is_over_what_the_figure_is_drawn_from():
    """Its own room, the rooms that it builds on, the kit; neither training nor other rooms."""
    package = paths.ROOT / "src" / "bnbook"
    files = {str(file.relative_to(package)) for file in figures.imported(figures.source("fig4-calibration"))}
    rooms = {file.split("/")[1] for file in files if file.startswith("experiments/") and file.count("/") == 2}
    assert rooms == {"bn_ensemble", "inception_first", "unprotected_parameters"}
    assert {"drawing/style.py", "stats.py", "measures.py", "architecture.py"} <= files
    assert {"experiments/bn_ensemble/protocol.py", "experiments/bn_ensemble/measures.py"} <= files
    assert not any(file.endswith(("training.py", "networks.py", "__main__.py")) for file in files)
    assert "experiments/__init__.py" not in files and "figures.py" not in files


def test_a_change_re_signs_what_is_drawn_from_it(all_synthetic, monkeypatch):
    def hashes():
        return {name: figures.content_hash(name, all_synthetic) for name in figures.FIGURES}

    before = hashes()
    changed = paths.ROOT / "src" / "bnbook" / "experiments" / "scale_invariance" / "protocol.py"
    reading = figures.Path.read_bytes
    monkeypatch.setattr(
        figures.Path, "read_bytes", lambda file: reading(file) + b"#" * (file == changed), raising=True
    )
    now = hashes()
    assert {name for name in now if now[name] != before[name]} == {
        "scale-relations",
        "scale-norms",
        "scale-rates",
        "pic-scale",
    }


def test_another_rule_re_signs_its_experiments_figures(all_synthetic, monkeypatch):
    names = ("scale-rates", "regularizer-noise", "pic-sgd")
    before = [figures.content_hash(name, all_synthetic) for name in names]
    rules = figures.paper.claims()
    own = next(claim for claim, rule in rules.items() if rule.get("experiment") == "scale_invariance")
    monkeypatch.setattr(figures.paper, "claims", lambda: rules | {own: rules[own] | {"effect": 99.0}})
    now = [figures.content_hash(name, all_synthetic) for name in names]
    assert [a != b for a, b in zip(before, now, strict=True)] == [True, False, False]


def test_the_order_is_the_books(all_synthetic):
    contents = (paths.BOOK / "_toc.yml").read_text(encoding="utf-8")
    places = [contents.index(f"file: book/figures/{name}\n") for name in figures.FIGURES]
    assert places == sorted(places)


def test_the_table_holds_the_plotted_numbers(exported, synthetic):
    table = pd.read_csv(exported[0] / "fig1a-test-accuracy.csv")
    rows = table.query("kind == 'run' and setting == 'tuned' and network == 'with BN' and seed == 3")
    record = synthetic.main["tuned", "bn"][1]
    columns = record.curves["evaluation"]
    assert record.seed == 3 and rows["step"].tolist() == columns["step"]
    percents = [100 * value for value in columns["test_accuracy_population"]]
    assert rows["test_accuracy_percent"].tolist() == pytest.approx(percents, rel=1e-5)
    drifts = pd.read_csv(exported[0] / "fig1-drift.csv").query("kind == 'unit'")
    assert len(drifts) == 3 * synthetic.profile.seeds * synthetic.profile.hidden


@pytest.mark.parametrize(
    ("name", "panels"),
    [
        ("fig1a-test-accuracy", 2),
        ("fig1b-input-percentiles-plain", 2),
        ("fig1-drift", 1),
        ("fig1-speedup", 1),
        ("fig1-speedup-profile", 1),
    ],
)
def test_a_shared_setting_is_drawn_where_it_is_another(name, panels, synthetic):
    """One setting where both networks' own best is the shared one; else both, and both are in the table."""
    other = Choice(tuned={"plain": (1.0, 0.1), "bn": (0.1, 0.1)}, shared=(1.0, 0.1))
    for results, settings in (
        (synthetic, {"tuned"}),
        (dataclasses.replace(synthetic, choice=other), {"tuned", "shared"}),
    ):
        canvas, table = figures.FIGURES[name].draw(results)
        assert set(table["setting"].dropna()) == settings
        assert len(canvas.axes) == panels * len(settings)


def test_the_source_is_in_the_picture(synthetic):
    with style.theme():
        canvas, _ = figures.FIGURES["fig1-speedup"].draw(synthetic)
        style.sign(canvas, "bnbook · CC BY 4.0")
    assert "bnbook · CC BY 4.0" in [text.get_text() for text in canvas.texts]
    assert canvas.get_figwidth() <= 7


def test_no_letter_is_too_small(all_synthetic):
    with style.theme():
        for name, figure in figures.FIGURES.items():
            canvas, _ = figure.draw(figure.own(all_synthetic))
            sizes = {
                t.get_fontsize() for t in canvas.findobj(lambda a: hasattr(a, "get_fontsize")) if t.get_text()
            }
            assert min(sizes) >= 9, name


def drawn(name, results, folder, lang, narrow):
    with style.theme(*([korean.font()] if lang == "ko" else [])), style.narrow() if narrow else nullcontext():
        return figures._drawn(figures._planned(name, folder, results), results, lang)[0]


def shown(canvas):
    """The texts that a reader sees, ticks as they are drawn."""
    canvas.draw_without_rendering()
    return [text for text in canvas.findobj(Text) if text.get_visible() and text.get_text().strip()]


@functools.cache
def stay() -> set[str]:
    """The names that the catalogue leaves as they are."""
    words = yaml.safe_load(korean.CATALOGUE.read_text("utf-8"))
    return {english for english, word in words.items() if not word}


def foreign(text: Text) -> bool:
    """Whether it holds a word, and none of Korean."""
    words = korean.FORMULA.sub("", text.get_text().strip())
    return bool(korean.WORD.search(words)) and not korean.HANGUL.search(words) and words not in stay()


def test_every_word_is_korean(tmp_path):
    """As the committed records have them; those of made-up ones are read where a phone shows them."""
    results = claims.results()
    for name in figures.available(results):
        texts = shown(drawn(name, results, tmp_path, "ko", narrow=False))
        assert [text.get_text() for text in texts if foreign(text)] == [], name


def test_a_word_without_translation_is_an_error():
    assert korean.korean(" 50th") == " 50%"
    assert korean.korean("target: 97.03% test accuracy") == "목표: 테스트 정확도 97.03%"
    assert korean.korean("mean of 3\n0.31") == "3개의 평균\n0.31"
    assert korean.korean("growth of $\\|w\\|^2$ (times)") == "$\\|w\\|^2$ 증가 (배)"
    for same in ("BN-x5", "0.5", "$x_{mean}$", "", "γ", "가중치"):
        assert korean.korean(same) == same
    with pytest.raises(korean.UntranslatedText, match="'a new word'"):
        korean.korean("a new word")


def test_korean_letters_are_those_of_the_font(tmp_path, recwarn):
    """With a formula beside them, and in bold, too."""
    with style.theme(korean.font()):
        canvas = style.figure(1)
        for row, (words, weight) in enumerate(
            (("가", "normal"), ("나", "bold"), ("standard of $x$", "normal"))
        ):
            canvas.text(0.1, 0.3 * row, words, fontweight=weight)
        canvas.texts[-1].set_text("x의 $x$")
        korean.translate(canvas)
        picture = style.svg(canvas)
    assert not [warning for warning in recwarn if "missing from font" in str(warning.message)]
    assert picture.count("NanumGothic-") >= 2 and "NanumGothicBold-" in picture


@pytest.mark.slow
@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_phone_shows_all_of_it(lang, all_synthetic, tmp_path):
    """No letter is under 11 pixels where the picture has 340, and none lies off the canvas."""
    for name in figures.FIGURES:
        canvas = drawn(name, all_synthetic, tmp_path, lang, narrow=True)
        assert canvas.get_figwidth() == style.NARROW_WIDTH
        scale = 340 / (96 * style.NARROW_WIDTH) * 4 / 3
        cut = []
        for text in shown(canvas):
            assert text.get_fontsize() * scale >= 11, (name, text.get_text())
            assert lang == "en" or not foreign(text), (name, text.get_text())
            box = text.get_window_extent()
            inside = (
                box.x0 > -4 and box.x1 < canvas.bbox.x1 + 4 and box.y0 > -4 and box.y1 < canvas.bbox.y1 + 4
            )
            # Numbers may be of ticks that are not drawn.
            if not inside and korean.WORD.search(korean.FORMULA.sub("", text.get_text())):
                cut.append(text.get_text())
        assert not cut, (name, cut)


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("name", ["test-statistics-share", "small-batches"])
def test_a_key_covers_neither_the_panels_nor_the_source(name, narrow, all_synthetic, tmp_path):
    canvas = drawn(name, all_synthetic, tmp_path, "en", narrow)
    shown(canvas)
    (key,) = canvas.legends
    source = next(text for text in canvas.texts if "CC BY" in text.get_text())
    box = key.get_window_extent()
    others = [source.get_window_extent(), *(ax.get_tightbbox() for ax in canvas.axes)]
    assert not any(box.overlaps(other) for other in others)


def test_panels_stand_below_one_another_on_a_phone(all_synthetic, tmp_path):
    left, right = drawn("outside-net", all_synthetic, tmp_path, "en", narrow=True).axes
    assert left.get_position().y0 > right.get_position().y1
    left, right = drawn("outside-net", all_synthetic, tmp_path, "en", narrow=False).axes
    assert left.get_position().x1 < right.get_position().x0


def test_what_shows_by_day_shows_by_night(all_synthetic, tmp_path):
    """Letters and lines have other colours, as the table says, and the ground is the page's."""
    sheet = (paths.BOOK / "_static" / "bnbook.css").read_text(encoding="utf-8")
    night = sheet[sheet.index("[data-theme=dark]") :]
    assert f"--pst-color-background: {style.DARK_GROUND}" in night
    for colour in (
        style.PLAIN,
        style.BN,
        style.WU,
        style.GREEN,
        style.YELLOW,
        style.INK,
        style.GREY,
        style.STAMP,
    ):
        assert style.contrast(colour, "#ffffff") >= 4.5
        assert style.contrast(style.DARK[colour], style.DARK_GROUND) >= 4.5
    for name in ("fig1-multiverse", "initialization-signal", "pic-inception"):
        picture = figures.export(name, tmp_path, all_synthetic).svg.read_text(encoding="utf-8")
        dark = style.dark(picture)
        assert 'style="fill: #ffffff"' in picture and 'style="fill: none"' in dark
        assert not [colour for colour in style.DARK if re.search(f"(fill|stroke): {colour}", dark)]
        for colour in re.findall(r"stroke: (#[0-9a-f]{6})", dark):
            quiet = (style.DARK[style.PALE], style.DARK_GROUND)
            assert colour in quiet or style.contrast(colour, style.DARK_GROUND) >= 3, (name, colour)
    assert f"fill: {style.ON_DARK}" in style.dark(f'<g style="fill: {style.ON_DARK}"/>')
    assert f"fill: {style.ON_LIGHT}" in style.dark(f'<g style="fill: {style.ON_LIGHT}"/>')


def test_versions_are_drawn_where_they_are_out_of_date(all_synthetic, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "FIGURES", {"pic-scale": figures.FIGURES["pic-scale"]})
    monkeypatch.setattr(paths, "FIGURES", tmp_path / "nothing")
    figures.export_all(tmp_path, {})
    figures.export_versions(tmp_path, {})
    made = {file.name: file.stat().st_mtime_ns for file in tmp_path.glob("pic-scale.*.*svg")}
    assert len(made) == 8
    assert (tmp_path / "pic-scale.en.svg").read_bytes() == (tmp_path / "pic-scale.svg").read_bytes()
    figures.export_versions(tmp_path, {})
    assert made == {name: (tmp_path / name).stat().st_mtime_ns for name in made}
    (tmp_path / "pic-scale.ko.narrow.svg").unlink()
    figures.export_versions(tmp_path, {})
    assert made != {name: (tmp_path / name).stat().st_mtime_ns for name in made}
    monkeypatch.setattr(korean, "CATALOGUE", tmp_path / "figures.ko.yml")
    korean.CATALOGUE.write_text("{}")
    korean._catalogue.cache_clear(), korean._translated.cache_clear()
    try:
        with pytest.raises(korean.UntranslatedText):
            figures.export_versions(tmp_path, {})
    finally:
        korean._catalogue.cache_clear(), korean._translated.cache_clear()


def test_diverged_runs_are_drawn(synthetic):
    def diverge(record):
        columns = {name: values[:20] for name, values in record.curves["evaluation"].items()}
        return dataclasses.replace(
            record,
            outcome={"status": "diverged", "step": columns["step"][-1]},
            curves={"evaluation": columns},
            final={"chance_accuracy": 0.1},
        )

    main = {key: [diverge(r) for r in rs] if key[1] == "plain" else rs for key, rs in synthetic.main.items()}
    changed = dataclasses.replace(synthetic, main=main)
    with style.theme():
        for figure in figures.FIGURES.values():
            if figure.experiment == "mnist_activation_shift":
                figure.draw(changed)


def test_texts_are_whole(all_synthetic):
    pages = {file.stem for file in (paths.BOOK / "figures").glob("*.md")} - {"index"}
    assert pages == set(figures.FIGURES)
    numbers = claims.numbers(all_synthetic)
    examples.run()  # what the probes print is in some of them
    for name in pages:
        for lang in LANGUAGES:
            for field in ("title", "caption", "alt"):
                text = figures.text(name, lang, field, numbers)
                assert text and "[[" not in text
                figure = figures.FIGURES[name]
                if field == "caption" and figure.experiment and not figure.data:
                    assert measures.DATA_NAMES["digits"][lang] in text  # every figure of a data set names it


def test_a_missing_number_is_an_error(tmp_path, monkeypatch):
    page = tmp_path / "figures" / "pic-sgd.md"
    page.parent.mkdir()
    page.write_text("---\nfigure: {title: {ko: '[[main.nowhere]]'}}\n---\n", encoding="utf-8")
    monkeypatch.setattr(figures.paths, "BOOK", tmp_path)
    with pytest.raises(KeyError, match=r"main\.nowhere"):
        figures.text("pic-sgd", "ko", "title", {})


def test_no_torch():
    code = "import sys, bnbook.figures; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# A panel that is called by where it lies.
SIDE = re.compile(
    r"(왼쪽|오른쪽)(은|는|처럼)|\((왼쪽|오른쪽|가운데|left|right|middle)\b"
    r"|\b(On|To) the (left|right)\b(?! for)|(^|\. )(Left|Right)[:,]"
)


@pytest.mark.parametrize(("lang", "quoted"), [("ko", r"‘([^’]+)’"), ("en", r"“([^”]+)”")])
def test_a_panel_is_called_what_its_figure_calls_it(lang, quoted):
    """Captions go by titles: panels side by side on a desk are one below the other on a phone."""
    words = yaml.safe_load(korean.CATALOGUE.read_text("utf-8"))
    words = [(theirs or ours if lang == "ko" else ours).replace("\n", " ") for ours, theirs in words.items()]
    filled_in = [re.escape(word).replace(r"\{\}", ".+") for word in words]

    def is_title(name):
        begins = re.compile(re.escape(name) + r"\b(?![가-힣])")
        return any(begins.match(word) for word in words) or any(
            re.fullmatch(word, name) for word in filled_in
        )

    captions = {
        page.stem: page.read_text("utf-8").split("---")[1] for page in (paths.BOOK / "figures").glob("*-*.md")
    }
    captions = {name: yaml.safe_load(head)["figure"]["caption"][lang] for name, head in captions.items()}
    captions.pop("convolutional-shift")  # of pictures that stand side by side on a phone, too
    assert not [(name, found[0]) for name, text in captions.items() if (found := SIDE.search(text))]
    named = [(name, title) for name, text in captions.items() for title in re.findall(quoted, text)]
    assert named and not [(name, title) for name, title in named if not is_title(title)]
