"""Builds of a small book that are killed, and built files that are damaged: the next build puts all right."""

import json
import multiprocessing
import os
import pkgutil
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sphinx.cmd.build
import yaml

from bnbook import book, claims, figures, paths
from bnbook.sphinxext import numbers
from bnbook.sphinxext.claims import board
from tests.processes import alive

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="builds are forked from this process, to save time"),
]

EDITION = "en"
PAGE = "# {{ko}}`장 {name}` {{en}}`Chapter {name}`\n\n{{result}}`number`\n"
Site = dict[str, bytes]

# A call at which the build is killed, and the how many-th.
MOMENTS = {
    "reading": ("sphinx.builders.Builder.read_doc", 2),
    "writing": ("sphinx.builders.html.StandaloneHTMLBuilder.write_doc", 2),
    "at the end of writing": ("sphinx.builders.html.StandaloneHTMLBuilder.finish", 1),
    "copying": ("shutil.copytree", 3),
    "putting in place": ("bnbook.book.exchange", 1),
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A book of three chapters that show one number, which lies in number.json."""
    root = tmp_path / "book of three"
    shutil.copytree(paths.BOOK / "_templates", root / "book" / "_templates")
    shutil.copytree(paths.BOOK / "_static", root / "book" / "_static")
    for name in ("_config.yml", "book/references.bib", "book/glossary.yml"):
        shutil.copy(paths.ROOT / name, root / name)
    (root / "notebooks").mkdir()
    chapters = ["one", "two"]
    contents = {"root": "book/index", "chapters": [{"file": f"book/{name}"} for name in chapters]}
    (root / "book" / "_toc.yml").write_text(yaml.safe_dump({"format": "jb-book", **contents}))
    for name in ("index", *chapters):
        (root / "book" / f"{name}.md").write_text(PAGE.format(name=name), encoding="utf-8")
    return root


def building(
    source: Path, number: int, prepare: Callable[[], None] = lambda: None
) -> multiprocessing.Process:
    """A process that builds the book with `number` in it, after `prepare`."""
    (source / "number.json").write_text(json.dumps(number))

    def run() -> None:
        prepare()
        pretend(source)
        book.build(source / "build" / "html", [EDITION], source=source)

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    return process


def pretend(source: Path) -> None:
    """As if the number in number.json were all that the records gave, and no figure were drawn."""
    figures.FIGURES.clear()
    claims.results, claims.board = dict, lambda results: []
    claims.all_numbers = lambda results: {"number": json.loads((source / "number.json").read_text())}
    for once in (numbers.results, numbers.sources, board):
        once.cache_clear()


def built(source: Path, number: int) -> Site:
    """The site with `number`, built without disturbance."""
    process = building(source, number)
    process.join()
    assert process.exitcode == 0, (source / "build" / "book" / f"{EDITION}.log").read_text()
    return site(source)


def site(source: Path) -> Site:
    """Every file that a reader gets, by its address."""
    html = source / "build" / "html"
    return {str(file.relative_to(html)): file.read_bytes() for file in html.rglob("*") if file.is_file()}


def at(moment: str, act: Callable[[], None]) -> Callable[[], None]:
    """Has the build `act` at the `moment`."""
    target, number = MOMENTS[moment]
    place, _, name = target.rpartition(".")
    owner = pkgutil.resolve_name(place)
    original, calls = getattr(owner, name), []

    def call(*args, **options):
        calls.append(1)
        if len(calls) == number:
            act()
        return original(*args, **options)

    return lambda: setattr(owner, name, call)


def killed(source: Path, number: int, moment: str) -> None:
    """A build with `number` in it and the process of its edition, both killed at the `moment`."""

    def kill() -> None:
        for process in (int(main.read_text()), os.getpid()):
            os.kill(process, signal.SIGKILL)

    def prepare() -> None:
        main.write_text(str(os.getpid()))
        at(moment, kill)()

    main = source / "main.pid"
    process = building(source, number, prepare)
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_after_a_kill_the_old_site_stands_and_the_next_build_is_whole(source: Path) -> None:
    expected = [built(source, number) for number in (1001, 1002)]
    assert expected[0] != expected[1] and expected[0].keys() == expected[1].keys()
    for count, moment in enumerate(MOMENTS):
        old, new = count % 2 == 0, count % 2
        killed(source, 1001 + new, moment)
        assert site(source) == expected[old], f"killed at {moment}: pages of two builds"
        assert built(source, 1001 + new) == expected[new], f"killed at {moment}: old pages stayed"
    assert [path.name for path in (source / "build").glob("html*")] == ["html"]


def test_damaged_files_are_made_again(source: Path) -> None:
    whole = built(source, 1001)
    edition = source / "build" / "html" / EDITION
    private = source / "build" / "editions" / EDITION / EDITION
    for folder in (edition, private):
        (folder / "index.html").write_bytes((folder / "index.html").read_bytes()[:3000])
        (folder / "_static" / "bnbook.css").write_bytes(b"")
        (folder / "searchindex.js").write_text("Search.setIndex({")
        (folder / "two.html").unlink()
        (folder / "three.html").write_text("<p>of nobody</p>")
        assert built(source, 1001) == whole, folder


def test_a_build_in_which_nothing_changed_writes_no_page(source: Path) -> None:
    built(source, 1001)
    page = source / "build" / "editions" / EDITION / EDITION / "one.html"
    before = page.stat().st_mtime_ns
    built(source, 1001)
    assert page.stat().st_mtime_ns == before


def test_after_the_clock_was_set_back_what_has_changed_is_seen(source: Path) -> None:
    """By what Sphinx has noted, all was read tomorrow."""
    now = time.time_ns

    def tomorrow() -> None:
        time.time_ns = lambda: now() + 86_400 * 10**9

    process = building(source, 1001, tomorrow)
    process.join()
    assert process.exitcode == 0
    (source / "book" / "one.md").write_text(PAGE.format(name="anew"), encoding="utf-8")
    after = built(source, 1002)
    assert b"Chapter anew" in after[f"{EDITION}/one.html"]
    assert all(b"1,002" in after[f"{EDITION}/{page}.html"] for page in ("one", "two"))


def test_a_chapter_that_is_taken_out_leaves_no_page_and_its_title_no_trace(source: Path) -> None:
    built(source, 1001)
    (source / "book" / "one.md").write_text(PAGE.format(name="anew"), encoding="utf-8")
    assert b"Chapter anew" in built(source, 1001)[f"{EDITION}/two.html"]
    contents = source / "book" / "_toc.yml"
    contents.write_text(contents.read_text().replace("- file: book/two\n", ""))
    after = built(source, 1001)
    assert f"{EDITION}/two.html" not in after and b"Chapter two" not in after[f"{EDITION}/one.html"]


def test_a_notebook_whose_runs_are_still_to_be_made_is_left_out_and_its_link_is_words(source: Path) -> None:
    contents = source / "book" / "_toc.yml"
    pages = ("notebooks/99_waiting", "book/figures/waiting")
    lines = "".join(f"- file: {page}\n" for page in pages)
    contents.write_text(contents.read_text().replace("format:", f"{lines}format:"))
    page = source / "book" / "one.md"
    page.write_text(page.read_text() + "\nIn [a notebook](../notebooks/99_waiting.ipynb).\n")
    after = built(source, 1001)
    assert b"In a notebook." in after[f"{EDITION}/one.html"]
    assert not [name for name in after if "waiting" in name]


def test_on_a_full_disk_the_old_site_stands_and_with_room_again_the_next_build_is_whole(
    source: Path, capfd
) -> None:
    disk = source / "build"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a disk here")
    try:
        old = built(source, 1001)
        filler = disk / "filler"
        with filler.open("wb") as stream:
            left = shutil.disk_usage(disk).free - 300_000
            os.posix_fallocate(stream.fileno(), 0, left)
        process = building(source, 1002)
        process.join()
        assert process.exitcode == 1 and site(source) == old
        assert "No space left on device" in capfd.readouterr().err
        filler.unlink()
        assert b"1,002" in built(source, 1002)[f"{EDITION}/two.html"]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_failed_build_leaves_the_site_and_fails_again(source: Path) -> None:
    whole = built(source, 1001)
    page = source / "book" / "two.md"
    page.write_text(page.read_text(encoding="utf-8") + "\n{result}`nowhere`\n", encoding="utf-8")
    for _ in range(2):
        process = building(source, 1002)
        process.join()
        assert process.exitcode == 1 and site(source) == whole


def test_the_processes_of_the_editions_end_with_a_killed_build(source: Path) -> None:
    """And the next build waits until they have."""
    child = source / "child.pid"

    def wait() -> None:
        child.write_text(str(os.getpid()))
        time.sleep(60)

    process = building(source, 1001, at("writing", wait))
    deadline = time.monotonic() + 60
    while not child.exists() or not child.read_text():
        assert process.is_alive() and time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.join()
    assert b"1,002" in built(source, 1002)[f"{EDITION}/one.html"]
    assert not alive(int(child.read_text()))


def test_jupyter_book_leaves_nothing_old_either(source: Path) -> None:
    """It knows nothing of the folders of `bnbook book`: what Sphinx has stored must be right by itself."""
    conf = book.write_conf(source, source / "build" / "conf")
    arguments = [
        "-b",
        "html",
        "-q",
        "-c",
        conf,
        "-d",
        source / "build" / "trees",
        source,
        source / "build" / "html",
    ]

    def build(number: int, prepare: Callable[[], None] = lambda: None) -> int | None:
        def run() -> None:
            pretend(source)
            prepare()
            sys.exit(sphinx.cmd.build.main([str(one) for one in arguments]))

        (source / "number.json").write_text(json.dumps(number))
        process = multiprocessing.get_context("fork").Process(target=run)
        process.start()
        process.join()
        return process.exitcode

    assert build(1001) == 0
    kill = at("writing", lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert build(1002, kill) == -signal.SIGKILL
    assert build(1002) == 0
    assert all(b"1,002" in page for name, page in site(source).items() if name in ("index.html", "two.html"))


def test_folders_are_exchanged_where_the_system_cannot_do_it_in_one_step(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(book.ctypes, "CDLL", lambda name: None)
    for name in ("fresh", "old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    book.exchange(tmp_path / "fresh", tmp_path / "old")
    assert {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*/*")} == {"fresh/old", "old/fresh"}
