"""Records of Algorithm 1, made up, so that the truth is known."""

from pathlib import Path

from bnbook import records
from bnbook.experiments.algorithm1_line_by_line import protocol
from bnbook.experiments.protocol import Results
from tests.records import write_finished

# The truth of Algorithm 1's claims, in right digits: the two variances differ by two alone.
ALGORITHM1_DIGITS = {"identity": 5.0, "deviations": 2.0, "normalized": 4.0, "gradient": 8.0}


def write_record(runs: Path, config: protocol.Config, seed: int) -> records.Record:
    """One record of Section 3's as the experiment would write it, its errors made up."""
    shift = 10.0 ** (0.1 * (seed - (protocol.PROFILES["smoke"].seeds - 1) / 2))  # 1 on average
    curves, final = {}, {}
    if config.part == "input":
        for dtype in protocol.DTYPES:
            for way in protocol.IMPLEMENTATIONS:
                final |= {f"{way}.{dtype}.{what}": 1e-4 * shift for what in ("y", "d_x", "moments")}
            for how in protocol.VARIANCES:
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


def results(runs: Path) -> Results:
    """Those of the smallest profile, their records in `runs`."""
    profile = protocol.PROFILES["smoke"]
    for config, seed in protocol.jobs(profile):
        write_record(runs, config, seed)
    return protocol.results(profile, [runs])
