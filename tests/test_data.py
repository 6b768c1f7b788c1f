"""Splits and batches: nothing leaks, nothing is lost, every step has its batch."""

import io
import itertools
import os
import pickle
import re

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from PIL import Image

from bnbook import paths
from bnbook.data import datasets
from bnbook.data.augment import MEAN
from bnbook.data.batches import Batches
from bnbook.data.datasets import Split
from bnbook.data.sources import DataError


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


def test_digits(digits):
    sizes = [len(split) for split in (digits.train, digits.validation, digits.test)]
    assert sum(sizes) == 1797 and sizes == [1197, 240, 360]
    assert digits.train.x.shape[1:] == (8, 8) and digits.train.x.dtype == torch.uint8
    assert digits.train.x.max() == 255 and digits.train.y.dtype == torch.int64
    assert set(digits.test.y.tolist()) == set(range(datasets.CLASSES))


@pytest.mark.parametrize("n", [1, 30, 500, 999, 1000, 2000])
def test_some_images_are_of_all_classes(n):
    """However they lie: those of the copy of CIFAR-10 are sorted."""
    split = Split(torch.arange(1000)[:, None], torch.arange(1000) // 100)
    found = split.spread(n)
    counts = torch.bincount(found.y, minlength=10)
    assert len(found) == min(n, 1000) and counts.max() - counts.min() <= 1
    assert len(found.x.unique()) == len(found)


def test_nothing_is_measured_on_the_first_images():
    """The first images may be of one class. Those of MNIST, which the recurrent networks read, are mixed."""
    first = re.compile(r"\b(test|validation|train)(\.x|\"\])?\[: ?\w")
    rooms = [*(paths.ROOT / "src" / "bnbook" / "experiments").rglob("*.py")]
    found = {path.parent.name for path in rooms if first.search(path.read_text(encoding="utf-8"))}
    assert found == {"recurrent"}


def test_split_is_the_same_for_everybody(digits):
    again = datasets.load("digits")
    assert torch.equal(again.validation.x, digits.validation.x)
    assert len(digits.train_and_validation) == len(digits.train) + len(digits.validation)


def test_an_epoch_is_a_permutation():
    data = Split(torch.arange(10).view(10, 1), torch.arange(10))
    batches = Batches(data, batch_size=3, seed=0)
    for epoch in range(2):
        seen = torch.cat([batches[epoch * 3 + step][1] for step in range(3)]).tolist()
        assert len(set(seen)) == 9
    assert batches[0][1].tolist() != batches[3][1].tolist()


def test_inputs_stay_with_their_labels():
    data = Split(torch.arange(50).view(50, 1) * 2, torch.arange(50))
    x, y = Batches(data, batch_size=7, seed=3)[11]
    assert torch.equal(x[:, 0], y * 2)


def test_any_step_without_the_ones_before():
    data = Split(torch.arange(100).view(100, 1), torch.arange(100))
    in_order, jumping = Batches(data, 10, seed=5), Batches(data, 10, seed=5)
    labels = [in_order[step][1] for step in range(35)]
    for step in (34, 2, 17, 34):
        assert torch.equal(jumping[step][1], labels[step])


def test_seeds_differ():
    data = Split(torch.arange(100).view(100, 1), torch.arange(100))
    assert not torch.equal(Batches(data, 50, seed=0)[0][1], Batches(data, 50, seed=1)[0][1])


@pytest.mark.parametrize("size", [0, 11])
def test_impossible_batch_size(size):
    with pytest.raises(ValueError, match=f"batch_size is {size}; it must be 1 to 10"):
        Batches(Split(torch.zeros(10, 1), torch.zeros(10)), size, seed=0)


def test_fixed_membership_shuffles_mini_batches_as_wholes():
    """Section 4.2.1's poor shuffling: the same companions every epoch, in another order of mini-batches."""
    data = Split(torch.arange(100).view(100, 1), torch.arange(100))
    batches = Batches(data, 10, seed=5, fixed_membership=True)
    epochs = [[frozenset(batches[10 * e + step][1].tolist()) for step in range(10)] for e in range(3)]
    assert set(epochs[0]) == set(epochs[1]) == set(epochs[2])
    assert epochs[0] != epochs[1] and epochs[1] != epochs[2]
    assert frozenset().union(*epochs[0]) == frozenset(range(100))
    free = Batches(data, 10, seed=5)
    assert {frozenset(free[step][1].tolist()) for step in range(10)} != {
        frozenset(free[10 + step][1].tolist()) for step in range(10)
    }


# Colour


def check_split(data: datasets.Dataset) -> None:
    """A tenth of each class is held out, nothing twice, nothing lost."""
    held_out, rest = (torch.bincount(split.y, minlength=10) for split in (data.validation, data.train))
    assert torch.equal(held_out, torch.round((held_out + rest) / 10).long())
    for split in (data.train, data.validation, data.test):
        assert split.x.dtype == torch.uint8 and split.x.shape[1:] == (32, 32, 3)
        assert set(split.y.tolist()) == set(range(10))


def test_colour_digits_are_the_digits_made_large():
    data = datasets.load_colour("digits")
    check_split(data)
    grey = datasets.load("digits")
    assert torch.equal(data.test.x[:, ::4, ::4, 1], grey.test.x) and torch.equal(data.test.y, grey.test.y)
    assert torch.equal(data.test.x[:, 3::4, 3::4, 2], grey.test.x)
    seen = torch.cat([data.train.x, data.validation.x]).flatten(1).tolist()
    expected = torch.cat([grey.train.x, grey.validation.x])
    large = expected.repeat_interleave(4, 1).repeat_interleave(4, 2)[..., None].expand(-1, -1, -1, 3)
    assert sorted(seen) == sorted(large.flatten(1).tolist())


def made_up_images() -> tuple[np.ndarray, np.ndarray]:
    """60 for training, 10 for the test; every class is there."""
    pixels = np.random.default_rng(0).integers(256, size=(70, 32, 32, 3), dtype=np.uint8)
    return pixels, np.arange(70) % 10


@pytest.fixture
def anything_goes(monkeypatch):
    """Files, by their paths, that are taken for the verified ones."""
    files: dict[str, bytes] = {}
    monkeypatch.setattr(datasets.sources, "contents", lambda name: files)
    datasets.load_colour.cache_clear()
    yield files
    datasets.load_colour.cache_clear()


def by_python_2(rows: np.ndarray, labels: list[int]) -> bytes:
    """The pickle that Python 2 wrote of {"data": rows, "labels": labels}, as the published files are:
    protocol 2, bytes as text, functions of NumPy by their names of that time."""
    bytes_of = rows.tobytes()
    return b"".join(
        [
            b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R",
            b"(K\x01" + b"".join(b"J" + size.to_bytes(4, "little") for size in rows.shape) + b"\x86",
            b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89",
            b"T" + len(bytes_of).to_bytes(4, "little") + bytes_of + b"tb",
            b"U\x06labels](" + b"".join(b"K" + bytes([label]) for label in labels) + b"eu.",
        ]
    )


@pytest.mark.parametrize("written", [by_python_2, lambda *batch: pickled(batch)], ids=["Python 2", "today"])
def test_the_original_layout_is_read(anything_goes, written):
    """Five pickles of training images and one of the test, channel by channel, as torchvision keeps them."""
    pixels, labels = made_up_images()
    parts = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]
    bounds = [0, 12, 24, 36, 48, 60, 70]
    for part, (start, end) in zip(parts, itertools.pairwise(bounds), strict=True):
        rows = pixels[start:end].transpose(0, 3, 1, 2).reshape(end - start, -1)
        anything_goes[f"cifar-10-batches-py/{part}"] = written(rows, labels[start:end].tolist())
    check_made_up(datasets.load_colour("cifar10"))


