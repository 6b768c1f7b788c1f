"""Section 4.2, Figures 2 and 3: how many steps batch normalization saves an Inception network. Registered a
second time: the right instrument, enough seeds, a target that is reached.

The first registration (`inception_first.protocol`) measured curves by moving averages, aimed at
the mean of the baseline's maxima, which hardly any of its own runs reaches, and lost a seed of three to a
choice of x1 made under another schedule. This one is written after those results were seen and before any run
of its own. Profile "cpu" computes in float32, on a CPU or a GPU, so that any machine can add seeds to one
table; "paper", the same arms at the full width, in bfloat16, in which a GPU is four times as fast. Both
evaluate batch normalization by Algorithm 2 along the whole curve. What is chosen is chosen on validation
images, for the *plain* network alone, and without a look at the test set:

1. *precision*: what was it that kept one seed at chance? x1 = 0.1 for an epoch, in float32 and bfloat16, with
   the decay of the first registration's rates (0.5 an epoch) and of its main runs (0.94). Nothing is chosen.
2. *initial*: the initial weights. He's, Xavier's and Gaussian ones of one width everywhere, each also with an
   output layer a tenth as large, for an epoch at 0.1: the one with which most seeds learn (pass LEARNS after
   the epoch), among equals the best mean accuracy.
3. *survival*: an epoch at each rate of a grid of factor 2, with and without batch normalization: the share
   of seeds that learn. Admissible as x1 is a rate at which all seeds of the plain network do.
4. *pilot*: the plain network at full length at the three highest admissible rates. x1 is the one with the
   best mean accuracy at the end. The length is `epochs`, or `longer_epochs` where the mean accuracy at x1
   still rises by PLATEAU or more over the last sixth; r is such that the rate falls to FINAL_SHARE of x1 over
   it. The target is the mean accuracy at x1 at the end, less BELOW.
5. *main*: the arms below, with seeds that chose nothing. Those whose learning rate falls six times as fast
   (r^6) train for a third of the steps, as in the paper's bundle; three of them also as long as the baseline.
6. *instrument*: two of the arms once more with the same seeds, so that they train the same to the last bit,
   but measured with twice the mini-batches and all test images: do their crossings stay where they are?

The weight of L2 is the first registration's, which was tuned for the baseline on validation images too. Local
response normalization has GoogLeNet's alpha times the square of how much wider GoogLeNet's pixels spread
(63 against 1): with 1e-4 on inputs of unit spread it changes next to nothing.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bnbook import records
from bnbook.experiments import knobs
from bnbook.experiments.inception_first import protocol as first
from bnbook.experiments.inception_first.protocol import TRAINING_IMAGES
from bnbook.records import MissingRecord, Record

EXPERIMENT = first.EXPERIMENT
STAGES_THAT_CHOOSE = ("precision", "initial", "survival", "pilot")
STAGES = (*STAGES_THAT_CHOOSE, "main", "instrument")
BESIDE = ("initial", "survival")
DATA = first.DATA
# Of the code that builds and trains, what the notebook shows.
SHOWN = (
    "nn.inception.Conv",
    "nn.inception.Module",
    "nn.inception.Inception",
    "training.network",
    "training.train_inception",
    "training.along_the_curve",
    "train.loop.train",
)
KNOBS = (
    knobs.learning_rate("learning rate x1; the arms have multiples of it", knobs.AS_CHOSEN),
    knobs.Knob("weight_decay", 1e-7, 1.0, "weight of L2 in the baseline"),
    knobs.Knob("width", 1 / 32, 1.0, "of the network: 1 is the full number of maps"),
    knobs.batch_size(),
    knobs.seeds("runs of each arm"),
    knobs.Knob(
        "epochs",
        1,
        300,
        "of the baseline; a third of them where the rate falls faster",
        knobs.AS_CHOSEN,
        knobs.at_once("main_epochs"),
    ),
)
BASELINE = "inception"

LEARNS = 0.2  # validation accuracy after an epoch: twice chance
PLATEAU = 0.5  # points of validation accuracy over the last sixth of the pilot
BELOW = 2.0  # points of accuracy, from what the baseline ends at to the target
FINAL_SHARE = 0.108  # of x1: what 36 epochs at 0.94 leave
HIGHEST = 3  # so many admissible rates go into the pilot
PIXEL_SPREAD = 63  # standard deviation of pixels of 0 to 255; those that the network sees have 1
LRN_ALPHA = 0.4  # 1e-4 * PIXEL_SPREAD^2
PRECISION_DECAYS = (0.5, 0.94)  # an epoch: of the first registration's rates, and of its main runs
PRECISION_LR = 0.1
MEASURED_AGAIN, AGAIN_SEEDS = ("bn_x5", "bn_x1_changed"), 2
# The second had its curves on the first images of a test set that lies sorted by class: two classes of ten.
RECIPE_TESTED = 3
INITIALS = tuple(itertools.product(("he", "xavier", "gaussian"), (1.0, 0.1)))  # weights, output layer's scale


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(first.SlowedConfig):
    """One run. Along the curve `curve_images` test images are classified, with batch normalization by the
    statistics of `statistics_batches` training mini-batches drawn beyond the run's own; after every epoch, by
    moving averages too, all test and validation images. Without `tested` the test set is not touched."""

    recipe: int = 2
    precision: str = "float32"
    initial: str  # of bnbook.nn.inception.initialise
    output_scale: float  # times the initial standard deviation of the output layer
    lrn_alpha: float
    statistics_batches: int
    curve_images: int
    tested: bool
    evaluate_from: int = 10
    evaluate_growth: float = 1.07


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arm:
    """One network of the main stage. `changed` is the list of Section 4.2.1 but for the learning rate, made
    all at once, its decay `decays` times as fast; `long` ones train as long as the baseline."""

    name: str
    seeds: int  # at the profile's full size
    norm: bool = True
    lr_factor: float = 1.0
    changed: bool = True
    decays: int = 6
    long: bool = False
    activation: str = "relu"
    slow: bool = False  # output layer, gamma and beta, which no normalization protects, at x1


ARMS = {
    "inception": Arm(name="Inception", seeds=8, norm=False, changed=False, decays=1, long=True),
    "bn_baseline": Arm(name="BN-Baseline", seeds=8, changed=False, decays=1, long=True),
    "bn_x5": Arm(name="BN-x5", seeds=8, lr_factor=5),
    "bn_x1_changed": Arm(name="BN-x1, changed", seeds=6),
    "bn_x30": Arm(name="BN-x30", seeds=5, lr_factor=30),
    "bn_x30_slow": Arm(name="BN-x30, output layer, γ and β at ×1", seeds=5, lr_factor=30, slow=True),
    "bn_x5_sigmoid": Arm(name="BN-x5-Sigmoid", seeds=5, lr_factor=5, activation="sigmoid"),
    "bn_x5_long": Arm(name="BN-x5, as long as the baseline", seeds=5, lr_factor=5, long=True),
    "bn_x5_long_r2": Arm(name="BN-x5, long, decay r²", seeds=5, lr_factor=5, decays=2, long=True),
    "bn_x5_long_r": Arm(name="BN-x5, long, decay r", seeds=5, lr_factor=5, decays=1, long=True),
    # Mentioned in the text, without a curve.
    "inception_x5": Arm(name="Inception-x5", seeds=3, norm=False, lr_factor=5, changed=False, decays=1),
} | {
    f"inception_sigmoid_{name}": Arm(
        name=f"Inception-Sigmoid at {factor:g}·x1",
        seeds=3,
        norm=False,
        lr_factor=factor,
        changed=False,
        decays=1,
        activation="sigmoid",
    )
    for name, factor in (("x1", 1.0), ("third", 0.3), ("tenth", 0.1))
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """The sizes of one profile; epochs are of the training split. `most_seeds` bounds those of every arm,
    `seeds` replaces them."""

    data: str
    width: float
    batch_size: int
    epochs: int
    longer_epochs: int
    lrs: tuple[float, ...]  # of the survival stage, plain
    bn_lrs: tuple[float, ...]  # and with batch normalization
    precision_seeds: int
    initial_seeds: int
    survival_seeds: int
    pilot_seeds: int
    most_seeds: int
    precision: str = "float32"
    weight_decay: float = 1e-4
    population_batches: int = 100
    statistics_batches: int = 10
    curve_images: int = 2000
    evaluate_growth: float = Config.evaluate_growth  # of the step from one evaluation to the next
    first_main_seed: int = 20  # those below it choose
    # Of the main runs; 0: as is chosen, and as many seeds as each arm has.
    lr: float = 0.0
    main_epochs: int = 0
    seeds: int = 0

    @property
    def steps_per_epoch(self) -> int:
        return TRAINING_IMAGES[self.data] // self.batch_size


PROFILES = {
    "smoke": Profile(
        data="digits",
        width=1 / 16,
        batch_size=32,
        epochs=3,
        longer_epochs=3,
        lrs=(0.05, 0.1),
        bn_lrs=(0.1,),
        precision_seeds=1,
        initial_seeds=1,
        survival_seeds=1,
        pilot_seeds=1,
        most_seeds=2,
        population_batches=10,
        statistics_batches=2,
        curve_images=120,
        evaluate_growth=1.5,
    ),
    "cpu": Profile(
        data="cifar10-jpeg",
        width=0.25,
        batch_size=128,
        epochs=24,
        longer_epochs=36,
        lrs=(0.0125, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8),
        bn_lrs=(0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4),
        precision_seeds=20,
        initial_seeds=10,
        survival_seeds=10,
        pilot_seeds=3,
        most_seeds=8,
    ),
    "paper": Profile(
        data="cifar10-jpeg",
        width=1.0,
        batch_size=128,
        epochs=24,
        longer_epochs=36,
        lrs=(0.0125, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8),
        bn_lrs=(0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4),
        precision="bfloat16",
        precision_seeds=3,
        initial_seeds=5,
        survival_seeds=5,
        pilot_seeds=2,
        most_seeds=3,
    ),
}


@dataclasses.dataclass(frozen=True)
class Choice:
    """What the stages before the main one decide: initial weights, x1, the length in epochs, and the target
    in percent of accuracy."""

    initial: str
    output_scale: float
    lr: float
    epochs: int
    target: float

    @property
    def lr_decay(self) -> float:
        """r: the factor an epoch."""
        return decay(self.epochs)

    def but_for(self, profile: Profile) -> "Choice":
        """The same, but for what `profile` sets by itself."""
        return dataclasses.replace(self, lr=profile.lr or self.lr, epochs=profile.main_epochs or self.epochs)


@dataclasses.dataclass(frozen=True)
class Results:
    """The records made so far, by stage and the key of its configurations, by seed: of a stage that chooses
    the seeds that each of its configurations has, of the main stage and what follows it everything or
    nothing. A stage where a configuration has none is not there, nor is the choice before it can be made.

    `full_width` has the stages BESIDE of profile "paper", to be shown beside those of a narrower one."""

    profile: Profile
    stages: dict[str, dict[Any, list[Record]]]
    choice: Choice | None = None
    full_width: dict[str, dict[Any, list[Record]]] = dataclasses.field(default_factory=dict)

    @property
    def main(self) -> dict[str, list[Record]]:
        """The arms' records by seed; none where they are not whole."""
        return self.stages.get("main", {})

    def arm(self, name: str) -> list[Record]:
        """An arm's records by seed; raises MissingRecord where the main stage is not whole."""
        if name not in self.main:
            raise MissingRecord("the main runs of Section 4.2 have not all been made yet")
        return self.main[name]

    def records(self, stage: str) -> list[Record]:
        """All of a stage, those at the full width too."""
        cells = [*self.stages.get(stage, {}).values(), *self.full_width.get(stage, {}).values()]
        return list(itertools.chain(*cells))


