"""`make` and the workflow: in a folder of any name, killed at any time; what is shown meanwhile, and what the
installer says that cannot install."""

import dataclasses
import importlib.util
import io
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bnbook import claims, cli, parent, paths, progress, records
from bnbook.config import ConfigError
from bnbook.experiments import EXPERIMENTS, Experiment
from bnbook.records import MissingRecord
from bnbook.runs import reproduce
from bnbook.runs.reproduce import Progress, Stage, Sweep
from tests.processes import alive, child, wait_until

NAMES = ("my docs (1)", "논문 [bn] {x} $HOME 'q' & \"r\"")
JOBS = Path("build") / "rerun" / "smoke" / "jobs"
SHORT = "algorithm1_line_by_line"  # its runs take no time


def waits(experiment: Experiment) -> bool:
    """Whether some of its committed runs are still to be made."""
    protocol, folders = experiment.protocol, [paths.runs(paths.RESULTS)]
    try:
        plan = [
            job
            for stage in protocol.STAGES
            for job in protocol.plan(stage, protocol.PROFILES["cpu"], folders)
        ]
    except MissingRecord:
        return True
    return not all(records.find(folders, *job) for job in plan)


WAITING = {name for name, experiment in EXPERIMENTS.items() if waits(experiment)}
LONGER = "scale_invariance"  # a dozen and more in a job, of a fraction of a second


def copied(folder: Path) -> Path:
    """A copy of this checkout in `folder`, installed as this one is."""
    folder.mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(paths.ROOT / name, folder)
    for name in ("src", "examples", "workflow"):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(paths.ROOT / name, folder / name, ignore=ignored)
    for name in ("results", "notebooks"):
        (folder / name).symlink_to(paths.ROOT / name)
    venv = folder / ".venv"
    venv.mkdir()
    for name in ("bin", "lib", "share", "pyvenv.cfg"):
        (venv / name).symlink_to(Path(sys.prefix) / name)
    (venv / "installed").touch()
    return folder


def environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BNBOOK_")}
    return kept | {"PYTHONPATH": str(folder / "src"), "BNBOOK_CACHE": str(folder / "cache")} | more


def snakemake(folder: Path, *arguments: str) -> list[str]:
    options = ["--snakefile", "workflow/Snakefile", "--cores", "1", "--nolock", "--rerun-incomplete"]
    return [str(folder / ".venv" / "bin" / "python"), "-m", "snakemake", *options, *arguments]


def records_of(folder: Path, experiment: str) -> list[Path]:
    return sorted((folder / "build" / "results" / "runs" / experiment).rglob("*.json"))


# In any folder


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_rule_runs_in_a_folder_of_any_name(tmp_path, name):
    folder = copied(tmp_path / name)
    done = JOBS / f"{SHORT}_main_1.done"
    command = snakemake(folder, str(done), "--config", "profile=smoke")
    ended = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (folder / done).exists()
    assert len(records_of(folder, SHORT)) == 10
    # And what it says while it runs is understood.
    shown = Progress(Sweep("smoke"), "1")
    shown.begin([])
    said = (ended.stdout + ended.stderr).splitlines(keepends=True)
    running = []
    for line in said:
        assert shown.hear(line) == []
        running.append(shown.text().partition(": ")[2])
    assert [words for words, _ in itertools.groupby(running)] == ["", f"{SHORT} (Section 3)", ""]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_make_runs_in_a_folder_of_any_name(tmp_path, name):
    folder = copied(tmp_path / name)
    for target, told in (
        ("claims", "c-4.1-accuracy"),
        ("refused", "bnbook: data is 'cifar100'; it must be one of cifar10, cifar10-jpeg, digits, mnist"),
    ):
        arguments = ["DATA=cifar100", "reproduce"] if target == "refused" else ["-f", "-", "claims"]
        extra = "include Makefile\nclaims: ; @$(BNBOOK) claims\n"
        ended = subprocess.run(
            ["make", *arguments],
            cwd=folder,
            env=environment(folder),
            input=extra,
            capture_output=True,
            text=True,
        )
        assert told in ended.stdout + ended.stderr
        assert (ended.returncode == 0) == (target == "claims")
        assert "Traceback" not in ended.stderr


