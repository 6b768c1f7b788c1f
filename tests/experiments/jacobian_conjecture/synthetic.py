"""Records of Section 3.3's Jacobians, made up, so that the truth is known."""

from pathlib import Path

import numpy as np

from bnbook import records
from bnbook.experiments.jacobian_conjecture import protocol
from bnbook.experiments.protocol import Results
from tests.records import write_finished

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


def write_record(runs: Path, config: protocol.Config, seed: int) -> records.Record:
    """One record of Section 3.3 as the experiment would write it, its numbers made up."""
    spectrum = np.linspace(0, 2, len(protocol.LEVELS), dtype=np.float32)
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


def results(runs: Path) -> Results:
    """Those of the smallest profile, their records in `runs`."""
    profile = protocol.PROFILES["smoke"]
    for config, seed in protocol.jobs(profile):
        write_record(runs, config, seed)
    return protocol.results(profile, [runs])
