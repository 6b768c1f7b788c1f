"""The power goes: a disk has what was handed to it until then, and that is whole."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bnbook import book, files, records
from bnbook.experiments.mnist_activation_shift import protocol
from tests.records import write_finished

CONFIG = protocol.multiverse(protocol.PROFILES["smoke"])[0]


class Disk:
    """A disk of its own in a file, which gets what the system hands to it; the rest is in memory alone."""

    def __init__(self, room: Path) -> None:
        self.image, self.folder, self.room = room / "disk.img", room / "disk", room
        self.folder.mkdir()
        with self.image.open("wb") as stream:
            stream.truncate(16 << 20)
        done = subprocess.run(["mkfs.ext4", "-q", "-F", self.image], capture_output=True)
        # By itself it hands nothing over within the test.
        if done.returncode or not _mount(self.image, self.folder, "commit=300"):
            pytest.skip("no right to make a disk here")

    def after_a_cut(self, there: Callable[[Path], object]) -> object:
        """What `there` finds on the disk if the power goes now."""
        copy, folder = self.room / "copy.img", self.room / "copy"
        folder.mkdir(exist_ok=True)
        subprocess.run(["cp", "--sparse=always", self.image, copy], check=True)
        assert _mount(copy, folder, "noatime")
        try:
            return there(folder)
        finally:
            _unmount(folder)


def _mount(image: Path, folder: Path, options: str) -> bool:
    command = ["mount", "-o", f"loop,{options}", image, folder]
    return subprocess.run(command, capture_output=True).returncode == 0


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
def disk(tmp_path) -> Iterator[Disk]:
    if not shutil.which("mkfs.ext4"):
        pytest.skip("no mkfs.ext4 here")
    made = Disk(tmp_path)
    yield made
    _unmount(made.folder)


def held(folder: Path) -> dict[str, bytes]:
    found = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in found}


def test_a_file_that_is_only_renamed_is_lost(disk):
    """Else the other tests would show nothing."""
    (disk.folder / "a.tmp").write_text("new")
    (disk.folder / "a.tmp").rename(disk.folder / "a")
    assert held(disk.folder) == {"a": b"new"}
    assert disk.after_a_cut(held) in ({}, {"a": b""})


def test_at_every_moment_of_its_writing_a_record_is_whole_or_not_there(disk, monkeypatch):
    runs, found = disk.folder / "results" / "runs", []
    place = records.path(Path("results") / "runs", CONFIG, 0)

    def look() -> None:
        found.append(disk.after_a_cut(lambda folder: _whole(folder / place)))

    def then_look(act: Callable) -> Callable:
        def call(*arguments):
            look()
            result = act(*arguments)
            look()
            return result

        return call

    monkeypatch.setattr(os, "fsync", then_look(os.fsync))
    monkeypatch.setattr(Path, "replace", then_look(Path.replace))
    write_finished(runs, CONFIG, 0, {}, {}, {"steps": np.arange(1000)})
    look()
    assert len(found) > 12 and found[0] is False and found[-1] is True
    assert found == sorted(found), "it was there, and then it was not"


def _whole(file: Path) -> bool:
    """Raises RecordError where a record is there and is not."""
    try:
        records.read(file).check_arrays()
    except records.MissingRecord:
        return False
    return True


@pytest.mark.parametrize("before", [True, False], ids=["over the old one", "the first"])
def test_the_site_is_the_old_one_or_the_new_one(disk, monkeypatch, before):
    site, fresh = disk.folder / "html", disk.folder / "html.new"
    old = {"index.html": b"old", "ko/one.html": b"old" * 5000} if before else {}
    new = {"index.html": b"new", "ko/one.html": b"new" * 9000, "ko/two.html": b"new"}
    for folder, content in ((site, old), (fresh, new)):
        for name, data in content.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        if folder == site:
            files.settle(disk.folder)
    found, swap = [], book.swap

    def look() -> None:
        found.append(disk.after_a_cut(lambda folder: held(folder / "html")))

    def looked_at(*folders: Path) -> None:
        look()
        swap(*folders)
        look()

    monkeypatch.setattr(book, "swap", looked_at)
    look()
    book.exchange(fresh, site)
    look()
    assert found[0] == old and found[-1] == new
    assert all(one in (old, new) for one in found)
