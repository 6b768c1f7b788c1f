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
    """A hash over `files`, the package's code, and the names, sizes and times of the committed records.

    What was made from them is up to date as long as this stays the same.
    """
    digest = hashlib.sha256(_state().encode())
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()


@functools.cache
def _state() -> str:
    """That of code and records, looked at once a build."""
    digest = hashlib.sha256()
    for path in sorted((paths.ROOT / "src").rglob("*.py")):
        digest.update(path.read_bytes())
    for path in sorted(paths.runs(paths.RESULTS).rglob("*")):
        stat = path.stat()
        if path.is_file():
            digest.update(f"{path} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()