def pickled(batch) -> bytes:
    return pickle.dumps(dict(zip(("data", "labels"), batch, strict=True)))


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.mkdir, (str(self.file),)


def test_a_poisoned_pickle_runs_nothing(tmp_path, anything_goes):
    trace = tmp_path / "it ran"
    poison = pickled((Payload(trace), []))
    anything_goes["cifar-10-batches-py/data_batch_1"] = poison
    with pytest.raises(DataError, match=r"it asks for posix\.mkdir"):
        datasets.load_colour("cifar10")
    assert not trace.exists()
    pickle.loads(poison)
    assert trace.exists(), "the poison is none"


@pytest.mark.parametrize(
    "damage", [b"", b"\x80", b"\x80\x02}(U\x04data", b"cnumpy\nload\n.", b"cbuiltins\neval\n."]
)
def test_what_is_no_pickle_of_arrays_is_refused_in_one_line(damage):
    with pytest.raises(DataError, match="no pickle of its arrays") as error:
        datasets.unpickled(damage)
    assert "\n" not in str(error.value)


def test_mnist_is_read(anything_goes):
    """A header of 16 bytes and pictures by rows; one of 8 and a byte a label."""
    pixels = np.arange(18 * 28 * 28).astype(np.uint8).reshape(18, 28, 28)
    labels = np.arange(18, dtype=np.uint8) % 10
    for part, rows in (("train", slice(0, 12)), ("t10k", slice(12, 18))):
        anything_goes[f"MNIST/raw/{part}-images-idx3-ubyte"] = bytes(16) + pixels[rows].tobytes()
        anything_goes[f"MNIST/raw/{part}-labels-idx1-ubyte"] = bytes(8) + labels[rows].tobytes()
    data = datasets.load("mnist")
    assert torch.equal(data.test.x, torch.from_numpy(pixels[12:]))
    assert data.test.y.tolist() == labels[12:].tolist() and data.test.y.dtype == torch.int64
    assert len(data.train) == 10 and len(data.validation) == 2


def test_the_parquet_layout_is_read(anything_goes):
    """Encoded pictures in a table, as the JPEG copy has them; PNG here, so that pixels can be compared."""
    pixels, labels = made_up_images()

    def encoded(picture):
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, "png")
        return {"bytes": stream.getvalue(), "path": None}

    for part, rows in (("train", slice(0, 60)), ("test", slice(60, 70))):
        table = pyarrow.table({"img": [encoded(p) for p in pixels[rows]], "label": labels[rows]})
        stream = io.BytesIO()
        pyarrow.parquet.write_table(table, stream)
        anything_goes[f"cifar10/{part}-00000-of-00001.parquet"] = stream.getvalue()
    check_made_up(datasets.load_colour("cifar10-jpeg"))


def check_made_up(data: datasets.Dataset) -> None:
    pixels, labels = made_up_images()
    check_split(data)
    assert torch.equal(data.test.x, torch.from_numpy(pixels[60:]))
    assert torch.equal(data.test.y, torch.from_numpy(labels[60:]))
    known = {picture.tobytes(): label for picture, label in zip(pixels[:60], labels[:60], strict=True)}
    for split in (data.train, data.validation):
        for picture, label in zip(split.x, split.y, strict=True):
            assert known.pop(picture.numpy().tobytes()) == label
    assert not known


@pytest.mark.skipif(not paths.given_data(), reason="needs the real data (BNBOOK_DATA)")
def test_the_real_cifar10():
    data = datasets.load_colour("cifar10-jpeg")
    check_split(data)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [45_000, 5_000, 10_000]
    mean = data.train.x[::9].float().mean((0, 1, 2)) / 255
    np.testing.assert_allclose(mean, MEAN, atol=0.02)
