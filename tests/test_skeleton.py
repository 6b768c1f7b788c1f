"""`bnbook new-experiment`: what CONTRIBUTING promises, followed once from an empty name to a figure."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bnbook import paths, skeleton
from bnbook.config import ConfigError

NAME = "group_norm"
EDITED = {"src/bnbook/experiments/__init__.py", "book/_toc.yml"}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of what a contributor works in."""
    root = tmp_path_factory.mktemp("contributor")
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "_build")
    for folder in ("src", "examples", "tests", "book", "notebooks"):
        shutil.copytree(paths.ROOT / folder, root / folder, ignore=ignore)
    shutil.copy(paths.ROOT / "pyproject.toml", root)
    return root


def run(checkout: Path, *command: str) -> subprocess.CompletedProcess:
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "PYTHONPATH": str(checkout / "src"),
        "BNBOOK_CACHE": str(checkout / "cache"),
        "MPLBACKEND": "Agg",
    }
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=checkout, env=environment, capture_output=True, text=True
    )


def contents(root: Path) -> dict[str, bytes]:
    files = (file for file in root.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return {str(file.relative_to(root)): file.read_bytes() for file in files}


def test_a_new_experiment_is_one_folder_and_two_lists(checkout):
    before = contents(checkout)
    done = run(checkout, "bnbook", "new-experiment", NAME, "--section", "3.2")
    assert done.returncode == 0, done.stderr
    now = contents(checkout)
    assert {file for file in before if now[file] != before[file]} == EDITED
    assert {str(Path(file).parent) for file in now.keys() - before.keys()} == {
        f"src/bnbook/experiments/{NAME}",
        f"tests/experiments/{NAME}",
        "book",
        "book/figures",
        "notebooks",
    }


def test_it_trains_and_draws(checkout):
    done = run(checkout, "bnbook", "run", NAME, "--profile", "smoke")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("done") == 4  # two networks, two seeds
    done = run(checkout, "bnbook", "figures", "--profile", "smoke", "--out", "drawn")
    assert done.returncode == 0, done.stderr
    assert (checkout / "drawn" / "group-norm.svg").exists()
    table = (checkout / "drawn" / "group-norm.csv").read_text().splitlines()
    assert table[0] == "network,seed,step,validation_accuracy_percent" and len(table) > 20


def test_its_own_tests_pass_and_those_of_every_room(checkout):
    done = run(checkout, "pytest", "-q", f"tests/experiments/{NAME}", "tests/experiments/test_rooms.py")
    assert done.returncode == 0, done.stdout


def test_it_is_as_tidy_as_the_rest(checkout):
    for command in (("ruff", "check", "."), ("ruff", "format", "--check", f"src/bnbook/experiments/{NAME}")):
        done = run(checkout, *command)
        assert done.returncode == 0, done.stdout
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, 'src'); {program}", "--no-cache"],
        cwd=checkout,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["Group", "group-norm", "1st", "", "scale_invariance", "inception_first"])
def test_a_name_that_cannot_be_is_refused(name):
    with pytest.raises(ConfigError, match="name is"):
        skeleton.create(name, "3")
