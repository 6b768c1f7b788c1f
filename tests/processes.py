"""Looking at other processes, on Linux."""

import time
from collections.abc import Callable
from pathlib import Path


def alive(process: int) -> bool:
    """A process that has ended and that nobody waits for is not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(process: int) -> list[int]:
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return [int(word) for task in tasks for word in task.read_text().split()]


def child(process: int) -> int:
    """The only one, once it has begun."""
    wait_until(lambda: children(process))
    (found,) = children(process)
    return found


def wait_until(true: Callable[[], object], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.05)