def decay(epochs: int) -> float:
    """The factor an epoch that leaves FINAL_SHARE after `epochs`."""
    return round(FINAL_SHARE ** (1 / epochs), 4)


def config(
    profile: Profile,
    variant: str,
    lr: float,
    *,
    epochs: int = 1,
    lr_decay: float,
    norm: bool = False,
    changed: bool = False,
    activation: str = "relu",
    initial: str = "he",
    output_scale: float = 1.0,
    protected_lr: float | None = None,
    tested: bool = False,
    **others,
) -> Config:
    """One configuration: the baseline's bundle, or with `changed` that of Section 4.2.1 but for learning rate
    and decay. `protected_lr` is that of output layer, gamma and beta, where it is another."""
    fields = {
        "recipe": RECIPE_TESTED if tested else Config.recipe,
        "variant": variant,
        "data": profile.data,
        "precision": profile.precision,
        "batch_size": profile.batch_size,
        "steps": epochs * profile.steps_per_epoch,
        "width": profile.width,
        "norm": norm,
        "activation": activation,
        "lr": lr,
        "lr_decay": lr_decay,
        "weight_decay": profile.weight_decay / 5 if changed else profile.weight_decay,
        "dropout": 0.0 if changed else 0.4,
        "lrn": not changed,
        "lrn_alpha": LRN_ALPHA,
        "fixed_membership": not changed,
        "photometric": "weak" if changed else "strong",
        "initial": initial,
        "output_scale": output_scale,
        "output_lr": protected_lr or lr,
        "gamma_beta_lr": protected_lr or lr,
        "population_batches": profile.population_batches,
        "statistics_batches": profile.statistics_batches,
        "curve_images": profile.curve_images,
        "tested": tested,
        "evaluate_growth": profile.evaluate_growth,
        "evaluate_every": profile.steps_per_epoch,
    }
    return Config(**fields | others)


