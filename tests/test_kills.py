"""Killed by the system at 20 random moments each: a run, a sweep, a build. The moments are drawn from a seed,
half of them by the clock, half by what is done to files, where harm could be done."""

import itertools
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from bnbook import records
from tests.doomed import run
from tests.processes import alive, children, wait_until
from tests.test_build import building, built, site, source  # noqa: F401 - a fixture

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them"),
]

KILLS = 20
# Forked from a process that has imported what they need and done nothing with it.
NURSERY = multiprocessing.get_context("forkserver")
ROOM = "bnbook.experiments.mnist_activation_shift"
NURSERY.set_forkserver_preload(
    [
        "bnbook.cli",
        "bnbook.runs.plans",
        f"{ROOM}.training",
        "torch._dynamo",
        "scipy.stats",
        "sklearn.datasets",
    ]
)
# One run of 20 steps, and four of them by two workers.
WORDS = {"a run": "--part 1/60", "a sweep": "--part 1/15 --jobs 2"}


def begun(words: str, room: Path, doomed: int = 0) -> multiprocessing.Process:
    process = NURSERY.Process(target=run, args=(words, room, doomed))
    process.start()
    return process


def files_of(room: Path) -> dict[str, bytes]:
    """All that a run left, but for what this test has written."""
    found = (file for folder in ("results", "cache") for file in (room / folder).rglob("*") if file.is_file())
    return {file.relative_to(room).as_posix(): file.read_bytes() for file in found}


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_killed_at_random_moments_it_goes_on_and_comes_to_the_same_bytes(tmp_path, words):
    """Each begins where the last was killed, and where one comes to its end, from nothing. What is in the way
    of the next one would be seen, and so would half a record."""
    chance, kills = random.Random(20150302), 0
    whole = tmp_path / "whole"
    whole.mkdir()
    begun("--help", tmp_path).join()  # the nursery opens
    seconds = time.monotonic()
    begun(words, whole).join()
    seconds = time.monotonic() - seconds
    expected = files_of(whole)
    assert {Path(name).suffix for name in expected} == {".json", ".npz"}, (whole / "said").read_text()
    changes = int((whole / "changes").read_text()) or len(expected) * 8  # of a worker, about
    room = tmp_path / "killed"
    room.mkdir()

    def look() -> None:
        found = {name: data for name, data in files_of(room).items() if name.startswith("results")}
        torn = [name for name, data in found.items() if expected.get(name, data) != data]
        strange = [name for name in found.keys() - expected.keys() if not name.endswith((".tmp", ".lock"))]
        assert not torn and not strange
        assert all(records.whole(file) for file in room.rglob("seed-*.json"))

    def all_there() -> None:
        assert files_of(room) == expected, (room / "said").read_text()

    while kills < KILLS:
        by_clock = kills % 2 == 0
        process = begun(words, room, 0 if by_clock else chance.randint(1, changes))
        workers: list[int] = []
        if by_clock:
            process.join(chance.uniform(0, seconds))
            workers = children(process.pid)
            process.kill()
        process.join()
        wait_until(lambda workers=workers: not any(map(alive, workers)), seconds=30)
        look()
        if process.exitcode == 0:
            all_there()
            shutil.rmtree(room)
            room.mkdir()
        else:
            assert process.exitcode in (-signal.SIGKILL, 1), (room / "said").read_text()
            kills += 1
    last = begun(words, room)
    last.join()
    assert last.exitcode == 0, (room / "said").read_text()
    all_there()


def test_while_builds_are_killed_at_random_moments_the_old_site_or_the_new_one_stands(source):  # noqa: F811
    """Each goes on where the last was killed; where one comes to its end, the next has another number."""
    chance, kills = random.Random(20150302), 0
    numbers = itertools.cycle([1001, 1002])
    old = {next(numbers): built(source, 1001)}
    number = next(numbers)
    began = time.monotonic()
    expected = old | {number: built(source, number)}
    seconds = time.monotonic() - began
    assert expected[1001] != expected[1002] and expected[1001].keys() == expected[1002].keys()
    shown, number = number, next(numbers)
    while kills < KILLS:
        process = building(source, number)
        process.join(chance.uniform(0, seconds))
        editions = children(process.pid)
        # A build's own processes end with it, and the next one waits for that; or they are killed, too.
        for one in [process.pid, *editions][: chance.choice([1, None])]:
            if alive(one):
                os.kill(one, signal.SIGKILL)
        process.join()
        found = site(source)
        assert found in (expected[shown], expected[number]), "pages of two builds"
        if process.exitcode == 0:
            assert found == expected[number], "old pages stayed"
            shown, number = number, next(numbers)
        else:
            assert process.exitcode == -signal.SIGKILL
            kills += 1
    assert built(source, number) == expected[number]
    assert [path.name for path in (source / "build").glob("html*")] == ["html"]
