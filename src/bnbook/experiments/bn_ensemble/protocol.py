"""Section 4.2.3, Figure 4: what does an ensemble of six batch-normalized networks gain?

Each member is BN-x30 changed by some of what the paper names: larger initial weights of the convolutions,
Dropout of 5% or 10%, batch normalization per activation in the last hidden layers. Which member has what is
stated here, before the runs; the paper does not say. The control is six times BN-x30 that differ in the seed
alone: is it the diversity of settings that helps, or just averaging? Member k and control k share the seed k.

BN-x30 as Section 4.2's protocol has it stays at chance with some seeds, and such a network answers nothing.
What stops it are the parameters that no normalization protects (`unprotected_parameters.protocol`).
So here, in members and control alike, these keep the baseline's learning rate, and all others have thirty
times it. That was decided before any run of this experiment.
"""

import dataclasses
from typing import Any

from bnbook.experiments.inception_first import protocol as inception
from bnbook.experiments.inception_first.protocol import DATA, Choice
from bnbook.experiments.protocol import BuiltOn
from bnbook.experiments.unprotected_parameters import protocol as unprotected

__all__ = [
    "DATA",
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

EXPERIMENT = "bn_ensemble"
STAGES = (*inception.STAGES[:2], "main")
# Of the code that builds and trains, what the notebook shows.
SHOWN = (
    "training.network",
    "training.train_run",
    "training.answers",
    "training.probabilities",
    "experiments.inception_speedups.training.train_inception",
    "train.loop.train",
)
# Each member is a run of its own, so there are no seeds to ask for.
KNOBS = tuple(knob for knob in inception.KNOBS if knob.name != "seeds")
LARGER = 2.0  # times the initial standard deviation of the convolutions

# What each member has that BN-x30 has not.
MEMBERS: tuple[dict[str, Any], ...] = (
    {"init_scale": LARGER},
    {"dropout": 0.05},
    {"per_activation": True},
    {"init_scale": LARGER, "dropout": 0.1},
    {"dropout": 0.05, "per_activation": True},
    {"init_scale": LARGER, "dropout": 0.1, "per_activation": True},
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(inception.SlowedConfig):
    experiment: str = EXPERIMENT
    init_scale: float = 1.0  # times the initial standard deviation of the convolutions
    per_activation: bool = False  # batch normalization per activation, not per map, in the last module


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile(inception.Profile):
    """`members` of the ensemble, and of the control; the other sizes are those of Section 4.2."""

    members: int


PROFILES = {
    name: Profile(**dataclasses.asdict(profile), members=2 if name == "smoke" else len(MEMBERS))
    for name, profile in inception.PROFILES.items()
}


def main(profile: Profile, choice: Choice) -> dict[str, Config]:
    """The configurations by name: "member_1" and so on, and "control"."""
    bn_x30 = inception.main(profile, choice)["bn_x30"]
    known = unprotected.slowed(bn_x30, choice.but_for(profile), "slow_both").to_dict()
    fields = {
        field: value for field, value in known.items() if field not in ("experiment", "variant", "watched")
    }
    members = {
        name: Config(**(fields | {"variant": name} | MEMBERS[number]))
        for number, name in enumerate(names(profile))
    }
    return members | {"control": Config(**fields, variant="control")}


def names(profile: Profile) -> list[str]:
    """The members' names, from "member_1" on."""
    return [f"member_{number + 1}" for number in range(profile.members)]


def traces(steps: int) -> list[Config]:
    """A short run on the embedded digits for each variant, for replay."""
    everyone = dataclasses.replace(PROFILES["smoke"], members=len(MEMBERS))
    configs = main(everyone, inception.TRACED).values()
    return [dataclasses.replace(one, steps=steps, precision="float32") for one in configs]


def pairs(profile: Profile, choice: Choice) -> list[tuple[Config, int]]:
    """Member k and control k with seed k, one pair after the other."""
    configs = main(profile, choice)
    pairs = [(configs[name], configs["control"]) for name in names(profile)]
    return [(one, seed) for seed, pair in enumerate(pairs) for one in pair]


def group(config: Config) -> str:
    return "control" if config.variant == "control" else "members"


# `main["members"]` and `main["control"]` of the results are in the order of the members.
BUILT = BuiltOn(inception, main, pairs, group)
choose, jobs, plan, results = BUILT.choose, BUILT.jobs, BUILT.plan, BUILT.results
