"""What notebooks call: parameters in, the records of an experiment out, trained where they are not there."""

import dataclasses
import os
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from bnbook import paths, protocols, records
from bnbook.config import ConfigError

COMMITTED = paths.runs(paths.RESULTS)
OWN = paths.runs(paths.BUILD_RESULTS)  # what a notebook trains goes here


def results(
    experiment: str, profile: str, data: str = "auto", seeds: int = 0, steps: int = 0, force: bool = False
) -> Any:
    """The `Results` of `experiment` at `profile`; its main runs with other `data`, `seeds`, `steps`.

    0 means: as the profile says. With `data="auto"` it is the profile's own data where all records exist or
    the data can be had, else the embedded digits. Records that exist are used, the others are trained now;
    with `force` the main runs are all trained again. Raises ConfigError on a value that cannot be.
    """
    protocol = protocols.EXPERIMENTS[experiment].protocol
    sizes = _sizes(protocol, profile)
    for name, value in (("seeds", seeds), ("steps", steps)):
        if value < 0:
            raise ConfigError(f"{name} is {value}; it must be a positive number, or 0 for the profile's own")
    _obtain(list(protocol.plan("multiverse", sizes, [COMMITTED, OWN])), [COMMITTED, OWN])
    own = dataclasses.replace(sizes, seeds=seeds or sizes.seeds, steps=steps or sizes.steps)
    choice = protocol.choose(sizes, [COMMITTED, OWN])
    own = dataclasses.replace(own, data=_data(data, own.data, _jobs(protocol, own, choice), force))
    # What was trained again just now stands before what is committed.
    folders = [OWN, COMMITTED] if force else [COMMITTED, OWN]
    _obtain(_jobs(protocol, own, choice), folders, force)
    return protocol.results(sizes, folders, main_sizes=own)


def _sizes(protocol: ModuleType, profile: str) -> Any:
    if profile not in protocol.PROFILES:
        raise ConfigError(f"profile is {profile!r}; it must be one of {', '.join(protocol.PROFILES)}")
    return protocol.PROFILES[profile]


def _jobs(protocol: ModuleType, sizes: Any, choice: Any) -> list:
    configs = dict.fromkeys(protocol.main(sizes, choice).values())
    return [(config, seed) for seed in range(sizes.seeds) for config in configs]


def _data(wanted: str, of_profile: str, jobs: Sequence, force: bool) -> str:
    """The data set's name for "auto": no need to have the data where there is nothing to train."""
    from bnbook.data import sources

    if wanted != "auto":
        return sources.resolve(wanted)
    if of_profile == "mnist" and (force or _missing(jobs, [COMMITTED, OWN])):
        return sources.resolve("auto")
    return of_profile


def _missing(jobs: Sequence, folders: Sequence) -> list:
    return [job for job in jobs if records.find(folders, *job) is None]


def _obtain(jobs: Sequence, folders: Sequence, force: bool = False) -> None:
    """Train those of `jobs` that have no record in `folders`, side by side on all cores."""
    jobs = jobs if force else _missing(jobs, folders)
    if not jobs:
        return
    # Imported only where something is trained: showing records needs no torch.
    from bnbook.experiments import plans

    for number, (_, record) in enumerate(plans.make(jobs, OWN, force, os.cpu_count() or 1), start=1):
        print(f"{number}/{len(jobs)}  {plans.describe(record)}", flush=True)
