"""Section 4.2.1: which of the seven changes that turn BN-Baseline into BN-x5 matter, and by how much?

The paper makes all seven at once and measures none alone. Here each is undone in BN-x5, all else equal and
paired by seed with BN-x5 itself. BN-x5, the baseline that sets the target, and what was tuned for it are
those of `inception_speedups`.

A network whose decay is undone ends its run at a high learning rate, since all are trained equally long: that
is what the faster decay is for.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bnbook import records
from bnbook.experiments.inception_speedups import protocol as inception
from bnbook.experiments.inception_speedups.protocol import BASELINE, DATA, PROFILES, Choice, Profile, choose
from bnbook.records import Record

__all__ = [
    "DATA",
    "PROFILES",
    "STAGES",
    "choose",
    "jobs",
    "main",
    "plan",
    "results",
    "traces",
]

EXPERIMENT = "accelerating_ablation"
STAGES = (*inception.STAGES[:2], "main")
FULL = "bn_x5"  # with all seven changes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(inception.Config):
    experiment: str = EXPERIMENT


# The changes in the paper's order, by the name of the variant that undoes each; as figures call them.
CHANGES = {
    "learning_rate": "higher learning rate",
    "dropout": "no Dropout",
    "l2": "less L2",
    "decay": "faster decay",
    "lrn": "no local response normalization",
    "shuffling": "thorough shuffling",
    "photometric": "weaker distortions",
}


def undone(choice: Choice) -> dict[str, dict[str, Any]]:
    """The fields that go back to the baseline's, by change."""
    return {
        "learning_rate": {"lr": choice.lr},
        "dropout": {"dropout": 0.4},
        "l2": {"weight_decay": choice.weight_decay},
        "decay": {"lr_decay": choice.lr_decay},
        "lrn": {"lrn": True},
        "shuffling": {"fixed_membership": True},
        "photometric": {"photometric": "strong"},
    }


@dataclasses.dataclass(frozen=True)
class Results:
    """The records of one profile by seed: `main[change]` with that change undone, `main["bn_x5"]` with none,
    `main["inception"]` the baseline."""

    profile: Profile
    choice: Choice
    main: dict[str, list[Record]]

    def records(self, stage: str) -> list[Record]:
        return [record for found in self.main.values() for record in found]


def main(profile: Profile, choice: Choice) -> dict[str, inception.Config]:
    """The configurations by name; BN-x5 and the baseline are runs of `inception_speedups`."""
    known = inception.main(profile, choice)
    full = {field: value for field, value in known[FULL].to_dict().items() if field != "experiment"}
    changed = {
        change: Config(**(full | {"variant": change} | fields)) for change, fields in undone(choice).items()
    }
    return {BASELINE: known[BASELINE], FULL: known[FULL]} | changed


def traces(steps: int) -> list[inception.Config]:
    """A short run on the embedded digits for each variant of this experiment's own, for replay."""
    configs = main(PROFILES["smoke"], inception.TRACED).values()
    return [
        dataclasses.replace(one, steps=steps, precision="float32")
        for one in configs
        if one.experiment == EXPERIMENT
    ]


def plan(stage: str, profile: Profile, folders: Sequence[Path]) -> Iterator[tuple[inception.Config, int]]:
    """The (configuration, seed) pairs of `stage`, seed-major; runs that `inception_speedups` owns among them.

    Raises MissingRecord where the stages before it have no records in `folders`.
    """
    if stage != "main":
        yield from inception.plan(stage, profile, folders)
        return
    yield from jobs(profile, choose(profile, folders))


def jobs(profile: Profile, choice: Choice) -> list[tuple[inception.Config, int]]:
    """The main runs, seed-major; those of BN-x5 and the baseline belong to `inception_speedups`."""
    configs = main(profile, choice).values()
    return [(one, seed) for seed in range(profile.seeds) for one in configs]


def results(profile: Profile, folders: Sequence[Path], main_sizes: Profile | None = None) -> Results:
    """All records of `profile`, looked up in `folders` (runs folders) in order; raises MissingRecord.

    `main_sizes` replaces the profile for the main runs: other seeds, lengths or data at the same choice.
    """
    sizes = main_sizes or profile
    choice = choose(profile, folders)
    found = {
        name: records.load(folders, one, range(sizes.seeds)) for name, one in main(sizes, choice).items()
    }
    return Results(sizes, choice, found)
