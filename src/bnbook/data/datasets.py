"""Data sets in memory, with a named split. Pixels stay bytes until an experiment prepares them."""

import dataclasses
import functools
import io
import pickle
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from bnbook.data import sources

VALIDATION_SEED = 20150302  # one split for everybody, whatever a run's seed
CLASSES = 10  # of every data set
DIGITS_TEST = 360
VALIDATION_FRACTION = 1 / 6  # MNIST: 10,000 of 60,000
COLOUR_VALIDATION_FRACTION = 1 / 10  # CIFAR-10: 5,000 of 50,000, 500 of each class


@dataclasses.dataclass(frozen=True)
class Split:
    """Images `x`, (N, ...), uint8 of 0 to 255 as loaded, and labels `y`, (N,) int64."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: Tensor | slice) -> "Split":
        return Split(self.x[index], self.y[index])

    def spread(self, n: int) -> "Split":
        """`n` images evenly from the first to the last, all where there are no more. Not the first `n`: files
        may lie sorted by class, as those of the copy of CIFAR-10 do."""
        return self[torch.arange(n) * len(self) // n] if n < len(self) else self

    def to(self, device: torch.device) -> "Split":
        return Split(self.x.to(device), self.y.to(device))


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set with its split."""

    name: str
    train: Split
    validation: Split
    test: Split

    def to(self, device: torch.device) -> "Dataset":
        splits = (split.to(device) for split in (self.train, self.validation, self.test))
        return Dataset(self.name, *splits)

    @property
    def train_and_validation(self) -> Split:
        return Split(
            torch.cat([self.train.x, self.validation.x]), torch.cat([self.train.y, self.validation.y])
        )


def binarised(split: Split) -> Split:
    """Flat float32 images (N, pixels) of 0 and 1, parted at half brightness, as in Section 4.1."""
    return Split((split.x.flatten(1) > 127).float(), split.y)


def load(name: str) -> Dataset:
    """Grey images (N, height, width) of "mnist" or "digits", fetched if not at hand; raises
    sources.DataError."""
    rest, test = _digits() if name == "digits" else _mnist(sources.contents(name))
    order = torch.randperm(len(rest), generator=torch.Generator().manual_seed(VALIDATION_SEED))
    held_out = round(len(rest) * VALIDATION_FRACTION)
    return Dataset(
        name=name,
        train=rest[order[held_out:]],
        validation=rest[order[:held_out]],
        test=test,
    )


@functools.cache  # 60,000 JPEGs take 6 s to decode, and a process may make several runs
def load_colour(name: str) -> Dataset:
    """Colour images (N, 32, 32, 3) of "cifar10", "cifar10-jpeg", or "digits" made to look like them (each
    pixel 4x4, grey in three channels); raises sources.DataError.

    The validation split is stratified: a tenth of each class, drawn with VALIDATION_SEED.
    """
    reader = {"digits": _colour_digits, "cifar10": _cifar10, "cifar10-jpeg": _cifar10_parquet}[name]
    rest, test = reader(sources.contents(name))
    generator = torch.Generator().manual_seed(VALIDATION_SEED)
    validation, train = [], []
    for label in range(CLASSES):
        members = (rest.y == label).nonzero().flatten()
        members = members[torch.randperm(len(members), generator=generator)]
        held_out = round(len(members) * COLOUR_VALIDATION_FRACTION)
        validation.append(members[:held_out])
        train.append(members[held_out:])
    return Dataset(name=name, train=rest[torch.cat(train)], validation=rest[torch.cat(validation)], test=test)


def _digits() -> tuple[Split, Split]:
    """scikit-learn's 1,797 handwritten digits, 8x8 pixels of 0 to 16; its last 360, other writers, test."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    all_of_it = Split(torch.from_numpy(pixels), torch.from_numpy(digits.target.astype(np.int64)))
    return all_of_it[:-DIGITS_TEST], all_of_it[-DIGITS_TEST:]


def _mnist(files: dict[str, bytes]) -> tuple[Split, Split]:
    def part(prefix: str) -> Split:
        # IDX: 16 bytes of header before the images, 8 before the labels; sources has checked the files.
        images = np.frombuffer(files[f"MNIST/raw/{prefix}-images-idx3-ubyte"], np.uint8)[16:]
        labels = np.frombuffer(files[f"MNIST/raw/{prefix}-labels-idx1-ubyte"], np.uint8)[8:]
        pixels = images.reshape(-1, 28, 28).copy()
        return Split(torch.from_numpy(pixels), torch.from_numpy(labels.astype(np.int64)))

    return part("train"), part("t10k")


def _colour_digits(files: dict[str, bytes]) -> tuple[Split, Split]:
    def coloured(split: Split) -> Split:
        large = split.x.repeat_interleave(4, dim=1).repeat_interleave(4, dim=2)
        return Split(large[..., None].expand(-1, -1, -1, 3).contiguous(), split.y)

    rest, test = _digits()
    return coloured(rest), coloured(test)


def _cifar10(files: dict[str, bytes]) -> tuple[Split, Split]:
    """The original files: each a pickle of 10,000 rows of 3,072 bytes, channel by channel."""

    def part(*names: str) -> Split:
        batches = [unpickled(files[f"cifar-10-batches-py/{name}"]) for name in names]
        pixels = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
        labels = np.concatenate([batch["labels"] for batch in batches])
        return Split(torch.from_numpy(pixels.transpose(0, 2, 3, 1).copy()), torch.from_numpy(labels).long())

    return part(*(f"data_batch_{number}" for number in range(1, 6))), part("test_batch")


class _Arrays(pickle.Unpickler):
    """Makes dictionaries, lists, text, numbers and arrays of NumPy. A pickle says itself which functions it
    wants called: all others are refused, whatever a checksum says."""

    ADMITTED: ClassVar = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return self.ADMITTED[module, name]


def unpickled(data: bytes) -> dict[str, Any]:
    """A file of CIFAR-10; raises sources.DataError on any pickle but of arrays, text and numbers."""
    try:
        return _Arrays(io.BytesIO(data), encoding="latin1").load()
    except Exception as error:  # a pickle that is none fails in as many ways as there are bytes
        raise sources.DataError(f"CIFAR-10: a file is no pickle of its arrays: {error}") from None


def _cifar10_parquet(files: dict[str, bytes]) -> tuple[Split, Split]:
    """The Parquet layout: columns `img` (struct of the encoded `bytes` and a path) and `label`."""
    import pyarrow.parquet
    from PIL import Image

    def part(name: str) -> Split:
        data = pyarrow.BufferReader(files[f"cifar10/{name}-00000-of-00001.parquet"])
        table = pyarrow.parquet.read_table(data)
        encoded = table["img"].combine_chunks().field("bytes")
        pixels = np.stack([np.asarray(Image.open(io.BytesIO(one.as_py()))) for one in encoded])
        return Split(torch.from_numpy(pixels), torch.from_numpy(table["label"].to_numpy().copy()))

    return part("train"), part("test")
