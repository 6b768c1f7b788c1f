"""What a reader may turn: each knob changes runs, is a parameter of its notebook, and refuses what cannot
be."""

import collections
import json
import math
import subprocess
import sys

import nbformat
import numpy as np
import papermill
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from papermill.exceptions import PapermillExecutionError

from bnbook import paths
from bnbook.config import ConfigError
from bnbook.experiments import EXPERIMENTS, knobs
from bnbook.experiments.inception_first.protocol import TRACED
from bnbook.experiments.inception_speedups import protocol as inception
from bnbook.experiments.mnist_activation_shift.protocol import VARIANTS, Choice
from bnbook.experiments.recurrent.protocol import ARMS
from bnbook.experiments.weight_decay.protocol import Choice as Decayed
from bnbook.runs.notebook import results

# Parameters of every notebook, or of one, and of `notebook.results`: no knob may have their names.
OTHERS = {"profile", "data", "force", "processes", "members"}
# What these choose is a learning rate for each of their networks.
ONE_RATE = ("learning_rate_share", "depth", "small_batches", "statistics_at_test", "only_gamma_beta")
ALL = [
    pytest.param(experiment, knob, id=f"{experiment.name}-{knob.name}")
    for experiment in EXPERIMENTS.values()
    for knob in experiment.protocol.KNOBS
]
each = pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=EXPERIMENTS)


def choice(experiment):
    """Something that the stages before the main one might have chosen."""
    if experiment.name == "mnist_activation_shift":
        return Choice(tuned=dict.fromkeys(VARIANTS, (1.0, 0.1)), shared=(1.0, 0.1))
    return (
        {
            "convolutional_norm": {"per_map": 0.15, "input": 0.15},
            "bn_regularizer": {
                "alone": ("dropout", "bn", "0", "1"),
                "dropout": ("dropout", "bn", "0.3", "1"),
                "company": ("statistics", "1000", "1"),
            },
            "weight_decay": dict.fromkeys(("plain", "bn"), Decayed(0.1, 0.04, np.ones((3, 21)))),
            "recurrent": dict.fromkeys(ARMS, 0.01),
            "inception_speedups": inception.TRACED,
            "accelerating_ablation": inception.TRACED,
        }
        | {name: collections.defaultdict(lambda: 0.1) for name in ONE_RATE}
    ).get(experiment.name, TRACED)


def runs(experiment, profile):
    return {(config.run_id, seed) for config, seed in experiment.protocol.jobs(profile, choice(experiment))}


@pytest.mark.parametrize(("experiment", "knob"), ALL)
def test_a_knob_makes_other_runs_and_at_0_the_same(experiment, knob):
    profile = experiment.sizes("cpu")
    before = runs(experiment, profile)
    assert runs(experiment, knobs.turned([knob], profile, {knob.name: 0})) == before
    ends = [knob.low, knob.high if "seeds" not in knob.name else 9]
    found = [runs(experiment, knobs.turned([knob], profile, {knob.name: value})) for value in ends]
    # One that adds a value to a list may name one that is there.
    assert found[0] != found[1] and found != [before, before]
    assert all(found), "no runs are left"


@pytest.mark.parametrize(("experiment", "knob"), ALL)
def test_a_value_that_cannot_be_is_refused_with_the_bounds(experiment, knob):
    wrong = [None, True, "many", math.nan, math.inf, -knob.low, 10 * knob.high, 10**30, [1]]
    wrong += [knob.low + 0.5] if knob.kind is int else [knob.low / 10]
    for value in wrong:
        with pytest.raises(ConfigError) as refused:
            knobs.turned([knob], experiment.sizes("cpu"), {knob.name: value})
        words = str(refused.value)
        assert words.startswith(f"{knob.name} is {value!r}; it must be a ") and "\n" not in words
        assert f"from {knob.low:g} to {knob.high:g}" in words


@each
def test_the_notebook_has_them_all_in_the_same_words(experiment):
    path = paths.NOTEBOOKS / f"{experiment.notebook}.ipynb"
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    lines = cells[0].source.splitlines()
    own = [line for line in lines if line.partition(":")[0] not in OTHERS]
    assert own == [knob.line for knob in experiment.protocol.KNOBS]
    call = " ".join(next(cell.source for cell in cells if "notebook.results(" in cell.source).split())
    for knob in experiment.protocol.KNOBS:
        assert f"{knob.name}={knob.name}," in call or f"{knob.name}={knob.name})" in call


