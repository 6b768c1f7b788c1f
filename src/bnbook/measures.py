"""What claims and figures both measure in the records of Section 4.1. Accuracies are in percent here."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from bnbook import stats
from bnbook.protocols import mnist_activation_shift as protocol
from bnbook.protocols.mnist_activation_shift import SETTINGS, VARIANTS, Results
from bnbook.records import Record

DATA_NAMES = {"mnist": "MNIST", "digits": "8×8 digits (scikit-learn)"}

Cell = tuple[float, float]  # (lr, init_std)


@dataclasses.dataclass(frozen=True)
class Crossing:
    """When a run reached a target: at `step`, or, `reached` being false, not within its `step` steps."""

    step: int
    reached: bool


def settings(results: Results) -> tuple[str, ...]:
    """The settings to compare at: "tuned" alone where both networks' own best setting is the shared one."""
    return SETTINGS if len({results.choice.shared, *results.choice.tuned.values()}) > 1 else SETTINGS[:1]


def data_name(records: Sequence[Record]) -> str:
    """The data set's name as figures show it."""
    return DATA_NAMES[records[0].config["data"]]


def accuracies(records: Sequence[Record]) -> np.ndarray:
    """Test accuracy in percent at the end point (Algorithm 2 with BN), by seed."""
    return 100 * np.array([record.accuracy for record in records])


def moving_accuracies(records: Sequence[Record]) -> np.ndarray:
    """The same by the moving averages that the curves are drawn with."""
    return 100 * np.array(
        [r.final["chance_accuracy" if r.diverged else "test_accuracy"] for r in records], dtype=float
    )


def curve(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """(steps, test accuracy in percent) while training; shorter where the run diverged."""
    columns = record.curves["evaluation"]
    return np.array(columns["step"], dtype=int), 100 * np.array(columns.get("test_accuracy", []))


def target(baseline: Sequence[Record]) -> float:
    """The plain network's highest test accuracy in percent, averaged over seeds."""
    return float(np.mean([curve(r)[1].max(initial=100 * r.final["chance_accuracy"]) for r in baseline]))


def crossing(record: Record, goal: float) -> Crossing:
    """When `record` rises above `goal` percent: the first of three evaluations in a row above it."""
    step = stats.steps_to_target(*(column.tolist() for column in curve(record)), goal)
    return Crossing(step or record.config["steps"], step is not None)


def unit_drifts(record: Record, name: str = "input_percentiles") -> np.ndarray:
    """Drift of every unit of the last hidden layer; see `protocol.drift`. Empty where the run diverged.

    `name` is "input_percentiles" (what the sigmoids receive) or, with BN, "wu_percentiles" (before BN).
    """
    return np.array([]) if record.diverged else protocol.drift(record.arrays[name])


def median_drift(record: Record, name: str = "input_percentiles") -> float:
    """The median over units; NaN where the run diverged or no unit's input varies."""
    drifts = unit_drifts(record, name)
    return float(np.nanmedian(drifts)) if np.isfinite(drifts).any() else float("nan")


def cells(results: Results, binarise: bool) -> dict[str, dict[Cell, list[Record]]]:
    """The multiverse's records by variant and (lr, init_std), for one kind of input."""
    found: dict[str, dict[Cell, list[Record]]] = {variant: {} for variant in VARIANTS}
    for record in results.multiverse:
        config = record.config
        if config["binarise"] == binarise:
            found[config["variant"]].setdefault((config["lr"], config["init_std"]), []).append(record)
    return found


def best_cell(of: dict[Cell, list[Record]]) -> Cell:
    """The cell with the best mean validation accuracy; ties go to the smaller learning rate."""
    return max(sorted(of), key=lambda cell: np.mean([protocol.validation(r) for r in of[cell]]))


def retuned_cells(of: dict[Cell, list[Record]]) -> list[Cell]:
    """For each init_std the cell with the best mean validation accuracy: its own learning rate."""
    stds = sorted({std for _, std in of})
    return [best_cell({cell: records for cell, records in of.items() if cell[1] == std}) for std in stds]


def spread(of: dict[Cell, list[Record]], chosen: Sequence[Cell]) -> np.ndarray:
    """Range (largest minus smallest) of test accuracy over the `chosen` cells, in points, by seed."""
    return np.ptp([accuracies(of[cell]) for cell in chosen], axis=0)


def gaps(results: Results, binarise: bool) -> dict[Cell, np.ndarray]:
    """Test accuracy with BN minus without, in points, by seed, in each cell of the multiverse."""
    found = cells(results, binarise)
    return {cell: accuracies(found["bn"][cell]) - accuracies(found["plain"][cell]) for cell in found["bn"]}


def clear(values: Sequence[np.ndarray], effect: float) -> tuple[np.ndarray, np.ndarray]:
    """Which gaps lie clearly above `effect` and which clearly below -`effect`: two boolean arrays.

    Clearly: one-sided t tests, Holm's correction over all of them in both directions, at 5%.
    """
    p = [stats.p_greater(sign * gap, effect) for sign in (1, -1) for gap in values]
    rejected = stats.holm(p) < 1 - stats.CONFIDENCE
    return rejected[: len(values)], rejected[len(values) :]
