"""Whole plans: make the missing runs of an experiment, each in a process of one thread."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bnbook import experiments as protocols
from bnbook import files
from bnbook.config import NO_DATA, ConfigError, RunConfig
from bnbook.data import sources
from bnbook.records import Record
from bnbook.runs import obtain as runs

Job = tuple[RunConfig, int]
Work = tuple[Job, Path, bool]  # the runs folder, and whether to make it again
Made = tuple[Job, Record]


class PlanError(RuntimeError):
    """A plan that was not carried out to its end, and why."""


# What a run needs and takes long to import; not the experiments, which a worker imports as it meets them.
# torch imports _dynamo by itself, a second's work, as a process makes its first optimizer.
PRELOADED = ("bnbook.data.augment", "bnbook.train.loop", "scipy.stats", "sklearn.datasets", "torch._dynamo")
PROCESSES_A_CORE = 4  # more only wait for one another, and take memory
STEP_SECONDS = 1.0  # between looks at what others are making


def profile_of(experiment: str, name: str, data: str = "") -> Any:
    """The sizes of the profile `name`, on `data` where that can be; raises ConfigError on an unknown one."""
    return protocols.PLANNED[experiment].sizes(name, data)


def share(jobs: Sequence[Job], part: tuple[int, int]) -> list[Job]:
    """The `part` = (i, n)-th of n equal shares of `jobs`, i from 1; in order they are all of them."""
    number, parts = part
    if not 1 <= number <= parts:
        raise ConfigError(f"part is {number}/{parts}; the first number must be 1 to {parts}")
    return list(jobs[(number - 1) * len(jobs) // parts : number * len(jobs) // parts])


def make_missing(
    experiment: str,
    profile: str,
    folder: Path,
    stages: Sequence[str] | None = None,
    wanted: Callable[[RunConfig, int], bool] = lambda config, seed: True,
    part: tuple[int, int] = (1, 1),
    force: bool = False,
    processes: int = 1,
    data: str = "",
) -> int:
    """Make the wanted records of a plan that are not yet in `folder` (a runs folder), stage by stage.

    With `force` those that are there are made again, and so are damaged ones of the reader's own. Prints a
    line for each run that ends; returns how many records were wanted. Raises ConfigError on what the plan
    does not have, and sources.DataError, before anything trains, where its data cannot be had.
    """
    protocol = protocols.PLANNED[experiment].protocol
    sizes = profile_of(experiment, profile, data)
    number = 0
    for stage in stages or protocol.STAGES:
        if stage not in protocol.STAGES:
            raise ConfigError(f"stage is {stage!r}; {experiment} has {', '.join(protocol.STAGES)}")
        plan = list(protocol.plan(stage, sizes, [folder]))
        ours = [job for job in share(plan, part) if wanted(*job)]
        missing = [job for job in ours if force or not runs.there(*job, [folder])]
        if missing:
            # Those of the later stages too, whose runs are not known yet: it is said now, not in an hour.
            sources.require([*(config.data for config, _ in missing), getattr(sizes, "data", NO_DATA)])
        place = {job: index for index, job in enumerate(plan, start=1)}
        for job, record in make(missing, folder, force, processes):
            print(f"{stage} {place[job]:>3}/{len(plan)}  {describe(record)}", flush=True)
        number += len(ours)
    return number


def describe(record: Record) -> str:
    """One line of progress: what ran, how it ended, how long it took."""
    config, outcome = record.config, record.outcome
    settings = "  ".join(f"{key} {config[key]:g}" for key in ("lr", "init_std") if key in config)
    measured = f"{record.accuracy:.2%}" if "test_accuracy" in record.final else "done"
    end = f"diverged at step {outcome['step']}" if record.diverged else measured
    return (
        f"{config['variant']:<5}  {settings}  {config['data']}  seed {record.seed}: {end}"
        f"  ({record.provenance['seconds']:.1f} s)"
    )


def make(jobs: Sequence[Job], folder: Path, force: bool = False, processes: int = 1) -> Iterator[Made]:
    """(job, record) of each of `jobs`, as they end; see `runs.obtain` for `folder` and `force`. What another
    worker is making is left to it, and comes when all else is made: from its record, or made here where that
    worker is gone. Raises ConfigError on an impossible number of processes, PlanError where the system ends
    one of them."""
    most = PROCESSES_A_CORE * (os.cpu_count() or 1)
    if not 1 <= processes <= most:
        raise ConfigError(f"jobs is {processes}; it must be 1 to {most} on this machine")
    for name in {config.data for config, _ in jobs}:
        sources.ensure(name)  # once for all processes
    left = [(job, folder, force) for job in jobs]
    with _processes(min(processes, len(jobs))) as each:
        while left:
            claimed = []
            for work, record in each(left):
                if record is None:
                    claimed.append(work)
                else:
                    yield work[0], record
            if len(claimed) == len(left):
                (config, seed), *_ = claimed[0]
                files.warn_once(f"another process makes {config.run_id}/seed-{seed}; waiting")
                time.sleep(STEP_SECONDS)
            left = claimed


@contextmanager
def _processes(number: int) -> Iterator[Callable[[list[Work]], Iterable[tuple[Work, Record | None]]]]:
    """`_one` for each of a list, in so many processes; in this one where that is one."""
    if number < 2:
        yield lambda work: map(_one, work)
        return
    # Forked from a server that has imported torch once and done nothing with it: a process spawned anew takes
    # seconds to import it, one forked from here would inherit its threads.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *PRELOADED])
    with ProcessPoolExecutor(number, context, _begin_worker) as pool:
        try:
            yield lambda work: (
                future.result() for future in as_completed([pool.submit(_one, one) for one in work])
            )
        except BrokenProcessPool:
            raise PlanError(
                "the system ended a process that was training, mostly for want of memory: try fewer --jobs; "
                "finished runs are kept, the same command goes on from there"
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _begin_worker() -> None:
    """A worker ends with its parent, however that ended: at an interrupt at once and without words, since the
    parent answers it; else as soon as the parent is gone. Checkpoints keep the work."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent, "this is the parent"

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _one(work: Work) -> tuple[Work, Record | None]:
    """What was made of it; None where another worker is at it."""
    (config, seed), folder, force = work
    try:
        return work, runs.obtain(config, seed, [folder], force=force, wait=False)
    except runs.Claimed:
        return work, None
