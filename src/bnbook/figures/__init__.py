"""Every figure of the book by its permanent id, and the files that readers cite."""

import dataclasses
import hashlib
import inspect
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from IPython.display import SVG
from matplotlib.figure import Figure as Canvas

from bnbook import claims, measures, paper, paths
from bnbook.claims import AllResults
from bnbook.config import canonical
from bnbook.figures import (
    ablation,
    algorithm1,
    algorithm2,
    convolutional,
    ensemble,
    explain,
    first_epochs,
    inception,
    initialization,
    jacobian,
    mnist,
    network,
    outside,
    regularizer,
    scale,
    stepper,
    style,
    unprotected,
)
from bnbook.records import FIELDS, Record

LICENCE = "CC BY 4.0"
TOY = "a toy example"
SHARED_CODE = ("claims.py", "measures", "paper.py", "paper.yml", "stats.py")  # what figures take numbers from


@dataclasses.dataclass(frozen=True)
class Figure:
    """One figure. `draw(results)` gives the picture and a table of exactly the numbers in it.

    An explaining picture has no experiment, and draws without results. `stage` says which of the
    experiment's records it shows, `data` what they were made on where it is not their data set.
    """

    id: str
    section: str  # of the paper
    draw: Callable[[Any], tuple[Canvas, pd.DataFrame]]
    experiment: str | None = None
    stage: str | None = None
    data: str | None = None

    @property
    def code(self) -> Path:
        """The file that draws it."""
        return Path(inspect.getsourcefile(self.draw))

    def own(self, results: AllResults) -> Any:
        """The `Results` that it draws."""
        return results[self.experiment] if self.experiment else None

    def records(self, results: AllResults) -> list[Record]:
        """The records that it shows, each once."""
        if self.experiment is None:
            return []
        shown = self.own(results).records(self.stage)
        return list({(record.run_id, record.seed): record for record in shown}.values())


def _mnist(name: str, draw: Callable, stage: str = "main") -> Figure:
    return Figure(name, "4.1", draw, "mnist_activation_shift", stage)


def _ensemble(name: str, draw: Callable) -> Figure:
    return Figure(name, "4.2.3", draw, "bn_ensemble", "main")


def _algorithm1(name: str, draw: Callable, stage: str) -> Figure:
    return Figure(name, "3", draw, "algorithm1_line_by_line", stage, "random numbers")


def _inception(name: str, draw: Callable, stage: str = "main") -> Figure:
    return Figure(name, "4.2", draw, "inception_speedups", stage)


