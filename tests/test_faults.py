"""Killed, starved, in one another's way: what is whole stays whole, what went wrong is said in one line."""

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from bnbook import benchmarks, claims, cli, files, paths, records, skeleton
from bnbook.config import ConfigError
from bnbook.experiments.mnist_activation_shift import protocol
from bnbook.files import FileError
from bnbook.runs import obtain as runs
from bnbook.runs import plans, replay
from bnbook.train.checkpoint import Checkpoint
from tests.processes import alive
from tests.records import write_finished

SMOKE = protocol.dataclasses.replace(protocol.PROFILES["smoke"], multiverse_steps=20)
CONFIG = protocol.multiverse(SMOKE)[0]


@pytest.fixture(autouse=True)
def said_anew():
    files.warn_once.cache_clear()


@pytest.fixture
def full_disk(tmp_path):
    """A folder on a disk of its own, with 64 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True)
    if mount.returncode:
        pytest.skip("no right to mount a small disk here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def left_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def read_only(tmp_path):
    """Makes the folder "read-only", with what is in it by then, one that nobody can write, not even root."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a disk here")
    yield lambda: subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    subprocess.run(["umount", folder], check=True)


# Files


def test_a_full_disk_leaves_the_file_as_it_was_and_names_it(full_disk):
    file = full_disk / "deep" / "kept.json"
    files.write(file, "old")
    with pytest.raises(OSError) as error:
        files.write(file, os.urandom(1_000_000))
    assert (error.value.errno, error.value.filename) == (errno.ENOSPC, str(file))
    assert file.read_text() == "old" and left_in(full_disk) == ["kept.json"]


def test_a_full_disk_leaves_no_half_of_a_record(full_disk, monkeypatch, capsys):
    arrays = {"noise": np.random.default_rng(0).integers(256, size=1_000_000, dtype=np.uint8)}

    def write(arguments):
        write_finished(full_disk, CONFIG, 0, {}, {}, arrays)

    monkeypatch.setattr(cli, "book", write)
    assert cli.main(["book"]) == 1
    line = capsys.readouterr().err
    assert line.startswith(f"bnbook: {records.path(full_disk, CONFIG, 0).with_suffix('.npz')}: No space left")
    assert line.count("\n") == 1 and not left_in(full_disk)


