"""Notebooks: thin, stripped, explained, run with other parameters, and strict about them.

One is of no experiment: FIRST, the way in, which has a network and a loop of its own, and uses nothing of
this book.
"""

import ast
import dataclasses
import json
import os
import re
import subprocess
import sys

import nbformat
import papermill
import pytest

from bnbook import claims, notebooks, paths
from bnbook.config import ConfigError
from bnbook.experiments import EXPERIMENTS
from bnbook.notebooks import NotebookRunError
from bnbook.runs import notebook as runs
from bnbook.sphinxext import metadata
from bnbook.sphinxext import notebooks as pages

ALL = sorted(paths.NOTEBOOKS.glob("*.ipynb"))
FIRST, *NOTEBOOKS = ALL
# As a reader would try each: a knob turned, few seeds, little training, on the embedded digits.
SHORT = {
    "01_mnist_activation_shift": {"data": "digits", "lr": 0.3, "depth": 2, "seeds": 2, "steps": 40},
    "02_inception_speedups": {"profile": "smoke", "data": "digits", "lr": 0.02, "seeds": 1, "epochs": 1},
    "03_accelerating_ablation": {
        "profile": "smoke",
        "data": "digits",
        "width": 0.05,
        "seeds": 1,
        "epochs": 1,
    },
    "04_bn_ensemble": {"profile": "smoke", "data": "digits", "lr": 0.02, "members": "2", "epochs": 1},
    "05_unprotected_parameters": {"profile": "smoke", "data": "digits", "lr": 0.02, "seeds": 1},
    "11_outside_the_gradient": {"profile": "smoke", "data": "digits", "lr": 0.1, "seeds": 1, "steps": 40},
    "18_careless_initialization": {"profile": "smoke", "data": "digits", "lr": 0.3, "seeds": 1, "steps": 20},
    "17_bn_regularizer": {"profile": "smoke", "data": "digits", "lr": 0.5, "seeds": 1, "steps": 40},
    "12_algorithm1_line_by_line": {"profile": "smoke", "data": "digits", "seeds": 2, "batch_size": 6},
    "13_algorithm2_inference": {"profile": "smoke", "data": "digits", "lr": 0.3, "seeds": 1, "steps": 20},
    "14_convolutional_norm": {"profile": "smoke", "data": "digits", "lr": 0.1, "seeds": 1, "steps": 20},
    "15_scale_invariance": {
        "profile": "smoke",
        "data": "digits",
        "lr": 0.3,
        "depth": 2,
        "seeds": 1,
        "steps": 20,
    },
    "28_only_gamma_beta": {"profile": "smoke", "data": "digits", "lr": 0.1, "new_seeds": 1, "steps": 10},
    "16_jacobian_conjecture": {"profile": "smoke", "data": "digits", "lr": 0.3, "seeds": 1, "steps": 40},
    "22_learning_rate_share": {"profile": "smoke", "data": "digits", "new_seeds": 1, "steps": 4},
    "23_depth": {"profile": "smoke", "data": "digits", "lr": 0.05, "new_seeds": 1, "steps": 4},
    "25_small_batches": {"profile": "smoke", "data": "digits", "lr": 0.1, "seeds": 1, "images": 640},
    "26_statistics_at_test": {"profile": "smoke", "data": "digits", "lr": 0.1, "new_seeds": 1, "steps": 40},
    "24_weight_decay": {"profile": "smoke", "data": "digits", "rest_lr": 0.2, "new_seeds": 2, "steps": 10},
    "21_covariate_shift_tested": {"profile": "smoke", "data": "digits", "lr": 0.3, "seeds": 1, "steps": 40},
    "27_recurrent": {"profile": "smoke", "data": "digits", "lr": 0.02, "seeds": 1, "steps": 20},
}
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
each_and_the_first = pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)


def code_cells(path):
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


def test_one_notebook_for_each_experiment():
    assert [path.stem for path in NOTEBOOKS] == [e.notebook for e in EXPERIMENTS.values()]
    assert FIRST.stem == "00_from_scratch"


@each_and_the_first
def test_outputs_are_stripped(path):
    assert all(not cell.outputs and cell.execution_count is None for cell in code_cells(path))


@each
def test_no_classes_functions_or_training_code(path):
    for cell in code_cells(path):
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.For | ast.While), cell.source
        assert "torch" not in cell.source


