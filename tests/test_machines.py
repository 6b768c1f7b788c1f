"""Many machines: workers that share only the records; clusters, by stand-ins for their commands."""

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml

from bnbook import cli, durations, paths, records
from bnbook.experiments.mnist_activation_shift import protocol
from bnbook.runs import jobs, obtain, reproduce
from bnbook.runs.reproduce import Stage, Sweep
from tests.processes import wait_until
from tests.records import write_finished
from tests.test_workflow import JOBS, SHORT, copied, environment, records_of, snakemake

# Runs `bnbook`, says which trainings begin, and takes a while over each.
WORKER = """
import sys, time
from pathlib import Path
from bnbook import cli
from bnbook.runs import obtain

begun, words = Path(sys.argv[1]), sys.argv[2:]
trained = obtain._trained

def watched(config, seed, *rest):
    with begun.open("a") as log:
        log.write(f"{config.run_id} {seed}\\n")
    time.sleep(0.2)
    return trained(config, seed, *rest)

obtain._trained = watched
sys.exit(cli.main(words))
"""


class Clone:
    """A working copy with a cache of its own, whose records go to `shared`."""

    def __init__(self, folder: Path, shared: Path):
        self.folder, self.begun = copied(folder), folder / "begun.txt"
        (folder / "build").mkdir()
        (folder / "build" / "results").symlink_to(shared)

    def work(self, *words: str) -> subprocess.Popen:
        command = [sys.executable, "-c", WORKER, str(self.begun), *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, cwd=self.folder, env=environment(self.folder), **pipes)

    def trained(self) -> list[str]:
        return self.begun.read_text().splitlines() if self.begun.exists() else []


@pytest.mark.slow
@pytest.mark.parametrize("share", [[], ["--part", "1/2"]], ids=["of one plan", "one has a share and dies"])
def test_two_working_copies_that_share_the_records_make_each_run_once(tmp_path, share):
    shared = tmp_path / "shared"
    shared.mkdir()
    one, other = (Clone(tmp_path / name, shared) for name in ("one", "other"))
    plan = ["run", SHORT, "--profile", "smoke"]
    first, second = one.work(*plan, *share), other.work(*plan)
    try:
        wait_until(lambda: len(one.trained()) > 1 and len(other.trained()) > 1)
        if share:
            first.kill()  # within a run, which is half done
        (said, _), (also, _) = first.communicate(timeout=120), second.communicate(timeout=120)
    finally:
        first.kill(), second.kill()
    assert second.returncode == 0, also
    assert first.returncode == 0 or share, said
    times = Counter(one.trained() + other.trained())
    made = {f"{file.parent.name} {file.stem.removeprefix('seed-')}" for file in records_of(one.folder, SHORT)}
    assert made == set(times) and len(made) == 20
    again = [run for run, number in times.items() if number > 1]
    assert set(again) <= (set(one.trained()[-1:]) if share else set())
    left = {file.suffix for file in shared.rglob("*") if file.is_file()}
    assert left <= {".json", ".npz"}


def test_a_run_that_another_machine_makes_is_left_to_it(tmp_path):
    lock = tmp_path / "seed-0.lock"
    with obtain.alone(lock, tmp_path):
        with pytest.raises(obtain.Claimed, match="seed-0"):
            obtain.alone(lock, tmp_path, wait=False).__enter__()
        assert lock.exists()
    with obtain.alone(lock, tmp_path, wait=False):
        pass
    assert not list(tmp_path.iterdir())


# Clusters


def stand_in(folder: Path, **scripts: str) -> dict[str, str]:
    """The environment in which these commands are found; they may keep files in $STAND_IN."""
    folder.mkdir()
    for name, text in scripts.items():
        (folder / name).write_text("#!/bin/bash\n" + text)
        (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "STAND_IN": str(folder)}


