"""Records of Santurkar's three networks, made up, so that the truth is known."""

from pathlib import Path

import numpy as np

from bnbook import records
from bnbook.experiments.covariate_shift_tested import protocol
from bnbook.experiments.protocol import Results
from bnbook.train.schedules import log_then_even
from tests.records import write_finished

# The truth: after HALF steps (at the largest rate; twice as many at the others) half of the images are right,
# and the errors fall as one over the steps, down to those that no network gets right; so the noisy network
# keeps SHARE of the logarithm of a speed-up of SPEEDUP. While they learn, gradients change by SHIFT below a
# layer and BETA along the step, and before that by a hundredth of it.
SPEEDUP, SHARE, BEST = 4.0, 0.9, 0.905
TARGET = 90  # percent: the highest whole one below BEST
HALF = {"plain": 12.0, "bn": 12.0 / SPEEDUP, "noisy": 12.0 / SPEEDUP**SHARE}
DRIFT = {"plain": 4.0, "bn": 1.0, "noisy": 6.0}
SHIFT = {"plain": 0.4, "bn": 0.3, "noisy": 0.35}
BETA = {"plain": 3.0, "bn": 2.0, "noisy": 2.5}
RANGE = {"plain": 0.2, "bn": 0.1, "noisy": 0.15}
COSINE = {"plain": 0.9, "bn": 0.95, "noisy": 0.93}


def write_record(runs: Path, config: protocol.Config, seed: int) -> records.Record:
    """One record as the experiment would write it, its numbers made up. All three share a seed's luck."""
    variant = config.variant
    half = HALF[variant] * (1 if config.lr == 3.0 else 2) * (1 + 0.02 * (seed % 100))
    steps = np.arange(1, config.steps + 1)
    accuracy = np.clip(1 - 0.5 * half / steps, 0.1, BEST)
    name = "test_accuracy" if variant == "plain" else "test_accuracy_population"
    probed = log_then_even(config.steps, config.probe_growth, config.probe_every)
    learning = [1.0 if step >= half else 0.01 for step in probed]
    rows = {"step": probed, "loss": [1.0] * len(probed), "gradient": [0.5] * len(probed)}
    for k in range(2, config.depth + 2):
        rows |= {
            f"gradient_{k}": [0.1 * k] * len(probed),
            f"shift_{k}": [0.1 * k * SHIFT[variant] * share for share in learning],
            f"cosine_{k}": [COSINE[variant]] * len(probed),
        }
    rows |= {
        "loss_low": [0.5] * len(probed),
        "loss_high": [0.5 + RANGE[variant] * share for share in learning],
        "change_low": [0.1] * len(probed),
        "change_high": [0.2] * len(probed),
        "beta": [BETA[variant] * share for share in learning],
    }
    curves = {"evaluation": {"step": steps.tolist(), name: accuracy.tolist()}, "landscape": rows}
    final = {"chance_accuracy": 0.1, "test_accuracy": float(accuracy[-1]), "drift": DRIFT[variant]}
    width = np.linspace(0, DRIFT[variant], len(probed))
    arrays = {
        "drift": np.full(config.hidden, DRIFT[variant], dtype=np.float32),
        "percentile_step": np.array(probed),
        "percentiles": np.stack([width - 1.1, width, width + 1.2], axis=1),
    }
    return write_finished(runs, config, seed, curves, final, arrays)


def results(runs: Path) -> Results:
    """Those of the smallest profile, their records in `runs`."""
    profile = protocol.PROFILES["smoke"]
    for stage in protocol.STAGES:
        for config, seed in protocol.plan(stage, profile, [runs]):
            write_record(runs, config, seed)
    return protocol.results(profile, [runs])
