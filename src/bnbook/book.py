"""Builds the book: the notebooks, the figures, then the three editions at once.

`jupyter-book build . --toc book/_toc.yml` builds the side-by-side edition alone; here Jupyter Book only
translates `_config.yml`, since its command cannot give each edition its own language, title and address.

Sphinx writes each edition into a folder of its own below build/editions, where it finds the next time what it
need not make again. The site is a copy of these folders, put in the place of the last one in one step: what a
reader sees is whole and of one build, whatever becomes of a build or has become of the files of the last.
"""

import ctypes
import fcntl
import gc
import hashlib
import importlib
import multiprocessing
import os
import re
import shutil
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import sphinx.cmd.build
import yaml
from jupyter_book.config import get_final_config

from bnbook import examples, files, parent, paths
from bnbook.sphinxext import assets, claims, feed, metadata, numbers, records, theme
from bnbook.sphinxext.editions import EDITIONS
from bnbook.sphinxext.figures import export_figures, ship_versions
from bnbook.sphinxext.notebooks import execute_notebooks

PROBLEM = re.compile(r"\b(WARNING|ERROR|CRITICAL|error|exception)\b", re.IGNORECASE)
SHOWN_PROBLEMS = 5
CONTENTS = "_toc.yml"  # as they are built, beside conf.py


class BookError(Exception):
    """The book could not be built; the message names the first problems, with file and line."""


def build(
    html: Path = paths.BUILD / "html",
    editions: Sequence[str] = tuple(EDITIONS),
    warnings_are_errors: bool = True,
    source: Path = paths.ROOT,
) -> Path:
    """Builds `editions` of the book in `source` into `html`/<edition> and returns the page to open.

    Prints a line for each step. Raises BookError, or NotebookRunError where a notebook fails; then the site
    of the last build is still there.
    """
    work = source / "build"
    with alone(work):
        with step("notebooks executed from records"):
            executed = execute_notebooks(source / "notebooks", work / "notebooks")
        with step("examples run"):
            examples.run(source)
        with step("figures exported"):
            figures = export_figures(work / "figures")
        with step("records as pages"):
            around = records.Book(records.homes(editions), figures, metadata.book(source).repository)
            records.export(paths.runs(source / "results"), work / "records", around)
        made = [Edition(edition, source) for edition in editions]
        options = ["-n", "-q", "-N", *(["-W", "--keep-going"] if warnings_are_errors else [])]
        with step(f"editions {', '.join(editions)}"):
            ready = [*figures, *(path.stem for path in executed)]
            write(made, write_conf(source, work / "book", ready), options)
        publish(made, html.resolve(), metadata.book(source).address)
    return html / "index.html"