FIGURES = {
    figure.id: figure
    for figure in [
        _mnist("fig1a-test-accuracy", mnist.test_accuracy),
        _mnist("fig1b-input-percentiles-plain", mnist.input_percentiles_plain),
        _mnist("fig1c-input-percentiles-bn", mnist.input_percentiles_bn),
        _mnist("fig1-drift", mnist.drift),
        _mnist("fig1-all-units", mnist.all_units),
        _mnist("fig1-multiverse", mnist.multiverse, "multiverse"),
        _mnist("fig1-speedup", mnist.speedup, "speed"),
        _mnist("fig1-speedup-profile", mnist.speedup_profile, "speed"),
        _inception("fig2-test-accuracy", inception.test_accuracy),
        _inception("fig2-wall-clock", inception.wall_clock),
        _inception("fig2-matched-rates", inception.matched_rates, "control"),
        _inception("fig2-tuning", inception.tuning, "tuning"),
        _inception("fig3-steps-to-target", inception.steps_to_target),
        Figure("unprotected-first-epoch", "4.2", unprotected.first_epoch, "unprotected_parameters", "main"),
        Figure("first-epoch-precision", "4.2", first_epochs.precision, "inception_second", "precision"),
        Figure("first-epoch-initial", "4.2", first_epochs.initial, "inception_second", "initial"),
        Figure("first-epoch-survival", "4.2", first_epochs.survival, "inception_second", "survival"),
        Figure("ablation-undo-one", "4.2.1", ablation.undo_one, "accelerating_ablation", "main"),
        _ensemble("fig4-ensemble-size", ensemble.size),
        _ensemble("fig4-disagreement", ensemble.disagreement),
        _ensemble("fig4-calibration", ensemble.calibration),
        Figure("outside-toy", "2", outside.toy, "outside_the_gradient", "toy", TOY),
        Figure("outside-net", "2", outside.net, "outside_the_gradient", "net"),
        Figure("outside-cost", "2", outside.cost, "outside_the_gradient", "cost", "random numbers"),
        _algorithm1("algorithm1-differences", algorithm1.differences, "differences"),
        _algorithm1("algorithm1-variance", algorithm1.variance, "variance"),
        _algorithm1("algorithm1-precision", algorithm1.precision, "input"),
        Figure("algorithm2-training", "3.1", algorithm2.training, "algorithm2_inference", "net"),
        Figure("algorithm2-ends", "3.1", algorithm2.ends, "algorithm2_inference", "net"),
        Figure("algorithm2-lag", "3.1", algorithm2.lag, "algorithm2_inference", "lag"),
        Figure("algorithm2-small-batches", "3.1", algorithm2.small_batches, "algorithm2_inference", "main"),
        Figure("convolutional-batch", "3.2", convolutional.batch, "convolutional_norm", "main"),
        Figure("convolutional-shift", "3.2", convolutional.shift, "convolutional_norm", "main"),
        Figure("convolutional-place", "3.2", convolutional.place, "convolutional_norm", "main"),
        Figure("scale-relations", "3.3", scale.relations, "scale_invariance", "relations"),
        Figure("scale-norms", "3.3", scale.norms, "scale_invariance", "sweep"),
        Figure("scale-rates", "3.3", scale.rates, "scale_invariance", "sweep"),
        Figure("jacobian-linear", "3.3", jacobian.linear, "jacobian_conjecture", "linear", "random numbers"),
        Figure("jacobian-spectra", "3.3", jacobian.spectra, "jacobian_conjecture", "net"),
        Figure("jacobian-training", "3.3", jacobian.training, "jacobian_conjecture", "net"),
        Figure("initialization-map", "3.3", initialization.accuracy_map, "careless_initialization", "main"),
        Figure("initialization-signal", "3.3", initialization.signal, "careless_initialization", "relu"),
        Figure("initialization-gaps", "3.3", initialization.gaps, "careless_initialization", "main"),
        Figure("regularizer-noise", "3.4", regularizer.noise, "bn_regularizer", "noise"),
        Figure("regularizer-dropout", "3.4", regularizer.dropout, "bn_regularizer", "main"),
        Figure("regularizer-statistics", "3.4", regularizer.statistics, "bn_regularizer", "main"),
        Figure("pic-sgd", "1", explain.sgd),
        Figure("pic-covariate-shift", "1", explain.covariate_shift),
        Figure("pic-saturation", "1", explain.saturation),
        Figure("pic-batchnorm", "3", explain.batchnorm),
        Figure("pic-stepper", "3", stepper.lines),
        Figure("pic-outside", "2", outside.march),
        Figure("pic-algorithm1", "3", algorithm1.graph),
        Figure("pic-gradient-left", "3", algorithm1.left_over),
        Figure("pic-alone", "3.1", algorithm2.company),
        Figure("pic-trailing", "3.1", algorithm2.trailing),
        Figure("pic-convolutional", "3.2", convolutional.blocks),
        Figure("pic-scale", "3.3", scale.spiral),
        Figure("pic-jacobian", "3.3", jacobian.circles),
        Figure("pic-initialization", "3.3", initialization.signal_bands),
        Figure("pic-company", "3.4", regularizer.company),
        Figure("pic-inception", "4.2", network.inception),
        Figure("pic-learning-rates", "4.2.1", network.learning_rates),
        Figure("pic-averaging", "4.2.3", ensemble.averaging),
    ]
}


@dataclasses.dataclass(frozen=True)
class Exported:
    """A figure's files. `data` names the data set; `records` are relative to the repository if inside it."""

    svg: Path
    png: Path
    csv: Path
    records: list[Path]
    content_hash: str
    data: str


