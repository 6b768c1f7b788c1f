"""Synthetic records with a known truth, for everything that reads records; the built book in a browser."""

import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from bnbook import paper, records
from bnbook.protocols import accelerating_ablation as ablation
from bnbook.protocols import algorithm1_line_by_line as algorithm1
from bnbook.protocols import algorithm2_inference as algorithm2
from bnbook.protocols import bn_ensemble as ensemble
from bnbook.protocols import bn_regularizer as regularizer
from bnbook.protocols import careless_initialization as careless
from bnbook.protocols import convolutional_norm as convolutional
from bnbook.protocols import inception_second as second
from bnbook.protocols import inception_speedups as inception
from bnbook.protocols import jacobian_conjecture as jacobian
from bnbook.protocols import mnist_activation_shift as protocol
from bnbook.protocols import outside_the_gradient as outside
from bnbook.protocols import scale_invariance as scale
from bnbook.protocols import unprotected_parameters as unprotected

matplotlib.use("Agg")

# The truth. Seeds move both variants alike, so that paired differences are exact.
FINAL = {"plain": 0.93, "bn": 0.96}
HALFWAY = {"plain": 50, "bn": 10}  # step at which a curve is halfway to its end
TRAVEL = {"plain": 4.0, "bn": 1.0}  # of the last unit's percentiles, which keep a width of 2
WU_TRAVEL = 2.0
MOVING = 0.9  # accuracy by moving averages over that by Algorithm 2, along the curve
INITIALISATION_COST = {"plain": 0.05, "bn": 0.01}  # accuracy lost at the smallest init_std


def write_record(runs: Path, config: protocol.Config, seed: int) -> records.Record:
    """One record as the experiment would write it, its numbers made up."""
    wrong = abs(np.log10(config.lr)) / 100
    cost = INITIALISATION_COST[config.variant] if config.init_std < 0.05 else 0.0
    end = FINAL[config.variant] + 0.002 * seed - wrong - cost
    steps = np.unique(np.geomspace(1, config.steps, 80).round().astype(int))
    rise = 0.1 + (end - 0.1) * (steps / (steps + HALFWAY[config.variant])) / (
        config.steps / (config.steps + HALFWAY[config.variant])
    )
    final = {"chance_accuracy": 0.1, "test_accuracy": float(rise[-1]), "test_loss": 0.1}
    if config.variant == "bn":
        final["test_accuracy_population"] = final["test_accuracy"]
    if config.train_on == "train":
        final |= {"validation_accuracy": float(rise[-1]), "validation_loss": 0.1}
    columns = {"step": steps.tolist(), "test_accuracy": rise.tolist()}
    if config.variant == "bn" and protocol.CURVE_BATCHES[config.recipe]:
        columns |= {"test_accuracy": (MOVING * rise).tolist(), "test_accuracy_population": rise.tolist()}
    columns["train_seconds"] = np.linspace(0, 27, len(steps)).tolist()
    record = records.Record(
        schema=records.SCHEMA,
        run_id=config.run_id,
        config=config.to_dict(),
        seed=seed,
        outcome={"status": "done", "step": config.steps},
        curves={"evaluation": columns},
        final=final,
        first_losses=[2.3],
        provenance={"seconds": 36.0, "hardware": "a processor, 1 thread", "versions": {"torch": "0"}},
        arrays_sha256=None,
        path=records.path(runs, config, seed),
    )
    return records.write(record, percentiles(config, steps))


def percentiles(config: protocol.Config, steps: np.ndarray) -> dict[str, np.ndarray]:
    """Three parallel percentiles, a width of 2 together, that wander by TRAVEL times the unit's rank."""
    rank = np.arange(1, config.hidden + 1) / config.hidden
    time = (np.log(steps) / np.log(steps[-1]))[:, None, None]

    def wander(travel: float) -> np.ndarray:
        return np.array([-1.0, 0.0, 1.0])[None, :, None] + travel * rank * time

    arrays = {"percentile_step": steps, "input_percentiles": wander(TRAVEL[config.variant])}
    return arrays | ({"wu_percentiles": wander(WU_TRAVEL)} if config.variant == "bn" else {})


def write_results(runs: Path, profile: protocol.Profile) -> protocol.Results:
    """All records of `profile`, in `runs`."""
    for stage in protocol.STAGES:
        for config, seed in protocol.plan(stage, profile, [runs]):
            write_record(runs, config, seed)
    return protocol.results(profile, [runs])


