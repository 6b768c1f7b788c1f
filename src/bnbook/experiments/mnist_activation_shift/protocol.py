"""Section 4.1, Figure 1: MNIST with three layers of sigmoids, with and without batch normalization.

What the paper leaves open (learning rate, initialisation) is chosen by a rule stated here before the runs:

1. The *multiverse*: every learning rate x initialisation x input kind, both variants, trained on 50,000
   images. It answers where the paper's conclusion holds, and its validation accuracy (10,000 held-out
   training images; the test set has no say) makes the choices for the next stage.
2. The *main* runs: the paper's 50,000 steps of 60 images on all 60,000 images, at two settings:
   `tuned`, each variant at its own best binarised cell of the multiverse, and `shared`, both variants at
   the one cell with the best validation accuracy averaged over the two.

Before the main runs come those of the *pilot*: both variants at their tuned setting, with other seeds, their
curves by moving averages. They were the main runs of the first registration. Now they fix the accuracy that
the main runs are timed to, so that no run that is timed has a say in it.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from bnbook import records
from bnbook.config import TrainingConfig
from bnbook.experiments import knobs
from bnbook.records import Record

EXPERIMENT = "mnist_activation_shift"
VARIANTS = ("plain", "bn")
SETTINGS = ("tuned", "shared")
STAGES = ("multiverse", "main")
DATA = ("mnist", "digits")  # what it can be trained on, the best first
# Of the code that builds and trains, what the notebook shows.
SHOWN = (
    "nn.mlp.HiddenLayer",
    "nn.mlp.MLP",
    "training.network",
    "training.train_run",
    "train.loop.train",
)
PERCENTILES = (15, 50, 85)  # of the input of a sigmoid: Figure 1b, 1c
# Training mini-batches, those after the run's own, that Algorithm 2 averages over at each evaluation along
# the curve, by recipe. The first has curves by moving averages alone; else nothing differs.
CURVE_BATCHES = {1: 0, 2: 50}
MARGIN = 0.3  # points by which the target lies below the pilot's final accuracy without BN: see `target`


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainingConfig):
    """One run. Evaluations and probes fall on log-spaced steps (each `growth` times the last), then on
    every `every`-th step; see `bnbook.train.schedules.log_then_even`."""

    experiment: str = EXPERIMENT
    binarise: bool = True  # pixels above one half become 1, the others 0
    hidden: int = 100  # units in each of the three hidden layers
    depth: int = 3
    init_std: float  # W ~ N(0, init_std^2) in every layer; biases and beta 0, gamma 1
    lr: float  # constant; plain SGD
    norm_eps: float = 1e-5
    norm_momentum: float = 0.1  # of the moving averages
    norm_backend: str = "torch"  # torch's layer, proved equal to ours (tests/test_batchnorm.py), for speed
    population_batches: int = 500  # training mini-batches that Algorithm 2 averages over at the end point
    evaluate_growth: float
    evaluate_every: int
    probe_growth: float
    probe_every: int
    probe_size: int = 1000  # fixed training images that the percentiles are taken over


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """The sizes of one profile. `seeds` and `steps` are the main runs'; the pilot has their steps, and the
    seeds before theirs."""

    data: str
    seeds: int
    pilot_seeds: int
    steps: int
    batch_size: int = 60
    hidden: int = 100
    depth: int = 3
    # Of the main runs; 0: as the multiverse chooses.
    lr: float = 0.0
    init_std: float = 0.0
    lrs: tuple[float, ...]
    init_stds: tuple[float, ...]
    multiverse_seeds: int  # of each cell; the first of them, which choose the settings
    binarised_seeds: int  # of each cell with binarised input: what the initialisation is judged by
    multiverse_steps: int
    # Main curves: spacing 5% of the step (one step before step 20), so that steps-to-target are known to 5%.
    evaluate_growth: float = 1.05
    evaluate_every: int = 500


PROFILES = {
    "smoke": Profile(
        data="digits",
        seeds=3,
        pilot_seeds=2,
        steps=1500,
        lrs=(0.1, 1.0),
        init_stds=(0.01, 0.1, 1.0),
        multiverse_seeds=2,
        binarised_seeds=3,
        multiverse_steps=500,
        evaluate_every=100,
    ),
    "cpu": Profile(
        data="mnist",
        seeds=8,
        pilot_seeds=5,
        steps=50_000,
        lrs=(0.1, 0.3, 1.0, 3.0, 10.0),
        init_stds=(0.01, 0.1, 1.0),
        multiverse_seeds=3,
        binarised_seeds=8,
        multiverse_steps=20_000,
    ),
    "paper": Profile(
        data="mnist",
        seeds=20,
        pilot_seeds=5,
        steps=50_000,
        lrs=(0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0),
        init_stds=(0.001, 0.01, 0.03, 0.1, 0.3, 1.0),
        multiverse_seeds=10,
        binarised_seeds=20,
        multiverse_steps=50_000,
    ),
}

KNOBS = (
    knobs.learning_rate("learning rate of both networks", knobs.AS_CHOSEN),
    knobs.init_std(zero=knobs.AS_CHOSEN),
    knobs.batch_size(),
    knobs.hidden(),
    knobs.depth(),
    knobs.seeds("main runs of each kind"),
    knobs.seeds("runs of the pilot, which sets the target of the speed", "pilot_seeds"),
    knobs.steps("training steps of the pilot and the main runs"),
)


@dataclasses.dataclass(frozen=True)
class Choice:
    """Learning rate and initialisation (lr, init_std): `tuned[variant]` and `shared`."""

    tuned: dict[str, tuple[float, float]]
    shared: tuple[float, float]

    def of(self, setting: str, variant: str) -> tuple[float, float]:
        return self.shared if setting == "shared" else self.tuned[variant]

    def but_for(self, profile: Profile) -> "Choice":
        """The same, but for what `profile` sets by itself."""

        def own(cell: tuple[float, float]) -> tuple[float, float]:
            return profile.lr or cell[0], profile.init_std or cell[1]

        return Choice({variant: own(cell) for variant, cell in self.tuned.items()}, own(self.shared))


@dataclasses.dataclass(frozen=True)
class Results:
    """The records of one profile: `main[setting, variant]` and `pilot[variant]` by seed, made at `choice`;
    `multiverse` in the order of its configurations."""

    profile: Profile
    choice: Choice
    main: dict[tuple[str, str], list[Record]]
    pilot: dict[str, list[Record]]
    multiverse: list[Record]

    def records(self, stage: str) -> list[Record]:
        """The records of "main" or "multiverse", or those that a "speed" rests on, the main ones and the
        pilot's; a run that two settings share comes twice."""
        if stage == "multiverse":
            return self.multiverse
        pilot = self.pilot.values() if stage == "speed" else ()
        return list(itertools.chain(*self.main.values(), *pilot))


