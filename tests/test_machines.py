"""Many machines: workers that share only the folder of the records."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bnbook.runs import obtain
from tests.processes import wait_until
from tests.test_workflow import SHORT, copied, environment, records_of

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
