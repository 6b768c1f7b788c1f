"""Running a notebook with checked parameters: papermill, but strict, and a failure is one line."""

import ast
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnbook import paths

if TYPE_CHECKING:
    from jupyter_client.manager import AsyncKernelManager

# A kernel that is shut down is interrupted first, and calls that an error.
QUIET = "--IPKernelApp.log_level=CRITICAL"


class NotebookRunError(RuntimeError):
    """A notebook that is not there, a parameter that does not fit, or a cell that failed: one line."""


def find(name: str) -> Path:
    """The notebook called `name`: a path, or a name in notebooks/, with or without number and suffix."""
    known = sorted(paths.NOTEBOOKS.glob("*.ipynb"))
    for path in [Path(name), *known]:
        if path.is_file() and name in (str(path), path.name, path.stem, path.stem.partition("_")[2]):
            return path
    names = ", ".join(path.stem for path in known) or "none yet"
    raise NotebookRunError(f"no notebook {name!r}; there is {names}")


@contextmanager
def kernel(folder: Path | None = None) -> Iterator["AsyncKernelManager"]:
    """A kernel that runs in `folder` (else in the present one), for one notebook after another; it ends with
    the block."""
    from jupyter_client.manager import AsyncKernelManager
    from jupyter_core.utils import run_sync

    # Sockets in files, for this user alone: kernels warn of unencrypted TCP ports otherwise, and rightly.
    # In a folder of their own: two kernels that start at once in one folder would take the same.
    with tempfile.TemporaryDirectory() as sockets:
        manager = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=f"{sockets}/kernel")
        run_sync(manager.start_kernel)(extra_arguments=[QUIET], cwd=str(folder or Path.cwd()))
        try:
            yield manager
        finally:
            run_sync(manager.shutdown_kernel)(now=True)


def run(
    path: Path,
    given: dict[str, str],
    out: Path,
    progress: bool = False,
    running: "AsyncKernelManager | None" = None,
) -> Path:
    """Execute the notebook `path` with the parameters `given`, as text, into `out`; returns `out`.

    It gets a kernel of its own, or the one that is `running`, emptied. Raises NotebookRunError on an unknown
    or ill-typed parameter, before anything runs, and on a failing cell.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    values = parameters(papermill.inspect_notebook(str(path)), given)
    out.parent.mkdir(parents=True, exist_ok=True)
    with nullcontext(running) if running else kernel() as manager:
        if running:
            _empty(running)
        try:
            papermill.execute_notebook(
                str(path), str(out), values, progress_bar=progress, log_output=False, km=manager
            )
        except PapermillExecutionError as error:
            reason = f"{error.ename}: {error.evalue}".replace("\n", " ")
            raise NotebookRunError(f"{path.name}: cell {error.exec_count}: {reason} (see {out})") from None
    return out


def _empty(manager: "AsyncKernelManager") -> None:
    """Take from a running kernel what the last notebook has left behind."""
    import nbclient
    from nbformat.v4 import new_code_cell, new_notebook

    nbclient.NotebookClient(
        new_notebook(cells=[new_code_cell("%reset_selective -f ^[^_]")]), km=manager
    ).execute()


def parameters(known: dict[str, dict[str, str]], given: dict[str, str]) -> dict[str, Any]:
    """The values of `given` in the types that the parameters cell annotates.

    `known` is what papermill.inspect_notebook returns. Raises NotebookRunError where one does not fit.
    """
    for name in given:
        if name not in known:
            raise NotebookRunError(f"unknown parameter {name!r}; there is {', '.join(known) or 'none'}")
    return {name: _value(name, text, known[name]["inferred_type_name"]) for name, text in given.items()}


def _value(name: str, text: str, kind: str) -> Any:
    if kind == "str":
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    if kind == "float" and type(value) is int:
        value = float(value)
    if type(value).__name__ != kind:
        raise NotebookRunError(f"parameter {name} is {text!r}; it must be of type {kind}")
    return value