def test_a_plan_that_is_made_leaves_notebooks_and_figures_of_these_runs(tmp_path):
    folder = copied(tmp_path / "a b")
    (folder / "build").mkdir()
    (folder / "build" / "results").symlink_to(paths.RESULTS)
    shown = dry_run(folder, "profile=cpu", "book=0")
    assert {line.split()[0] for line in shown.split("bnbook run ")[1:]} == WAITING
    if WAITING:  # what follows on runs is planned when they are there
        return
    assert shown.count("bnbook notebook run") == len(EXPERIMENTS)
    assert "bnbook figures --profile cpu --rerun --out build/results/figures" in shown
    assert "bnbook book" not in shown


def test_another_data_set_is_asked_for_where_it_can_be(tmp_path):
    shown = dry_run(copied(tmp_path / "a b"), "profile=cpu", "data=cifar10")
    assert "bnbook run inception_speedups --profile cpu --data cifar10 --stage precision" in shown
    assert "bnbook run mnist_activation_shift --profile cpu --stage multiverse" in shown
    assert "bnbook book" in shown


def test_short_runs_share_a_job(tmp_path):
    shown = dry_run(copied(tmp_path / "a b"), "profile=cpu")
    assert shown.count(f"bnbook run {SHORT} ") == 1  # of 50 runs, of a tenth of a second
    protocol = EXPERIMENTS["inception_speedups"].protocol
    known = [
        protocol.configurations(stage, protocol.PROFILES["cpu"], []) for stage in ("precision", "initial")
    ]
    assert shown.count("bnbook run inception_speedups ") == sum(len(one) * seeds for one, seeds in known)


def dry_run(folder: Path, *config: str) -> str:
    """The commands that would be run, by what Snakemake says."""
    command = snakemake(folder, "--dry-run", "--printshellcmds", "--config", *config)
    ended = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout + ended.stderr


# Killed


# Starts what it is given, as `make reproduce` starts Snakemake.
DRIVER = """
import subprocess, sys
from bnbook import parent
subprocess.run(sys.argv[1:], env=parent.environment())
"""


@pytest.mark.slow
def test_finished_records_outlive_whatever_is_killed_and_jobs_do_not(tmp_path):
    folder = copied(tmp_path / "a b")
    done = JOBS / f"{LONGER}_main_1.done"
    command = snakemake(folder, str(done), "--config", "profile=smoke")

    def started(records: int, *driver: str) -> subprocess.Popen:
        with (folder / "log.txt").open("a") as log:
            process = subprocess.Popen(
                [*driver, *command], cwd=folder, env=environment(folder), stdout=log, stderr=log
            )
        wait_until(lambda: len(records_of(folder, LONGER)) >= records or process.poll() is not None)
        assert process.poll() is None, (folder / "log.txt").read_text()
        return process

    process = started(2)
    job = child(process.pid)
    os.kill(job, signal.SIGKILL)
    assert process.wait() != 0
    assert len(records_of(folder, LONGER)) >= 2
    assert not (folder / done).exists()

    process = started(4, command[0], "-c", DRIVER)
    workflow = child(process.pid)
    job = child(workflow)
    process.kill()
    process.wait()
    wait_until(lambda: not alive(workflow) and not alive(job), seconds=5)

    assert subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True).returncode == 0
    assert (folder / done).exists()
    assert len(records_of(folder, LONGER)) == 16
    assert not list(folder.rglob("*.tmp"))


