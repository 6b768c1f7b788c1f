"""What the book is made from: its own data files, book/*.yml, and the state of code and records."""

import functools
import hashlib
from pathlib import Path
from typing import Any

import yaml
from sphinx.errors import ExtensionError

from bnbook import paths


@functools.cache
def read(path: Path) -> Any:
    """The content of a YAML file, {} where it is empty; raises ExtensionError with its first broken line."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise ExtensionError(f"{path} is missing") from None
    except yaml.MarkedYAMLError as error:
        raise ExtensionError(f"{path}:{error.problem_mark.line + 1}: {error.problem}") from None


def fingerprint(*files: Path) -> str:
    """A hash over `files`, the package and the committed results, all of their bytes.

    What was made from them is up to date as long as this stays the same.
    """
    return contents(*files, begun=_state())


def contents(*files: Path, begun: str = "") -> str:
    """A hash over the names and bytes of `files`, and over what was `begun`."""
    digest = hashlib.sha256(begun.encode())
    for path in files:
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


@functools.cache
def _state() -> str:
    """That of package and results, read once a build, in a quarter of a second. What is under way (.tmp,
    .lock) and what Python compiled does not count."""
    folders = (paths.ROOT / "src" / "bnbook", paths.RESULTS)
    files = (path for folder in folders for path in sorted(folder.rglob("*")))
    return contents(*(p for p in files if p.is_file() and p.suffix not in (".tmp", ".lock", ".pyc")))