@each
def test_names_are_no_one_elses(experiment):
    names = [knob.name for knob in experiment.protocol.KNOBS]
    assert len(set(names)) == len(names) and not OTHERS & set(names)
    assert {"lr", "batch_size"} & set(names), "the first that a reader wants to turn"


TWO = (knobs.learning_rate("rate"), knobs.seeds("runs"))


def test_words_are_read():
    assert knobs.read(TWO, ["lr=0.3", "seeds=2"]) == {"lr": 0.3, "seeds": 2}
    assert knobs.read(TWO, ["lr=1"]) == {"lr": 1.0} and knobs.read(TWO, ["lr=1e-3"]) == {"lr": 0.001}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sedes=2"], "no knob 'sedes'; there is lr, seeds"),
        (["lr"], "'lr' says nothing; write NAME=VALUE, as in lr=0.3"),
        (["lr=1", "lr=2"], "lr is set twice"),
        (["seeds=2.0"], "seeds is 2.0; it must be a whole number from 1 to 1000"),
        (["seeds=" + "9" * 20], "seeds is 99999999999999999999; it must be"),
        (["lr=fast"], "lr is 'fast'; it must be a number from 1e-05 to 100"),
        (["lr=nan"], "lr is nan; it must be"),
        (["lr="], "lr is ''; it must be"),
    ],
)
def test_words_that_say_nothing_are_refused(words, message):
    with pytest.raises(ConfigError) as refused:
        knobs.read(TWO, words)
    assert str(refused.value).startswith(message)


@given(
    st.lists(
        st.tuples(st.sampled_from(["lr=", "seeds=", "lr", ""]), st.text(max_size=12)).map("".join), max_size=3
    )
)
@example(["seeds=" + "9" * 5000])
@example(["lr=1e999"])
@example(["lr=0x10"])
@example(["seeds=١"])
def test_whatever_the_words_are_they_are_values_within_bounds_or_an_error_in_one_line(words):
    try:
        found = knobs.read(TWO, words)
    except ConfigError as error:
        assert "\n" not in str(error) and len(str(error)) < 300
    else:
        for knob in TWO:
            value = found.get(knob.name, 0)
            assert value == 0 or knob.low <= value <= knob.high


def bnbook(*arguments):
    return subprocess.run([sys.executable, "-m", "bnbook", *arguments], capture_output=True, text=True)


def test_the_command_makes_runs_of_its_own():
    done = bnbook("run", "algorithm1_line_by_line", "--set", "batch_size=5", "--set", "seeds=2")
    assert done.returncode == 0, done.stderr
    assert "-p batch_size 5 -p seeds 2" in done.stdout.splitlines()[-1]
    found = results("algorithm1_line_by_line", "smoke", batch_size=5, seeds=2).records("main")
    assert {record.config["batch_size"] for record in found} == {5}
    assert {record.seed for record in found} == {0, 1}
    assert all(record.path.is_relative_to(paths.BUILD_RESULTS) for record in found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "lr=-1"], "lr is -1; it must be a number from 1e-05 to 100"),
        (["--set", "lr=1", "--commit"], "--commit goes with a whole plan"),
        (["--set", "lr=1", "--seed", "0"], "--seed goes with a whole plan"),
        (
            ["--set", "lr=1", "--data", "cifar10"],
            "data is 'cifar10'; mnist_activation_shift has mnist, digits",
        ),
        (["--data", "cifar10"], "data is 'cifar10'; mnist_activation_shift has mnist, digits"),
    ],
)
def test_the_command_refuses_in_one_line(options, message):
    done = bnbook("run", "mnist_activation_shift", *options)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and message in done.stderr
    assert not done.stdout


def test_the_command_lists_them():
    done = bnbook("run", "mnist_activation_shift", "--set", "help")
    assert done.stdout.startswith("lr: learning rate of both networks; a number from 1e-05 to 100, or 0: as")
    assert done.stdout.count("\n") == len(EXPERIMENTS["mnist_activation_shift"].protocol.KNOBS)


