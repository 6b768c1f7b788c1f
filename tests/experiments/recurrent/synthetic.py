"""Records of the recurrent networks, made up, so that the truth is known."""

from pathlib import Path

import numpy as np

from bnbook.experiments.protocol import Results
from bnbook.experiments.recurrent import protocol
from tests.records import write_finished

# The truth: where each network ends, and the step at which its curve is there; the slower rate ends lower.
ENDS = {"plain": 0.9, "input": 0.92, "within": 0.91, "within_one": 0.85, "layer": 0.9}
ARRIVES = {"plain": 40, "input": 20, "within": 10, "within_one": 60, "layer": 40}
SLOWER = 0.05
# Decades that the gradient changes by with each step back, by gamma; the same in every network.
FALLS = {None: -0.01, 0.1: 0.0, 0.2: -0.02, 0.5: -0.05, 1.0: -0.1}
STEPS = 21  # that the gradient is followed over


def results(runs: Path) -> Results:
    """Those of the smallest profile, their records in `runs`. A seed adds 0.001 to the accuracy."""
    profile = protocol.PROFILES["smoke"]
    rates = {arm: max(profile.lrs) for arm in protocol.ARMS}
    for config, seed in protocol.jobs(profile, rates):
        if config.part == "gradient":
            back = np.arange(STEPS)[::-1]
            arrays = {"gradient": np.array([fall * back - 1 for fall in FALLS.values()], dtype=np.float32)}
            write_finished(runs, config, seed, {}, {"followed_steps": STEPS}, arrays)
            continue
        end = ENDS[config.variant] - SLOWER * (config.lr < max(profile.lrs)) + 0.001 * (seed % 100)
        steps = list(range(config.evaluate_every, config.steps + 1, config.evaluate_every))
        values = [end if step >= ARRIVES[config.variant] else 0.2 for step in steps]
        name = "validation_accuracy" + "_population" * config.norm.startswith(("input", "within"))
        final = {"chance_accuracy": 0.1, "validation_accuracy": end, "test_accuracy": end - 0.1}
        write_finished(runs, config, seed, {"evaluation": {"step": steps, name: values}}, final)
    return protocol.results(profile, [runs])
