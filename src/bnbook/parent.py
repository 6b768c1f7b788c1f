"""Processes that are to end with the one that started them, however that ended."""

import os
import threading
import time

# Holds the id of that process. What a user starts by hand has none, and outlives its shell.
VARIABLE = "BNBOOK_PARENT"
STEP_SECONDS = 0.5


def environment() -> dict[str, str]:
    """The environment for a child that is to end with this process, if it calls `follow`."""
    return os.environ | {VARIABLE: str(os.getpid())}


def follow() -> None:
    """End as soon as the process is gone that started this one, where it asked for that. Finished records and
    checkpoints keep the work."""
    parent = os.environ.pop(VARIABLE, None)  # it is not that of this process's own children

    def watch(expected: int) -> None:
        while os.getppid() == expected:
            time.sleep(STEP_SECONDS)
        os._exit(1)

    if parent:
        threading.Thread(target=watch, args=(int(parent),), daemon=True).start()