def precision(profile: Profile) -> dict[tuple[str, float], Config]:
    """The runs that ask what kept a seed at chance, by (precision, decay): all else as it was then."""
    return {
        (name, lr_decay): config(
            profile, "precision", PRECISION_LR, lr_decay=lr_decay, lrn_alpha=1e-4, precision=name
        )
        for name, lr_decay in itertools.product(("float32", "bfloat16"), PRECISION_DECAYS)
    }


def initials(profile: Profile) -> dict[tuple[str, float], Config]:
    """By (initial weights, scale of the output layer): an epoch of the plain network at 0.1."""
    return {
        (initial, scale): config(
            profile,
            "initial",
            PRECISION_LR,
            lr_decay=decay(profile.epochs),
            initial=initial,
            output_scale=scale,
        )
        for initial, scale in INITIALS
    }


def survival(profile: Profile, initial: tuple[str, float]) -> dict[tuple[bool, float], Config]:
    """By (with batch normalization, learning rate): an epoch."""
    rates = [(False, lr) for lr in profile.lrs] + [(True, lr) for lr in profile.bn_lrs]
    return {
        (norm, lr): config(
            profile,
            "survival_bn" if norm else "survival_plain",
            lr,
            lr_decay=decay(profile.epochs),
            norm=norm,
            initial=initial[0],
            output_scale=initial[1],
        )
        for norm, lr in rates
    }


