"""Data sets in memory, with a named split. Pixels stay bytes until an experiment prepares them."""

import dataclasses
import functools
import io
import pickle
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from bnbook.data import sources

VALIDATION_SEED = 20150302  # one split for everybody, whatever a run's seed
CLASSES = 10  # of every data set
GREY, COLOUR = 3, 4  # dimensions of many images
DIGITS_TEST = 360
VALIDATION_FRACTION = 1 / 6  # MNIST: 10,000 of 60,000
COLOUR_VALIDATION_FRACTION = 1 / 10  # CIFAR-10: 5,000 of 50,000, 500 of each class
MOST_IMAGES = 100_000  # in a file
ROWS = 256  # read at a time


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


Files = dict[str, bytes]
Splits = tuple[Split, Split]  # of training, with that of validation, and of the test


def binarised(split: Split) -> Split:
    """Flat float32 images (N, pixels) of 0 and 1, parted at half brightness, as in Section 4.1."""
    return Split((split.x.flatten(1) > 127).float(), split.y)


def load(name: str) -> Dataset:
    """Grey images (N, height, width) of "mnist" or "digits", fetched if not at hand; raises
    sources.DataError."""
    rest, test = _read(name, {"digits": _digits, "mnist": _mnist}[name], GREY)
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
    readers = {"digits": _colour_digits, "cifar10": _cifar10, "cifar10-jpeg": _cifar10_parquet}
    rest, test = _read(name, readers[name], COLOUR)
    generator = torch.Generator().manual_seed(VALIDATION_SEED)
    validation, train = [], []
    for label in range(CLASSES):
        members = (rest.y == label).nonzero().flatten()
        members = members[torch.randperm(len(members), generator=generator)]
        held_out = round(len(members) * COLOUR_VALIDATION_FRACTION)
        validation.append(members[:held_out])
        train.append(members[held_out:])
    return Dataset(name=name, train=rest[torch.cat(train)], validation=rest[torch.cat(validation)], test=test)


def _read(name: str, reader: Callable[[Files], Splits], dimensions: int) -> Splits:
    """The images, bytes in so many `dimensions`, and labels that `reader` finds in the files of a source.
    Raises sources.DataError where they hold anything else, whatever their checksums say."""
    contents = sources.contents(name)
    try:
        found = reader(contents)
        for split in found:
            kinds = split.x.dtype, split.x.ndim, split.y.dtype, len(split.x)
            if kinds != (torch.uint8, dimensions, torch.int64, len(split.y)) or not len(split):
                raise ValueError(f"{tuple(split.x.shape)} {split.x.dtype}, {tuple(split.y.shape)} labels")
            if not set(split.y.unique().tolist()) <= set(range(CLASSES)):
                raise ValueError(f"labels other than 0 to {CLASSES - 1}")
        return found
    except (sources.DataError, MemoryError):
        raise
    except Exception as error:  # what is in no such layout fails in as many ways as there are bytes
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise sources.DataError(
            f"{sources.SOURCES[name].title}: its files hold no images with labels ({reason:.200}): "
            "copy them anew"
        ) from None


def _digits(files: Files) -> Splits:
    """scikit-learn's 1,797 handwritten digits, 8x8 pixels of 0 to 16; its last 360, other writers, test."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    all_of_it = Split(torch.from_numpy(pixels), torch.from_numpy(digits.target.astype(np.int64)))
    return all_of_it[:-DIGITS_TEST], all_of_it[-DIGITS_TEST:]


def _mnist(files: Files) -> Splits:
    def part(prefix: str) -> Split:
        # IDX: 16 bytes of header before the images, 8 before the labels; sources has checked the files.
        images = np.frombuffer(files[f"MNIST/raw/{prefix}-images-idx3-ubyte"], np.uint8)[16:]
        labels = np.frombuffer(files[f"MNIST/raw/{prefix}-labels-idx1-ubyte"], np.uint8)[8:]
        pixels = images.reshape(-1, 28, 28).copy()
        return Split(torch.from_numpy(pixels), torch.from_numpy(labels.astype(np.int64)))

    return part("train"), part("t10k")


def _colour_digits(files: Files) -> Splits:
    def coloured(split: Split) -> Split:
        large = split.x.repeat_interleave(4, dim=1).repeat_interleave(4, dim=2)
        return Split(large[..., None].expand(-1, -1, -1, 3).contiguous(), split.y)

    rest, test = _digits(files)
    return coloured(rest), coloured(test)


def _cifar10(files: Files) -> Splits:
    """The original files: each a pickle of 10,000 rows of 3,072 bytes, channel by channel."""

    def part(*names: str) -> Split:
        batches = [unpickled(files[f"cifar-10-batches-py/{name}"]) for name in names]
        pixels = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
        labels = np.concatenate([batch["labels"] for batch in batches])
        return Split(torch.from_numpy(pixels.transpose(0, 2, 3, 1).copy()), torch.from_numpy(labels).long())

    return part(*(f"data_batch_{number}" for number in range(1, 6))), part("test_batch")


class _Arrays(pickle._Unpickler):  # type: ignore[name-defined]
    """Makes dictionaries, lists, text, numbers and arrays of NumPy. A pickle says itself which functions it
    wants called: all others are refused, whatever a checksum says. Python's own reader: the one in C makes
    tables of any size that the file names."""

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


def _cifar10_parquet(files: Files) -> Splits:
    """The Parquet layout: columns `img` (struct of the encoded `bytes` and a path) and `label`."""
    import pyarrow.parquet

    def part(name: str) -> Split:
        data = pyarrow.BufferReader(files[f"cifar10/{name}-00000-of-00001.parquet"])
        table = pyarrow.parquet.ParquetFile(data)
        if table.metadata.num_rows > MOST_IMAGES:
            raise ValueError(f"{table.metadata.num_rows} rows")
        pixels, labels = [], []
        # A few at a time: a small file can hold a large picture a thousand times.
        for rows in table.iter_batches(ROWS, columns=["img.bytes", "label"]):
            pixels += [_decoded(one.as_py()) for one in rows["img"].field("bytes")]
            labels.append(rows["label"].to_numpy())
        return Split(torch.from_numpy(np.stack(pixels)), torch.from_numpy(np.concatenate(labels)))

    return part("train"), part("test")


def _decoded(encoded: bytes) -> np.ndarray:
    """The pixels (32, 32, 3) of a JPEG or PNG; its size is looked at before it is unpacked."""
    from PIL import Image, ImageFile

    ImageFile.LOAD_TRUNCATED_IMAGES = False  # half a picture is none, whatever others take
    picture = Image.open(io.BytesIO(encoded), formats=("JPEG", "PNG"))
    if (picture.size, picture.mode) != ((32, 32), "RGB"):
        raise ValueError(f"a picture of {picture.size} {picture.mode}")
    return np.asarray(picture)
