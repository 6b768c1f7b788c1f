"""Files that are whole or not there: written beside their place, forced to the disk, put in place by one
rename. And JSON, read strictly."""

import contextlib
import ctypes
import functools
import glob
import json
import logging
import os
import shlex
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from bnbook import paths

logger = logging.getLogger(__name__)

# What a plain text in ASCII may have.
PLAIN = bytes(sorted(set(range(32, 127)) - set(b"<>&\\") | set(b"\n")))


class FileError(RuntimeError):
    """A file of the project that cannot be read, with its name and the reason."""


# Writing


@contextlib.contextmanager
def writing(file: Path) -> Iterator[BinaryIO]:
    """A stream whose bytes become `file` at the end of the block, once they are on the disk; until then, and
    where anything goes wrong, `file` is what it was. Makes the folder; an OSError names `file`."""
    temporary = file.with_name(file.name + _of(os.getpid()))
    try:
        make_folder(file.parent)
        sweep(file.parent)
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
        sync(file.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            raise OSError(error.errno, error.strerror, str(file)) from error
        raise


def write(file: Path, content: str | bytes) -> None:
    """Write `content`, text as UTF-8, to `file`, which holds what it held until it holds all of it."""
    with writing(file) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


def make_folder(folder: Path) -> None:
    """Make `folder` and those above it, where they are not there yet, and force their names to the disk: a
    file is not there after a power cut whose folder is not."""
    new = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for one in new:
        sync(one.parent)


def sync(folder: Path) -> None:
    """Force the names in `folder` to the disk, where the system can: what was renamed stays so."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def settle(folder: Path) -> None:
    """Force all that was written below `folder` to the disk, and with it whatever else its disk still waits
    for: a call a file would take longer."""
    if syncfs := getattr(ctypes.CDLL(None), "syncfs", None):  # Linux
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            if syncfs(descriptor) == 0:
                return
        finally:
            os.close(descriptor)
    os.sync()


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """An empty folder in `folder`, on the same disk, which goes with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    with tempfile.TemporaryDirectory(suffix=_of(os.getpid()), dir=folder) as made:
        yield Path(made)


def sweep(folder: Path) -> None:
    """Delete what processes that are gone left half-written in `folder`. Those of other machines, which may
    share the folder, are left alone: nobody here knows whether they live."""
    for left in folder.glob("*" + glob.escape(_of()) + "*.tmp"):
        if not _alive(left.name.split(".")[-2]):
            with contextlib.suppress(OSError):
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def set_aside(file: Path) -> None:
    """Put a damaged file, or whatever lies in its place, out of the way: it is now called NAME.damaged."""
    aside = file.with_name(file.name + ".damaged")
    if aside.is_dir():
        shutil.rmtree(aside)
    with contextlib.suppress(FileNotFoundError):
        file.replace(aside)


@functools.cache
def warn_once(message: str) -> None:
    """One line on stderr; the same line comes once a process."""
    logger.warning("bnbook: %s", message)


def _of(process: int | str = "") -> str:
    """How the name of a file ends that `process` of this machine is writing."""
    return f".{socket.gethostname()}.{process}" + (".tmp" if process else "")


def _alive(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except (PermissionError, ValueError):  # somebody else's; a name that only looks like ours
        return True
    with contextlib.suppress(OSError):  # one that has ended keeps its number until somebody asks how
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    return True


# Reading


def read_json(file: Path, plain: bool = False) -> Any:
    """What the JSON in `file` says; raises FileError as `parsed` does."""
    return parsed(file.read_bytes(), file, plain)


def parsed(data: bytes, file: Path, plain: bool = False) -> Any:
    """What the JSON in `data`, the contents of `file`, says; raises FileError on what is not UTF-8 or not
    JSON, on a key that stands twice in an object, on NaN, and on what is nested too deeply. With `plain` also
    on whatever does not print, on markup, and on escapes, in which both could hide."""
    try:
        text = data.decode()
        others = data.translate(None, PLAIN).decode() if plain else ""
        for letter in others:
            if letter.isascii() or not letter.isprintable():
                raise ValueError(f"it has {letter!r}")
        return json.loads(text, object_pairs_hook=_object, parse_constant=_refused)
    except RecursionError:
        raise FileError(f"{file}: nested too deeply{way_back(file)}") from None
    except ValueError as error:
        raise FileError(f"{file}: not JSON ({error}){way_back(file)}") from None


def way_back(file: Path) -> str:
    """How a damaged file is mended that is kept in git, as the end of a sentence; of others nothing."""
    if not file.is_relative_to(paths.RESULTS):
        return ""
    return f"; `git restore {shlex.quote(str(file))}` brings back what was committed"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in an object")
    return found


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")
