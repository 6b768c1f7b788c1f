"""Section 4.2, as it was registered first: how many steps batch normalization saves an Inception network.

`inception_speedups.protocol` has taken its place; book/first-registration.md tells what was wrong with it.
Its records, rules and verdicts stay, and so do the runs that `accelerating_ablation`, `bn_ensemble` and
`unprotected_parameters` rest on.

CIFAR-10 in place of ImageNet, the small Inception in place of the paper's; the bundles of changes are the
paper's own. What the paper leaves open, and what another data set changes, is chosen by rules stated here
before the runs, on validation images (5,000 of the 50,000, never trained on) and for the *baseline* alone: an
under-tuned baseline would make batch normalization look fast.

1. *rates*: the plain network with the baseline's bundle, a few epochs at each learning rate of a grid of
   factor 2 that extends to divergence. x1 is the rate with the best mean validation accuracy over seeds.
2. *tuning*: the plain network at x1, over r (decay of the learning rate an epoch) and lambda (weight of L2).
   The pair with the best validation accuracy serves all variants, as the paper's bundles say: lambda / 5 and
   r^6 where the batch-normalized networks are changed.
3. *main*: the five variants of Figures 2 and 3 and the two that the paper mentions. The baseline's two
   networks train three times as long as the others, whose learning rate falls six times as fast. The tuning
   runs chose the slowest decay and were still rising at their end. So, before any main run, the main runs
   were made half as long again as these: the baseline is to reach its plateau.
   Where the hardware has bfloat16 they use it; last comes one seed of the baseline and of BN-x5 in float32,
   to see whether the precision favours either.
4. *control*: the batch-normalized network in the rates' place, all else equal, the precision they were
   computed in included: what is left of the gain at equal learning rates?

Width 0.25 is what two cores without bfloat16 can pay for: a step of two runs side by side costs 0.13 s there
and 0.32 s at width 0.5, and all of the above takes 10 hours instead of 25.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bnbook import records
from bnbook.config import TrainingConfig
from bnbook.experiments import knobs
from bnbook.records import MissingRecord, Record

EXPERIMENT = "inception_speedups"
STAGES = ("rates", "tuning", "main", "control")
BASELINE = "inception"

# Images that remain to train on once a tenth of each class is held out (bnbook.data.datasets.load_colour).
TRAINING_IMAGES = {"cifar10-jpeg": 45_000, "cifar10": 45_000, "digits": 1_295}
DATA = tuple(TRAINING_IMAGES)  # what it can be trained on, the best first


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """One network of Section 4.2.2. `changed` is the list of Section 4.2.1, made all at once."""

    name: str  # the paper's
    norm: bool
    lr_factor: float = 1.0
    changed: bool = False
    activation: str = "relu"
    long: bool = False  # trained three times as long


VARIANTS = {
    "inception": Variant(name="Inception", norm=False, long=True),
    "bn_baseline": Variant(name="BN-Baseline", norm=True, long=True),
    "bn_x5": Variant(name="BN-x5", norm=True, lr_factor=5, changed=True),
    "bn_x30": Variant(name="BN-x30", norm=True, lr_factor=30, changed=True),
    "bn_x5_sigmoid": Variant(
        name="BN-x5-Sigmoid", norm=True, lr_factor=5, changed=True, activation="sigmoid"
    ),
    # Mentioned in the text, without a curve.
    "inception_x5": Variant(name="Inception-x5", norm=False, lr_factor=5),
    "inception_sigmoid": Variant(name="Inception-Sigmoid", norm=False, activation="sigmoid"),
}
FLOAT32_VARIANTS = ("inception", "bn_x5")
FIGURE_VARIANTS = ("inception", "bn_baseline", "bn_x5", "bn_x30", "bn_x5_sigmoid")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainingConfig):
    """One run. The test set is evaluated at a few early steps and, from `evaluate_from` on, on steps each
    `evaluate_growth` times the last but at most `evaluate_every` apart; the validation set every epoch."""

    experiment: str = EXPERIMENT
    recipe: int = 1
    train_on: str = "train"
    width: float  # multiplies every number of maps
    norm: bool
    activation: str
    lr: float  # at the start
    lr_decay: float  # factor an epoch, applied smoothly
    momentum: float = 0.9
    weight_decay: float  # L2 on weights (not on biases, gamma, beta): adds weight_decay * w to w's gradient
    dropout: float  # on the pooled features
    lrn: bool  # local response normalization behind the stem
    fixed_membership: bool  # mini-batches cut once, only their order shuffled
    photometric: str  # a strength of bnbook.data.augment
    precision: str = "auto"
    norm_eps: float = 1e-5
    norm_momentum: float = 0.1  # of the moving averages that the curves are evaluated with
    population_batches: int = 100  # training mini-batches that Algorithm 2 averages over at the end point
    evaluate_from: int
    evaluate_growth: float = 1.05
    evaluate_every: int

    # What recipe 2 makes fields of, as recipe 1 has it.
    initial: ClassVar[str] = "he"
    output_scale: ClassVar[float] = 1.0
    lrn_alpha: ClassVar[float] = 1e-4
    tested: ClassVar[bool] = True  # on the test set


@dataclasses.dataclass(frozen=True, kw_only=True)
class SlowedConfig(Config):
    """With learning rates of their own, at the start, for the parameters whose scale batch normalization does
    not take away again: those of the output layer, and its own gamma and beta. All rates fall alike."""

    output_lr: float
    gamma_beta_lr: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """The sizes of one profile; epochs are of the training split."""

    data: str
    width: float
    batch_size: int
    seeds: int  # of the main runs
    epochs: int  # of the runs that keep the baseline's decay
    lrs: tuple[float, ...]
    rates_seeds: int
    rates_epochs: int
    rates_decay: float = 0.5
    rates_weight_decay: float = 1e-4
    tuning_epochs: int
    decays: tuple[float, ...]
    weight_decays: tuple[float, ...]
    precision: str = "auto"
    population_batches: int = 100
    # x1, r and lambda of the main runs; 0: as they are tuned.
    lr: float = 0.0
    lr_decay: float = 0.0
    weight_decay: float = 0.0

    @property
    def changed_epochs(self) -> int:
        """Of the runs whose learning rate falls six times as fast, and of the two that are only mentioned."""
        return max(1, self.epochs // 3)

    @property
    def steps_per_epoch(self) -> int:
        return TRAINING_IMAGES[self.data] // self.batch_size


PROFILES = {
    "smoke": Profile(
        data="digits",
        width=1 / 16,
        batch_size=32,
        seeds=2,
        epochs=3,
        lrs=(0.05, 0.1),
        rates_seeds=1,
        rates_epochs=1,
        tuning_epochs=3,
        decays=(0.5,),
        weight_decays=(1e-4,),
        population_batches=10,
    ),
    "cpu": Profile(
        data="cifar10-jpeg",
        width=0.25,
        batch_size=128,
        seeds=3,
        epochs=36,
        lrs=(0.0125, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6),
        rates_seeds=3,
        rates_epochs=4,
        tuning_epochs=24,
        decays=(0.94, 0.88),
        weight_decays=(1e-4, 1e-3),
    ),
    "paper": Profile(
        data="cifar10",
        width=1.0,
        batch_size=128,
        seeds=5,
        epochs=36,
        lrs=(0.00625, 0.0125, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6),
        rates_seeds=3,
        rates_epochs=6,
        rates_decay=0.6,
        tuning_epochs=36,
        decays=(0.96, 0.92, 0.88),
        weight_decays=(1e-4, 5e-4, 1e-3),
    ),
}

TUNED = "as tuned"
KNOBS = (
    knobs.learning_rate("learning rate x1; the variants have multiples of it", TUNED),
    knobs.Knob("lr_decay", 0.01, 1.0, "what the baseline's learning rate is multiplied by each epoch", TUNED),
    knobs.Knob("weight_decay", 1e-7, 1.0, "weight of L2 in the baseline", TUNED),
    knobs.Knob("width", 1 / 32, 1.0, "of the network: 1 is the full number of maps"),
    knobs.batch_size(),
    knobs.seeds("runs of each variant"),
    knobs.Knob("epochs", 1, 300, "of the baseline; the changed variants train a third of them"),
)


@dataclasses.dataclass(frozen=True)
class Choice:
    """What was tuned for the baseline: x1, r and lambda."""

    lr: float
    lr_decay: float
    weight_decay: float

    def but_for(self, profile: Profile) -> "Choice":
        """The same, but for what `profile` sets by itself."""
        return Choice(
            profile.lr or self.lr,
            profile.lr_decay or self.lr_decay,
            profile.weight_decay or self.weight_decay,
        )


@dataclasses.dataclass(frozen=True)
class Results:
    """The records of one profile: `main[variant]` and `rates[norm, lr]` by seed, `tuning` as planned,
    `float32[variant]` of the first seed. The float32 pair and the control, `rates[True, lr]`, are the last to
    be made and may not be there yet."""

    profile: Profile
    choice: Choice
    main: dict[str, list[Record]]
    rates: dict[tuple[bool, float], list[Record]]
    tuning: list[Record]
    float32: dict[str, Record]

    def records(self, stage: str) -> list[Record]:
        """The records of "main", "rates", "tuning" or "control" (and the rates that it is compared with; none
        where it has not been made)."""
        if stage == "tuning":
            return self.tuning
        if stage == "control" and not self.controlled:
            return []
        return list(itertools.chain(*(self.main if stage == "main" else self.rates).values()))

    @property
    def controlled(self) -> bool:
        """Whether the control has been made."""
        return any(norm for norm, _ in self.rates)


def config(
    profile: Profile,
    variant: str,
    epochs: int,
    lr: float,
    lr_decay: float,
    weight_decay: float,
    changed: bool = False,
    norm: bool = False,
    activation: str = "relu",
) -> Config:
    """One configuration: the baseline's bundle, or with `changed` all of Section 4.2.1's changes but the
    learning rate."""
    return Config(
        variant=variant,
        data=profile.data,
        batch_size=profile.batch_size,
        steps=epochs * profile.steps_per_epoch,
        width=profile.width,
        norm=norm,
        activation=activation,
        lr=lr,
        lr_decay=round(lr_decay**6, 6) if changed else lr_decay,
        weight_decay=weight_decay / 5 if changed else weight_decay,
        dropout=0.0 if changed else 0.4,
        lrn=not changed,
        fixed_membership=not changed,
        photometric="weak" if changed else "strong",
        precision=profile.precision,
        population_batches=profile.population_batches,
        evaluate_from=profile.steps_per_epoch,
        evaluate_every=profile.steps_per_epoch,
    )


def rates(profile: Profile, norm: bool) -> dict[float, Config]:
    """The configurations of the rates (`norm` False) or the control (True), by learning rate."""
    return {
        lr: only_the_end(
            config(
                profile,
                "rate_bn" if norm else "rate_plain",
                profile.rates_epochs,
                lr,
                profile.rates_decay,
                profile.rates_weight_decay,
                norm=norm,
            )
        )
        for lr in profile.lrs
    }


def control(profile: Profile, folders: Sequence[Path]) -> dict[float, Config]:
    """The control's configurations by learning rate, in the precision that the rates were computed in: "auto"
    may be another where the control is run. Raises MissingRecord."""
    first, *_ = rates(profile, norm=False).values()
    (record,) = records.load(folders, first, range(1))
    precision = record.provenance["precision"]
    configs = rates(profile, norm=True)
    return {lr: dataclasses.replace(one, precision=precision) for lr, one in configs.items()}


def only_the_end(config: Config) -> Config:
    """The same run with few evaluations on the way: they cost time, and only the ends are compared."""
    return dataclasses.replace(config, evaluate_from=config.steps, evaluate_every=config.steps)


def tuning(profile: Profile, lr: float) -> list[Config]:
    """The plain network at `lr` for every pair of decay and L2."""
    return [
        only_the_end(config(profile, "tuning", profile.tuning_epochs, lr, decay, weight_decay))
        for decay, weight_decay in itertools.product(profile.decays, profile.weight_decays)
    ]


def main(profile: Profile, choice: Choice) -> dict[str, Config]:
    """The main configurations by variant."""
    choice = choice.but_for(profile)
    return {
        name: config(
            profile,
            name,
            profile.epochs if variant.long else profile.changed_epochs,
            round(choice.lr * variant.lr_factor, 6),
            choice.lr_decay,
            choice.weight_decay,
            changed=variant.changed,
            norm=variant.norm,
            activation=variant.activation,
        )
        for name, variant in VARIANTS.items()
    }


# Of the traces for replay: a low learning rate, so that rounding errors grow slowly, and an L2 that is seen.
TRACED = Choice(lr=0.001, lr_decay=0.5, weight_decay=0.1)


def float32(profile: Profile, choice: Choice) -> dict[str, Config]:
    """The configurations of the float32 pair by variant: those of the main runs but for the precision."""
    configs = main(profile, choice)
    return {name: dataclasses.replace(configs[name], precision="float32") for name in FLOAT32_VARIANTS}


def plan(stage: str, profile: Profile, folders: Sequence[Path]) -> Iterator[tuple[Config, int]]:
    """The (configuration, seed) pairs of `stage`, seed-major: every configuration has one seed before any
    has two. All but the rates need the records of stages before them in `folders`; raises MissingRecord."""
    if stage == "rates":
        configs, seeds = list(rates(profile, norm=False).values()), profile.rates_seeds
    elif stage == "control":
        configs, seeds = list(control(profile, folders).values()), profile.rates_seeds
    elif stage == "tuning":
        configs, seeds = tuning(profile, best_rate(profile, folders)), 1
    else:
        yield from jobs(profile, choose(profile, folders))
        return
    for seed in range(seeds):
        yield from ((one, seed) for one in configs)


def jobs(profile: Profile, choice: Choice) -> list[tuple[Config, int]]:
    """The main runs, seed-major, and the float32 pair."""
    configs = main(profile, choice).values()
    pair = [(one, 0) for one in float32(profile, choice).values()]
    return [(one, seed) for seed in range(profile.seeds) for one in configs] + pair


def best_rate(profile: Profile, folders: Sequence[Path]) -> float:
    """x1: the learning rate with the best mean validation accuracy of the plain network; ties go to the
    smaller. Raises MissingRecord."""
    found = {
        lr: records.load(folders, one, range(profile.rates_seeds))
        for lr, one in rates(profile, norm=False).items()
    }
    return max(sorted(found), key=lambda lr: np.mean([validation(record) for record in found[lr]]))


def choose(profile: Profile, folders: Sequence[Path]) -> Choice:
    """x1, r and lambda by the rules at the top of this file; ties go to the first of the plan."""
    lr = best_rate(profile, folders)
    best = max(tuning(profile, lr), key=lambda one: validation(records.load(folders, one, range(1))[0]))
    return Choice(lr=lr, lr_decay=best.lr_decay, weight_decay=best.weight_decay)


def validation(record: Record) -> float:
    """Validation accuracy (0 to 1) at the end of the run; chance where it diverged."""
    return record.final["chance_accuracy" if record.diverged else "validation_accuracy"]


def results(profile: Profile, folders: Sequence[Path], main_sizes: Profile | None = None) -> Results:
    """All records of `profile`, looked up in `folders` (runs folders) in order; raises MissingRecord where
    one is missing, but not for the float32 pair and the control, which are the last to be made.

    `main_sizes` replaces the profile for the main runs: other seeds, lengths or data at the same choice.
    """
    sizes = main_sizes or profile
    choice = choose(profile, folders)

    def load(configs: Mapping[Any, Config], seeds: int) -> dict[Any, list[Record]]:
        return {key: records.load(folders, one, range(seeds)) for key, one in configs.items()}

    plain = {(False, lr): one for lr, one in rates(profile, norm=False).items()}
    bn = {(True, lr): one for lr, one in control(profile, folders).items()}
    pair = float32(sizes, choice)
    return Results(
        profile=sizes,
        choice=choice,
        main=load(main(sizes, choice), sizes.seeds),
        rates=load(plain, profile.rates_seeds) | if_made(lambda: load(bn, profile.rates_seeds)),
        tuning=[records.load(folders, one, range(1))[0] for one in tuning(profile, choice.lr)],
        float32={name: found[0] for name, found in if_made(lambda: load(pair, 1)).items()},
    )


def if_made(load: Callable[[], dict[Any, list[Record]]]) -> dict[Any, list[Record]]:
    """What `load` gives; nothing where one of its records is missing."""
    try:
        return load()
    except MissingRecord:
        return {}
