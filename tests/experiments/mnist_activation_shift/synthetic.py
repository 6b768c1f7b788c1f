"""Records of Section 4.1, made up, so that the truth is known."""

from pathlib import Path

import numpy as np

from bnbook import records
from bnbook.experiments.mnist_activation_shift import protocol
from tests.records import PROVENANCE

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
        provenance=PROVENANCE | {"seconds": 36.0},
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


def results(runs: Path) -> protocol.Results:
    """Those of the smallest profile, their records in `runs`."""
    profile = protocol.PROFILES["smoke"]
    for stage in protocol.STAGES:
        for config, seed in protocol.plan(stage, profile, [runs]):
            write_record(runs, config, seed)
    return protocol.results(profile, [runs])
