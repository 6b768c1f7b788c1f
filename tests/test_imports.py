"""Imports go one way, and the check that says so can fail."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bnbook import paths


def lint(root: Path) -> subprocess.CompletedProcess:
    """import-linter over the checkout in `root`; its first folder on the path is root/src."""
    program = (
        f"import sys; sys.path.insert(0, {str(root / 'src')!r});"
        "from importlinter.cli import lint_imports_command; lint_imports_command()"
    )
    command = [sys.executable, "-c", program, "--config", str(root / "pyproject.toml"), "--no-cache"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True)


def test_the_contracts_hold():
    done = lint(paths.ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("records.py", "import torch", "without PyTorch"),
        ("train/loop.py", "from bnbook import records", "Training knows nothing"),
        ("records.py", "from bnbook import claims", "go one way"),
        ("experiments/scale_invariance/measures.py", "import torch", "without PyTorch"),
        (
            "experiments/scale_invariance/protocol.py",
            "from bnbook.experiments.scale_invariance import measures",
            "In a room",
        ),
        (
            "experiments/scale_invariance/measures.py",
            "from bnbook.experiments.bn_ensemble import measures",
            "A room rests",
        ),
    ],
)
def test_a_wrong_import_is_found(tmp_path, module, line, broken):
    shutil.copytree(paths.ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(paths.ROOT / "pyproject.toml", tmp_path)
    file = tmp_path / "src" / "bnbook" / module
    file.write_text(f"{line}\n" + file.read_text(encoding="utf-8"), encoding="utf-8")
    done = lint(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert any(broken in kept and "BROKEN" in kept for kept in done.stdout.splitlines())