def multiverse(profile: Profile) -> list[Config]:
    """The multiverse's configurations, binarised input first, since the main runs wait for those."""
    return [
        Config(
            variant=variant,
            recipe=1,
            data=profile.data,
            train_on="train",
            batch_size=profile.batch_size,
            steps=profile.multiverse_steps,
            binarise=binarise,
            hidden=profile.hidden,
            depth=profile.depth,
            init_std=init_std,
            lr=lr,
            evaluate_growth=1.5,
            evaluate_every=profile.multiverse_steps // 10,
            probe_growth=2.0,
            probe_every=profile.multiverse_steps // 5,
        )
        for binarise, init_std, lr, variant in itertools.product(
            (True, False), profile.init_stds, profile.lrs, VARIANTS
        )
    ]


def main(profile: Profile, choice: Choice) -> dict[tuple[str, str], Config]:
    """The main configurations by (setting, variant)."""
    configs, choice = {}, choice.but_for(profile)
    for setting, variant in itertools.product(SETTINGS, VARIANTS):
        lr, init_std = choice.of(setting, variant)
        configs[setting, variant] = Config(
            variant=variant,
            recipe=2,
            data=profile.data,
            train_on="train+validation",
            batch_size=profile.batch_size,
            steps=profile.steps,
            hidden=profile.hidden,
            depth=profile.depth,
            init_std=init_std,
            lr=lr,
            evaluate_growth=profile.evaluate_growth,
            evaluate_every=profile.evaluate_every,
            probe_growth=1.2,
            probe_every=2 * profile.evaluate_every,
        )
    return configs


def pilot(profile: Profile, choice: Choice) -> dict[str, Config]:
    """The pilot's configurations by variant: the main ones, with the first recipe's curves."""
    configs = main(profile, choice)
    return {variant: dataclasses.replace(configs["tuned", variant], recipe=1) for variant in VARIANTS}


def cell_seeds(profile: Profile, config: Config) -> range:
    """The seeds of a cell of the multiverse."""
    return range(profile.binarised_seeds if config.binarise else profile.multiverse_seeds)


def main_seeds(profile: Profile) -> range:
    """The seeds of the main runs: none that the pilot had."""
    return range(profile.pilot_seeds, profile.pilot_seeds + profile.seeds)