def test_the_original_pixels_make_a_plan_of_their_own():
    """Whoever has no copy of the JPEG files can run all of Section 4.2 again, under other ids."""
    for name in ("inception_speedups", "accelerating_ablation", "bn_ensemble", "unprotected_parameters"):
        experiment = EXPERIMENTS[name]
        original = experiment.sizes("cpu", "cifar10")
        assert original.data == "cifar10" and experiment.sizes("cpu").data == "cifar10-jpeg"
        assert not runs(experiment, original) & runs(experiment, experiment.sizes("cpu"))
    mnist = EXPERIMENTS["mnist_activation_shift"]
    assert mnist.sizes("cpu", "cifar10") == mnist.sizes("cpu")


# Plain papermill, in a kernel

NOTEBOOK = paths.NOTEBOOKS / "12_algorithm1_line_by_line.ipynb"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"sedes": 2},
            "unknown parameter sedes; there is profile, data, batch_size, channels, eps, seeds, force",
        ),
        (
            {"batch_size": 1},
            "batch_size is 1; it must be a whole number from 2 to 1000, or 0: as the profile",
        ),
    ],
)
def test_papermill_is_as_strict(tmp_path, given, message):
    with pytest.raises(PapermillExecutionError) as refused:
        papermill.execute_notebook(NOTEBOOK, tmp_path / "out.ipynb", given, progress_bar=False)
    assert refused.value.ename == "ConfigError" and refused.value.evalue.startswith(message)


def test_what_papermill_hands_on_is_looked_at():
    """Values that its command line can give, of kinds that annotations rule out."""
    with pytest.raises(ConfigError, match="seeds is None; it must be a whole number from 1 to 1000"):
        results("algorithm1_line_by_line", "smoke", seeds=None)
    with pytest.raises(ConfigError, match="force is 'two'; it must be True or False"):
        results("algorithm1_line_by_line", "smoke", force="two")
    with pytest.raises(ConfigError, match="data is None; it must be auto"):
        results("algorithm1_line_by_line", "smoke", data=None)


@pytest.mark.slow
def test_the_readers_figures_stand_beside_the_books(tmp_path):
    """Stamped, and in the board beside the committed verdicts."""
    given = {"profile": "smoke", "batch_size": 7, "seeds": 2}
    papermill.execute_notebook(NOTEBOOK, tmp_path / "out.ipynb", given, cwd=tmp_path, progress_bar=False)
    cells = json.loads((tmp_path / "out.ipynb").read_text())["cells"]
    outputs = {
        cell["source"][0]: "".join(cell["outputs"][0]["data"].get("text/html", ""))
        for cell in cells
        if cell["cell_type"] == "code" and cell["outputs"] and "data" in cell["outputs"][0]
    }
    shown = [html for source, html in outputs.items() if source.startswith("figures.show(")]
    assert len(shown) == 3
    for html in shown:
        assert html.count("<img ") == 2 and "the book&#x27;s" in html and "your own run" in html
    (board,) = [html for source, html in outputs.items() if source.startswith("notebook.board(")]
    assert "committed estimate" in board and "committed verdict" in board


def example() -> str:
    """The command that the book's page on reproducing works through."""
    page = (paths.BOOK / "reproduce.md").read_text(encoding="utf-8")
    _, _, section = page.partition("(reproduce-notebook)=")
    _, _, block = section.partition("```bash\n")
    return block.partition("```")[0]


@pytest.mark.slow
def test_the_worked_example_works(tmp_path):
    """As it stands on the page, but for the activation of an environment that this is, and a shorter training
    on data that is always there."""
    commands = example().replace(". .venv/bin/activate\n", "").replace("out.ipynb", f"'{tmp_path}/out.ipynb'")
    assert "-p lr 0.3" in commands and "-p steps 2000" in commands
    commands = commands.replace("steps 2000", "steps 40 -p data digits").replace(
        "papermill ", f"'{sys.executable}' -m papermill "
    )
    done = subprocess.run(["bash", "-ec", commands], cwd=paths.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "out.ipynb").read_text(encoding="utf-8")
    assert "your own run" in text and '"lr": 0.3' in text
