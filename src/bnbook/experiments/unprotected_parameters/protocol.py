"""Section 4.2: why BN-x30 can stand still here, and what it takes to make it move.

The paper argues that large steps are safe under batch normalization because BN(Wu) = BN((aW)u): a weight that
has grown too large is scaled back (Section 3.3). That holds for the weights that a normalization follows. It
does not hold for the output layer, which none follows, nor for gamma and beta, which come after it. In
Section 4.2's protocol BN-x30 can stay at chance: its first seed did. So its first epoch is run again, watched
closely, with the learning rate of those unprotected parameters back at the baseline's: of one kind, of the
other, of both. BN-x5 stands beside them. Begun after that seed was seen; no claim of the paper is judged by
it.
"""

import dataclasses

from bnbook.experiments.inception_first import protocol as inception
from bnbook.experiments.inception_first.protocol import DATA, PROFILES, Choice, Profile
from bnbook.experiments.protocol import BuiltOn

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

EXPERIMENT = "unprotected_parameters"
STAGES = (*inception.STAGES[:2], "main")
# Of the code that builds and trains, what the notebook shows.
SHOWN = (
    "experiments.inception_speedups.training.parameter_groups",
    "experiments.inception_speedups.training.lr_factors",
    "training.train_run",
    "experiments.inception_speedups.training.train_inception",
    "train.loop.train",
)
# Of an epoch each, so there are no epochs to ask for.
KNOBS = tuple(knob for knob in inception.KNOBS if knob.name != "epochs")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(inception.SlowedConfig):
    """The first epoch of a run; `watched` validation images show which maps still move."""

    experiment: str = EXPERIMENT
    watched: int = 500


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """A network of Section 4.2, and what of it learns at the baseline's rate x1."""

    name: str  # as figures call it
    network: str
    slow_output: bool = False
    slow_gamma_beta: bool = False


VARIANTS = {
    "bn_x30": Variant(name="BN-x30", network="bn_x30"),
    "slow_gamma_beta": Variant(name="BN-x30, γ and β at ×1", network="bn_x30", slow_gamma_beta=True),
    "slow_output": Variant(name="BN-x30, output layer at ×1", network="bn_x30", slow_output=True),
    "slow_both": Variant(
        name="BN-x30, all of these at ×1", network="bn_x30", slow_output=True, slow_gamma_beta=True
    ),
    "bn_x5": Variant(name="BN-x5", network="bn_x5"),
}


def main(profile: Profile, choice: Choice) -> dict[str, Config]:
    """The configurations by variant: an epoch each, evaluated at its end."""
    networks, choice = inception.main(profile, choice), choice.but_for(profile)
    shortened = {
        name: dataclasses.replace(networks[variant.network], steps=profile.steps_per_epoch)
        for name, variant in VARIANTS.items()
    }
    # The first recipe watched the first images, which lie sorted by class.
    return {name: dataclasses.replace(slowed(one, choice, name), recipe=2) for name, one in shortened.items()}


def slowed(config: inception.Config, choice: Choice, name: str) -> Config:
    """`config` as the variant `name` has it."""
    fields = inception.only_the_end(config).to_dict()
    del fields["experiment"]
    variant = VARIANTS[name]
    return Config(
        **fields | {"variant": name},
        output_lr=choice.lr if variant.slow_output else config.lr,
        gamma_beta_lr=choice.lr if variant.slow_gamma_beta else config.lr,
    )


def traces(steps: int) -> list[Config]:
    """A short run on the embedded digits for each variant, for replay."""
    configs = main(PROFILES["smoke"], inception.TRACED).values()
    return [dataclasses.replace(one, steps=steps, precision="float32") for one in configs]


BUILT = BuiltOn(inception, main)
choose, jobs, plan, results = BUILT.choose, BUILT.jobs, BUILT.plan, BUILT.results
