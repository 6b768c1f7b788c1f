"""What notebooks call: parameters in, the records of an experiment out, trained where they are not there."""

import dataclasses
import os
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from bnbook import experiments as protocols
from bnbook import paths, records
from bnbook.config import ConfigError

COMMITTED = paths.runs(paths.RESULTS)
OWN = paths.runs(paths.BUILD_RESULTS)  # what a notebook trains goes here


def results(experiment: str, profile: str, data: str = "auto", force: bool = False, **sizes: int) -> Any:
    """The `Results` of `experiment` at `profile`; its main runs with other `data` or `sizes` (fields of the
    profile, such as seeds=2).

    0 means: as the profile says. With `data="auto"` it is the profile's own data where all records exist or
    the data can be had, else the embedded digits. Records that exist are used, the others are trained now;
    with `force` the main runs are all trained again. Raises ConfigError on a value that cannot be.
    """
    protocol = protocols.EXPERIMENTS[experiment].protocol
    chosen = _sizes(protocol, profile)
    for name, value in sizes.items():
        if value < 0:
            raise ConfigError(f"{name} is {value}; it must be a positive number, or 0 for the profile's own")
    if data not in ("auto", *protocol.DATA):
        raise ConfigError(f"data is {data!r}; it must be auto, {' or '.join(protocol.DATA)}")
    for stage in protocol.STAGES:
        if stage != "main":
            _obtain(list(protocol.plan(stage, chosen, [COMMITTED, OWN])), [COMMITTED, OWN])
    own = dataclasses.replace(chosen, **{name: value for name, value in sizes.items() if value})
    choice = protocol.choose(chosen, [COMMITTED, OWN])
    own = dataclasses.replace(own, data=_data(data, protocol, own, choice, force))
    # What was trained again just now stands before what is committed.
    folders = [OWN, COMMITTED] if force else [COMMITTED, OWN]
    _obtain(protocol.jobs(own, choice), folders, force)
    return protocol.results(chosen, folders, main_sizes=own)


def _sizes(protocol: ModuleType, profile: str) -> Any:
    if profile not in protocol.PROFILES:
        raise ConfigError(f"profile is {profile!r}; it must be one of {', '.join(protocol.PROFILES)}")
    return protocol.PROFILES[profile]


def _data(wanted: str, protocol: ModuleType, sizes: Any, choice: Any, force: bool) -> str:
    """The data set's name for "auto": no need to have the data where there is nothing to train."""
    if wanted != "auto":
        return wanted
    if sizes.data == "digits" or not (force or _missing(protocol.jobs(sizes, choice), [COMMITTED, OWN])):
        return sizes.data
    from bnbook.data import sources

    return sources.resolve("auto", protocol.DATA[protocol.DATA.index(sizes.data) :])


def _missing(jobs: Sequence, folders: Sequence) -> list:
    return [job for job in jobs if records.find(folders, *job) is None]


def _obtain(jobs: Sequence, folders: Sequence, force: bool = False) -> None:
    """Train those of `jobs` that have no record in `folders`, side by side on all cores."""
    jobs = jobs if force else _missing(jobs, folders)
    if not jobs:
        return
    # Imported only where something is trained: showing records needs no torch.
    from bnbook.runs import plans

    for number, (_, record) in enumerate(plans.make(jobs, OWN, force, os.cpu_count() or 1), start=1):
        print(f"{number}/{len(jobs)}  {plans.describe(record)}", flush=True)