@contextmanager
def alone(work: Path) -> Iterator[None]:
    """One build at a time in the folder `work`. The processes of the editions hold the lock too: after a kill
    the next build waits until they are gone."""
    work.mkdir(parents=True, exist_ok=True)
    with (work / "book.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("book: waits for another build to end", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class step:
    """Prints what was done and how long it took."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        self.started = time.perf_counter()

    def __exit__(self, kind: type | None, *_: object) -> None:
        seconds = time.perf_counter() - self.started
        print(f"book: {self.name}: {'failed after ' if kind else ''}{seconds:.1f} s", flush=True)


def write_conf(source: Path, folder: Path, ready: Collection[str] | None = None) -> Path:
    """Writes the conf.py that Sphinx needs into `folder`, and returns `folder`.

    Paths in it are absolute, since Sphinx reads them from the folder of conf.py, not from `source`. Of the
    figures and notebooks in the contents those that are not `ready`, since their runs are still to be made,
    are left out; by default none is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    contents = yaml.safe_load((source / "book" / "_toc.yml").read_text(encoding="utf-8"))
    if ready is not None:
        leave_out(contents, ready)
    renew(folder / CONTENTS, yaml.safe_dump(contents, allow_unicode=True, sort_keys=False))
    config, _ = get_final_config(
        user_yaml=source / "_config.yml",
        cli_config={"external_toc_path": str(folder / CONTENTS), "latex_individualpages": False},
        sourcedir=source,
        raise_on_invalid=True,
    )
    for key in ("templates_path", "html_static_path", "bibtex_bibfiles"):
        config[key] = [str(source / path) for path in config.get(key, [])]
    renew(folder / "conf.py", "".join(f"{key} = {value!r}\n" for key, value in sorted(config.items())))
    return folder


def leave_out(contents: Any, ready: Collection[str]) -> None:
    """Take the pages of figures and notebooks that are not `ready` out of the `contents`, at any depth."""
    for value in contents.values() if isinstance(contents, dict) else contents:
        if isinstance(value, list):
            value[:] = [entry for entry in value if is_ready(entry.get("file", ""), ready)]
        if isinstance(value, dict | list):
            leave_out(value, ready)


def is_ready(page: str, ready: Collection[str]) -> bool:
    """Whether the page can be shown: a chapter always, the gallery too."""
    folder, _, name = page.rpartition("/")
    return folder not in ("book/figures", "notebooks") or name in ready or name == "index"


def renew(file: Path, text: str) -> None:
    """Write `text` where it is not there: what has not changed keeps its time."""
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        files.write(file, text)


class Edition:
    """The folder in which Sphinx keeps one edition: its pages, what it has read, the notebooks' pictures."""

    def __init__(self, name: str, source: Path) -> None:
        self.name, self.source = name, source
        self.folder = source / "build" / "editions" / name
        self.pages = self.folder / name
        self.log = source / "build" / "book" / f"{name}.log"
        self.finished = self.folder / "finished"

    def start(self, conf: Path, options: Sequence[str]) -> multiprocessing.Process:
        """Starts sphinx-build; what it prints goes to the log.

        What is not as the last whole build left it, since that was interrupted or somebody changed a file, is
        made from nothing: Sphinx looks at its sources alone, and would keep it.
        """
        if not self.finished.exists() or self.finished.read_text() != self.state():
            shutil.rmtree(self.folder, ignore_errors=True)
        settings = {
            "edition": self.name,
            "language": EDITIONS[self.name][0],
            "html_baseurl": base_url(self.source, self.name),
        }
        defines = [part for key, value in settings.items() for part in ("-D", f"{key}={value}")]
        places = ["-c", conf, "-d", self.folder / "doctrees", self.source, self.pages]
        arguments = [str(one) for one in ("-b", "html", *options, *defines, *places)]
        context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        process = context.Process(target=sphinx_build, args=(arguments, self.log), daemon=True)
        process.start()
        return process

    def state(self) -> str:
        """A hash over names, sizes and times of all files in the folder, and over the table of contents: the
        page of a chapter that was taken out of it would stay."""
        digest = hashlib.sha256((self.source / "build" / "book" / CONTENTS).read_bytes())
        for file in sorted(self.folder.rglob("*")):
            if file.is_file() and file != self.finished:
                stat = file.stat()
                digest.update(f"{file} {stat.st_size} {stat.st_mtime_ns}\n".encode())
        return digest.hexdigest()


def write(editions: Sequence[Edition], conf: Path, options: Sequence[str]) -> None:
    """Have Sphinx write the editions, a process each; raises BookError where one fails."""
    prepare()
    running = [edition.start(conf, options) for edition in editions]
    for process in running:
        process.join()
    failed = []
    for edition, process in zip(editions, running, strict=True):
        if process.exitcode == 0:
            files.write(edition.finished, edition.state())
        else:
            failed.append(edition)
    if failed:
        raise BookError(summary([edition.log for edition in failed]))


def prepare() -> None:
    """What all editions need, read once: they are forked from this process."""
    numbers.sources()
    claims.board()
    for extension in ("myst_nb", "sphinx_book_theme", "sphinxcontrib.bibtex", "sphinx_design"):
        importlib.import_module(extension)
    gc.freeze()


def sphinx_build(arguments: list[str], log: Path) -> None:
    """sphinx-build in this process, which ends with its exit status, or with its parent."""
    os.environ[parent.VARIABLE] = str(multiprocessing.parent_process().pid)
    parent.follow()
    with log.open("w", encoding="utf-8") as stream, redirect_stdout(stream), redirect_stderr(stream):
        sys.exit(sphinx.cmd.build.main(arguments))


def publish(editions: Sequence[Edition], html: Path, address: str = "") -> None:
    """Put a copy of the editions, and the page that offers them, in the place of the site `html`, which is
    read at `address`."""
    fresh = html.with_name(f"{html.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    for edition in editions:
        shutil.copytree(edition.pages, fresh / edition.name, ignore=theme.UNSENT)
        assets.finish(fresh / edition.name)
    theme.write_entry_pages(fresh, address)
    source = editions[0].source
    records.place(source / "build" / "records", fresh / records.FOLDER)
    ship_versions(fresh, source / "build" / "figures", source)
    feed.write(fresh, address, [edition.name for edition in editions], metadata.book(source))
    metadata.write_site_files(fresh, address)  # last: the sitemap names what is there
    exchange(fresh, html)
    shutil.rmtree(fresh, ignore_errors=True)


def exchange(fresh: Path, old: Path) -> None:
    """Swap two folders, in one step where the system can, once all of `fresh` is on the disk; `old` need not
    be there."""
    files.settle(fresh)
    swap(fresh, old)
    files.sync(old.parent)


def swap(fresh: Path, old: Path) -> None:
    if not old.exists():
        fresh.rename(old)
        return
    here, exchanged = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    if renameat2 and renameat2(here, os.fsencode(fresh), here, os.fsencode(old), exchanged) == 0:
        return
    aside = old.with_name(f"{old.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    old.rename(aside)
    fresh.rename(old)
    aside.rename(fresh)


def base_url(source: Path, edition: str) -> str:
    """The address of one edition; "" where the site's is unset."""
    address = metadata.book(source).address
    return f"{address}/{edition}" if address else ""


def summary(logs: Sequence[Path]) -> str:
    """The first problems in the logs of failed editions, each once, in one line; and where the rest is."""
    lines = [line for log in logs for line in log.read_text(encoding="utf-8").splitlines()]
    problems = list(dict.fromkeys(line.strip() for line in lines if PROBLEM.search(line)))
    first = "; ".join(problems[:SHOWN_PROBLEMS]) or "sphinx-build failed"
    more = f"; and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
    return f"the book has problems: {first}{more} (all of them: {', '.join(map(str, logs))})"
