"""From a configuration and a seed to a record: find it, or train it and write it."""

import platform
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from bnbook import paths, records
from bnbook.config import RunConfig
from bnbook.data import sources
from bnbook.experiments import EXPERIMENTS
from bnbook.records import Record, RecordError
from bnbook.train.checkpoint import Checkpoint

# One thread a run: the networks are small, and two runs side by side beat one run on two threads.
THREADS = 1


def obtain(
    config: RunConfig,
    seed: int,
    folders: Sequence[Path],
    force: bool = False,
    report: Callable[[int], None] = lambda step: None,
) -> Record:
    """The record of this run: from `folders` (runs folders) where it exists, else trained now.

    New records go to the last of `folders`. With `force` the run is trained again, and takes the place of an
    earlier one there; a committed record is never replaced.
    """
    found = None if force else records.find(folders, config, seed)
    return found or make(config, seed, folders[-1], force=force, report=report)


def make(
    config: RunConfig,
    seed: int,
    runs: Path,
    force: bool = False,
    report: Callable[[int], None] = lambda step: None,
) -> Record:
    """Train one run and write its record below `runs`; raises RecordError where it is already there."""
    file = records.path(runs, config, seed)
    committed = runs == paths.runs(paths.RESULTS)
    if file.exists() and (committed or not force):
        raise RecordError(f"{file}: a finished record is never overwritten; remove it by hand to redo it")
    commit = code_commit()
    if committed and commit.endswith("-dirty"):
        raise RecordError(
            "src/ has uncommitted changes; commit them first: a committed record names its code"
        )
    torch.set_num_threads(THREADS)
    # Saturated sigmoids make denormal gradients, which would slow a run down tenfold.
    torch.set_flush_denormal(True)
    torch.manual_seed(seed)
    file_of_checkpoint = paths.cache() / "checkpoints" / commit / config.run_id / f"seed-{seed}.pt"
    checkpoint = Checkpoint(file_of_checkpoint, hardware)
    if force:
        checkpoint.remove()
    measured = EXPERIMENTS[config.experiment].training.train_run(config, seed, checkpoint, report)
    progress = measured.progress
    record = Record(
        schema=records.SCHEMA,
        run_id=config.run_id,
        config=config.to_dict(),
        seed=seed,
        outcome={"status": "diverged" if progress.diverged else "done", "step": progress.step},
        curves=measured.curves,
        final=measured.final,
        first_losses=progress.first_losses,
        provenance=provenance(
            commit,
            sources.SOURCES[config.data].checksum,
            progress.seconds,
            measured.precision,
            " and ".join(checkpoint.computed_on(measured.device)),
        ),
        arrays_sha256=None,
        path=file,
    )
    if force:
        file.unlink(missing_ok=True)
    record = records.write(record, measured.arrays)
    checkpoint.remove()
    return record


def provenance(
    commit: str, data_checksum: str, seconds: float, precision: str = "float32", computed_on: str = ""
) -> dict:
    """What made a record. `seconds` is the wall time of training and measuring."""
    return {
        "code_commit": commit,
        "data_sha256": data_checksum,
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("torch", "numpy")},
        "hardware": computed_on or hardware("cpu"),
        "precision": precision,
        "seconds": round(seconds, 2),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def hardware(device: str) -> str:
    """What a run was computed on."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"{processor()}, {torch.get_num_threads()} thread"


def processor() -> str:
    """The processor's name and its widest vector unit, as torch uses it."""
    names = [line for line in _read(Path("/proc/cpuinfo")).splitlines() if line.startswith("model name")]
    name = names[0].split(":")[1].strip() if names else platform.machine()
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"


def code_commit() -> str:
    """The checkout's commit, with "-dirty" where src/ differs from it; "unknown" outside a checkout."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=paths.ROOT, capture_output=True, text=True
        ).stdout.strip()

    commit = git("rev-parse", "HEAD")
    dirty = "-dirty" if commit and git("status", "--porcelain", "--", "src") else ""
    return commit + dirty or "unknown"


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.exists() else ""
