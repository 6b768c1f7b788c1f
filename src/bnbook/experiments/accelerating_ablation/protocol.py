"""Section 4.2.1: which of the seven changes that turn BN-Baseline into BN-x5 matter, and by how much?
Registered a second time, with the instrument, the choices and the seeds of `inception_speedups`.

The paper makes all seven at once and measures none alone. Here each is undone in BN-x5, all else equal and
paired by seed with BN-x5 itself. The runs of that, and those with the learning rate undone, are runs of
`inception_speedups`: its arms "bn_x5" and "bn_x1_changed".

The first registration (`ablation_first.protocol`) judged maxima by moving averages, which turned the sign of
the decay's share, and put back a local response normalization that changed no output. Here the end point
decides, by Algorithm 2, and what is put back is strong enough to do something.

A network whose decay is undone ends its run at a high learning rate, since all are trained equally long: that
is what the faster decay is for.

BN-x5 was trained on a GPU (the last of the six seeds only at first), the networks with something undone on a
processor. So BN-x5 is trained there once more ("nothing" is undone): what that changes is not a change's
doing. It was added when 23 of the 36 other runs were known, and before it was run itself; no claim is judged
by it.
"""

import dataclasses
from typing import Any

from bnbook.experiments.ablation_first import protocol as first
from bnbook.experiments.inception_speedups import protocol as inception
from bnbook.experiments.inception_speedups.protocol import (
    ARMS,
    BELOW,
    DATA,
    KNOBS,
    PROFILES,
    Choice,
    Profile,
)
from bnbook.experiments.protocol import BuiltOn, Job

__all__ = [
    "BELOW",
    "CHANGES",
    "DATA",
    "KNOBS",
    "PROFILES",
    "SHOWN",
    "STAGES",
    "choose",
    "jobs",
    "main",
    "plan",
    "results",
    "traces",
]

EXPERIMENT = first.EXPERIMENT
STAGES = (*inception.STAGES_THAT_CHOOSE, "main")
# Of the code that builds and trains, what the notebook shows.
SHOWN = (
    "protocol.undone",
    "experiments.inception_speedups.training.network",
    "experiments.inception_speedups.training.train_inception",
    "experiments.inception_speedups.training.along_the_curve",
    "train.loop.train",
)
CHANGES = first.CHANGES  # in the paper's order: name -> as figures call it
RATE = "learning_rate"  # judged by steps, the other six by accuracy
FULL, SLOW = "bn_x5", "bn_x1_changed"  # with all seven changes, and with all but the learning rate
NOTHING = "nothing"  # is undone: BN-x5 once more, on the machines of those with something undone
SEEDS = 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(inception.Config):
    experiment: str = EXPERIMENT


def undone(profile: Profile, choice: Choice) -> dict[str, dict[str, Any]]:
    """The fields that go back to the baseline's, by change; the learning rate's is an arm of Section 4.2."""
    return {
        "dropout": {"dropout": 0.4},
        "l2": {"weight_decay": profile.weight_decay},
        "decay": {"lr_decay": choice.lr_decay},
        "lrn": {"lrn": True},
        "shuffling": {"fixed_membership": True},
        "photometric": {"photometric": "strong"},
        NOTHING: {},
    }


def main(profile: Profile, choice: Choice) -> dict[str, inception.Config]:
    """The configurations by name; those of BN-x5 with and without the higher rate are runs of Section 4.2."""
    known = inception.main(profile, choice)
    full = {name: value for name, value in known[FULL].to_dict().items() if name != "experiment"}
    changed = {
        change: Config(**(full | {"variant": change} | fields))
        for change, fields in undone(profile, choice.but_for(profile)).items()
    }
    return {name: known[name] for name in (FULL, SLOW)} | changed


def pairs(profile: Profile, choice: Choice) -> list[Job]:
    """The (configuration, seed) pairs, seed-major: those of the arms' first seeds, so that all pair."""
    configs = main(profile, choice).values()
    assert ARMS[FULL].seeds >= SEEDS and ARMS[SLOW].seeds >= SEEDS
    return [(one, seed) for seed in inception.arm_seeds(profile, SEEDS) for one in configs]


def group(config: inception.Config) -> str:
    """The change that is undone, "nothing", or "bn_x5"."""
    return RATE if config.variant == SLOW else config.variant


def traces(steps: int) -> list[inception.Config]:
    """A short run on the embedded digits for each variant of this experiment's own, for replay."""
    profile = dataclasses.replace(PROFILES["smoke"], weight_decay=inception.TRACED_WEIGHT_DECAY)
    configs = main(profile, inception.TRACED).values()
    return [dataclasses.replace(one, steps=steps) for one in configs if one.experiment == EXPERIMENT]


BUILT = BuiltOn(inception, main, pairs, group)
choose, jobs, plan, results = BUILT.choose, BUILT.jobs, BUILT.plan, BUILT.results
