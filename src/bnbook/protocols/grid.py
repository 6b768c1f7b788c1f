"""Protocols that choose nothing: all runs of a profile are known from the start, and are its main runs."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bnbook import records
from bnbook.config import RunConfig
from bnbook.records import Record

STAGES = ("main",)


@dataclasses.dataclass(frozen=True)
class Results:
    """The records of one profile: `main[key]` by seed, with the protocol's own keys, tuples of words."""

    profile: Any
    main: dict[tuple[str, ...], list[Record]]

    def records(self, stage: str) -> list[Record]:
        """Those of one part, the first word of its keys, or all of them: "main"."""
        return [record for key, found in self.main.items() if stage in ("main", key[0]) for record in found]


def same_seeds(profile: Any, config: RunConfig) -> range:
    """As many seeds for every configuration."""
    return range(profile.seeds)


@dataclasses.dataclass(frozen=True)
class Grid:
    """The functions that every protocol has, from `main(profile)`: the configurations by key, and
    `seeds(profile, config)`: those of a configuration, from 0 on. A profile has the fields `data` and
    `seeds`."""

    main: Callable[[Any], dict[tuple[str, ...], RunConfig]]
    seeds: Callable[[Any, RunConfig], range] = same_seeds

    def choose(self, profile: Any, folders: Sequence[Path]) -> None:
        """There is nothing to choose."""

    def jobs(self, profile: Any, choice: None = None) -> list[tuple[RunConfig, int]]:
        """The (configuration, seed) pairs, seed-major."""
        seeds = {config: self.seeds(profile, config) for config in self.main(profile).values()}
        most = max(map(len, seeds.values()))
        return [(config, seed) for seed in range(most) for config in seeds if seed in seeds[config]]

    def plan(self, stage: str, profile: Any, folders: Sequence[Path]) -> Iterator[tuple[RunConfig, int]]:
        """The same; `stage` is "main"."""
        yield from self.jobs(profile)

    def results(self, profile: Any, folders: Sequence[Path], main_sizes: Any = None) -> Results:
        """All records of `profile`, or of `main_sizes` in its place, looked up in `folders` in order; raises
        MissingRecord."""
        sizes = main_sizes or profile
        found = {
            key: records.load(folders, config, self.seeds(sizes, config))
            for key, config in self.main(sizes).items()
        }
        return Results(sizes, found)