FOLLOWER = "import time; from bnbook import parent; parent.follow(); print('on', flush=True); time.sleep(60)"
STARTER = f"""
import os, subprocess, sys, time
from bnbook import parent
environment = parent.environment() if sys.argv[1] == "asked" else os.environ
command = [sys.executable, "-c", {FOLLOWER!r}]
child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("asked", ["asked", "not asked"])
def test_a_process_ends_with_its_parent_where_that_asked_for_it(asked):
    started = subprocess.Popen([sys.executable, "-c", STARTER, asked], stdout=subprocess.PIPE, text=True)
    child = int(started.stdout.readline())
    started.kill()
    started.wait()
    try:
        if asked == "asked":
            wait_until(lambda: not alive(child), seconds=5)
        else:  # `nohup bnbook run ... &`, and the shell is closed
            time.sleep(2 * parent.STEP_SECONDS)
            assert alive(child)
    finally:
        if alive(child):
            os.kill(child, signal.SIGKILL)


def test_one_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(paths, "BUILD", tmp_path / "build")
    monkeypatch.setattr(reproduce, "_reproduce", lambda sweep, *rest: reproduce.reproduce(sweep, *rest))
    with pytest.raises(
        reproduce.ReproduceError, match=r"is being made already, see build/rerun/smoke/log\.txt"
    ):
        reproduce.reproduce(Sweep("smoke"))


# Data


def test_data_that_cannot_be_had_is_said_before_anything_is_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("BNBOOK_DATA", raising=False)
    monkeypatch.setenv("BNBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(paths, "BUILD", tmp_path / "build")
    monkeypatch.setattr(paths, "BUILD_RESULTS", tmp_path / "build" / "results")
    monkeypatch.setattr(reproduce, "_one_pass", lambda *_: pytest.fail("something is trained"))
    assert cli.main(["reproduce", "--profile", "cpu"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert "CIFAR-10, JPEG copy has no public source" in said[-1] and "DATA=cifar10" in said[-1]


def test_data_that_is_not_needed_any_more_is_not_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("BNBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BNBOOK_DATA", raising=False)
    committed = Sweep("cpu", committed=True)
    made = {name: one for name, one in EXPERIMENTS.items() if name not in WAITING}
    monkeypatch.setattr(reproduce, "EXPERIMENTS", made)
    reproduce._check(committed, committed.stages())


def test_unknown_data_is_refused():
    with pytest.raises(ConfigError, match="data is 'cifar100'; it must be one of cifar10, "):
        reproduce._check(Sweep("cpu", "cifar100"), [])


# What is shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_line_is_written_anew_on_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "20")
    line = progress.Line()
    line.show("1 of 2")
    line.show("2 of 2, and more words than there is room for")
    line.keep("bnbook: oh no")
    line.end("done")
    cut = "2 of 2, and more wo"
    assert terminal.getvalue().split("\r\033[K") == ["", "1 of 2", cut, "bnbook: oh no\n", cut, "done\n"]


def test_elsewhere_a_line_comes_now_and_then(monkeypatch, capsys):
    now = iter([0, 10, 31, 32, 62])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    line = progress.Line()
    for text in ("0 of 9", "1 of 9", "2 of 9", "2 of 9", "3 of 9"):
        line.show(text)
    line.keep("bnbook: oh no")
    line.end("9 of 9")
    assert capsys.readouterr().out.splitlines() == ["0 of 9", "2 of 9", "3 of 9", "bnbook: oh no", "9 of 9"]


def test_span():
    assert [progress.span(seconds) for seconds in (4.4, 59.7, 90, 3599, 48_000)] == [
        "4 s", "1 min", "2 min", "1 h 0 min", "13 h 20 min",
    ]  # fmt: skip


@pytest.fixture
def sweep(tmp_path, monkeypatch) -> Sweep:
    monkeypatch.setattr(paths, "BUILD", tmp_path / "build")
    monkeypatch.setattr(paths, "BUILD_RESULTS", tmp_path / "build" / "results")
    monkeypatch.setattr(Sweep, "made", lambda self, file: file.exists())
    monkeypatch.setattr(Sweep, "expected", lambda self, name: 10 if name == LONGER else 0)
    return Sweep("smoke")


def test_how_far_it_is(sweep, monkeypatch):
    now = 0.0
    monkeypatch.setattr(reproduce.time, "monotonic", lambda: now)
    shown = Progress(sweep, "2")
    files = [sweep.runs / SHORT / f"seed-{seed}.json" for seed in range(10)]
    shown.begin([Stage(SHORT, "main", files), Stage("bn_ensemble", "main", files[:2])])
    files[0].parent.mkdir(parents=True)
    assert shown.text() == "0 of about 20 runs"
    files[0].touch()
    now = 6.0
    assert shown.text() == "1 of about 20 runs; about 2 min left for them"  # 19 runs of 6 seconds
    assert shown.hear("[Thu Nov 26]\nJob 3: one (Section 3)\nJob 14: two\nbnbook: ") == []
    assert shown.hear("this failed\nError in rule one_main_1:\n    jobid: 3\n") == ["bnbook: this failed"]
    assert shown.text().endswith("left for them: two")
    assert shown.failed == ["one_main_1"]
    monkeypatch.setattr(Sweep, "expected", lambda self, name: 0)
    for file in files:
        file.touch()
    shown.begin([Stage(SHORT, "main", files)])
    shown.hear("Job 1: notebook 01_one\nJob 2: the book\nFinished jobid: 1 (Rule: a)\n")
    assert shown.text() == f"10 of 10 runs; 1 of {len(EXPERIMENTS) + 1} notebooks and figures: the book"


def test_at_first_the_committed_runs_tell_the_time(sweep, monkeypatch):
    now = 0.0
    monkeypatch.setattr(reproduce.time, "monotonic", lambda: now)
    monkeypatch.setattr(Sweep, "expected", lambda self, name: 0)
    known = {SHORT: reproduce.durations.Spent(10, 36_000.0), "bn_ensemble": reproduce.durations.Spent(0, 0.0)}
    monkeypatch.setattr(reproduce.durations, "spent", lambda: known)
    shown = Progress(Sweep("cpu"), "2")
    files = [sweep.runs / SHORT / f"seed-{seed}.json" for seed in range(10)]
    shown.begin([Stage(SHORT, "main", files)])
    assert shown.text() == "0 of 10 runs; about 5 h 0 min left for them"
    files[0].parent.mkdir(parents=True)
    for file in files[:5]:
        file.touch()
    now = 5 * 3600.0  # a slower machine: twice as long
    assert shown.text() == "5 of 10 runs; about 4 h 35 min left for them"


def test_a_sweep_that_was_stopped_goes_on_and_a_finished_one_starts_anew(sweep, monkeypatch, capsys):
    monkeypatch.setattr(paths, "ROOT", paths.BUILD.parent)
    file = sweep.runs / SHORT / "seed-0.json"
    monkeypatch.setattr(Sweep, "stages", lambda self: [Stage(SHORT, "main", [file])])
    answers = iter([1, 0, 0])
    kept = []

    def one_pass(*arguments) -> int:
        kept.append(file.exists())
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        return next(answers)

    monkeypatch.setattr(reproduce, "_one_pass", one_pass)
    with pytest.raises(
        reproduce.ReproduceError, match=r"^not all was made; build/rerun/smoke/log\.txt says why"
    ):
        reproduce.reproduce(sweep)
    reproduce.reproduce(sweep)
    reproduce.reproduce(sweep)
    assert kept == [False, True, False]
    assert "as far as it is missing" in capsys.readouterr().out


def test_the_claims_of_a_small_rerun(monkeypatch, capsys):
    board = claims.board(claims.results())
    wide = {"estimate": 31622.78, "low": -1.0, "high": 713_021_077_396.96, "bound": None}
    small = [
        dataclasses.replace(one, **wide) if one.kind != "definition" and one.estimate is not None else one
        for one in board
    ]
    monkeypatch.setattr(claims, "results", lambda: "committed")
    monkeypatch.setattr(claims, "board", lambda results: board if results == "committed" else small)
    cli._beside_committed("a small rerun")
    lines = capsys.readouterr().out.splitlines()
    held = [one for one in board if one.kind == "definition"]
    assert [line for line in lines if line.startswith("c-")] == [
        f"{one.id}: {one.statement['en']}" for one in held
    ]
    assert sum(line.endswith(": direction agrees") for line in lines) == len(held)
    others = sum(one.estimate is not None for one in board) - len(held)
    assert lines[-1] == f"too small at this scale: {others} claims"
    assert "713" not in "".join(lines)


# The installer


@pytest.fixture
def bare(tmp_path) -> Path:
    """What `make` needs to install, in a folder with nothing installed."""
    folder = tmp_path / "my docs (1)"
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "workflow/install.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(paths.ROOT / name, folder / name)
    (folder / "src" / "bnbook").mkdir(parents=True)
    for name in ("__init__.py", "progress.py"):
        shutil.copy(paths.ROOT / "src" / "bnbook" / name, folder / "src" / "bnbook")
    return folder


@pytest.fixture
def install(bare, monkeypatch):
    """The installer's module, in that folder."""
    monkeypatch.chdir(bare)
    spec = importlib.util.spec_from_file_location("install", bare / "workflow" / "install.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make(folder: Path, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["make", "book"], cwd=folder, env=os.environ | variables, capture_output=True, text=True
    )


