"""The command line: what it refuses and how it says so; that plans are made once, shared and forgotten."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bnbook import cli, notebooks, paths, records
from bnbook.config import ConfigError
from bnbook.experiments.mnist_activation_shift import protocol
from bnbook.notebooks import NotebookRunError
from bnbook.records import Record, RecordError
from bnbook.runs import obtain as runs
from bnbook.runs import plans
from tests.records import PROVENANCE

EXPERIMENT = "mnist_activation_shift"
SMOKE = protocol.PROFILES["smoke"]


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """An empty folder for results, and runs that cost nothing."""
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(paths, "BUILD", tmp_path / "build")
    monkeypatch.setattr(paths, "BUILD_RESULTS", tmp_path / "build" / "results")
    made = []

    def obtain(config, seed, folders, force=False, wait=True):
        found = None if force else records.find(folders, config, seed)
        if not found:
            made.append((config, seed))
        return found or records.write(record_of(config, seed, folders[-1]), {})

    monkeypatch.setattr(runs, "obtain", obtain)
    return SimpleNamespace(made=made, own=paths.runs(tmp_path / "build" / "results"))


def record_of(config, seed, folder) -> Record:
    """A made-up record; a larger learning rate does better."""
    accuracy = 0.5 + config.lr / 10
    return Record(
        schema=records.SCHEMA,
        run_id=config.run_id,
        config=config.to_dict(),
        seed=seed,
        outcome={"status": "done", "step": config.steps},
        curves={},
        final={"test_accuracy": accuracy, "validation_accuracy": accuracy, "chance_accuracy": 0.1},
        first_losses=[],
        provenance=PROVENANCE,
        arrays_sha256=None,
        path=records.path(folder, config, seed),
    )


def test_help_and_a_wrong_command_need_no_heavy_library():
    program = (
        "import sys; from bnbook.cli import parser; parser().format_help();"
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'sphinx', 'papermill')))"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_every_command_explains_itself(capsys):
    for command in (
        "run",
        "forget",
        "figures",
        "claims",
        "data",
        "notebook",
        "book",
        "metadata",
        "publish",
        "replay",
        "bench",
        "new-experiment",
    ):
        with pytest.raises(SystemExit) as end:
            cli.main([command, "--help"])
        assert end.value.code == 0
        assert f"usage: bnbook {command}" in capsys.readouterr().out


def test_our_own_errors_are_one_line(monkeypatch, capsys):
    def fail(arguments):
        raise RecordError("seed-0.json: not whole; restore it with git")

    monkeypatch.setattr(cli, "book", fail)
    assert cli.main(["book"]) == 1
    assert capsys.readouterr().err == "bnbook: seed-0.json: not whole; restore it with git\n"


def test_a_bug_shows_its_traceback(monkeypatch):
    monkeypatch.setattr(cli, "book", lambda arguments: {}["missing"])
    with pytest.raises(KeyError):
        cli.main(["book"])


def test_an_interrupt_says_how_to_go_on(monkeypatch, capsys):
    def interrupt(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "book", interrupt)
    assert cli.main(["book"]) == 130
    assert "the same command goes on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--stage", "warmup"], "stage is 'warmup'; mnist_activation_shift has multiverse, main"),
        (
            ["--stage", "multiverse", "--seed", "99"],
            "the smoke plan of mnist_activation_shift has no such run",
        ),
        (["--part", "3/2"], "part is 3/2; the first number must be 1 to 2"),
        (["--part", "1/0"], "part is 1/0; the first number must be 1 to 0"),
        (["--part=-1/2"], "part is -1/2; the first number must be 1 to 2"),
        (["--jobs", "0"], "jobs is 0; it must be 1 to"),
        (["--jobs", "-3"], "jobs is -3; it must be 1 to"),
        (["--jobs", "100000"], "jobs is 100000; it must be 1 to"),
        (["--stage", "multiverse", "--seed", "-1"], "has no such run"),
        (["--stage", "multiverse", "--seed", "9" * 30], "has no such run"),
        (["--stage", "main"], "not made yet"),
    ],
)
def test_run_refuses_what_cannot_be(checkout, capsys, given, words):
    assert cli.main(["run", EXPERIMENT, *given]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not checkout.made


OPTIONS = ("--stage", "--seed", "--run-id", "--part", "--data", "--force", "--jobs=0", "--no")
VALUES = ("multiverse", "main", "digits", "mnist", "1/2", "1/60", "9/2", "-1/1", "0", "-1", "9" * 30, "", "/")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.sampled_from(OPTIONS + VALUES) | st.text(max_size=8), max_size=5))
def test_whatever_the_words_are_run_runs_or_says_in_one_line_why_not(checkout, capsys, words):
    capsys.readouterr()
    try:
        status = cli.main(["run", EXPERIMENT, "--stage", "multiverse", "--part", "1/60", *words])
    except SystemExit as end:  # argparse's own
        said = capsys.readouterr()
        assert end.code == 0 or "bnbook run: error: " in said.err or "bnbook: error: " in said.err
    else:
        error = capsys.readouterr().err
        assert (status, error.count("\n")) in ((0, 0), (1, 1)), error


def test_run_makes_all_stages_once(checkout, capsys):
    assert cli.main(["run", EXPERIMENT]) == 0
    plan = [job for stage in protocol.STAGES for job in protocol.plan(stage, SMOKE, [checkout.own])]
    assert checkout.made == plan
    assert len(capsys.readouterr().out.splitlines()) == len(plan)
    assert cli.main(["run", EXPERIMENT]) == 0
    assert checkout.made == plan


@pytest.mark.parametrize("given", [["--part", "x"], ["--part", "1/y"], ["--seed", "one"], ["--jobs", "1.5"]])
def test_what_is_no_number_is_refused_by_its_option(checkout, capsys, given):
    with pytest.raises(SystemExit) as end:
        cli.main(["run", EXPERIMENT, *given])
    assert end.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"bnbook run: error: argument {given[0]}: ") and given[1] in error


def test_a_plan_has_no_other_stage(checkout):
    with pytest.raises(ConfigError, match="stage is 'warmup'; mnist_activation_shift has"):
        plans.make_missing(EXPERIMENT, "smoke", checkout.own, stages=["warmup"])


def test_run_makes_a_damaged_record_again_and_nothing_else(checkout, caplog):
    cli.main(["run", EXPERIMENT])
    made = list(checkout.made)
    for job in (made[3], made[-1]):  # of the first stage and of the last
        file = records.path(checkout.own, *job)
        file.write_bytes(file.read_bytes()[:100])
    checkout.made.clear()
    assert cli.main(["run", EXPERIMENT]) == 0
    assert checkout.made == [made[3], made[-1]]
    assert caplog.text.count("is set aside as seed-") == 2
    assert all(records.whole(records.path(checkout.own, *job)) for job in made)


def test_data_that_cannot_be_had_is_said_before_anything_trains(checkout, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("BNBOOK_DATA", str(tmp_path))
    monkeypatch.setenv("BNBOOK_CACHE", str(tmp_path / "cache"))
    assert cli.main(["run", EXPERIMENT, "--profile", "cpu"]) == 1
    error = capsys.readouterr().err
    assert f"BNBOOK_DATA={tmp_path} holds no MNIST" in error and error.count("\n") == 1
    monkeypatch.delenv("BNBOOK_DATA")
    assert cli.main(["run", "inception_speedups", "--profile", "cpu"]) == 1
    error = capsys.readouterr().err
    assert "CIFAR-10, JPEG copy has no public source" in error and "--data cifar10" in error
    assert error.count("\n") == 1 and not checkout.made


def test_run_picks_one_run(checkout):
    config = protocol.multiverse(SMOKE)[3]
    cli.main(["run", EXPERIMENT, "--stage", "multiverse", "--run-id", config.run_id, "--seed", "1"])
    assert checkout.made == [(config, 1)]


def test_parts_share_a_plan_without_gap_or_overlap(checkout):
    plan = list(protocol.plan("multiverse", SMOKE, [checkout.own]))
    for part in ("1/5", "2/5", "3/5", "4/5", "5/5"):
        cli.main(["run", EXPERIMENT, "--stage", "multiverse", "--part", part])
    assert len(checkout.made) == len(plan)
    assert set(checkout.made) == set(plan)


def test_forget_deletes_the_profile_and_nothing_else(checkout):
    cli.main(["run", EXPERIMENT])
    other = protocol.multiverse(protocol.PROFILES["cpu"])[0]
    kept = records.write(record_of(other, 0, checkout.own), {})
    committed = records.write(record_of(checkout.made[0][0], 0, paths.runs(paths.RESULTS)), {})
    assert cli.main(["forget", "--profile", "smoke"]) == 0
    assert sorted(checkout.own.parent.parent.parent.rglob("*.json")) == sorted([kept.path, committed.path])


def test_commit_writes_into_results(checkout):
    cli.main(["run", EXPERIMENT, "--stage", "multiverse", "--seed", "0", "--part", "1/9", "--commit"])
    assert list(paths.runs(paths.RESULTS).rglob("*.json"))
    assert not list(checkout.own.rglob("*.json"))


def test_runs_side_by_side_give_the_same_records(tmp_path):
    small = protocol.dataclasses.replace(SMOKE, multiverse_steps=10)
    jobs = list(protocol.plan("multiverse", small, []))[:2]
    for name, processes in (("one", 1), ("two", 2)):
        made = dict(plans.make(jobs, tmp_path / name, processes=processes))
        assert set(made) == set(jobs)
    for job in jobs:
        one, two = (records.read(records.path(tmp_path / name, *job)) for name in ("one", "two"))
        assert one.final == two.final


def test_workers_end_with_a_parent_that_was_killed(tmp_path):
    """They would train on, unseen, beside the run that goes on in their place."""
    program = (
        "import sys, pathlib, dataclasses\n"
        "from bnbook.runs import plans\n"
        "from bnbook.experiments.mnist_activation_shift import protocol\n"
        "from bnbook.train import checkpoint\n"
        "checkpoint.SECONDS_BETWEEN = 0.1\n"  # workers import this file too
        "if __name__ == '__main__':\n"
        "    long = dataclasses.replace(protocol.PROFILES['smoke'], multiverse_steps=10**7)\n"
        "    jobs = list(protocol.plan('multiverse', long, []))[:2]\n"
        f"    list(plans.make(jobs, pathlib.Path({str(tmp_path)!r}), processes=2))\n"
    )
    script = tmp_path / "train.py"
    script.write_text(program)
    environment = os.environ | {"BNBOOK_CACHE": str(tmp_path / "cache")}
    parent = subprocess.Popen([sys.executable, str(script)], start_new_session=True, env=environment)
    try:
        until(lambda: len(list(tmp_path.rglob("*.pt"))) == 2, 60, "no worker trains")
        parent.kill()
        parent.wait()
        until(lambda: not alive(parent.pid), 20, "the workers live on")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)


def until(condition, seconds, message):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, message
        time.sleep(0.2)


def alive(group):
    """Whether a process of the group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def notebook(tmp_path):
    """A notebook whose cell fails where `seeds` is 3."""
    parameters = nbformat.v4.new_code_cell(
        'seeds: int = 2\nlr: float = 0.1\nforce: bool = False\ndata: str = "auto"',
        metadata={"tags": ["parameters"]},
    )
    cell = nbformat.v4.new_code_cell(
        "assert seeds != 3, 'three seeds'\nprint(repr((seeds, lr, force, data)))"
    )
    book = nbformat.v4.new_notebook(cells=[parameters, cell])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = tmp_path / "shown.ipynb"
    nbformat.write(book, path)
    return path