def test_a_full_cache_stops_no_run(full_disk, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("BNBOOK_CACHE", str(full_disk))
    monkeypatch.setattr("bnbook.train.checkpoint.SECONDS_BETWEEN", 0.0)
    (full_disk / "filler").write_bytes(bytes(60 * 1024))
    assert runs.make(CONFIG, 0, tmp_path / "own").outcome["status"] == "done"
    (line,) = caplog.messages
    assert "No space left on device; the run goes on without checkpoints" in line


def test_a_cache_that_cannot_be_written_stops_no_run(tmp_path, monkeypatch, caplog):
    cache = tmp_path / "cache"
    cache.write_text("a file where the folder should be")
    monkeypatch.setenv("BNBOOK_CACHE", str(cache))
    monkeypatch.setattr("bnbook.train.checkpoint.SECONDS_BETWEEN", 0.0)
    assert runs.make(CONFIG, 0, tmp_path / "own").outcome["status"] == "done"
    assert [message for message in caplog.messages if "go on without locks" in message]
    assert len(caplog.messages) == 2 and not any("\n" in message for message in caplog.messages)


ONE_RUN = "run mnist_activation_shift --stage multiverse --part 1/60"


@pytest.fixture
def short_runs(monkeypatch):
    monkeypatch.setitem(protocol.PROFILES, "smoke", SMOKE)


def test_in_a_read_only_folder_nothing_is_trained_and_what_is_there_is_read(
    tmp_path, monkeypatch, capsys, read_only, short_runs
):
    own = tmp_path / "read-only" / "results"
    monkeypatch.setattr(paths, "BUILD_RESULTS", own)
    made = runs.make(CONFIG, 0, paths.runs(own))
    read_only()
    assert cli.main(ONE_RUN.split()) == 0
    monkeypatch.setattr(runs, "_trained", lambda *arguments: pytest.fail("it was trained for nothing"))
    assert cli.main(ONE_RUN.replace("1/60", "1/30").split()) == 1
    line = capsys.readouterr().err
    assert line.startswith(f"bnbook: {own}") and "Read-only file system" in line and line.count("\n") == 1
    assert records.read(made.path) == made and records.whole(made.path)


def test_a_read_only_cache_stops_no_run(tmp_path, monkeypatch, caplog, read_only):
    monkeypatch.setenv("BNBOOK_CACHE", str(tmp_path / "read-only"))
    monkeypatch.setattr("bnbook.train.checkpoint.SECONDS_BETWEEN", 0.0)
    read_only()
    assert runs.make(CONFIG, 0, tmp_path / "own").outcome["status"] == "done"
    assert len(caplog.messages) == 2 and all("Read-only file system" in line for line in caplog.messages)


def test_a_folder_that_does_not_fit_is_one_line(full_disk, tmp_path, monkeypatch, capsys):
    """Its copy is not given up at the first file: all that failed is told."""
    (tmp_path / "site").mkdir()
    for number in range(100):
        (tmp_path / "site" / f"{number}.html").write_bytes(bytes(4096))
    monkeypatch.setattr(cli, "book", lambda _: shutil.copytree(tmp_path / "site", full_disk / "site"))
    assert cli.main(["book"]) == 1
    line = capsys.readouterr().err
    assert line.startswith(f"bnbook: {full_disk}/site") and "No space left on device" in line
    assert line.count("\n") == 1 and len(line) < 600


def gone() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_what_killed_processes_left_is_swept_at_the_next_write(tmp_path):
    """Killed where the bytes are written and not yet in place."""
    file = tmp_path / "kept.json"
    files.write(file, "old")
    program = (
        "import os, signal, pathlib\n"
        "from bnbook import files\n"
        "os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"files.write(pathlib.Path({str(file)!r}), 'new')\n"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == -signal.SIGKILL
    assert file.read_text() == "old" and len(left_in(tmp_path)) == 2
    host = socket.gethostname()
    kept = [f"a.{host}.{os.getpid()}.tmp", f"a.elsewhere.{gone()}.tmp", f"{host}.tmp", f"a.{host}.x.tmp"]
    for name in kept:
        (tmp_path / name).write_text("")
    fetched = tmp_path / f"fetched.{host}.{gone()}.tmp"
    fetched.mkdir()
    (fetched / "part").write_text("")
    files.write(tmp_path / "other.json", "")
    assert left_in(tmp_path) == sorted([*kept, "kept.json", "other.json"])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells it from one that lives")
def test_what_a_process_left_is_swept_that_ended_and_that_nobody_has_asked_how(tmp_path):
    ended = subprocess.Popen(["true"])
    until(lambda: not alive(ended.pid), "it does not end")
    (tmp_path / f"a.{socket.gethostname()}.{ended.pid}.tmp").touch()
    files.write(tmp_path / "other.json", "")
    assert left_in(tmp_path) == ["other.json"]
    ended.wait()


def test_bytes_are_on_the_disk_before_they_are_in_place(tmp_path, monkeypatch):
    """First the file, then its name: a power cut leaves the old file or the new one, never an empty one."""
    done = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(
        os, "fsync", lambda number: done.append(os.readlink(f"/proc/self/fd/{number}")) or fsync(number)
    )
    monkeypatch.setattr(Path, "replace", lambda one, other: done.append("renamed") or replace(one, other))
    write_finished(tmp_path, CONFIG, 0, {}, {}, {"steps": np.arange(3)})
    folder = records.path(tmp_path, CONFIG, 0).parent
    above = [str(one) for one in (folder, *folder.parents) if one.is_relative_to(tmp_path)]
    kinds = [one if one in ("renamed", *above) else Path(one).name.split(".")[1] for one in done]
    own = above[0]
    assert kinds == [*above[1:], "npz", "renamed", own, "json", "renamed", own]


def test_nothing_of_a_new_experiment_is_written_where_a_list_has_no_place_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(paths, "BOOK", tmp_path / "book")
    names = tmp_path / "src/bnbook/experiments/__init__.py"
    for file, text in {names: "    ]\n}\n", tmp_path / "book/_toc.yml": "no such line"}.items():
        file.parent.mkdir(parents=True)
        file.write_text(text)
    with pytest.raises(ConfigError, match="by hand"):
        skeleton.create("group_norm", "3.2")
    assert left_in(tmp_path) == ["__init__.py", "_toc.yml"] and names.read_text() == "    ]\n}\n"


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', "{", '{"a": NaN}', "[" * 50_000])
@pytest.mark.parametrize(
    ("name", "read"), [("bench.json", benchmarks.read), ("rules.json", claims.registered)]
)
def test_a_damaged_file_of_the_project_is_one_line(tmp_path, monkeypatch, text, name, read):
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    (tmp_path / name).write_text(text)
    with pytest.raises(FileError, match=rf"{name}: .*`git restore .*{name}` brings back") as error:
        read()
    assert "\n" not in str(error.value)


# Two at once

RUN = """
import pathlib, sys, time
from bnbook.experiments.mnist_activation_shift import protocol
from bnbook.runs import obtain as runs

folder = pathlib.Path(sys.argv[1])
trained = runs._trained

def watched(*arguments):
    with (folder / "trainings").open("a") as log:
        log.write("one\\n")
    while not (folder / "go").exists():
        time.sleep(0.05)
    return trained(*arguments)

runs._trained = watched
sizes = protocol.dataclasses.replace(protocol.PROFILES["smoke"], multiverse_steps=20)
record = runs.obtain(protocol.multiverse(sizes)[0], 0, [folder / "own"])
print(record.provenance["finished"], record.first_losses[-1])
"""


@pytest.mark.parametrize("killed", [False, True], ids=["the first ends", "the first is killed"])
def test_of_two_identical_runs_the_second_waits_and_takes_what_the_first_made(tmp_path, killed):
    """And makes it where the first was killed: a lock goes with its process."""
    (tmp_path / "run.py").write_text(RUN)
    command = [sys.executable, str(tmp_path / "run.py"), str(tmp_path)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    options["env"] = os.environ | {"BNBOOK_CACHE": str(tmp_path / "cache")}
    first = subprocess.Popen(command, **options)
    until(lambda: (tmp_path / "trainings").exists(), "the first does not train")
    second = subprocess.Popen(command, **options)
    try:
        assert "another process makes" in second.stderr.readline()
        if killed:
            first.kill()
            until(lambda: (tmp_path / "trainings").read_text() == "one\none\n", "the second waits on")
        (tmp_path / "go").touch()
        (one, _), (two, error) = first.communicate(timeout=60), second.communicate(timeout=60)
    finally:
        first.kill(), second.kill()
    assert second.returncode == 0, error
    if not killed:
        assert first.returncode == 0 and one == two
        assert (tmp_path / "trainings").read_text() == "one\n"
    assert records.whole(records.path(tmp_path / "own", CONFIG, 0))
    assert not [name for name in left_in(tmp_path) if name.endswith((".lock", ".tmp", ".pt"))]


def test_what_a_process_left_that_was_killed_once_its_record_was_written_is_taken_away(tmp_path, monkeypatch):
    monkeypatch.setenv("BNBOOK_CACHE", str(tmp_path / "cache"))
    made = runs.make(CONFIG, 0, tmp_path / "own")
    lock, place = made.path.with_suffix(".lock"), runs._checkpoint(CONFIG, 0)
    with runs.alone(lock, tmp_path):  # it is still at it
        assert runs.obtain(CONFIG, 0, [tmp_path / "own"]) == made and lock.exists()
    for file in (
        lock,
        place,
        place.with_suffix(".lock"),
        place.with_name(f"x.{socket.gethostname()}.{gone()}.tmp"),
    ):
        file.touch()
    assert runs.obtain(CONFIG, 0, [tmp_path / "own"]) == made
    assert [name for name in left_in(tmp_path) if not name.endswith(".npz")] == ["seed-0.json"]


def until(condition, message, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, message
        time.sleep(0.1)


# Another time


def test_a_clock_that_is_set_back_within_a_run_changes_nothing(tmp_path, monkeypatch):
    """What was there by then lies in the future: a checkpoint, and what a killed process left."""
    monkeypatch.setenv("BNBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("bnbook.train.checkpoint.SECONDS_BETWEEN", 0.0)
    whole = runs.make(CONFIG, 0, tmp_path / "whole")
    save, first = Checkpoint.save, tmp_path / "own"

    def stopped(self, model, optimizer, probes, progress):
        save(self, model, optimizer, probes, progress)
        if progress.step == 10:
            raise KeyboardInterrupt

    with monkeypatch.context() as until_then, pytest.raises(KeyboardInterrupt):
        until_then.setattr(Checkpoint, "save", stopped)
        runs.make(CONFIG, 0, first)
    records.path(first, CONFIG, 0).with_suffix(".lock").touch()
    for file in (*tmp_path.rglob("*"), tmp_path):
        os.utime(file, (2**31, 2**31))

    class Clock(datetime):
        @classmethod
        def now(cls, zone=None):
            return cls(1970, 1, 1, tzinfo=zone)

    begun = []
    monkeypatch.setattr(time, "time", lambda: 0.0)
    monkeypatch.setattr(runs, "datetime", Clock)
    monkeypatch.setattr(Checkpoint, "save", lambda self, *state: begun.append(state[-1].step))
    again = runs.make(CONFIG, 0, first)
    assert begun[0] == 11, "it did not go on from its checkpoint"
    assert replay.differences(whole, again) == [] and records.whole(again.path)
    assert again.provenance["finished"].startswith("1970")
    assert not [name for name in left_in(first) if not name.endswith((".json", ".npz"))]


# What code it is


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A checkout with one commit, in which the code lies."""
    root = tmp_path / "checkout"
    (root / "src").mkdir(parents=True)
    (root / "src" / "code.py").write_text("1")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    monkeypatch.setattr(paths, "ROOT", root)
    return root


def git(root, *arguments):
    names = ["-c", "user.name=n", "-c", "user.email=e"]
    done = subprocess.run(["git", *names, *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


code_commit = runs.code_commit.__wrapped__  # whose answer is kept for as long as a process lives


def test_a_checkout_has_its_commit(repository):
    assert code_commit() == git(repository, "rev-parse", "HEAD")
    (repository / "README.md").write_text("no code")
    assert code_commit() == git(repository, "rev-parse", "HEAD")
    (repository / "src" / "more.py").write_text("2")
    assert code_commit() == git(repository, "rev-parse", "HEAD") + "-dirty"


def broken_index(root, monkeypatch):
    (root / ".git" / "index").write_bytes(b"no index")


UNKNOWN = {
    "no git": lambda root, monkeypatch: monkeypatch.setenv("PATH", str(root)),
    "no checkout": lambda root, monkeypatch: (root / ".git").rename(root.parent / "elsewhere"),
    "a folder in another repository": lambda root, monkeypatch: monkeypatch.setattr(
        paths, "ROOT", root / "src"
    ),
    "of another owner": lambda root, monkeypatch: monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1"),
    "a broken index": broken_index,
}


@pytest.mark.parametrize("fault", UNKNOWN.values(), ids=UNKNOWN)
def test_code_that_git_does_not_name_is_unknown(repository, monkeypatch, fault):
    fault(repository, monkeypatch)
    assert code_commit() == "unknown"


def test_checkpoints_of_two_states_of_the_code_lie_apart(tmp_path):
    def state(commit, code):
        (tmp_path / "code.py").write_text(code)
        return runs.code_state.__wrapped__(commit, tmp_path)

    assert state("abc", "1") == state("abc", "2") == "abc"
    for commit in ("abc-dirty", "unknown"):
        assert state(commit, "1") == state(commit, "1") != state(commit, "2")


# The command

FAULTS = {
    "a full disk": OSError(errno.ENOSPC, "No space left on device", "seed-0.json"),
    "a read-only disk": OSError(errno.EROFS, "Read-only file system", "seed-0.json"),
    "no right": PermissionError(errno.EACCES, "Permission denied", "seed-0.json"),
    "too long a name": OSError(errno.ENAMETOOLONG, "File name too long", "seed-0.json"),
    "without a name": OSError(errno.EIO, "Input/output error"),
    "without a number": OSError("line dropped"),
    "another's pipe": BrokenPipeError(errno.EPIPE, "Broken pipe"),
    "no memory": MemoryError(),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_what_the_machine_refuses_is_one_line(monkeypatch, capfd, fault):
    def fail(arguments):
        raise fault

    monkeypatch.setattr(cli, "book", fail)
    assert cli.main(["book"]) == 1
    line = capfd.readouterr().err
    assert line.startswith("bnbook: ") and line.count("\n") == 1
    assert "the same command goes on" in line
    assert (getattr(fault, "strerror", None) or str(fault)) in line
    if getattr(fault, "filename", None):
        assert line.startswith("bnbook: seed-0.json: ")


def test_torchs_own_word_for_no_memory_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("BNBOOK_CACHE", str(tmp_path))
    huge = protocol.dataclasses.replace(CONFIG, hidden=10**9)
    with pytest.raises(MemoryError):
        runs.make(huge, 0, tmp_path)


def bnbook(*words, **options):
    command = [sys.executable, "-m", "bnbook", *words]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_who_has_enough_is_no_problem(unbuffered):
    read, write = os.pipe()
    os.close(read)
    process = bnbook("claims", stdout=write, env=os.environ | {"PYTHONUNBUFFERED": unbuffered})
    os.close(write)
    assert (process.communicate()[1], process.returncode) == ("", 128 + signal.SIGPIPE)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_a_full_disk_swallows_is_a_problem(unbuffered):
    with open("/dev/full", "w") as full:
        process = bnbook("claims", stdout=full, env=os.environ | {"PYTHONUNBUFFERED": unbuffered})
    error = process.communicate()[1]
    assert process.returncode == 1
    assert error.startswith("bnbook: No space left on device") and error.count("\n") == 1


def test_output_goes_through_an_encoding_that_lacks_a_letter():
    process = bnbook("claims", stdout=subprocess.PIPE, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    out, error = process.communicate()
    assert (error, process.returncode) == ("", 0)
    assert "c-4.1-accuracy" in out and "?" in out


def test_no_file_is_taken_for_an_output_that_the_caller_has_closed():
    """Else torch's warnings would go into the record that is being written."""
    program = (
        "import os, sys; from bnbook import cli; cli.main(['data', 'check', 'digits'])\n"
        "sys.exit(os.open(os.devnull, os.O_RDONLY) < 3)"
    )
    closed = subprocess.run([sys.executable, "-c", program], preexec_fn=lambda: os.closerange(0, 3))
    assert closed.returncode == 0


# Whole plans, whose results go to a folder of the test; workers read the file too.
PLAN = """
import os, pathlib, signal, sys
from bnbook import cli, paths
from bnbook.runs import obtain as runs

paths.BUILD_RESULTS = pathlib.Path(sys.argv[1])
if os.environ.get("FAULT") == "killed":
    runs.obtain = lambda *arguments, **options: os.kill(os.getpid(), signal.SIGKILL)
if __name__ == "__main__":
    words = "run mnist_activation_shift --stage multiverse --part 1/20 --jobs 2"
    sys.exit(cli.main(words.split()))
"""


def plan(folder, **options):
    (folder / "plan.py").write_text(PLAN)
    command = [sys.executable, str(folder / "plan.py"), str(folder / "results")]
    cache = {"BNBOOK_CACHE": str(folder / "cache")}
    options["env"] = os.environ | cache | options.get("env", {})
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def test_a_worker_that_the_system_ends_is_one_line(tmp_path):
    process = plan(tmp_path, env={"FAULT": "killed"})
    error = process.communicate(timeout=120)[1]
    assert process.returncode == 1, error
    assert error.startswith("bnbook: the system ended a process") and error.count("\n") == 1


def test_a_plan_goes_on_when_its_terminal_goes(tmp_path):
    """As with nohup: the hang-up is ignored, there is no input, not even an empty one."""

    def left_alone():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.close(0)

    process = plan(tmp_path, preexec_fn=left_alone, start_new_session=True)
    line = process.stdout.readline()
    os.killpg(process.pid, signal.SIGHUP)
    out, error = process.communicate(timeout=120)
    assert (process.returncode, error) == (0, "")
    lines = [line, *out.splitlines()]
    made = list((tmp_path / "results").rglob("seed-*.json"))
    assert len(made) == len(lines) > 2 and all(map(records.whole, made))


def test_a_pool_that_breaks_is_said_in_a_line_of_ours(tmp_path, monkeypatch):
    def breaks(futures):
        raise BrokenProcessPool("a child process terminated abruptly")

    monkeypatch.setattr(plans, "as_completed", breaks)
    jobs = [(CONFIG, seed) for seed in range(2)]
    monkeypatch.setattr(plans.ProcessPoolExecutor, "submit", lambda *arguments: None)
    with pytest.raises(plans.PlanError, match="try fewer --jobs"):
        list(plans.make(jobs, tmp_path, processes=2))
