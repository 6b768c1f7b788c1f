"""Publishes the book onto what was published before: the files of a version of a figure, once published, stay
at their addresses with the bytes that they had, whatever becomes of the figure.

The ledger (`versions.LEDGER`, committed) says what has been published. What was, must lie in the previous
site as it was: else nothing is published. The new site is the previous one with today's laid over it.
"""

import datetime
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bnbook import files, paths
from bnbook.book import exchange
from bnbook.sphinxext import versions


class PublishError(Exception):
    """The site was not published; the message says what is in the way."""


def onto_folder(today: Path, folder: Path, root: Path = paths.ROOT) -> bool:
    """Publish the site `today` onto the one in `folder`, which may not be there yet, and note in the ledger
    of the repository at `root` what is new; False where all of it was there already.

    `folder` is exchanged in one step. Raises PublishError and OSError; then it is as it was.
    """
    folder = folder.resolve()
    if folder.exists() and not folder.is_dir():
        raise PublishError(f"{folder} is not a folder")
    if today.resolve() == folder:
        raise PublishError(
            f"{folder} is the site that is to be published; name the folder of the published one"
        )
    with files.scratch(folder.parent) as room:
        fresh = room / "site"
        shutil.copytree(folder, fresh, symlinks=True) if folder.exists() else fresh.mkdir()
        ledger = lay(today, fresh, versions.read(root), str(folder))
        changed = not _same(fresh, folder)
        if changed:
            exchange(fresh, folder)
    _note(root, ledger)
    return changed


def onto_branch(today: Path, branch: str, root: Path = paths.ROOT) -> bool:
    """The same onto the last commit of a branch of the repository at `root`, as a new commit; the branch may
    not be there yet. What is checked out is left alone."""
    git = _Git(root)
    ref = f"refs/heads/{branch}"
    if not git.run("check-ref-format", "--branch", branch, may_fail=True):
        raise PublishError(f"{branch!r} is no name of a branch")
    if git.run("symbolic-ref", "-q", "HEAD", may_fail=True) == ref:
        raise PublishError(f"{branch} is checked out here; publish onto a branch of its own")
    before = git.run("rev-parse", "-q", "--verify", f"{ref}^{{commit}}", may_fail=True)
    with files.scratch(root / "build") as room:
        fresh = room / "site"
        fresh.mkdir()
        git.work_in(fresh, room / "index")
        if before:
            git.run("read-tree", before)
            git.run("checkout-index", "-a", "-q")
        ledger = lay(today, fresh, versions.read(root), f"the branch {branch}")
        git.run("add", "-A", "-f", ".")
        tree = git.run("write-tree")
        changed = not before or tree != git.run("rev-parse", f"{before}^{{tree}}")
        if changed:
            parent = ["-p", before] if before else []
            made = git.run("commit-tree", tree, *parent, "-m", "The book, published")
            # Refused where the branch has moved since it was read.
            git.run("update-ref", ref, made, before or "0" * 40)
    _note(root, ledger)
    return changed


class _Git:
    """Git in the repository at `root`, with settings of its own instead of the environment's."""

    def __init__(self, root: Path) -> None:
        self.folder, self.settings = root, {}
        self.settings = {"GIT_DIR": self.run("rev-parse", "--absolute-git-dir")}

    def work_in(self, folder: Path, index: Path) -> None:
        """From now on `folder` is what is checked out, and `index` says what of it is known."""
        self.folder = folder
        self.settings |= {"GIT_WORK_TREE": str(folder), "GIT_INDEX_FILE": str(index)}

    def run(self, *arguments: str, may_fail: bool = False) -> str:
        """What it prints; raises PublishError with its first line where it fails, unless it may ("")."""
        outside = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        command = ["git", "-c", "core.autocrlf=false", *arguments]
        try:
            done = subprocess.run(
                command, cwd=self.folder, env=outside | self.settings, capture_output=True, text=True
            )
        except FileNotFoundError:
            raise PublishError("there is no git here; publish with --onto FOLDER") from None
        if done.returncode and not may_fail:
            said = (done.stderr.strip() or "it failed").splitlines()[0]
            raise PublishError(f"git {arguments[0]}: {said}")
        return "" if done.returncode else done.stdout.strip()


def lay(today: Path, fresh: Path, ledger: versions.Ledger, where: str) -> versions.Ledger:
    """Lay the site `today` over the copy `fresh` of the previous one, which is called `where`, and return the
    ledger with what is new in it. Raises PublishError where something that was published is not there."""
    if not (today / "figures").is_dir():
        raise PublishError(f"{today} is no site of this book: it has no folder `figures`")
    check(fresh, ledger, where)
    kept = {file.relative_to(fresh) for file in _files_of_versions(fresh)}
    for file in sorted(today.rglob("*")):
        place = fresh / file.relative_to(today)
        if file.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        elif file.relative_to(today) not in kept:
            if place.is_symlink():  # it may lead out of the site
                place.unlink()
            shutil.copyfile(file, place)
    (fresh / ".nojekyll").touch()  # else GitHub's pages leave out the folders that begin with _
    current = {meta.parent.name: meta.stem for meta in (today / "figures").glob("*/*.json")}
    after = {name: list(published) for name, published in ledger.items()}
    for name, content_hash in current.items():
        published = after.setdefault(name, [])
        if all(one["hash"] != content_hash for one in published):
            found = {
                file.name: file.read_bytes()
                for file in _files_of_versions(fresh)
                if file.parent.name == name and file.name.partition(".")[0] == content_hash
            }
            entry = versions.entry(content_hash, found, published[-1] if published else None)
            published.append({"hash": content_hash, "date": datetime.date.today().isoformat(), **entry})
    versions.write_pages(fresh, after, current)
    return after


def check(site: Path, ledger: versions.Ledger, where: str) -> None:
    """Raises PublishError where a file that was published is not in `site`, or not as it was."""
    for name, published in ledger.items():
        for one in published:
            for file, digest in one["files"].items():
                place = site / "figures" / name / file
                if not place.is_file():
                    wrong = "is not there"
                elif hashlib.sha256(place.read_bytes()).hexdigest() != digest:
                    wrong = "is not what it was"
                else:
                    continue
                raise PublishError(
                    f"figures/{name}/{file} was published on {one['date']} and {wrong} in {where}: citations "
                    "of it would break; bring it back, or name the site that was published last"
                )


def _files_of_versions(site: Path) -> Iterator[Path]:
    """The files that stay as they are; not the pages about them, which say what has come since."""
    return (file for file in (site / "figures").glob("*/*") if file.suffix != ".html" and file.is_file())


def _same(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files."""

    def held(folder: Path) -> dict[str, Any]:
        found = (file for file in folder.rglob("*") if file.is_file())
        return {str(file.relative_to(folder)): file.read_bytes() for file in found}

    return other.exists() and held(one) == held(other)


def _note(root: Path, ledger: versions.Ledger) -> None:
    """Write the ledger, where it has changed."""
    if ledger != versions.read(root):
        files.write(root / versions.LEDGER, json.dumps(ledger, indent=1) + "\n")
