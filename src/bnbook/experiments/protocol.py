"""What every protocol offers (`ExperimentProtocol`), and the kinds that most of them are: a grid of runs that
is known from the start (`Grid`), one whose best is run again by seeds that had no part in the choice
(`Confirmed`), and runs that rest on what another experiment chose (`BuiltOn`)."""

import dataclasses
import operator
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from bnbook import records
from bnbook.config import RunConfig
from bnbook.experiments.knobs import Knob
from bnbook.records import Record

Job = tuple[RunConfig, int]  # a configuration and a seed


class ExperimentResults(Protocol):
    """The records of one profile, in whatever order its measures want them."""

    profile: Any

    def records(self, stage: str) -> list[Record]:
        """Those of one stage or part."""


class ExperimentProtocol(Protocol):
    """What the module `bnbook.experiments.<name>.protocol` offers. Functions take a profile of PROFILES, and
    the runs folders where records are looked up, in order; where one that they need is missing they raise
    MissingRecord."""

    EXPERIMENT: str  # its name, in every configuration and as the folder of its records
    DATA: tuple[str, ...]  # data sets, where a reader may choose
    KNOBS: tuple[Knob, ...]  # what a reader may turn
    # Functions and classes that its notebook shows, by the name of their module below bnbook; "protocol",
    # "networks" and "training" are those of its room.
    SHOWN: tuple[str, ...]
    STAGES: tuple[
        str, ...
    ]  # in the order in which they are made: later ones may rest on earlier ones' records
    PROFILES: dict[str, Any]  # sizes by name: smoke, cpu, paper
    Config: type[RunConfig]

    def plan(self, stage: str, profile: Any, folders: Sequence[Path]) -> Iterator[Job]:
        """All runs of a stage, in the order in which they are to be made."""

    def choose(self, profile: Any, folders: Sequence[Path]) -> Any:
        """What the stages before the main one decide; None where there is nothing to decide."""

    def jobs(self, profile: Any, choice: Any) -> list[Job]:
        """The main runs at that choice."""

    def results(self, profile: Any, folders: Sequence[Path], main_sizes: Any = None) -> ExperimentResults:
        """All records of `profile`; of `main_sizes` in its place (a notebook's own sizes) the main runs, at
        what `profile` chose."""

    def traces(self, steps: int) -> list[RunConfig]:
        """A short run on the embedded digits for each variant, for replay (`bnbook.runs.replay`)."""


STAGES = ("main",)
CONFIRMED_STAGES = ("grid", "main")
FIRST_NEW_SEED = 100  # far beyond the seeds of any grid


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
    seeds: Callable[[Any, RunConfig], range] = dataclasses.field(default=same_seeds, kw_only=True)

    def choose(self, profile: Any, folders: Sequence[Path]) -> None:
        """There is nothing to choose."""

    def jobs(self, profile: Any, choice: Any = None) -> list[Job]:
        """The (configuration, seed) pairs, seed-major."""
        seeds = {config: self.seeds(profile, config) for config in self.main(profile).values()}
        most = max(map(len, seeds.values()))
        return [(config, seed) for seed in range(most) for config in seeds if seed in seeds[config]]

    def plan(self, stage: str, profile: Any, folders: Sequence[Path]) -> Iterator[Job]:
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


@dataclasses.dataclass(frozen=True)
class Confirmed(Grid):
    """The same for a grid that is chosen from: `select` gives the choice, from the grid's records, and
    `confirm` the configurations to be run by new seeds, each with the number of these. In `Results` they have
    keys of their own, beside the grid's."""

    select: Callable[[Results], Any]
    confirm: Callable[[Any, Any], dict[tuple[str, ...], tuple[RunConfig, int]]]

    def choose(self, profile: Any, folders: Sequence[Path]) -> Any:
        """What `select` finds in the grid's records; raises MissingRecord."""
        return self.select(super().results(profile, folders))

    def jobs(self, profile: Any, choice: Any = None) -> list[Job]:
        """The grid's (configuration, seed) pairs, then the others, each seed-major."""
        return super().jobs(profile) + self._confirming(profile, choice)

    def plan(self, stage: str, profile: Any, folders: Sequence[Path]) -> Iterator[Job]:
        """The grid's, or what it chose for "main"; raises MissingRecord before the grid is there."""
        if stage == "grid":
            yield from super().jobs(profile)
        else:
            yield from self._confirming(profile, self.choose(profile, folders))

    def results(self, profile: Any, folders: Sequence[Path], main_sizes: Any = None) -> Results:
        """All records of `profile`; of `main_sizes` in its place, at what the grid of `profile` chose."""
        found = super().results(profile, folders, main_sizes)
        confirmed = self.confirm(found.profile, self.choose(profile, folders))
        for key, (config, seeds) in confirmed.items():
            found.main[key] = records.load(folders, config, new_seeds(seeds))
        return found

    def _confirming(self, profile: Any, choice: Any) -> list[Job]:
        confirmed = list(self.confirm(profile, choice).values())
        seeds = new_seeds(max((number for _, number in confirmed), default=0))
        return [(config, seed) for seed in seeds for config, number in confirmed if seed in new_seeds(number)]


@dataclasses.dataclass(frozen=True)
class ChosenResults:
    """The records of one profile, made at `choice`: `main[group]` in the order of the jobs, seed by seed."""

    profile: Any
    choice: Any
    main: dict[str, list[Record]]

    def records(self, stage: str) -> list[Record]:
        return [record for found in self.main.values() for record in found]


@dataclasses.dataclass(frozen=True)
class BuiltOn:
    """The functions of a protocol whose stages before "main" are those of `base`, another protocol, and whose
    main runs are at what that one chooses: `main(profile, choice)` gives their configurations by name. They
    are made by as many seeds as the profile has, or as `pairs(profile, choice)` says; `group` gives the name
    that a record has in the results."""

    base: Any
    main: Callable[[Any, Any], dict[str, RunConfig]]
    pairs: Callable[[Any, Any], list[Job]] | None = None
    group: Callable[[Any], str] = operator.attrgetter("variant")

    def choose(self, profile: Any, folders: Sequence[Path]) -> Any:
        return self.base.choose(profile, folders)

    def jobs(self, profile: Any, choice: Any) -> list[Job]:
        """The main runs, seed-major; some may belong to `base`."""
        if self.pairs:
            return self.pairs(profile, choice)
        configs = self.main(profile, choice).values()
        return [(one, seed) for seed in range(profile.seeds) for one in configs]

    def plan(self, stage: str, profile: Any, folders: Sequence[Path]) -> Iterator[Job]:
        """Those of `base`, or the main runs; raises MissingRecord before what they rest on is there."""
        if stage != "main":
            yield from self.base.plan(stage, profile, folders)
        else:
            yield from self.jobs(profile, self.choose(profile, folders))

    def results(self, profile: Any, folders: Sequence[Path], main_sizes: Any = None) -> ChosenResults:
        """All records of `profile`, or of `main_sizes` in its place at what `profile` chose; raises
        MissingRecord."""
        sizes = main_sizes or profile
        choice = self.choose(profile, folders)
        found: dict[str, list[Record]] = {}
        for config, seed in self.jobs(sizes, choice):
            found.setdefault(self.group(config), []).extend(records.load(folders, config, [seed]))
        return ChosenResults(sizes, choice, found)


def new_seeds(number: int) -> range:
    """That many seeds that no grid has."""
    return range(FIRST_NEW_SEED, FIRST_NEW_SEED + number)