def traces(steps: int) -> list[Config]:
    """A short run on the embedded digits for each variant, for replay (`bnbook.runs.replay`)."""
    profile = dataclasses.replace(PROFILES["smoke"], steps=steps)
    choice = Choice(tuned=dict.fromkeys(VARIANTS, (1.0, 0.1)), shared=(1.0, 0.1))
    return [config for (setting, _), config in main(profile, choice).items() if setting == "shared"]


def plan(stage: str, profile: Profile, folders: Sequence[Path]) -> Iterator[tuple[Config, int]]:
    """The (configuration, seed) pairs of `stage` ("multiverse" or "main"), seed-major: every configuration
    has one seed before any has two. The main stage needs the multiverse's records in `folders`."""
    if stage == "multiverse":
        for binarise in (True, False):
            configs = [config for config in multiverse(profile) if config.binarise == binarise]
            for seed in cell_seeds(profile, configs[0]):
                yield from ((config, seed) for config in configs)
    else:
        yield from jobs(profile, choose(profile, folders))


def jobs(profile: Profile, choice: Choice) -> list[tuple[Config, int]]:
    """The pilot's runs, then the main ones, seed-major; tuned and shared may be one and the same."""
    first = pilot(profile, choice).values()
    configs = dict.fromkeys(main(profile, choice).values())
    return [(config, seed) for seed in range(profile.pilot_seeds) for config in first] + [
        (config, seed) for seed in main_seeds(profile) for config in configs
    ]


def choose(profile: Profile, folders: Sequence[Path]) -> Choice:
    """The cells with the best mean validation accuracy over the first seeds, `multiverse_seeds` of them, by
    the rule at the top of this file.

    Ties go to the smaller learning rate, then to the smaller initialisation. Raises MissingRecord.
    """
    scores: dict[tuple[str, tuple[float, float]], float] = {}
    for config in multiverse(profile):
        if config.binarise:
            found = records.load(folders, config, range(profile.multiverse_seeds))
            scores[config.variant, (config.lr, config.init_std)] = float(
                np.mean([validation(r) for r in found])
            )
    cells = sorted({cell for _, cell in scores})
    return Choice(
        tuned={variant: max(cells, key=lambda cell: scores[variant, cell]) for variant in VARIANTS},
        shared=max(cells, key=lambda cell: sum(scores[variant, cell] for variant in VARIANTS)),
    )


def validation(record: Record) -> float:
    """Validation accuracy (0 to 1) at the end of the run; chance where it diverged."""
    return record.final["chance_accuracy" if record.diverged else "validation_accuracy"]


def results(profile: Profile, folders: Sequence[Path], main_sizes: Profile | None = None) -> Results:
    """All records of `profile`, looked up in `folders` (runs folders) in order; raises MissingRecord.

    `main_sizes` replaces the profile for the main runs: other seeds, steps or data at the same choice.
    """
    sizes = main_sizes or profile
    choice = choose(profile, folders)
    cells = (records.load(folders, config, cell_seeds(profile, config)) for config in multiverse(profile))
    return Results(
        profile=sizes,
        choice=choice.but_for(sizes),
        main={
            key: records.load(folders, config, main_seeds(sizes))
            for key, config in main(sizes, choice).items()
        },
        pilot={
            variant: records.load(folders, config, range(sizes.pilot_seeds))
            for variant, config in pilot(sizes, choice).items()
        },
        multiverse=list(itertools.chain.from_iterable(cells)),
    )


def drift(percentiles: np.ndarray) -> np.ndarray:
    """How far each unit's input distribution travels, in units of its own width: shape (units,).

    `percentiles` is (checkpoints, 3, units): the 15th, 50th and 85th percentile of each unit's input. The
    path length of the three (summed absolute changes between checkpoints, averaged over the three) is
    divided by the mean distance between the 15th and the 85th, so a net with wider inputs is not charged
    for its width. A unit whose input never varies has no width: its drift is NaN.
    """
    path = np.abs(np.diff(percentiles, axis=0)).sum(axis=0).mean(axis=0)
    width = (percentiles[:, 2] - percentiles[:, 0]).mean(axis=0)
    return np.divide(path, width, out=np.full_like(path, np.nan), where=width > 0)


def typical_unit(percentiles: np.ndarray) -> int:
    """The unit drawn in Figures 1b and 1c: the one whose drift is the (lower) median of all units."""
    order = np.argsort(drift(percentiles), kind="stable")
    return int(order[(len(order) - 1) // 2])
