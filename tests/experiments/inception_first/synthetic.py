"""Records of Section 4.2, made up, so that the truth is known."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from bnbook import records
from bnbook.experiments.inception_first import protocol
from tests.records import PROVENANCE

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


FLOAT32_LOSS = 0.003  # of accuracy, in the pair of Section 4.2


HIGHEST_USABLE = {"rate_plain": 0.05, "rate_bn": 0.1}


def write_record(
    runs: Path,
    config: protocol.Config,
    seed: int,
    truth: tuple[float, float] | None = None,
    arrays: dict[str, np.ndarray] | None = None,
) -> records.Record:
    """One record of Section 4.2 as the experiment would write it, its numbers made up. `truth` is where it
    ends and the step at which it is halfway there, by default that of its variant."""
    end, half = truth or SPEEDS.get(config.variant, (0.6, 20))
    learns = config.lr <= HIGHEST_USABLE.get(config.variant, float("inf"))
    end = end + 0.002 * seed if learns and end > 0.1 else 0.1
    end -= FLOAT32_LOSS * (config.precision == "float32" and config.variant in protocol.FLOAT32_VARIANTS)
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
        provenance=PROVENANCE | {"seconds": 36.0},
        arrays_sha256=None,
        path=records.path(runs, config, seed),
    )
    return records.write(record, arrays or {})


def write_all(runs: Path, module, profile, write: Callable = write_record):
    """All records of one of the Inception networks' experiments, in `runs`; its results. `write` makes those
    of the experiment's own."""
    for stage in module.STAGES:
        for config, seed in module.plan(stage, profile, [runs]):
            if not records.path(runs, config, seed).exists():
                own = config.experiment == module.EXPERIMENT
                (write if own else write_record)(runs, config, seed)
    return module.results(profile, [runs])


def results(runs: Path) -> protocol.Results:
    """Those of the smallest profile, their records in `runs`."""
    return write_all(runs, protocol, protocol.PROFILES["smoke"])
