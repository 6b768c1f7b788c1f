"""Folders: the only module that knows where things lie."""

import os
from pathlib import Path

import platformdirs

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
NOTEBOOKS = ROOT / "notebooks"

# Committed results: written only by runs with --commit, read by the book.
RESULTS = ROOT / "results"
FIGURES = RESULTS / "figures"
# Everything that can be made again: other people's runs, figures, executed notebooks, HTML.
BUILD = ROOT / "build"
BUILD_RESULTS = BUILD / "results"


def runs(results: Path) -> Path:
    """The folder of the training records inside a results folder."""
    return results / "runs"


def cache() -> Path:
    """Checkpoints and downloaded data: `BNBOOK_CACHE`, else the user's cache folder."""
    return Path(os.path.expanduser(os.environ.get("BNBOOK_CACHE") or platformdirs.user_cache_dir("bnbook")))


def given_data() -> Path | None:
    """The reader's own data folder, `BNBOOK_DATA`, or None where it is not set."""
    folder = os.environ.get("BNBOOK_DATA")
    return Path(os.path.expanduser(folder)) if folder else None