def test_the_first_uses_nothing_of_this_book():
    imported = {
        name.partition(".")[0]
        for cell in code_cells(FIRST)
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([one.name for one in node.names] if isinstance(node, ast.Import) else [node.module])
    }
    assert imported == {"torch", "sklearn", "matplotlib", "matplotlib_inline", "IPython"}


@each_and_the_first
def test_every_cell_is_introduced_in_both_languages(path):
    """Markdown comes in pairs, ko then en, and no more than two code cells follow one another."""
    kinds = [cell.metadata.get("tags", [cell.cell_type])[0] for cell in nbformat.read(path, 4).cells]
    text = [kind for kind in kinds if kind in ("ko", "en")]
    assert text == ["ko", "en"] * (len(text) // 2) and kinds[:2] == ["ko", "en"]
    assert not any(kinds[i : i + 3] == ["code"] * 3 for i in range(len(kinds)))


@each
def test_the_network_and_its_loop_are_shown(path):
    """After the parameters, before anything runs; in the book folded, and without PyTorch."""
    experiment = path.stem.partition("_")[2]
    parameters, shown = code_cells(path)[:2]
    assert parameters.metadata.tags == ["parameters"] and shown.metadata.tags == ["hide-output"]
    assert shown.source.endswith(f'notebook.source("{experiment}")')


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_what_is_shown_is_the_source(experiment):
    pieces = re.findall(r"`(\S+):(\d+)`\n\n```python\n(.*?)\n```", runs.source(experiment).data, re.DOTALL)
    assert len(pieces) == len(EXPERIMENTS[experiment].protocol.SHOWN)
    for file, line, code in pieces:
        lines = (paths.ROOT / file).read_text(encoding="utf-8").splitlines()
        assert lines[int(line) - 1 :][: code.count("\n") + 1] == code.splitlines()
        assert len(ast.parse(code).body) == 1
    if experiment != "algorithm1_line_by_line":  # where nothing is trained
        assert any(code.startswith("def train(") for _, _, code in pieces)


def test_showing_source_needs_no_torch():
    program = (
        "import sys; from bnbook.runs import notebook; from bnbook.experiments import EXPERIMENTS\n"
        "[notebook.source(name) for name in EXPERIMENTS]\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_definition_that_is_gone_is_named(monkeypatch):
    monkeypatch.setattr(EXPERIMENTS["bn_regularizer"].protocol, "SHOWN", ("training.networks",))
    with pytest.raises(LookupError, match=r"bn_regularizer/training.py defines no networks$"):
        runs.source("bn_regularizer")


@each_and_the_first
def test_parameters_are_typed_and_explained(path):
    known = notebooks.declared(path)
    assert known and known == papermill.inspect_notebook(str(path))
    for name, parameter in known.items():
        assert parameter["inferred_type_name"] in ("str", "int", "float", "bool"), name
        assert len(parameter["help"]) > 20, f"{name} is not explained"


def bnbook(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "bnbook", "notebook", "run", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )


WRONG = [
    ("sedes", "2", "unknown parameter 'sedes'; there is profile, data, "),
    ("force", "two", "parameter force is 'two'; it must be of type bool"),
]


@each
@pytest.mark.parametrize(("name", "value", "message"), WRONG)
def test_wrong_parameters_are_refused(path, tmp_path, name, value, message):
    out = tmp_path / "out.ipynb"
    with pytest.raises(NotebookRunError, match=f"^{re.escape(message)}"):
        notebooks.run(path, {name: value}, out)
    assert not out.exists()


@pytest.mark.parametrize(("name", "value", "message"), WRONG)
def test_the_command_refuses_them_in_one_line(tmp_path, name, value, message):
    out = tmp_path / "out.ipynb"
    done = bnbook(NOTEBOOKS[0].stem, "-p", name, value, "--out", str(out))
    assert done.returncode == 1 and message in done.stderr
    assert done.stderr.count("\n") == 1 and not out.exists()


@each
def test_a_value_that_cannot_be_stops_the_notebook(path):
    """Cell by cell, as a kernel would run it."""
    names = {}
    with pytest.raises(ConfigError, match="profile is 'huge'; it must be one of smoke, cpu, paper"):
        for cell in code_cells(path):
            exec(cell.source, names)
            if "parameters" in cell.metadata.get("tags", []):
                names["profile"] = "huge"


def test_the_command_says_so_in_one_line(tmp_path):
    done = bnbook(NOTEBOOKS[0].stem, "-p", "profile", "huge", "--out", str(tmp_path / "out.ipynb"))
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "profile is 'huge'; it must be one of smoke, cpu, paper" in done.stderr


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A kernel that runs in another folder, as a reader's may."""
    with notebooks.kernel(tmp_path_factory.mktemp("elsewhere")) as running:
        yield running


@each
def test_other_parameters_in_another_folder(path, tmp_path, elsewhere):
    # Trained anew, whatever an earlier test has left.
    given = {name: str(value) for name, value in (SHORT[path.stem] | {"force": True}).items()}
    runs_are_in = path.stem[3:] in claims.results()
    check_shown(notebooks.run(path, given, tmp_path / "out.ipynb", running=elsewhere), beside=runs_are_in)


def outputs(executed, kind):
    """What the cells of an executed notebook show of this kind: text ("stream") or a MIME type's data."""
    found = [o for cell in nbformat.read(executed, 4).cells for o in cell.get("outputs", [])]
    return [
        o["text"] if kind == "stream" else o["data"][kind]
        for o in found
        if kind in (o.output_type, *o.get("data", {}))
    ]


def test_the_first_trains_before_the_readers_eyes(tmp_path, elsewhere):
    """With the values as given; what it says of them in words holds."""
    out = notebooks.run(FIRST, {}, tmp_path / "out.ipynb", running=elsewhere)
    pictures = outputs(out, "image/svg+xml")
    assert len(pictures) == 2  # the digits, and the last state of what was drawn as it trained
    found = re.findall(r"85% at step (\w+), ([\d.]+)% at the end", "".join(outputs(out, "stream")))
    (plain, plain_end), (bn, bn_end) = found
    assert int(bn) < 200 < int(plain) and 85 < float(plain_end) < float(bn_end)
    plain, bn = re.findall(r"median of all 100 ([\d.]+)", "".join(outputs(out, "stream")))
    assert float(bn) < float(plain)


TRIED = {"lr": "10.0", "init_std": "0.01", "batch_size": "4"}


@pytest.mark.parametrize(("name", "value"), TRIED.items())
def test_what_it_says_of_the_three_things_to_try(name, value, tmp_path, elsewhere):
    assert f"`{name} = {value}`" in FIRST.read_text(encoding="utf-8")
    out = notebooks.run(FIRST, {name: value, "steps": "400"}, tmp_path / "out.ipynb", running=elsewhere)
    found = re.findall(r"([\d.]+)% at the end", "".join(outputs(out, "stream")))
    plain, bn = map(float, found)
    assert plain < 30 and bn > 65


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("lr", "-1", "lr is -1.0; it must be a number from 1e-05 to 100"),
        ("batch_size", "1", "batch_size is 1; it must be a whole number from 2 to 1437"),
        ("stepz", "5", "unknown parameter 'stepz'; there is lr, init_std, batch_size, steps, seed"),
    ],
)
def test_the_first_refuses_what_cannot_be(name, value, message, tmp_path, elsewhere):
    with pytest.raises(NotebookRunError, match=re.escape(message)):
        notebooks.run(FIRST, {name: value}, tmp_path / "out.ipynb", running=elsewhere)


