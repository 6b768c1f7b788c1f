"""The book's own data files: book/*.yml."""

import functools
from pathlib import Path
from typing import Any

import yaml
from sphinx.errors import ExtensionError


@functools.cache
def read(path: Path) -> Any:
    """The content of a YAML file, {} where it is empty; raises ExtensionError with its first broken line."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise ExtensionError(f"{path} is missing") from None
    except yaml.MarkedYAMLError as error:
        raise ExtensionError(f"{path}:{error.problem_mark.line + 1}: {error.problem}") from None