# The truth of Section 4.2's records: where each variant ends, and the step at which it is halfway there.
SPEEDS = {
    "inception": (0.70, 60),
    "bn_baseline": (0.73, 20),
    "bn_x5": (0.76, 6),
    "bn_x30": (0.79, 8),
    "bn_x5_sigmoid": (0.65, 8),
    "inception_x5": (0.10, 1),  # diverges
    "inception_sigmoid": (0.10, 1),
}
# The ablation's: BN-x5 is SPEEDS["bn_x5"], and undoing a change costs this much accuracy, or this many times
# the steps halfway.
UNDOING = {
    "learning_rate": (0.0, 4),
    "dropout": (0.03, 1),
    "l2": (0.001, 1),
    "decay": (0.02, 1),
    "lrn": (-0.001, 1),
    "shuffling": (0.01, 1),
    "photometric": (0.0, 1),
}
FLOAT32_LOSS = 0.003  # of accuracy, in the pair of Section 4.2
HIGHEST_USABLE = {"rate_plain": 0.05, "rate_bn": 0.1}


def write_inception_record(runs: Path, config: inception.Config, seed: int) -> records.Record:
    """One record of Section 4.2 as the experiment would write it, its numbers made up."""
    end, half = SPEEDS.get(config.variant, (0.6, 20))
    if config.variant in UNDOING:
        (full, half), (cost, times) = SPEEDS["bn_x5"], UNDOING[config.variant]
        # Seeds differ a little in what the change costs them.
        end, half = full - cost - 0.0002 * seed, half * times
    learns = config.lr <= HIGHEST_USABLE.get(config.variant, float("inf"))
    end = end + 0.002 * seed if learns and end > 0.1 else 0.1
    end -= FLOAT32_LOSS * (config.precision == "float32" and config.variant in inception.FLOAT32_VARIANTS)
    steps = np.unique(np.geomspace(1, config.steps, 60).round().astype(int))
    rise = 0.1 + (end - 0.1) * (steps / (steps + half)) * (config.steps + half) / config.steps
    diverged = config.variant == "inception_x5"
    shown = slice(0, 3) if diverged else slice(None)
    final = {"chance_accuracy": 0.1}
    if not diverged:
        final |= {
            "test_accuracy": end,
            "validation_accuracy": end - 0.01 * config.weight_decay,
            "seconds_per_step": 1.0,  # other work on the same core is in it
        }
    epochs = np.arange(1, 4) * (config.steps // 3)
    record = records.Record(
        schema=records.SCHEMA,
        run_id=config.run_id,
        config=config.to_dict(),
        seed=seed,
        outcome={"status": "diverged" if diverged else "done", "step": 3 if diverged else config.steps},
        curves={
            "evaluation": {
                "step": steps[shown].tolist(),
                "test_accuracy": rise[shown].tolist(),
                "train_seconds": ((0.25 if config.norm else 0.2) * steps[shown]).tolist(),
            },
            "validation": {"step": []}
            if diverged
            else {"step": epochs.tolist(), "validation_accuracy": np.linspace(0.3, end, 3).tolist()},
        },
        final=final,
        first_losses=[2.3],
        provenance={"seconds": 36.0, "hardware": "a processor, 1 thread", "precision": "float32"},
        arrays_sha256=None,
        path=records.path(runs, config, seed),
    )
    return records.write(record, answers(config, seed) if config.experiment == ensemble.EXPERIMENT else {})


# Each network of the ensemble is right on an image where its own noise lets it: on average on this share.
RIGHT = 0.7


def answers(config: ensemble.Config, seed: int, images: int = 400) -> dict[str, np.ndarray]:
    """Test probabilities of a network that answers image k with class k % 10, or with the next one where it
    errs; networks err independently. Ten crops err a little less than one."""
    labels = np.arange(images) % 10
    luck = np.random.default_rng([seed, len(config.variant), config.per_activation]).random(images)

    def sure(right: float) -> np.ndarray:
        chosen = np.where(luck < right, labels, (labels + 1) % 10)
        return (0.9 * np.eye(10)[chosen] + 0.01).astype(np.float16)

    return {"single": sure(RIGHT), "multicrop": sure(RIGHT + 0.05), "labels": labels.astype(np.uint8)}


def write_all(runs: Path, module, profile):
    """All records of one of the Inception networks' experiments, in `runs`; its results."""
    for stage in module.STAGES:
        for config, seed in module.plan(stage, profile, [runs]):
            if not records.path(runs, config, seed).exists():
                write_inception_record(runs, config, seed)
    return module.results(profile, [runs])


@pytest.fixture(scope="session")
def synthetic_ablation(tmp_path_factory) -> ablation.Results:
    profile = dataclasses.replace(ablation.PROFILES["smoke"], seeds=3)
    return write_all(tmp_path_factory.mktemp("ablation_runs"), ablation, profile)


@pytest.fixture(scope="session")
def synthetic_ensemble(tmp_path_factory) -> ensemble.Results:
    """Six members at the smallest sizes otherwise."""
    profile = dataclasses.replace(ensemble.PROFILES["smoke"], members=6)
    return write_all(tmp_path_factory.mktemp("ensemble_runs"), ensemble, profile)


@pytest.fixture(scope="session")
def synthetic_inception(tmp_path_factory) -> inception.Results:
    """Section 4.2's results at the smallest profile, whose truth is known."""
    return write_all(tmp_path_factory.mktemp("inception_runs"), inception, inception.PROFILES["smoke"])


def write_finished(
    runs: Path,
    config,
    seed: int,
    curves: dict,
    final: dict,
    arrays: dict | None = None,
    first_losses: Sequence[float] = (),
) -> records.Record:
    """The record of a run of Sections 2 and 3 that ended well, with these measurements."""
    record = records.Record(
        schema=records.SCHEMA,
        run_id=config.run_id,
        config=config.to_dict(),
        seed=seed,
        outcome={"status": "done", "step": config.steps},
        curves=curves,
        final=final,
        first_losses=list(first_losses),
        provenance={"seconds": 1.0, "hardware": "a processor, 1 thread", "precision": "float32"},
        arrays_sha256=None,
        path=records.path(runs, config, seed),
    )
    return records.write(record, arrays or {})


# The truth of BN-x30's first epoch: the share of the last module's maps that are silent at each step watched.
WATCHED_STEPS = [1, 2, 4, 8]
SILENT = {"bn_x30": [0.0, 0.25, 0.5, 1.0], "slow_gamma_beta": [0.0, 0.0, 0.0, 0.5]}


@pytest.fixture(scope="session")
def synthetic_unprotected(tmp_path_factory) -> unprotected.Results:
    runs = tmp_path_factory.mktemp("unprotected_runs")
    profile, choice = unprotected.PROFILES["smoke"], inception.Choice(lr=0.1, lr_decay=0.9, weight_decay=1e-3)
    configs = unprotected.main(profile, choice)
    found = {
        name: [write_unprotected_record(runs, config, seed) for seed in range(profile.seeds)]
        for name, config in configs.items()
    }
    return unprotected.Results(profile, choice, found)


def write_unprotected_record(runs: Path, config: unprotected.Config, seed: int) -> records.Record:
    silent = SILENT.get(config.variant, [0.0] * 4)
    watch = {
        "step": WATCHED_STEPS,
        "train_loss": [2.3, 2.2, 2.1, 2.0 + 0.1 * seed],
        "silent_last": silent,
        "silent": [share / 2 for share in silent],
        "beta": [0.0, 0.1, 0.2, 0.3],
        "output_norm": [1.0, 2.0, 3.0, 4.0],
    }
    accuracy = {"chance_accuracy": 0.1, "validation_accuracy_population": 0.4 + 0.1 * seed}
    return write_finished(runs, config, seed, {"watch": watch}, accuracy)


# The truth of the second registration's first epochs. float32 parts from bfloat16 in seed 2 alone. Half of
# the seeds learn with Gaussian weights, at the full width all. All learn up to SURVIVED, at the full width
# with batch normalization up to half of that, and half of them at twice that. The pilot does best at 0.1.
SURVIVED = {False: 0.1, True: 0.8}


@pytest.fixture(scope="session")
def synthetic_second(tmp_path_factory) -> second.Results:
    runs = tmp_path_factory.mktemp("second_runs")
    profile = dataclasses.replace(
        second.PROFILES["smoke"],
        lrs=(0.05, 0.1, 0.2),
        bn_lrs=(0.1, 0.4, 0.8, 1.6, 3.2),
        precision_seeds=4,
        initial_seeds=4,
        survival_seeds=4,
        pilot_seeds=2,
    )
    for (precision, _), config in second.precision(profile).items():
        for seed in range(profile.precision_seeds):
            stopped = precision == "bfloat16" and seed == 2
            write_second_record(runs, config, seed, 0.1 if stopped else 0.3 + 0.01 * seed)
    write_second_choices(runs, profile)
    for lr, config in second.pilots(profile, ("he", 1.0), [0.05, 0.1]).items():
        for seed in range(profile.pilot_seeds):
            write_second_record(runs, config, seed, 0.5 + lr, earlier=0.49 + lr)
    wide = dataclasses.replace(profile, width=1.0)
    write_second_choices(runs, wide)
    full_width = second.choosing(second.BESIDE, wide, [runs])
    return dataclasses.replace(second.results(profile, [runs]), full_width=full_width)


def write_second_choices(runs: Path, profile: second.Profile) -> None:
    """The stages `initial` and `survival`."""
    wide = profile.width == 1
    for (initial, _), config in second.initials(profile).items():
        for seed in range(profile.initial_seeds):
            learns = initial != "gaussian" or wide or seed < 2
            write_second_record(runs, config, seed, 0.4 if learns else 0.1)
    for (norm, lr), config in second.survival(profile, ("he", 1.0)).items():
        highest = SURVIVED[norm] / (2 if norm and wide else 1)
        for seed in range(profile.survival_seeds):
            learns = lr <= highest or (lr == 2 * highest and seed < 2)
            write_second_record(runs, config, seed, 0.4 if learns else 0.1)


@pytest.fixture
def write_second() -> Callable:
    return write_second_record


def write_second_record(
    runs: Path, config: second.Config, seed: int, accuracy: float, earlier: float | None = None
) -> records.Record:
    final = {"chance_accuracy": 0.1, "validation_accuracy": accuracy}
    curves = {}
    if earlier is not None:
        steps = [config.steps * 5 // 6, config.steps]
        curves = {"epochs": {"step": steps, "validation_accuracy": [earlier, accuracy]}}
    return write_finished(runs, config, seed, curves, final, first_losses=[2.3 + config.output_scale])


# The truth of Section 2's: how fast a bias grows a step, and how often the loss leaps to LEAP times its size.
GROWTH, LEAP, WHITENING_COST = 0.1, 3.0, {"mean_std_through": 2.0, "whiten_through": 9.0}


def write_outside_record(runs: Path, config: outside.Config, seed: int) -> records.Record:
    """One record of Section 2 as the experiment would write it, its numbers made up."""
    steps = np.unique(np.geomspace(1, config.steps, 30).round().astype(int))
    bias = GROWTH * steps * config.ignored
    curves, final = {}, {"chance_accuracy": 0.1}
    if config.part == "toy":
        loss = np.ones(len(steps))
        if config.ignored and config.normalization == "mean_std":
            loss[5] = LEAP
        columns = {"step": steps, "loss": loss, "weight": loss, "bias": bias}
        curves = {"toy": {name: column.tolist() for name, column in columns.items()}}
        final = {"loss": 1.0, "weight": 1.0, "bias": float(bias[-1])}
    elif config.part == "net":
        rise = np.linspace(0.1, 0.9 + 0.01 * seed, len(steps)).tolist()
        curves["evaluation"] = {"step": steps.tolist(), "test_accuracy": rise}
        curves["sizes"] = {"step": steps.tolist(), "bias": bias.tolist()}
        final |= {"test_accuracy": rise[-1], "bias": float(bias[-1])}
    else:
        final = {"times_bare": WHITENING_COST[config.variant.removeprefix("cost_")] * (1 + 0.1 * seed)}
    return write_finished(runs, config, seed, curves, final)


@pytest.fixture(scope="session")
def synthetic_outside(tmp_path_factory):
    runs, profile = tmp_path_factory.mktemp("outside_runs"), outside.PROFILES["smoke"]
    for config, seed in outside.jobs(profile):
        write_outside_record(runs, config, seed)
    return outside.results(profile, [runs])


# The truth of Algorithm 1's claims, in right digits: the two variances differ by two alone.
ALGORITHM1_DIGITS = {"identity": 5.0, "deviations": 2.0, "normalized": 4.0, "gradient": 8.0}


def write_algorithm1_record(runs: Path, config: algorithm1.Config, seed: int) -> records.Record:
    """One record of Section 3's as the experiment would write it, its errors made up."""
    shift = 10.0 ** (0.1 * (seed - (algorithm1.PROFILES["smoke"].seeds - 1) / 2))  # 1 on average
    curves, final = {}, {}
    if config.part == "input":
        for dtype in algorithm1.DTYPES:
            for way in algorithm1.WAYS:
                final |= {f"{way}.{dtype}.{what}": 1e-4 * shift for what in ("y", "d_x", "moments")}
            for how in algorithm1.VARIANCES:
                final[f"{how}.{dtype}.lost"] = 0.5 * (how == "naive")
                final[f"{how}.{dtype}.negative"] = 1.0 * (how == "naive")
        final |= {"identity": 1e-5 * shift, "identity_eps": 1e-12}
    else:
        steps = list(range(1, len(config.sweep) + 1))
        curves[config.part] = {"step": steps}
    if config.part == "variance":
        own = curves["variance"]
        own["distance"] = list(config.sweep)
        for dtype in ("float64", "float32"):
            own |= {f"{how}.{dtype}": [1e-3 * shift] * len(steps) for how in ("ours", "deviations")}
            own[f"naive.{dtype}"] = [1e-5 * distance * shift for distance in config.sweep]
    if config.part == "differences":
        shown = {"float64": 1e-8 * shift, "float32": 1e-3 * shift, "ignored": 0.2}
        curves["differences"] |= {"stride": list(config.sweep)}
        curves["differences"] |= {name: [error] * len(steps) for name, error in shown.items()}
    return write_finished(runs, config, seed, curves, final)


@pytest.fixture(scope="session")
def synthetic_algorithm1(tmp_path_factory):
    runs, profile = tmp_path_factory.mktemp("algorithm1_runs"), algorithm1.PROFILES["smoke"]
    for config, seed in algorithm1.jobs(profile):
        write_algorithm1_record(runs, config, seed)
    return algorithm1.results(profile, [runs])


# The truth of Section 3.1: accuracies by the way of asking, what the factor m / (m - 1) brings, and the time
# of an answer over that with the normalization folded away.
ANSWERS = {
    "population": 0.97,
    "population_1": 0.95,
    "population_10": 0.969,
    "moving_10": 0.9695,
    "moving_100": 0.969,
    "moving_1000": 0.96,
    "moving_all": 0.8,
    "test_60": 0.965,
    "test_8": 0.9,
    "test_1": 0.1,
    "test_sorted": 0.2,
}
FACTOR, TIMES_FOLDED = -0.01, 1.6
# Points that moving averages miss at the highest learning rate that learns; evaluations that few mini-batches
# are late by.
LAG, LEARNED, SHIFTED = {"moving_2": 1.0, "moving_10": 3.0, "moving_100": 30.0, "moving_all": 20.0}, 3.0, 2


def write_algorithm2_record(runs: Path, config: algorithm2.Config, seed: int) -> records.Record:
    """One record of Section 3.1 as the experiment would write it, its numbers made up."""
    steps = np.unique(np.geomspace(1, config.steps, 20).round().astype(int))
    late, m = steps > 0.1 * config.steps, config.batch_size
    columns = {"step": steps.tolist()}
    for way, end in ANSWERS.items():
        # Seeds shift all ways alike; averages begin at chance.
        right = np.where(late | (way == "population"), end - 0.001 * seed, 0.1)
        columns[f"{way}_accuracy"] = right.tolist()
        columns[f"{way}_disagreement"] = (ANSWERS["population"] - 0.001 * seed - right).tolist()
    for way in algorithm2.TEST_BATCHES:
        columns[f"{way}_company"] = np.full(len(steps), 0.1).tolist()
    if config.part == "fold":
        final = {"microseconds": 50.0, "times_folded": TIMES_FOLDED * (1 + 0.01 * seed)}
    else:
        final = {"chance_accuracy": 0.1, "test_accuracy": 0.9, "fold_difference": 1e-6, "fold_otherwise": 0.0}
        for name, variance, right in (
            ("unbiased", 1.01, 0.9 + FACTOR),
            ("biased", (m - 1) / m, 0.9),
            ("gain", 0.5, 0.91),
        ):
            final |= {f"{name}_variance": variance, f"{name}_accuracy": right, f"{name}_loss": 0.3}
    if config.part in ("lag", "count"):
        columns, final = followed(config, steps, seed)
    curves = {"answers": columns} if config.part in ("net", "lag", "count") else {}
    return write_finished(runs, config, seed, curves, final)


def followed(config: algorithm2.Config, steps: np.ndarray, seed: int) -> tuple[dict, dict]:
    """(columns, final numbers) of a part that follows a curve. Averages miss what LAG says, in proportion to
    the learning rate; with fewer mini-batches than the most, Algorithm 2 is late by SHIFTED evaluations."""
    end = 0.9 if config.lr <= LEARNED else 0.2
    right = 0.1 + (end - 0.1) * np.linspace(0, 1, len(steps))
    columns = {"step": steps.tolist()}
    if config.part == "lag":
        columns[f"population_{config.population_batches}_accuracy"] = right.tolist()
        for way, points in LAG.items():
            own = right - points / 100 * config.lr / LEARNED - 0.001 * (seed - 1)
            columns[f"{way}_accuracy"] = own.tolist()
    else:
        for count in algorithm2.COUNTS:
            behind = SHIFTED * (count < max(algorithm2.COUNTS))
            columns[f"population_{count}_accuracy"] = np.r_[[0.1] * behind, right][: len(steps)].tolist()
    return columns, {"chance_accuracy": 0.1, "test_accuracy": end, "test_accuracy_population": end}


@pytest.fixture(scope="session")
def synthetic_algorithm2(tmp_path_factory):
    runs, profile = tmp_path_factory.mktemp("algorithm2_runs"), algorithm2.PROFILES["smoke"]
    for config, seed in algorithm2.jobs(profile):
        write_algorithm2_record(runs, config, seed)
    return algorithm2.results(profile, [runs])


# The truth of Section 3.3's: percent of singular values near 1, by variant; spectra are even, from 0 to 2.
NEARNESS = {
    "linear_null": 70.0,
    "linear_bn": 68.0,
    "linear_whiten": 100.0,
    "net_sigmoid_plain": 50.0,
    "net_sigmoid_bn": 40.0,
    "net_relu_plain": 35.0,
    "net_relu_bn": 45.0,
}


def write_jacobian_record(runs: Path, config: jacobian.Config, seed: int) -> records.Record:
    """One record of Section 3.3 as the experiment would write it, its numbers made up."""
    spectrum = np.linspace(0, 2, len(jacobian.LEVELS), dtype=np.float32)
    final = {"near": NEARNESS[config.variant] + seed, "rms": 1.0}
    is_normalized = config.normalization == "bn"
    curves, arrays = {}, {"spectrum": spectrum}
    if config.part == "net":
        steps = [1, config.steps // 2, config.steps]
        curves["spectra"] = {"step": steps, "near": [final["near"] + 9, final["near"] + 5, final["near"]]}
        # Moving averages know nothing at first; without BN there are none.
        curves["evaluation"] = {"step": steps, "test_accuracy": [0.1, 0.1 if is_normalized else 0.7, 0.9]}
        if is_normalized:
            curves["evaluation"]["test_accuracy_population"] = [0.5, 0.7, 0.9]
        final |= {
            "chance_accuracy": 0.1,
            "test_accuracy": 0.9,
            "near_mean": 60.0,
            "directions": 5.0,
            "gain": 0.5,
        }
        arrays = {"spectra": np.stack([spectrum * 0.8, spectrum * 0.9, spectrum])}
    return write_finished(runs, config, seed, curves, final, arrays)


@pytest.fixture(scope="session")
def synthetic_jacobian(tmp_path_factory):
    runs, profile = tmp_path_factory.mktemp("jacobian_runs"), jacobian.PROFILES["smoke"]
    for config, seed in jacobian.jobs(profile):
        write_jacobian_record(runs, config, seed)
    return jacobian.results(profile, [runs])


# The truth of Section 3.2's. `best_lr` has the best validation accuracy, and the worst test accuracy.
CONVOLUTIONAL = {
    "accuracy": {
        "none": 0.94,
        "per_map": 0.97,
        "per_activation": 0.96,
        "biased": 0.97,
        "after": 0.965,
        "input": 0.95,
    },
    "small_batch_loss": {"none": 0.01, "per_map": 0.01, "per_activation": 0.05},
    "shift_error": {"per_activation": 0.5},
    "worth_1": 30.0,
    "worth_2": 8.0,
    "best_lr": 0.1,
}
LOST_SEED = 102


def write_convolutional_record(runs: Path, config: convolutional.Config, seed: int) -> records.Record:
    """One record of Section 3.2 as the experiment would write it, its numbers made up."""
    truth, best = CONVOLUTIONAL, config.lr == CONVOLUTIONAL["best_lr"]
    loss = truth["small_batch_loss"].get(config.variant, 0) if config.batch_size < 10 else 0
    # Seeds lie evenly around the truth; of the new ones the last does not learn with u normalized.
    accuracy = truth["accuracy"][config.variant] - loss + 0.002 * (seed % 100 - 0.5)
    if seed == LOST_SEED and config.variant == "input":
        accuracy = 0.1
    side = convolutional.SIDES[config.data]
    steps = np.unique(np.geomspace(1, config.steps, 10).round().astype(int)).tolist()
    final = {
        "chance_accuracy": 0.1,
        "test_accuracy": accuracy if best else 0.99,
        "validation_accuracy": 0.95 if best else 0.9,
        "shifted_accuracy": 0.5,
        "shift_error": truth["shift_error"].get(config.variant, 0.0),
        "worth_1": truth["worth_1"],
        "worth_2": truth["worth_2"],
        "u_distance": 0.3,
        "wu_distance": 0.1,
    }
    if config.bias:
        final["bias_moved"] = 1e-7 if config.variant == "biased" else 0.1
    ramp = np.arange(side**2, dtype=np.float16).reshape(side, side) / side**2
    arrays = {"map": ramp, "map_moved": ramp * (1 + final["shift_error"])}
    arrays |= {f"{name}_density": np.full(64, 1 / 64, np.float16) for name in ("u", "wu")}
    return write_finished(
        runs, config, seed, {"evaluation": {"step": steps, "train_loss": [1.0] * len(steps)}}, final, arrays
    )


@pytest.fixture(scope="session")
def synthetic_convolutional(tmp_path_factory):
    """With two learning rates to choose from."""
    runs, lrs = tmp_path_factory.mktemp("convolutional_runs"), (0.1, 0.3)
    profile = dataclasses.replace(convolutional.PROFILES["smoke"], lrs=lrs, small_batch_lrs=lrs)
    for stage in convolutional.STAGES:
        for config, seed in convolutional.plan(stage, profile, [runs]):
            write_convolutional_record(runs, config, seed)
    return convolutional.results(profile, [runs])


# The truth of Section 3.3's: the variance of Wu, the rates that work, and ||w||^2 = 1 + GROWN * rate.
WU_VARIANCE, GROWN = 0.5, 2.0
WORKING = {"plain": (0.1, 1.0), "bn": (0.01, 10.0)}


def write_scale_record(runs: Path, config: scale.Config, seed: int) -> records.Record:
    """One record of Section 3.3 as the experiment would write it, its numbers made up."""
    if config.part == "relations":
        a = np.logspace(-config.scale_decades, config.scale_decades, config.steps)
        size = (1 + config.eps / WU_VARIANCE) ** 0.5 / (1 + config.eps / (a**2 * WU_VARIANCE)) ** 0.5
        columns = {"step": np.arange(1, config.steps + 1), "scale": a}
        for name in ("output", "input_gradient", "weight_gradient"):
            columns |= {f"{name}_size": size, f"{name}_error": abs(size - 1)}
        curves = {"relations": {name: column.tolist() for name, column in columns.items()}}
        final = {"variance": WU_VARIANCE, "cosine": 1e-5}
    else:
        low, high = WORKING[config.variant]
        # The second seed manages one step of the grid less at the top.
        works = low <= config.lr <= high / (10 if seed and config.variant == "bn" else 1)
        squares = [1.0, 1 + GROWN * config.lr]
        curves = {"norms": {"step": [0, config.steps]} | {f"layer_{k}": squares for k in (1, 2, 3)}}
        final = {"chance_accuracy": 0.1, "validation_accuracy": 0.95 if works else 0.2}
    return write_finished(runs, config, seed, curves, final)


@pytest.fixture(scope="session")
def synthetic_scale(tmp_path_factory):
    runs, profile = tmp_path_factory.mktemp("scale_runs"), scale.PROFILES["smoke"]
    for config, seed in scale.jobs(profile):
        write_scale_record(runs, config, seed)
    return scale.results(profile, [runs])


# The truth of the map of initial scales: at how many of the five scales each network trains, by (activation,
# variant, depth); and by how many times a gradient grows a layer.
WORKING_SCALES = {
    ("relu", "plain", 1): 3,
    ("relu", "plain", 5): 1,
    ("relu", "bn", 1): 5,
    ("relu", "bn", 5): 4,
    ("sigmoid", "plain", 1): 2,
    ("sigmoid", "plain", 5): 0,
    ("sigmoid", "bn", 1): 2,
    ("sigmoid", "bn", 5): 0,
}
GRADIENT_GROWTH = 1.5


def write_careless_record(runs: Path, config: careless.Config, seed: int) -> records.Record:
    """One row of the map as the experiment would write it, its numbers made up. Only the last rate works, and
    the first seed loses one scale with BN in the deepest network of ReLUs. Of the controls those with a
    standard output layer work everywhere."""
    count = (
        len(config.scales)
        if not config.scale_output
        else WORKING_SCALES[config.activation, "bn" if config.norm else "plain", config.depth]
    )
    count -= count == 4 and seed == 0
    accuracy = np.full((len(config.scales), len(config.lrs)), 0.2, dtype=np.float32)
    accuracy[:count, -1] = 0.75
    layers = np.arange(config.depth)
    arrays = {
        "accuracy": accuracy,
        "steps": np.full(accuracy.shape, config.steps, dtype=np.int32),
        "spread": np.outer(config.scales, np.ones(config.depth)),
        "gradient": np.outer(config.scales, GRADIENT_GROWTH**-layers),
    }
    return write_finished(runs, config, seed, {}, {"chance_accuracy": 0.1, "mean_accuracy": 0.5}, arrays)


@pytest.fixture(scope="session")
def synthetic_careless(tmp_path_factory):
    runs, profile = tmp_path_factory.mktemp("careless_runs"), careless.PROFILES["smoke"]
    for config, seed in careless.jobs(profile):
        write_careless_record(runs, config, seed)
    return careless.results(profile, [runs])


# The truth of Section 3.4's: the spread is SPREAD / sqrt(m), a mini-batch of m changes CHANGED / m of the
# answers, Dropout gains so much accuracy, and so do statistics of groups; those of a company lose some.
# Where Dropout drops, variances are larger, and statistics taken then cost accuracy. All share a seed's luck.
SPREAD, CHANGED = 1.2, 0.3
DROPOUT_GAIN, GROUP_GAIN, COMPANY_LOSS = {"plain": 0.02, "bn": 0.001}, 0.01, 0.004
VARIANCE_SHIFT, SHIFT_COST = 1.3, 0.007


def write_regularizer_record(runs: Path, config: regularizer.Config, seed: int) -> records.Record:
    """One record of Section 3.4 as the experiment would write it, its numbers made up."""
    end = 0.9 + 0.002 * (seed % 100) - 0.05 * (config.lr > 0.5)
    end += DROPOUT_GAIN["bn" if config.group else "plain"] * (config.dropout > 0)
    end += GROUP_GAIN * (0 < config.group < config.batch_size)
    final = {"chance_accuracy": 0.1, "train_accuracy": 1.0, "validation_accuracy": end - 0.01 * (seed % 100)}
    if config.group > config.batch_size:
        end -= COMPANY_LOSS
    if config.group and config.dropout:
        final |= {"shift": VARIANCE_SHIFT, "test_accuracy_shifted": end - SHIFT_COST}
    final["test_accuracy"] = end
    for m in config.sizes:
        final[f"changed_{m}"] = CHANGED / m
        final |= {f"noise_{m}_layer_{layer}": SPREAD / np.sqrt(m) for layer in (1, 2, 3)}
    if config.part == "noise":
        final |= {f"kurtosis_layer_{layer}": 3.0 for layer in (1, 2, 3)}
    return write_finished(runs, config, seed, {}, final)


@pytest.fixture(scope="session")
def synthetic_regularizer(tmp_path_factory):
    runs, profile = tmp_path_factory.mktemp("regularizer_runs"), regularizer.PROFILES["smoke"]
    for stage in regularizer.STAGES:
        for config, seed in regularizer.plan(stage, profile, [runs]):
            write_regularizer_record(runs, config, seed)
    return regularizer.results(profile, [runs])


@pytest.fixture(scope="session")
def all_synthetic(
    synthetic,
    synthetic_inception,
    synthetic_ablation,
    synthetic_ensemble,
    synthetic_unprotected,
    synthetic_second,
    synthetic_outside,
    synthetic_algorithm1,
    synthetic_algorithm2,
    synthetic_jacobian,
    synthetic_convolutional,
    synthetic_scale,
    synthetic_careless,
    synthetic_regularizer,
) -> dict:
    """The results of all experiments, as `claims.results` gives them."""
    return {
        protocol.EXPERIMENT: synthetic,
        inception.EXPERIMENT: synthetic_inception,
        ablation.EXPERIMENT: synthetic_ablation,
        ensemble.EXPERIMENT: synthetic_ensemble,
        unprotected.EXPERIMENT: synthetic_unprotected,
        "inception_second": synthetic_second,
        outside.EXPERIMENT: synthetic_outside,
        algorithm1.EXPERIMENT: synthetic_algorithm1,
        algorithm2.EXPERIMENT: synthetic_algorithm2,
        jacobian.EXPERIMENT: synthetic_jacobian,
        convolutional.EXPERIMENT: synthetic_convolutional,
        scale.EXPERIMENT: synthetic_scale,
        careless.EXPERIMENT: synthetic_careless,
        regularizer.EXPERIMENT: synthetic_regularizer,
    }


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory) -> protocol.Results:
    """Results at the smallest profile, whose truth is known."""
    return write_results(tmp_path_factory.mktemp("runs"), protocol.PROFILES["smoke"])


@pytest.fixture
def decided(monkeypatch) -> None:
    """As if no claim were registered again: every verdict is that of its measurement."""
    monkeypatch.setattr(paper, "registered_again", dict)


# The built book in a real browser.

DESK = {"width": 1280, "height": 900}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


@pytest.fixture(scope="session")
def html() -> Path:
    """The folder with the three editions; built from the committed records where none is given."""
    given = os.environ.get("BNBOOK_HTML")
    if given:
        return Path(given).resolve()
    from bnbook import book

    return Path(book.build()).resolve().parent


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """Chromium, as the reader's browser; skips where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api")
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        message = (
            f"no browser found: install one of {', '.join(BROWSERS)} to run the tests of the built pages"
        )
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def open_page(html: Path, browser) -> Iterator:
    """Opens an address below html/ in a fresh context: open_page("ko/index.html", viewport=..., ...)."""
    contexts = []

    def opener(address: str, **options):
        context = browser.new_context(**{"viewport": DESK, **options})
        contexts.append(context)
        page = context.new_page()
        page.goto(f"{html.as_uri()}/{address}")
        return page

    yield opener
    for context in contexts:
        context.close()
