"""Writing records whose numbers are made up."""

from collections.abc import Sequence
from pathlib import Path

from bnbook import records

# What every record says of how it was made.
PROVENANCE = {
    "code_commit": "0" * 40,
    "data_sha256": "0" * 64,
    "versions": {"torch": "0"},
    "hardware": "a processor, 1 thread",
    "precision": "float32",
    "seconds": 1.0,
    "finished": "2026-01-01T00:00:00+00:00",
}


def write_finished(
    runs: Path,
    config,
    seed: int,
    curves: dict,
    final: dict,
    arrays: dict | None = None,
    first_losses: Sequence[float] = (),
) -> records.Record:
    """The record of a run that ended well, with these measurements."""
    record = records.Record(
        schema=records.SCHEMA,
        run_id=config.run_id,
        config=config.to_dict(),
        seed=seed,
        outcome={"status": "done", "step": config.steps},
        curves=curves,
        final=final,
        first_losses=list(first_losses),
        provenance=PROVENANCE,
        arrays_sha256=None,
        path=records.path(runs, config, seed),
    )
    return records.write(record, arrays or {})
