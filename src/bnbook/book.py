"""Builds the book: the notebooks, the figures, then the three editions at once.

`jupyter-book build . --toc book/_toc.yml` builds the side-by-side edition alone; here Jupyter Book only
translates `_config.yml`, since its command cannot give each edition its own language, title and address.
"""

import gc
import importlib
import multiprocessing
import re
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import sphinx.cmd.build
import yaml
from jupyter_book.config import get_final_config

from bnbook import paths
from bnbook.sphinxext import claims, numbers, theme
from bnbook.sphinxext.editions import EDITIONS
from bnbook.sphinxext.figures import export_figures
from bnbook.sphinxext.notebooks import execute_notebooks

PROBLEM = re.compile(r"\b(WARNING|ERROR|CRITICAL|error|exception)\b", re.IGNORECASE)
SHOWN_PROBLEMS = 5


class BookError(Exception):
    """The book could not be built; the message names the first problems, with file and line."""


def build(
    html: Path = paths.BUILD / "html",
    editions: Sequence[str] = tuple(EDITIONS),
    warnings_are_errors: bool = True,
    source: Path = paths.ROOT,
) -> Path:
    """Builds `editions` of the book in `source` into `html`/<edition> and returns the page to open.

    Prints a line for each step. Raises BookError, or NotebookRunError where a notebook fails.
    """
    work = source / "build"
    with step("notebooks executed from records"):
        execute_notebooks(source / "notebooks", work / "notebooks")
    with step("figures exported"):
        export_figures(work / "figures")
    conf = write_conf(source, work / "book")
    options = ["-n", "-q", "-N", *(["-W", "--keep-going"] if warnings_are_errors else [])]
    with step(f"editions {', '.join(editions)}"):
        prepare()
        logs = {edition: work / "book" / f"{edition}.log" for edition in editions}
        running = {
            edition: start(edition, source, conf, html, options, logs[edition]) for edition in editions
        }
        for process in running.values():
            process.join()
        failed = [edition for edition, process in running.items() if process.exitcode != 0]
    if failed:
        raise BookError(summary([logs[edition] for edition in failed]))
    return theme.write_entry_page(html)


class step:
    """Prints what was done and how long it took."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        self.started = time.perf_counter()

    def __exit__(self, kind: type | None, *_: object) -> None:
        seconds = time.perf_counter() - self.started
        print(f"book: {self.name}: {'failed after ' if kind else ''}{seconds:.1f} s", flush=True)


def write_conf(source: Path, folder: Path) -> Path:
    """Writes the conf.py that Sphinx needs into `folder`, and returns `folder`.

    Paths in it are absolute, since Sphinx reads them from the folder of conf.py, not from `source`.
    """
    config, _ = get_final_config(
        user_yaml=source / "_config.yml",
        cli_config={"external_toc_path": str(source / "book" / "_toc.yml"), "latex_individualpages": False},
        sourcedir=source,
        raise_on_invalid=True,
    )
    for key in ("templates_path", "html_static_path", "bibtex_bibfiles"):
        config[key] = [str(source / path) for path in config.get(key, [])]
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{key} = {value!r}\n" for key, value in sorted(config.items()))
    conf = folder / "conf.py"
    if not conf.exists() or conf.read_text(encoding="utf-8") != text:
        conf.write_text(text, encoding="utf-8")
    return folder


def prepare() -> None:
    """What all editions need, read once: they are forked from this process."""
    numbers.sources()
    claims.board()
    for extension in ("myst_nb", "sphinx_book_theme", "sphinxcontrib.bibtex", "sphinx_design"):
        importlib.import_module(extension)
    gc.freeze()


def start(
    edition: str, source: Path, conf: Path, html: Path, options: list[str], log: Path
) -> multiprocessing.Process:
    """Starts sphinx-build for one edition; what it prints goes to `log`."""
    settings = {
        "edition": edition,
        "language": EDITIONS[edition][0],
        "html_baseurl": base_url(source, edition),
    }
    defines = [part for key, value in settings.items() for part in ("-D", f"{key}={value}")]
    doctrees = source / "build" / "doctrees" / edition
    arguments = ["-b", "html", "-c", conf, "-d", doctrees, *options, *defines, source, html / edition]
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    process = context.Process(target=sphinx_build, args=([str(one) for one in arguments], log))
    process.start()
    return process


def sphinx_build(arguments: list[str], log: Path) -> None:
    """sphinx-build in this process, which ends with its exit status."""
    with log.open("w", encoding="utf-8") as stream, redirect_stdout(stream), redirect_stderr(stream):
        sys.exit(sphinx.cmd.build.main(arguments))


def base_url(source: Path, edition: str) -> str:
    """The address of one edition, from the site's in `_config.yml`; "" where that is unset."""
    config = yaml.safe_load((source / "_config.yml").read_text(encoding="utf-8"))
    site = config.get("html", {}).get("baseurl") or ""
    return f"{site.rstrip('/')}/{edition}" if site else ""


def summary(logs: Sequence[Path]) -> str:
    """The first problems in the logs of failed editions, each once, in one line; and where the rest is."""
    lines = [line for log in logs for line in log.read_text(encoding="utf-8").splitlines()]
    problems = list(dict.fromkeys(line.strip() for line in lines if PROBLEM.search(line)))
    first = "; ".join(problems[:SHOWN_PROBLEMS]) or "sphinx-build failed"
    more = f"; and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
    return f"the book has problems: {first}{more} (all of them: {', '.join(map(str, logs))})"