# The first job is lost with its node; the others run at once, on this machine.
SBATCH = """
echo "$@" >> "$STAND_IN/submitted"
id=$(wc -l < "$STAND_IN/submitted")
if [ "$id" != 1 ]; then
  setsid sh -c 'sh "$1" && echo COMPLETED > "$2" || echo FAILED > "$2"' - "${@: -1}" "$STAND_IN/$id" \
    > "$STAND_IN/$id.log" 2>&1 &
fi
echo $id
"""
SACCT = """
id=${@: -1}
id=${id#--jobs=}
if [ "$id" = 1 ]; then echo NODE_FAIL; else cat "$STAND_IN/$id" 2> /dev/null || echo RUNNING; fi
"""


@pytest.mark.slow
def test_a_cluster_makes_the_runs_and_a_job_that_is_lost_is_sent_again(tmp_path):
    pytest.importorskip("snakemake_executor_plugin_cluster_generic")
    folder, place = copied(tmp_path / "clone"), tmp_path / "stand-in"  # Snakemake quotes no path there
    done = JOBS / f"{SHORT}_main_1.done"
    quick = ["--seconds-between-status-checks", "1"]
    command = snakemake(folder, str(done), "--profile", "workflow/profiles/slurm", *quick)
    command += ["--config", "profile=smoke", "on=slurm"]
    there = environment(folder, **stand_in(place, sbatch=SBATCH, sacct=SACCT))
    ended = subprocess.run(command, cwd=folder, env=there, capture_output=True, text=True)
    logs = "".join(log.read_text() for log in place.glob("*.log"))
    assert ended.returncode == 0, ended.stdout + ended.stderr + logs
    assert (folder / done).exists() and len(records_of(folder, SHORT)) == 10
    first, second = (place / "submitted").read_text().splitlines()
    asked = f"--cpus-per-task=1 --mem={jobs.megabytes()} --time={jobs.START_MINUTES}"
    assert asked in first and asked in second


KUBECTL = """
case $1 in
create) cat > "$STAND_IN/job.yaml"; echo job.batch/bnbook-x1 ;;
get) [ "$2" = job.batch/bnbook-x1 ] && cat "$STAND_IN/answer" ;;
esac
"""


def test_what_kubernetes_is_asked_for_and_how_a_job_stands_there(tmp_path):
    scripts = paths.ROOT / "workflow" / "profiles" / "kubernetes"
    named = {"BNBOOK_VOLUME": "shared", "BNBOOK_MOUNT": "/mnt/a b", "BNBOOK_IMAGE": "python:3.11"}
    known = os.environ | named | stand_in(tmp_path / "stand-in", kubectl=KUBECTL)
    where = tmp_path / 'a "b" \\c'
    where.mkdir()

    def say(script: str, *words: str, **options) -> subprocess.CompletedProcess:
        options = {"env": known, "cwd": where, "capture_output": True, "text": True} | options
        return subprocess.run([str(scripts / script), *words], **options)

    assert say("submit.sh", "1", "2000", "90", "/tmp/job script.sh").stdout == "job.batch/bnbook-x1\n"
    asked = yaml.safe_load((tmp_path / "stand-in" / "job.yaml").read_text())["spec"]
    (container,) = asked["template"]["spec"]["containers"]
    assert asked["activeDeadlineSeconds"] == 90 * 60
    assert container["command"] == ["sh", "/tmp/job script.sh"] and container["workingDir"] == str(where)
    assert container["resources"]["requests"] == {"cpu": "1", "memory": "2000M"}
    assert container["volumeMounts"] == [{"name": "shared", "mountPath": "/mnt/a b"}]
    for answer, word in {
        "Job  ": "running", "Job 1 ": "success", "Job  1": "failed", "": "failed",
    }.items():  # fmt: skip
        (tmp_path / "stand-in" / "answer").write_text(answer)
        assert say("status.sh", "job.batch/bnbook-x1").stdout.strip() == word
    (tmp_path / "stand-in" / "answer").unlink()  # no answer at all
    assert say("status.sh", "job.batch/bnbook-x1").stdout.strip() == "running"
    del known["BNBOOK_VOLUME"]
    refused = say("submit.sh", "1", "2000", "90", "job.sh")
    assert refused.returncode and "BNBOOK_VOLUME: the claim of the volume" in refused.stderr


