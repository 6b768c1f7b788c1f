"""The Sphinx extension of the book; `_config.yml` loads it."""

import gc
import hashlib
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

import bnbook
from bnbook import paths
from bnbook.sphinxext import (
    board,
    builder,
    citations,
    claim_pages,
    claims,
    contents,
    durations,
    editions,
    examples,
    feed,
    figures,
    formulas,
    glossary,
    html,
    live,
    live_figures,
    metadata,
    mutants,
    notebooks,
    numbers,
    records,
    speedups,
    stepper,
    theme,
)


def setup(app: Sphinx) -> dict[str, Any]:
    # A build makes millions of small objects that live long: looking through them as often as Python does
    # costs a third of its time.
    gc.set_threshold(100_000, 20, 100)
    for module in (
        html,
        builder,
        editions,
        glossary,
        notebooks,
        numbers,
        examples,
        formulas,
        figures,
        claims,
        board,
        speedups,
        durations,
        mutants,
        stepper,
        live,
        live_figures,
        contents,
        records,
        theme,
        metadata,
        citations,
        feed,
        claim_pages,
    ):
        module.setup(app)
    return {
        "version": bnbook.__version__,
        "env_version": _env_version(),
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }


def _env_version() -> int:
    """A number that changes with the extension's code, with templates, styles and scripts, so that Sphinx
    makes all pages again: each names them by their content."""
    files = [
        *Path(__file__).parent.glob("*.py"),
        *paths.BOOK.glob("_templates/**/*"),
        *paths.BOOK.glob("_static/**/*"),
    ]
    code = b"".join(file.read_bytes() for file in sorted(files) if file.is_file())
    return int(hashlib.sha256(code).hexdigest()[:8], 16)
