"""Records of Section 3.1, made up, so that the truth is known."""

from pathlib import Path

import numpy as np

from bnbook import records
from bnbook.experiments.algorithm2_inference import protocol
from bnbook.experiments.protocol import Results
from tests.records import write_finished

# The truth of Section 3.1: accuracies by the mode of asking, what the factor m / (m - 1) brings, and the time
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


def write_record(runs: Path, config: protocol.Config, seed: int) -> records.Record:
    """One record of Section 3.1 as the experiment would write it, its numbers made up."""
    steps = np.unique(np.geomspace(1, config.steps, 20).round().astype(int))
    late, m = steps > 0.1 * config.steps, config.batch_size
    columns = {"step": steps.tolist()}
    for mode, end in ANSWERS.items():
        # Seeds shift all modes alike; averages begin at chance.
        right = np.where(late | (mode == "population"), end - 0.001 * seed, 0.1)
        columns[f"{mode}_accuracy"] = right.tolist()
        columns[f"{mode}_disagreement"] = (ANSWERS["population"] - 0.001 * seed - right).tolist()
    for mode in protocol.TEST_BATCHES:
        columns[f"{mode}_company"] = np.full(len(steps), 0.1).tolist()
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


def followed(config: protocol.Config, steps: np.ndarray, seed: int) -> tuple[dict, dict]:
    """(columns, final numbers) of a part that follows a curve. Averages miss what LAG says, in proportion to
    the learning rate; with fewer mini-batches than the most, Algorithm 2 is late by SHIFTED evaluations."""
    end = 0.9 if config.lr <= LEARNED else 0.2
    right = 0.1 + (end - 0.1) * np.linspace(0, 1, len(steps))
    columns = {"step": steps.tolist()}
    if config.part == "lag":
        right = np.linspace(min(0.4, end), end, len(steps))  # what is missed fits below it
        columns[f"population_{config.population_batches}_accuracy"] = right.tolist()
        for mode, points in LAG.items():
            own = right - points / 100 * config.lr / LEARNED - 0.001 * (seed - 1)
            columns[f"{mode}_accuracy"] = own.clip(0, 1).tolist()
    else:
        for count in protocol.COUNTS:
            behind = SHIFTED * (count < max(protocol.COUNTS))
            columns[f"population_{count}_accuracy"] = np.r_[[0.1] * behind, right][: len(steps)].tolist()
    return columns, {"chance_accuracy": 0.1, "test_accuracy": end, "test_accuracy_population": end}


def results(runs: Path) -> Results:
    """Those of the smallest profile, their records in `runs`."""
    profile = protocol.PROFILES["smoke"]
    for config, seed in protocol.jobs(profile):
        write_record(runs, config, seed)
    return protocol.results(profile, [runs])