def test_plain_papermill(tmp_path):
    path, out = NOTEBOOKS[0], tmp_path / "out.ipynb"
    papermill.execute_notebook(
        path, out, SHORT[path.stem] | {"force": True}, cwd=tmp_path, progress_bar=False
    )
    check_shown(out)


def check_shown(executed, beside=True):
    """Figures, `beside` those of the book."""
    outputs = [cell.get("outputs") for cell in json.loads(executed.read_text())["cells"]]
    shown = json.dumps(outputs)
    assert "digits" in shown and "Traceback" not in shown
    assert "your own run" in shown or not beside
    assert shown.count("data:image/svg+xml" if beside else "image/svg+xml") >= 2


def saved_with(folder, **metadata):
    """The notebook about Algorithm 1, saved with other metadata."""
    notebook = nbformat.read(paths.NOTEBOOKS / "12_algorithm1_line_by_line.ipynb", 4)
    notebook.metadata = nbformat.from_dict(metadata)
    nbformat.write(notebook, folder / "mine.ipynb")
    return folder / "mine.ipynb"


@pytest.mark.parametrize("metadata", [{}, {"kernelspec": {"name": ".venv", "display_name": "mine"}}], ids=str)
def test_a_notebook_as_people_save_them(tmp_path, elsewhere, metadata):
    """With no kernel, or with one that is not here; in a folder with a name that papermill might fill in."""
    folder = tmp_path / "내 문서 (1) [x] {seeds}"
    folder.mkdir()
    given = {"profile": "smoke", "seeds": "2", "batch_size": "6"}
    out = notebooks.run(saved_with(folder, **metadata), given, folder / "out.ipynb", running=elsewhere)
    check_shown(out)


