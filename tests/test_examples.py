"""The code that chapters show: every piece runs, prints, is plain, short, and is shown."""

import ast
import re
import tokenize

import pytest

from bnbook import examples, paths
from bnbook.examples import ExampleError

FILES = sorted((paths.ROOT / examples.FOLDER).glob("*.py"))
SHOWN = re.compile(r"^```\{example\} (\w+)$", re.MULTILINE)
LINES = 30  # a reader on a phone reads no more in one piece
PHONE = 50  # characters of a line that a phone shows
PLAIN = {"torch", "torchvision", "sklearn", "numpy", "matplotlib", "math", "copy", "itertools", "tempfile"}
CHECKS = "mutants_check"  # shows how a reader's layer is held against ours: the one that needs this book
each = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


@pytest.fixture(scope="module")
def printed():
    """All of them, run now where they have changed."""
    examples.run()
    return {file.stem: examples.output(file.stem) for file in FILES}


@pytest.mark.slow
@each
def test_it_runs_and_prints(file, printed):
    assert printed[file.stem].strip(), "an example without output shows nothing"


@each
def test_it_is_plain_and_short(file):
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LINES and max(map(len, text.splitlines())) <= 88
    imported = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([one.name for one in node.names] if isinstance(node, ast.Import) else [node.module])
    }
    assert imported <= PLAIN | ({"bnbook"} if file.stem == CHECKS else set()), (
        "a reader pastes it without this book"
    )
    assert text.isascii(), "the same in every edition"


@each
def test_a_comment_is_seen_on_a_phone(file):
    """Code may scroll sideways; what explains it may not lie out of sight."""
    with file.open("rb") as code:
        ends = [token.end for token in tokenize.tokenize(code.readline) if token.type == tokenize.COMMENT]
    assert all(column <= PHONE for _, column in ends), "put it on a line of its own"


def test_each_is_shown_once_and_nothing_else():
    """In a chapter."""
    shown = [name for page in paths.BOOK.glob("*.md") for name in SHOWN.findall(page.read_text("utf-8"))]
    assert sorted(shown) == [file.stem for file in FILES]


def test_one_that_fails_is_named_with_its_error(tmp_path):
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "broken.py").write_text("print(1)\nraise ValueError('of no use')\n")
    with pytest.raises(ExampleError, match=r"^examples/broken.py: ValueError: of no use$"):
        examples.run(tmp_path)
    with pytest.raises(ExampleError, match="no example 'other'; there is broken"):
        examples.output("other", tmp_path)


def test_it_runs_again_when_it_has_changed(tmp_path):
    (tmp_path / "examples").mkdir()
    file = tmp_path / "examples" / "one.py"
    file.write_text("print(1)\n")
    assert examples.run(tmp_path) == [file] and examples.run(tmp_path) == []
    assert examples.output("one", tmp_path) == "1\n"
    file.write_text("print(2)\n")
    with pytest.raises(ExampleError, match="has not run"):
        examples.output("one", tmp_path)
    assert examples.run(tmp_path) == [file] and examples.output("one", tmp_path) == "2\n"


def test_the_one_that_uses_our_layers_runs_again_when_they_have_changed(tmp_path, monkeypatch):
    layers = tmp_path / "src" / "bnbook" / "nn" / "checks.py"
    layers.parent.mkdir(parents=True)
    layers.write_text("")
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    (tmp_path / "examples").mkdir()
    for name in ("plain", "ours"):
        text = "" if name == "plain" else "# of bnbook\n"
        (tmp_path / "examples" / f"{name}.py").write_text(f"{text}print(1)\n")
    examples.run(tmp_path)
    layers.write_text("changed = True\n")
    assert not examples.has_run("ours", tmp_path) and examples.has_run("plain", tmp_path)


@pytest.mark.slow
def test_what_one_sets_does_not_reach_the_next(tmp_path):
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "a.py").write_text("import torch\ntorch.set_default_dtype(torch.float64)\n")
    (tmp_path / "examples" / "b.py").write_text("import torch\nprint(torch.zeros(1).dtype)\n")
    examples.run(tmp_path)
    assert examples.output("b", tmp_path) == "torch.float32\n"
