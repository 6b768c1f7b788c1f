"""Section 4.2.1, registered a second time: each of the seven changes undone in BN-x5, with the instrument,
the choices and the seeds of `inception_speedups`.

The first registration (`accelerating_ablation.protocol`) judged maxima by moving averages, which
turned the sign of the decay's share, and put back a local response normalization that changed no output. Here
the end point decides, by Algorithm 2, and what is put back is strong enough to do something. The network with
its learning rate undone is the arm "bn_x1_changed" of `inception_speedups`.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bnbook import records
from bnbook.experiments.accelerating_ablation import protocol as first
from bnbook.experiments.inception_speedups import protocol as inception
from bnbook.experiments.inception_speedups.protocol import (
    ARMS,
    DATA,
    PROFILES,
    Choice,
    Profile,
    choose,
)
from bnbook.records import Record

__all__ = ["CHANGES", "DATA", "KNOBS", "PROFILES", "STAGES", "choose", "jobs", "main", "plan", "results"]

EXPERIMENT = first.EXPERIMENT
STAGES = ("main",)
KNOBS = ()  # a reader's runs are still those of the first registration
CHANGES = first.CHANGES  # in the paper's order: name -> as figures call it
RATE = "learning_rate"  # judged by steps, the other six by accuracy
FULL, SLOW = "bn_x5", "bn_x1_changed"  # with all seven changes, and with all but the learning rate
SEEDS = 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(inception.Config):
    experiment: str = EXPERIMENT


@dataclasses.dataclass(frozen=True)
class Results:
    """The records of one profile by seed, the same seeds for all: `main[change]` with that change undone,
    `main["bn_x5"]` with none."""

    profile: Profile
    choice: Choice
    main: dict[str, list[Record]]

    def records(self, stage: str) -> list[Record]:
        return [record for found in self.main.values() for record in found]


def undone(profile: Profile, choice: Choice) -> dict[str, dict[str, Any]]:
    """The fields that go back to the baseline's, by change; the learning rate's is an arm of Section 4.2."""
    return {
        "dropout": {"dropout": 0.4},
        "l2": {"weight_decay": profile.weight_decay},
        "decay": {"lr_decay": choice.lr_decay},
        "lrn": {"lrn": True},
        "shuffling": {"fixed_membership": True},
        "photometric": {"photometric": "strong"},
    }


def main(profile: Profile, choice: Choice) -> dict[str, inception.Config]:
    """The configurations by name; those of BN-x5 with and without the higher rate are runs of Section 4.2."""
    known = inception.main(profile, choice)
    full = {name: value for name, value in known[FULL].to_dict().items() if name != "experiment"}
    changed = {
        change: Config(**(full | {"variant": change} | fields))
        for change, fields in undone(profile, choice).items()
    }
    return {name: known[name] for name in (FULL, SLOW)} | changed


def jobs(profile: Profile, choice: Choice) -> list[tuple[inception.Config, int]]:
    """The (configuration, seed) pairs, seed-major: those of the arms' first seeds, so that all pair."""
    configs = main(profile, choice).values()
    assert ARMS[FULL].seeds >= SEEDS and ARMS[SLOW].seeds >= SEEDS
    return [(one, seed) for seed in inception.arm_seeds(profile, SEEDS) for one in configs]


def plan(stage: str, profile: Profile, folders: Sequence[Path]) -> Iterator[tuple[inception.Config, int]]:
    """The same. Raises MissingRecord where what Section 4.2 chooses by has no records in `folders`."""
    yield from jobs(profile, choose(profile, folders))


def results(profile: Profile, folders: Sequence[Path]) -> Results:
    """All records of `profile`, looked up in `folders` (runs folders) in order; raises MissingRecord."""
    choice = choose(profile, folders)
    seeds = inception.arm_seeds(profile, SEEDS)
    found = {name: records.load(folders, one, seeds) for name, one in main(profile, choice).items()}
    return Results(profile, choice, {RATE if name == SLOW else name: of for name, of in found.items()})