def test_an_unknown_cluster_is_refused(capsys):
    assert cli.main(["reproduce", "--on", "borg"]) == 1
    assert "no cluster 'borg'; workflow/profiles has kubernetes, slurm" in capsys.readouterr().err
    assert reproduce.clusters() == ["kubernetes", "slurm"]


# Larger sweeps


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """A sweep of one stage of so many runs of a minute, none of which is made."""
    monkeypatch.setattr(paths, "BUILD_RESULTS", tmp_path)
    known = {name: durations.Spent(10, 600.0, 90.0) for name in (SHORT, "bn_ensemble")}
    monkeypatch.setattr(jobs.durations, "spent", lambda: known)

    def of(runs: int) -> Sweep:
        made = Sweep("cpu")
        own = [made.runs / SHORT / f"seed-{seed}.json" for seed in range(runs)]
        others = [made.runs / "bn_ensemble" / "seed-0.json", *own[:3]]
        stages = [Stage(SHORT, "main", own), Stage("bn_ensemble", "main", others)]
        monkeypatch.setattr(Sweep, "stages", lambda self: stages)
        return made

    return of


def test_every_missing_run_has_one_job_which_asks_for_as_long_as_it_may_take(sweep):
    shares, makers, _ = jobs.plan(sweep(5))
    assert [share.name for share in shares] == [
        *(f"{SHORT}_main_{k}" for k in range(1, 6)),
        "bn_ensemble_main_1",
    ]
    assert {share.minutes for share in shares} == {jobs.START_MINUTES + 5}  # 3 times 90 seconds
    assert shares[-1].needs == tuple(f"{SHORT}_main_{k}" for k in range(1, 4)) and shares[0].needs == ()
    assert makers["bn_ensemble"] == ["bn_ensemble_main_1", *shares[-1].needs]


def test_fifty_times_the_runs_take_about_fifty_times_as_long_to_plan_and_to_read(sweep, tmp_path):
    """Of this process's own time; with room for what a first time costs, and far from the square of it."""

    def seconds(work, *arguments) -> float:
        began = time.process_time()
        work(*arguments)
        return time.process_time() - began

    few, many = 100, 5000
    planned = [min(seconds(jobs.plan, sweep(runs)) for _ in range(2)) for runs in (few, many)]
    assert planned[1] < 4 * (many / few) * max(planned[0], 0.005)
    config = protocol.multiverse(protocol.PROFILES["smoke"])[0]
    first = write_finished(tmp_path, config, 0, {}, {}).path
    for seed in range(1, 1000):
        other = first.read_text().replace('"seed": 0', f'"seed": {seed}')
        first.with_name(f"seed-{seed}.json").write_text(other)
    read = [min(seconds(records.load, [tmp_path], config, range(n)) for _ in range(2)) for n in (20, 1000)]
    assert read[1] < 4 * (1000 / 20) * max(read[0], 0.005)


def test_runs_that_another_experiment_builds_on_are_counted_once_at_what_they_take(sweep, monkeypatch):
    made = sweep(1000)
    known = {SHORT: durations.Spent(10, 600.0, 90.0), "bn_ensemble": durations.Spent(10, 60_000.0, 9000.0)}
    monkeypatch.setattr(jobs.durations, "spent", lambda: known)
    own, others = made.stages()
    stages = [own, others._replace(files=[*others.files, *own.files])]
    assert jobs._seconds_a_job(made, stages) == pytest.approx((1000 * 60 + 6000) / jobs.MOST)


def test_a_longer_sweep_has_longer_jobs_not_more(sweep):
    for runs in (1, 20, 1000, 50_000):
        shares = jobs.plan(sweep(runs)).shares
        own = [share for share in shares if share.experiment == SHORT]
        assert len(own) == own[0].of <= jobs.MOST + 1
        assert len(own) == runs or runs > jobs.MOST
