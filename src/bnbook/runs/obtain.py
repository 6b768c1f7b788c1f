"""From a configuration and a seed to a record: find it, or train it and write it."""

import contextlib
import functools
import hashlib
import math
import platform
import subprocess
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from bnbook import files, paths, records
from bnbook.config import ConfigError, RunConfig
from bnbook.data import sources
from bnbook.experiments import EXPERIMENTS
from bnbook.records import Record, RecordError
from bnbook.train.checkpoint import Checkpoint

# One thread a run: the networks are small, and two runs side by side beat one run on two threads.
THREADS = 1
SEEDS = 2**32  # what all generators take


class Claimed(Exception):
    """A run that another process is making, here or on another machine."""


def obtain(
    config: RunConfig,
    seed: int,
    folders: Sequence[Path],
    force: bool = False,
    report: Callable[[int], None] = lambda step: None,
    wait: bool = True,
) -> Record:
    """The record of this run: from `folders` (runs folders) where it exists, else trained now.

    New records go to the last of `folders`. With `force` the run is trained again, and takes the place of an
    earlier one there; a committed record is never replaced. One that another process is making is waited for,
    or raises Claimed without `wait`.
    """
    found = None if force else there(config, seed, folders)
    return found or make(config, seed, folders[-1], force=force, report=report, wait=wait)


def there(config: RunConfig, seed: int, folders: Sequence[Path]) -> Record | None:
    """As `records.usable`; and where who made the record was killed before the end, what it left is taken
    away: its locks, which nobody has, and its checkpoint."""
    found = records.usable(folders, config, seed)
    if found and found.path.with_suffix(".lock").exists():
        place = _checkpoint(config, seed)
        with contextlib.suppress(Claimed), _locked(place, found.path, found.path.parent, wait=False):
            Checkpoint(place).remove()
    return found


def _checkpoint(config: RunConfig, seed: int) -> Path:
    """Where today's code keeps the checkpoint of a run."""
    checkpoints = paths.cache() / "checkpoints"
    return checkpoints / code_state(code_commit()) / config.run_id / f"seed-{seed}.pt"


@contextlib.contextmanager
def _locked(place: Path, file: Path, runs: Path, wait: bool) -> Iterator[None]:
    """With two locks, one for the record in `file`, one for the checkpoint in `place`: machines may share the
    records, in the folder `runs`, and have each its own cache. That of the record goes last: while it is not
    there, nothing is left."""
    with (
        alone(file.with_suffix(".lock"), runs, wait),
        alone(place.with_suffix(".lock"), paths.cache(), wait),
    ):
        yield


def make(
    config: RunConfig,
    seed: int,
    runs: Path,
    force: bool = False,
    report: Callable[[int], None] = lambda step: None,
    wait: bool = True,
) -> Record:
    """Train one run and write its record below `runs`; one that is there already, or that another process
    makes at the same time, is taken as it is unless it is to be made again (`force`). Raises RecordError
    where a committed record would be replaced, or would not name its code, and without `wait` Claimed where
    another process is at it."""
    file = records.path(runs, config, seed)
    committed = runs == paths.runs(paths.RESULTS)
    if not 0 <= seed < SEEDS:
        raise ConfigError(f"seed is {seed}; it must be 0 to {SEEDS - 1}")
    if committed and force and file.exists():
        raise RecordError(f"{file}: a committed record is never overwritten; remove it by hand to redo it")
    commit = code_commit()
    if committed:
        _refuse_unnamed(commit)
    place = _checkpoint(config, seed)
    files.make_folder(file.parent)  # where that cannot be, it is said before the training
    with _locked(place, file, runs, wait):
        if not force and (found := records.usable([runs], config, seed)):
            return found
        checkpoint = Checkpoint(place, f"{config.run_id} seed {seed}", hardware, resume=not force)
        record, arrays = _trained(config, seed, file, commit, checkpoint, report)
        record = records.write(record, arrays, replace=force)
        checkpoint.remove()
    return record