@pytest.mark.parametrize("answer", ["exit 127", "exit 1"])
def test_python_that_is_missing_or_another(bare, tmp_path, answer):
    fake = tmp_path / "bin" / "python3.11"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\necho noise >&2\n{answer}\n")
    fake.chmod(0o755)
    before = sorted(bare.rglob("*"))
    ended = make(bare, PATH=f"{fake.parent}:{os.environ['PATH']}")
    first, *rest = ended.stderr.splitlines()
    assert first == "Python 3.11, 3.11.5 or later, is needed: install it, or say PYTHON=/path/to/python3.11"
    assert ended.returncode and [line[:4] for line in rest] == ["make"]
    assert sorted(bare.rglob("*")) == before


def test_too_little_room_is_said_before_anything_is_written(install, bare, monkeypatch, capsys):
    monkeypatch.setattr(install.shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(9e9, 8e9, 1e9))
    before = sorted(bare.rglob("*"))
    assert install.main() == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        rf"bnbook: the packages need \d+ GB in {re.escape(str(bare))}, and 1\.0 GB are free: .*", said
    )
    assert sorted(bare.rglob("*")) == before


def test_what_is_installed_already_needs_no_room_again(install, bare, monkeypatch):
    monkeypatch.setattr(install, "size", lambda folder: 6.5e9)
    monkeypatch.setattr(install, "DOWNLOADED_GB", 0)
    monkeypatch.setattr(install.shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(9e9, 8e9, 1e9))
    install.check_room()


