"""The pieces of code that chapters show: plain PyTorch, a file each in examples/, run when the book is built.

Each runs by itself, as a reader who pastes it would run it, but all in one process, which imports torch once.
What they print is kept in build/examples until the file or torch changes. One, for
whoever checks a layer by the questions of `bnbook.nn.checks`, imports these.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from bnbook import files, paths

FOLDER = Path("examples")
# Runs the files that are named, each into what it prints; torch with one thread sums alike everywhere.
PROGRAM = """
import contextlib, io, json, runpy, sys, traceback
import torch

torch.set_num_threads(1)
printed = {}
for name in json.loads(sys.argv[1]):
    torch.set_default_dtype(torch.float32)  # whatever the one before has set
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            runpy.run_path(name)
    except Exception:
        print(f"{name}: {traceback.format_exc().splitlines()[-1]}", file=sys.stderr)
        sys.exit(1)
    printed[name] = out.getvalue()
print(json.dumps(printed))
"""


class ExampleError(Exception):
    """An example that is not there, or that fails: one line."""


def source(name: str, root: Path = paths.ROOT) -> Path:
    """The file of the example `name`; raises ExampleError where there is none."""
    file = root / FOLDER / f"{name}.py"
    if not file.exists():
        known = ", ".join(sorted(one.stem for one in file.parent.glob("*.py"))) or "none"
        raise ExampleError(f"no example {name!r}; there is {known}")
    return file


def output(name: str, root: Path = paths.ROOT) -> str:
    """What the example printed; raises ExampleError where it has not run as it stands (`run`)."""
    file = _printed(source(name, root), root)
    if not file.exists():
        raise ExampleError(f"the example {name!r} has not run: build the book with `make book`")
    return file.read_text(encoding="utf-8")


def has_run(name: str, root: Path = paths.ROOT) -> bool:
    """Whether the example has run as it stands, on this torch."""
    return _printed(source(name, root), root).exists()


def run(root: Path = paths.ROOT) -> list[Path]:
    """Run the examples that have changed since; returns these. Raises ExampleError where one fails."""
    outdated = [file for file in sorted((root / FOLDER).glob("*.py")) if not _printed(file, root).exists()]
    if not outdated:
        return []
    done = _python(["-c", PROGRAM, json.dumps([str(file) for file in outdated])], root)
    if done.returncode:
        raise ExampleError(done.stderr.strip().splitlines()[-1].replace(f"{root}{os.sep}", ""))
    for name, text in json.loads(done.stdout).items():
        _printed(Path(name), root).parent.mkdir(parents=True, exist_ok=True)
        files.write(_printed(Path(name), root), text)
    return outdated


def _python(arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True)


def _printed(file: Path, root: Path) -> Path:
    """Where the output of the example in `file`, as it stands, is kept. One that uses a layer of this book
    stands otherwise when the layers do."""
    state = hashlib.sha256(version("torch").encode() + file.read_bytes())
    if b"bnbook" in file.read_bytes():
        for module in sorted((paths.ROOT / "src" / "bnbook" / "nn").glob("*.py")):
            state.update(module.read_bytes())
    return root / "build" / "examples" / f"{file.stem}.{state.hexdigest()[:12]}.txt"
