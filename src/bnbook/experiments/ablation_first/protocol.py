"""Section 4.2.1, as it was registered first: which of the seven changes that turn BN-Baseline into BN-x5
matter, and by how much?

`accelerating_ablation.protocol` has taken its place; book/first-registration.md tells what was wrong with it.
The paper makes all seven at once and measures none alone. Here each was undone in BN-x5, all else equal and
paired by seed with BN-x5 itself. BN-x5, the baseline that sets the target, and what was tuned for it are
those of `inception_first`.

A network whose decay is undone ends its run at a high learning rate, since all are trained equally long: that
is what the faster decay is for.
"""

import dataclasses
from typing import Any

from bnbook.experiments.inception_first import protocol as inception
from bnbook.experiments.inception_first.protocol import BASELINE, DATA, KNOBS, PROFILES, Choice, Profile
from bnbook.experiments.protocol import BuiltOn

__all__ = [
    "DATA",
    "KNOBS",
    "PROFILES",
    "STAGES",
    "choose",
    "jobs",
    "main",
    "plan",
    "results",
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


def main(profile: Profile, choice: Choice) -> dict[str, inception.Config]:
    """The configurations by name; BN-x5 and the baseline are runs of `inception_first`."""
    known = inception.main(profile, choice)
    full = {field: value for field, value in known[FULL].to_dict().items() if field != "experiment"}
    back = undone(choice.but_for(profile))
    changed = {change: Config(**(full | {"variant": change} | fields)) for change, fields in back.items()}
    return {BASELINE: known[BASELINE], FULL: known[FULL]} | changed


BUILT = BuiltOn(inception, main)
choose, jobs, plan, results = BUILT.choose, BUILT.jobs, BUILT.plan, BUILT.results