@pytest.mark.slow
def test_no_network_is_said_in_one_line_and_nothing_stays(bare):
    closed = "http://127.0.0.1:9/simple"
    nowhere = {
        "PIP_INDEX_URL": closed,
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "",
        "PIP_CONFIG_FILE": os.devnull,
    }
    ended = make(bare, PYTHON=sys._base_executable, **nowhere)
    first, *rest = ended.stderr.splitlines()
    assert first == (
        "bnbook: no package can be had: is there a network, and does pip reach its index? "
        "(see build/install.log)"
    )
    assert ended.returncode and [line[:4] for line in rest] == ["make"]
    assert "127.0.0.1" in (bare / "build" / "install.log").read_text()
    assert not (bare / ".venv").exists()


@pytest.mark.slow
def test_an_installation_that_breaks_off_is_none_and_the_next_goes_on(install, bare, monkeypatch, capsys):
    monkeypatch.setattr(install, "check_network", lambda log: None)
    # The packages are to be had nowhere, the virtual environment is made.
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(install.sys, "executable", sys._base_executable)
    assert install.main() == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said == (
        "bnbook: the packages are not installed: pip failed (see build/install.log); "
        "the same command goes on from there"
    )
    assert not (bare / ".venv" / "installed").exists()
    # Killed while the environment was made: pip is not in it, or not all of it. The next one makes it whole.
    (pip,) = (bare / ".venv" / "lib").glob("python3.11/site-packages/pip")
    shutil.rmtree(pip)
    with (bare / "log.txt").open("w") as log:
        install.make_venv(log)
    assert (pip / "__init__.py").exists()


def test_a_package_that_was_being_unpacked_counts_as_not_installed(install):
    site = Path(".venv/lib/python3.11/site-packages")
    for name, files in {"whole-1.0": ["METADATA", "RECORD"], "half-1.0": ["METADATA"]}.items():
        (site / f"{name}.dist-info").mkdir(parents=True)
        for file in files:
            (site / f"{name}.dist-info" / file).touch()
    install.drop_half_installed()
    assert [folder.name for folder in install.metadata()] == ["whole-1.0.dist-info"]


def test_how_far_pip_is(install):
    install.LOG.parent.mkdir()
    pins = re.findall("^[a-z].*==", Path("constraints.txt").read_text(), re.MULTILINE)
    collecting = "Collecting numpy==2.4.6 (from bnbook==0.1.0)\n  Downloading numpy-2.whl.metadata (62 kB)\n"
    install.LOG.write_text(collecting + "Requirement already satisfied: pip in ./.venv\n")
    assert install.state() == f"2 of {len(pins)} found"
    with install.LOG.open("a") as log:
        log.write(
            "Collecting torch==2\n  Downloading torch-2.whl (900 MB)\n  Using cached numpy-2.whl (1 MB)\n"
            "Processing /my docs/six-1.whl (from bnbook==0.1.0)\n"
        )
    assert install.state() == f"3 of {len(pins)} downloaded"
    with install.LOG.open("a") as log:
        log.write("Installing collected packages: numpy, torch\n")
    assert install.state() == f"0 of {len(pins)} unpacked"


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
            "disk is full",
        ),
        (
            "pip._vendor.urllib3.exceptions.ReadTimeoutError: somewhere: Read timed out.",
            "connection broke off",
        ),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "not the one that"),
        ("ERROR: ResolutionImpossible", "pip failed"),
    ],
)
def test_why_pip_failed(install, log, words):
    install.LOG.parent.mkdir()
    install.LOG.write_text(log)
    assert words in install.reason() and "\n" not in install.reason()