def test_a_notebook_gets_its_parameters_in_their_types(notebook, tmp_path):
    out = tmp_path / "deep" / "out.ipynb"
    given = {"seeds": "4", "lr": "1", "force": "True", "data": "digits"}
    words = [word for pair in given.items() for word in ("-p", *pair)]
    assert cli.main(["notebook", "run", str(notebook), *words, "--out", str(out)]) == 0
    outputs = [cell.get("outputs") for cell in json.loads(out.read_text())["cells"]]
    assert "(4, 1.0, True, 'digits')" in json.dumps(outputs)


def test_a_failing_notebook_is_one_line(notebook, tmp_path, capsys):
    out = tmp_path / "out.ipynb"
    assert cli.main(["notebook", "run", str(notebook), "-p", "seeds", "3", "--out", str(out)]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("bnbook: shown.ipynb: cell")
    assert "AssertionError: three seeds" in error


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("sedes", "2", "unknown parameter 'sedes'; there is seeds, lr, force, data"),
        ("seeds", "2.5", "parameter seeds is '2.5'; it must be of type int"),
        ("seeds", "True", "parameter seeds is 'True'; it must be of type int"),
        ("seeds", "two", "parameter seeds is 'two'; it must be of type int"),
        ("force", "1", "parameter force is '1'; it must be of type bool"),
        ("lr", "fast", "parameter lr is 'fast'; it must be of type float"),
    ],
)
def test_unknown_and_ill_typed_parameters_are_refused(key, value, words):
    types = {"seeds": "int", "lr": "float", "force": "bool", "data": "str"}
    known = {name: {"inferred_type_name": kind} for name, kind in types.items()}
    with pytest.raises(NotebookRunError) as error:
        notebooks.parameters(known, {key: value})
    assert str(error.value) == words