def source(name: str) -> Path:
    """The file with the code that draws the figure `name`."""
    return FIGURES[name].code


def available(results: AllResults) -> list[str]:
    """The figures that can be drawn: explaining pictures, and those whose records are there."""
    return [
        name
        for name, figure in FIGURES.items()
        if figure.experiment is None or (figure.experiment in results and figure.records(results))
    ]


def content_hash(name: str, results: AllResults) -> str:
    """12 hexadecimal digits over all that decides the figure: its records and the code of all figures."""
    digest = hashlib.sha256(name.encode())
    here = Path(__file__).parent
    for place in (here, *(here.parent / other for other in SHARED_CODE)):
        for file in sorted(place.glob("*.py")) if place.is_dir() else [place]:
            digest.update(file.read_bytes())
    for record in FIGURES[name].records(results):
        digest.update(canonical({field: getattr(record, field) for field in FIELDS}).encode())
    return digest.hexdigest()[:12]


def export(name: str, folder: Path, results: AllResults) -> Exported:
    """Write `folder`/<name>.svg, .png and .csv; the same records and code give the same bytes."""
    figure = FIGURES[name]
    planned = _planned(name, folder, results)
    folder.mkdir(parents=True, exist_ok=True)
    with style.theme():
        canvas, table = figure.draw(figure.own(results))
        style.sign(canvas, f"bnbook · {LICENCE} · data: {planned.data} · {planned.content_hash}")
        canvas.savefig(planned.svg, metadata={"Date": None, "Creator": None})
        canvas.savefig(planned.png, dpi=style.DPI, metadata={"Software": None})
    table.to_csv(planned.csv, index=False, float_format="%.6g", lineterminator="\n")
    return planned


def show(name: str, results: Any = None) -> SVG:
    """The figure `name` drawn from its experiment's `results`, for a notebook to display."""
    own = {experiment: results} if (experiment := FIGURES[name].experiment) else {}
    with tempfile.TemporaryDirectory() as folder:
        return SVG(data=export(name, Path(folder), own).svg.read_text(encoding="utf-8"))


def export_all(folder: Path, results: AllResults) -> dict[str, dict[str, Any]]:
    """Export what is out of date and write manifest.json: {id: {title, hash, data, files, records}}."""
    manifest = folder / "manifest.json"
    before = json.loads(manifest.read_text(encoding="utf-8")) if manifest.exists() else {}
    now = {}
    numbers = claims.numbers(results)
    for name in available(results):
        planned = _planned(name, folder, results)
        files = [planned.svg, planned.png, planned.csv]
        known = before.get(name, {}).get("hash")
        if known != planned.content_hash or not all(file.exists() for file in files):
            export(name, folder, results)
        now[name] = {
            "title": {lang: text(name, lang, "title", numbers) for lang in paper.LANGUAGES},
            "hash": planned.content_hash,
            "data": planned.data,
            "files": [file.name for file in files],
            "records": [str(file) for file in planned.records],
        }
    folder.mkdir(parents=True, exist_ok=True)
    temporary = manifest.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(now, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.rename(manifest)
    return now


def text(name: str, lang: str, field: str, numbers: dict[str, paper.Number]) -> str:
    """The "title", "caption" or "alt" of a figure in "ko" or "en", from book/figures.yml, with its `numbers`
    (`claims.numbers`) filled in. Raises KeyError where the text or one of its numbers is missing."""
    entry = yaml.safe_load((paths.BOOK / "figures.yml").read_text(encoding="utf-8"))[name][field][lang]
    return paper.fill(entry, {"": numbers, "paper": paper.numbers()}).strip()


def _planned(name: str, folder: Path, results: AllResults) -> Exported:
    """What exporting the figure would give."""
    figure = FIGURES[name]
    found = figure.records(results)
    return Exported(
        *(folder / f"{name}.{kind}" for kind in ("svg", "png", "csv")),
        records=[
            r.path.relative_to(paths.ROOT) if r.path.is_relative_to(paths.ROOT) else r.path for r in found
        ],
        content_hash=content_hash(name, results),
        data=figure.data or (measures.data_name(found) if found else TOY),
    )