def pilots(profile: Profile, initial: tuple[str, float], lrs: Sequence[float]) -> dict[float, Config]:
    """The plain network at full length, by learning rate."""
    return {
        lr: config(
            profile,
            "pilot",
            lr,
            epochs=profile.epochs,
            lr_decay=decay(profile.epochs),
            initial=initial[0],
            output_scale=initial[1],
        )
        for lr in lrs
    }


def main(profile: Profile, choice: Choice) -> dict[str, Config]:
    """The arms' configurations."""
    choice = choice.but_for(profile)
    return {name: arm_config(profile, choice, name, arm) for name, arm in ARMS.items()}


def instrument(profile: Profile, choice: Choice) -> dict[str, Config]:
    """Arms whose curves are measured a second time, with twice the mini-batches and every test image."""
    configs = main(profile, choice)
    finer = {"statistics_batches": 2 * profile.statistics_batches, "curve_images": 10_000}
    return {name: dataclasses.replace(configs[name], **finer) for name in MEASURED_AGAIN}


def arm_config(profile: Profile, choice: Choice, variant: str, arm: Arm, **others) -> Config:
    """One arm's configuration; `others` are fields that it has otherwise (the ablation's)."""
    return config(
        profile,
        variant,
        round(choice.lr * arm.lr_factor, 6),
        epochs=choice.epochs if arm.long else max(1, choice.epochs // 3),
        lr_decay=round(choice.lr_decay**arm.decays, 6),
        norm=arm.norm,
        changed=arm.changed,
        activation=arm.activation,
        initial=choice.initial,
        output_scale=choice.output_scale,
        protected_lr=choice.lr if arm.slow else None,
        tested=True,
        **others,
    )


def arm_seeds(profile: Profile, seeds: int) -> range:
    """The seeds of an arm that has so many."""
    number = profile.seeds or min(seeds, profile.most_seeds)
    return range(profile.first_main_seed, profile.first_main_seed + number)


# What is chosen


def validation(record: Record) -> float:
    """Validation accuracy (0 to 1) at the end: by Algorithm 2 with batch normalization; chance where the run
    diverged."""
    if record.diverged:
        return record.final["chance_accuracy"]
    return record.final.get("validation_accuracy_population", record.final["validation_accuracy"])


def learns(record: Record) -> bool:
    """Whether the network got anywhere in its epoch."""
    return validation(record) > LEARNS


def best_initial(profile: Profile, folders: Sequence[Path]) -> tuple[str, float]:
    """The initial weights with which most seeds learn; ties go to the better mean accuracy, then to the
    first. Raises MissingRecord."""

    def merit(one: Config) -> tuple[int, float]:
        found = records.load(folders, one, range(profile.initial_seeds))
        return sum(map(learns, found)), float(np.mean([validation(record) for record in found]))

    configs = initials(profile)
    return max(configs, key=lambda initial: merit(configs[initial]))


def admissible(profile: Profile, folders: Sequence[Path]) -> list[float]:
    """The rates at which all seeds of the plain network learn, ascending. Raises MissingRecord; ValueError
    where there is none."""
    configs = survival(profile, best_initial(profile, folders))
    found = [
        lr
        for lr in sorted(profile.lrs)
        if all(map(learns, records.load(folders, configs[False, lr], range(profile.survival_seeds))))
    ]
    # Where a profile is too small for any to learn, its lowest rate has to do.
    return found or [min(profile.lrs)]


def choose(profile: Profile, folders: Sequence[Path]) -> Choice:
    """The choices by the rules at the top of this file; ties go to the smaller rate. Raises MissingRecord."""
    initial = best_initial(profile, folders)
    configs = pilots(profile, initial, admissible(profile, folders)[-HIGHEST:])
    found = {lr: records.load(folders, one, range(profile.pilot_seeds)) for lr, one in configs.items()}
    lr = max(sorted(found), key=lambda lr: np.mean([validation(record) for record in found[lr]]))
    end = 100 * float(np.mean([validation(record) for record in found[lr]]))
    plateaued = end - np.mean([earlier(record) for record in found[lr]]) < PLATEAU
    return Choice(
        initial=initial[0],
        output_scale=initial[1],
        lr=lr,
        epochs=profile.epochs if plateaued else profile.longer_epochs,
        target=round(end - BELOW, 2),
    )


def earlier(record: Record) -> float:
    """Validation accuracy in percent when five sixths of the run were done."""
    curve = record.curves["epochs"]
    steps, accuracies = np.array(curve["step"]), np.array(curve["validation_accuracy"])
    return 100 * float(accuracies[np.abs(steps - record.config["steps"] * 5 / 6).argmin()])


# The plan


def configurations(stage: str, profile: Profile, folders: Sequence[Path]) -> tuple[dict[Any, Config], int]:
    """Those of a stage that chooses, by key, and how many seeds each has. Raises MissingRecord."""
    if stage == "precision":
        return precision(profile), profile.precision_seeds
    if stage == "initial":
        return initials(profile), profile.initial_seeds
    initial = best_initial(profile, folders)
    if stage == "survival":
        return survival(profile, initial), profile.survival_seeds
    return pilots(profile, initial, admissible(profile, folders)[-HIGHEST:]), profile.pilot_seeds


def plan(stage: str, profile: Profile, folders: Sequence[Path]) -> Iterator[tuple[Config, int]]:
    """The (configuration, seed) pairs of `stage`, seed-major. Raises MissingRecord where the stages that
    decide it have no records in `folders`."""
    if stage == "main":
        yield from jobs(profile, choose(profile, folders))
    elif stage == "instrument":
        configs = instrument(profile, choose(profile, folders))
        yield from ((one, seed) for seed in arm_seeds(profile, AGAIN_SEEDS) for one in configs.values())
    else:
        configs, seeds = configurations(stage, profile, folders)
        yield from ((one, seed) for seed in range(seeds) for one in configs.values())


def jobs(profile: Profile, choice: Choice) -> list[tuple[Config, int]]:
    """The main runs, seed-major: each arm with its own number of seeds."""
    configs = main(profile, choice)
    return [
        (configs[name], seed)
        for seed in arm_seeds(profile, profile.most_seeds)
        for name, arm in ARMS.items()
        if seed in arm_seeds(profile, arm.seeds)
    ]


# Of the traces for replay: a low learning rate, so that rounding errors grow slowly, and an L2 that is seen.
TRACED, TRACED_WEIGHT_DECAY = Choice(initial="he", output_scale=0.1, lr=0.001, epochs=3, target=50.0), 0.1


def traces(steps: int) -> list[Config]:
    """A short run on the embedded digits for each variant, for replay (`bnbook.runs.replay`)."""
    profile = dataclasses.replace(
        PROFILES["smoke"], lrs=(TRACED.lr,), bn_lrs=(TRACED.lr,), weight_decay=TRACED_WEIGHT_DECAY
    )
    initial = (TRACED.initial, TRACED.output_scale)
    plain = [*survival(profile, initial).values(), *pilots(profile, initial, [TRACED.lr]).values()]
    named = [*main(profile, TRACED).values(), *plain, initials(profile)["xavier", 1.0]]
    return [dataclasses.replace(one, steps=steps, lr=min(one.lr, 30 * TRACED.lr)) for one in named]


def results(profile: Profile, folders: Sequence[Path], main_sizes: Profile | None = None) -> Results:
    """The records of `profile` that have been made, looked up in `folders` in order; raises MissingRecord
    where there are none at all. `main_sizes` replaces the profile for the main runs: other seeds, lengths or
    data at the same choice; the instrument has none of those.
    """
    sizes = main_sizes or profile
    stages = choosing(STAGES_THAT_CHOOSE, profile, folders)
    if not stages:
        raise MissingRecord("no run of Section 4.2's second registration has been made yet")
    full_width = choosing(BESIDE, PROFILES["paper"], folders) if profile.width < 1 else {}
    try:
        choice = choose(profile, folders)
    except MissingRecord:
        return Results(sizes, stages, full_width=full_width)
    for stage in ("main", "instrument") if sizes == profile else ("main",):
        try:
            runs = jobs(sizes, choice) if stage == "main" else plan(stage, profile, folders)
            stages[stage] = whole(folders, runs)
        except MissingRecord:
            break
    return Results(sizes, stages, choice, full_width)


def choosing(
    stages: Iterable[str], profile: Profile, folders: Sequence[Path]
) -> dict[str, dict[Any, list[Record]]]:
    """The records of stages that choose; without those of which a configuration has none."""
    found = {}
    for stage in stages:
        try:
            configs, seeds = configurations(stage, profile, folders)
        except MissingRecord:
            continue  # what decides them is not whole yet
        if all((cells := made(folders, configs, range(seeds))).values()):
            found[stage] = cells
    return found


def whole(folders: Sequence[Path], runs: Iterable[tuple[Config, int]]) -> dict[str, list[Record]]:
    """The records of all `runs` by variant, by seed; raises MissingRecord."""
    found: dict[str, list[Record]] = {}
    for one, seed in runs:
        found.setdefault(one.variant, []).extend(records.load(folders, one, [seed]))
    return found


def made(folders: Sequence[Path], configs: dict[Any, Config], seeds: range) -> dict[Any, list[Record]]:
    """By key, the records of the seeds, from the first on, that have been made."""
    return {
        key: list(itertools.takewhile(bool, (records.find(folders, one, seed) for seed in seeds)))
        for key, one in configs.items()
    }
