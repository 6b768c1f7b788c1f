"""A run that is killed within. It is in a file of its own, which every process reads anew that makes one."""

import datetime
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

FORK = multiprocessing.get_context("fork")


class Still(datetime.datetime):
    @classmethod
    def now(cls, zone=None):
        return cls(2026, 1, 1, tzinfo=zone)


def run(words: str, room: Path, doomed: int = 0) -> None:
    """`bnbook run`, all of whose files are in `room`. Its clock stands still, so that the same work gives the
    same bytes; checkpoints are written at every step. A process is killed before it does something to a file
    for the `doomed`-th time; "changes" in `room` says how many there were."""
    from bnbook import cli, paths
    from bnbook.experiments.mnist_activation_shift import protocol
    from bnbook.runs import obtain, plans
    from bnbook.train import checkpoint

    os.environ["BNBOOK_CACHE"] = str(room / "cache")
    paths.BUILD_RESULTS = room / "results"
    protocol.PROFILES["smoke"] = protocol.dataclasses.replace(protocol.PROFILES["smoke"], multiverse_steps=20)
    checkpoint.SECONDS_BETWEEN = 0.0
    time.perf_counter = lambda: 0.0
    obtain.datetime = Still
    obtain.code_commit = lambda: "0" * 40  # whatever is edited meanwhile
    # A server of its own would import everything again.
    plans.multiprocessing.get_context = lambda kind: FORK
    changes = 0

    def hear(event: str, arguments: tuple) -> None:
        nonlocal changes
        writes = event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        if writes or event in ("os.rename", "os.remove", "os.mkdir"):
            changes += str(arguments[0]).startswith(str(room))
            if changes == doomed:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.stdout = sys.stderr = (room / "said").open("a")
    sys.addaudithook(hear)
    status = cli.main(f"run mnist_activation_shift --stage multiverse {words}".split())
    (room / "changes").write_text(str(changes))
    sys.exit(status)