def _trained(
    config: RunConfig,
    seed: int,
    file: Path,
    commit: str,
    checkpoint: Checkpoint,
    report: Callable[[int], None],
) -> tuple[Record, dict]:
    """The record of this run, to be written to `file`, and its arrays."""
    torch.set_num_threads(THREADS)
    # Saturated sigmoids make denormal gradients, which would slow a run down tenfold.
    torch.set_flush_denormal(True)
    torch.manual_seed(seed)
    try:
        measured = EXPERIMENTS[config.experiment].training.train_run(config, seed, checkpoint, report)
    except RuntimeError as error:
        # What torch calls it, on the GPU and on the processor.
        if isinstance(error, torch.cuda.OutOfMemoryError) or "can't allocate memory" in str(error):
            raise MemoryError(f"{config.variant} seed {seed}") from None
        raise
    progress = measured.progress
    record = Record(
        schema=records.SCHEMA,
        run_id=config.run_id,
        config=config.to_dict(),
        seed=seed,
        outcome={"status": "diverged" if progress.diverged else "done", "step": progress.step},
        curves=_finite(measured.curves),
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
    return record, measured.arrays


def _finite(curves: dict[str, dict[str, list]]) -> dict[str, dict[str, list]]:
    """The same with None for what is no number: what a probe measures may run away before the loss does."""
    return {
        probe: {
            name: [None if isinstance(one, float) and not math.isfinite(one) else one for one in column]
            for name, column in columns.items()
        }
        for probe, columns in curves.items()
    }


@contextlib.contextmanager
def alone(lock_file: Path, folder: Path, wait: bool = True) -> Iterator[None]:
    """Within it this process has the lock, a file below `folder`; another one that has it is waited for, or
    raises Claimed without `wait`. The system takes a lock back from a process that ends, however it ends, and
    a file server from a machine that is gone. Where there can be none, as in a cache that cannot be written,
    it goes on without: the worst is that a run is made twice."""
    lock = FileLock(lock_file, fallback_to_soft=False)
    try:
        lock_file.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            name = "/".join(lock_file.with_suffix("").parts[-2:])
            if not wait:
                raise Claimed(name) from None
            files.warn_once(f"another process makes {name}; waiting")
            lock.acquire()
    except OSError as error:
        files.warn_once(f"{folder}: {error.strerror}; runs go on without locks and checkpoints there")
    try:
        yield
    finally:
        if lock.is_locked:
            with contextlib.suppress(OSError):
                lock_file.unlink(missing_ok=True)  # while it is ours; who waits for it makes a new one
        lock.release()


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
        return plain(torch.cuda.get_device_name())
    return f"{processor()}, {torch.get_num_threads()} thread"


def processor() -> str:
    """The processor's name and its widest vector unit, as torch uses it."""
    names = [line for line in _read(Path("/proc/cpuinfo")).splitlines() if line.startswith("model name")]
    name = names[0].partition(":")[2].strip() if names else platform.machine()
    return f"{plain(name)} ({torch.backends.cpu.get_cpu_capability()})"


def plain(name: str) -> str:
    """What a maker calls his product, without what no record may have."""
    return "".join(letter for letter in name if letter.isprintable() and letter not in '<>&\\"')


@functools.cache  # the code that runs is the one that was there at first, whatever is edited meanwhile
def code_commit() -> str:
    """The checkout's commit, with "-dirty" where src/ differs from it; "unknown" where git does not answer
    for this very checkout: without git, outside a checkout or inside one of something else, or where git does
    not trust its owner."""
    answer = _git("rev-parse", "--show-toplevel", "HEAD")
    changes = _git("status", "--porcelain", "--", "src")
    if answer is None or changes is None:
        return "unknown"
    top, commit = answer.rsplit("\n", 1)
    if Path(top).resolve() != paths.ROOT.resolve():
        return "unknown"
    return commit + ("-dirty" if changes else "")


@functools.cache
def code_state(commit: str, package: Path = Path(__file__).parents[1]) -> str:
    """What checkpoints are kept by, so that none is gone on with by other code: the commit, and where that
    does not say what the code is, a digest of the code in `package`."""
    if commit != "unknown" and not commit.endswith("-dirty"):
        return commit
    found = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        found.update(f"{file.relative_to(package)} {file.stat().st_size}\n".encode() + file.read_bytes())
    return f"{commit}-{found.hexdigest()[:12]}"


def _refuse_unnamed(commit: str) -> None:
    """Raises RecordError where `commit` does not say what the code is."""
    if commit == "unknown":
        raise RecordError(
            f"the commit of the code is unknown: let `git -C {paths.ROOT} status` say why; "
            "a committed record names its code"
        )
    if commit.endswith("-dirty"):
        raise RecordError(
            "src/ has uncommitted changes; commit them first: a committed record names its code"
        )


def _git(*arguments: str) -> str | None:
    """What git says of this checkout, or None where it does not."""
    command = ["git", "--no-optional-locks", *arguments]
    try:
        done = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, errors="replace")
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