def test_an_unknown_notebook_is_named(capsys):
    assert cli.main(["notebook", "run", "99_nothing"]) == 1
    assert "no notebook '99_nothing'" in capsys.readouterr().err


def test_data_check_tells_each_file(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("BNBOOK_DATA", raising=False)
    monkeypatch.setenv("BNBOOK_CACHE", str(tmp_path))
    assert cli.main(["data", "check", "mnist"]) == 1
    assert capsys.readouterr().out.count(": missing\n") == 4
    assert cli.main(["data", "check", "digits"]) == 0
    assert cli.main(["data", "check", "imagenet"]) == 1
    assert "unknown data source 'imagenet'" in capsys.readouterr().err


def test_data_fetch_takes_what_can_be_downloaded(monkeypatch, capsys):
    """The JPEG copy is nobody's download; that is said where it is asked for by name."""
    from bnbook.data import sources

    monkeypatch.setattr(sources, "locate", lambda name: None)
    monkeypatch.setattr(sources, "WAYS", {"mnist": {}, "cifar10": {}})
    fetched = []
    original = sources.fetch
    monkeypatch.setattr(sources, "fetch", lambda name: fetched.append(name) or Path("cache"))
    assert cli.main(["data", "fetch"]) == 0
    assert fetched == ["mnist", "cifar10", "digits"]
    monkeypatch.setattr(sources, "fetch", original)
    assert cli.main(["data", "fetch", "cifar10-jpeg"]) == 1
    error = capsys.readouterr().err
    assert "CIFAR-10, JPEG copy has no public source: set BNBOOK_DATA to a folder that holds" in error
