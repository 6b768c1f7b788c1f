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
KERNEL = "python3"  # that of the environment in which this runs


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
        manager = AsyncKernelManager(kernel_name=KERNEL, transport="ipc", ip=f"{sockets}/kernel")
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

    It gets a kernel of its own, or the one that is `running`, emptied; whichever kernel it was saved with, it
    is this Python's. Raises NotebookRunError on a file that is no notebook and an unknown or ill-typed
    parameter, before anything runs, and on a failing cell.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    values = parameters(declared(path), given)
    out.parent.mkdir(parents=True, exist_ok=True)
    with nullcontext(running) if running else kernel() as manager:
        if running:
            _empty(running)
        try:
            papermill.execute_notebook(
                _literal(path),
                _literal(out),
                values,
                kernel_name=KERNEL,
                language="python",
                progress_bar=progress,
                log_output=False,
                km=manager,
            )
        except DeadKernelError:
            reason = "its kernel died, perhaps of too little memory; the same command goes on from there"
            raise NotebookRunError(f"{path.name}: {reason}") from None
        except PapermillExecutionError as error:
            reason = f"{error.ename}: {error.evalue}".replace("\n", " ")
            raise NotebookRunError(f"{path.name}: cell {error.exec_count}: {reason} (see {out})") from None
    return out


def _literal(path: Path) -> str:
    """The path for papermill, which fills in what stands in braces."""
    return str(path).replace("{", "{{").replace("}", "}}")


def declared(path: Path) -> dict[str, dict[str, str]]:
    """The parameters of the notebook `path` by name, each with "inferred_type_name", "default" and "help", as
    papermill reads them; whatever kernel it was saved with. Raises NotebookRunError where the file is no
    notebook."""
    import nbformat
    from papermill.translators import PythonTranslator

    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    # Whatever a damaged file makes a parser raise.
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise NotebookRunError(
            f"{path} is no notebook ({reason}): `git restore` it, or save it anew"
        ) from None
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    return {one.name: one._asdict() for cell in cells[:1] for one in PythonTranslator.inspect(cell)}


def _empty(manager: "AsyncKernelManager") -> None:
    """Take from a running kernel what the last notebook has left behind."""
    import nbclient
    from nbformat.v4 import new_code_cell, new_notebook

    nbclient.NotebookClient(
        new_notebook(cells=[new_code_cell("%reset_selective -f ^[^_]")]), km=manager
    ).execute()


def parameters(known: dict[str, dict[str, str]], given: dict[str, str]) -> dict[str, Any]:
    """The values of `given` in the types that the parameters cell annotates.

    `known` is what `declared` returns. Raises NotebookRunError where one does not fit.
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