@pytest.mark.parametrize("content", [b"", b'{"cells": [', b"[]", b"\xff\xfe", b'{"nbformat": 4}'], ids=str)
def test_what_is_no_notebook_is_refused_in_one_line(tmp_path, content):
    broken = tmp_path / "broken.ipynb"
    broken.write_bytes(content)
    done = bnbook(str(broken), "--out", str(tmp_path / "out.ipynb"))
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert f"{broken} is no notebook (" in done.stderr


def test_a_kernel_that_dies_is_one_line(tmp_path, elsewhere):
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell("import os; os.kill(os.getpid(), 9)")]
    nbformat.write(notebook, tmp_path / "dies.ipynb")
    with pytest.raises(NotebookRunError, match=r"dies.ipynb: its kernel died, .* goes on from there$"):
        notebooks.run(tmp_path / "dies.ipynb", {}, tmp_path / "out.ipynb")


def test_nothing_is_left_of_the_notebook_before(tmp_path, elsewhere):
    """Of one that ran in the same kernel."""
    one, other = (nbformat.v4.new_notebook(), nbformat.v4.new_notebook())
    one.cells = [nbformat.v4.new_code_cell("left = 1")]
    other.cells = [nbformat.v4.new_code_cell("left")]
    for name, notebook in (("one", one), ("other", other)):
        notebook.metadata["kernelspec"] = {
            "name": "python3",
            "display_name": "Python 3",
            "language": "python",
        }
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
    notebooks.run(tmp_path / "one.ipynb", {}, tmp_path / "out.ipynb", running=elsewhere)
    with pytest.raises(NotebookRunError, match="name 'left' is not defined"):
        notebooks.run(tmp_path / "other.ipynb", {}, tmp_path / "out.ipynb", running=elsewhere)


def test_a_kernel_is_quiet_to_the_end(tmp_path):
    """Shut down while it works it would say that it was interrupted, and call that an error."""
    program = (
        "from bnbook import notebooks\n"
        "with notebooks.kernel() as running:\n"
        "    client = running.client()\n"
        "    client.start_channels()\n"
        "    client.execute('import time; time.sleep(60)')\n"
        "    import time; time.sleep(2)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_kernel_has_sockets_of_its_own(tmp_path, monkeypatch):
    """Two that start at once in one folder would otherwise take the same, and neither would get far."""
    with notebooks.kernel() as one, notebooks.kernel() as other:
        assert one.transport == other.transport == "ipc" and one.ip != other.ip


def test_members_that_are_not_there_are_refused(tmp_path):
    out = tmp_path / "out.ipynb"
    words = ["-p", "profile", "smoke", "-p", "epochs", "1", "-p", "members", "1,9"]
    done = bnbook("04_bn_ensemble", *words, "--out", str(out))
    assert done.returncode == 1
    assert "members is '1,9'; it must be all, or numbers from 1 to 2 such as 1,2" in done.stderr


def test_the_first_notebook_runs_elsewhere_once_the_repository_has_an_address():
    known = metadata.book()
    assert pages.elsewhere(dataclasses.replace(known, repository="")) == ""
    assert pages.elsewhere(dataclasses.replace(known, repository="https://example.org/a/b")) == ""
    said = pages.elsewhere(dataclasses.replace(known, repository="https://github.com/a/b"))
    tag = f"v{known.version}"
    assert (
        said.count(f"(https://colab.research.google.com/github/a/b/blob/{tag}/notebooks/{FIRST.name})") == 2
    )
    assert said.count(f"(https://mybinder.org/v2/gh/a/b/{tag}?labpath=notebooks%2F{FIRST.name})") == 2
    assert said.index(":::{ko}") < said.index(":::{en}")
