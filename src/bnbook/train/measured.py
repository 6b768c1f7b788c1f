"""What an experiment's `train_run` hands to `bnbook.runs.obtain` to be recorded."""

import dataclasses

from bnbook.train.loop import Progress


@dataclasses.dataclass(frozen=True)
class Measured:
    """What one run measured: see `bnbook.records.Record`."""

    progress: Progress
    curves: dict[str, dict[str, list]]
    final: dict[str, float]
    arrays: dict
    precision: str = "float32"
    device: str = "cpu"
