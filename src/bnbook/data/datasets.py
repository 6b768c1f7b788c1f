"""Data sets in memory, with a named split. Pixels stay bytes until an experiment prepares them."""

import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bnbook.data import sources

VALIDATION_SEED = 20150302  # one split for everybody, whatever a run's seed
CLASSES = 10  # of either data set: the digits 0 to 9
DIGITS_TEST = 360
VALIDATION_FRACTION = 1 / 6  # MNIST: 10,000 of 60,000


@dataclasses.dataclass(frozen=True)
class Split:
    """Images `x`, (N, ...), uint8 of 0 to 255 as loaded, and labels `y`, (N,) int64."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: Tensor | slice) -> "Split":
        return Split(self.x[index], self.y[index])


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set with its split."""

    name: str
    train: Split
    validation: Split
    test: Split

    @property
    def train_and_validation(self) -> Split:
        return Split(
            torch.cat([self.train.x, self.validation.x]), torch.cat([self.train.y, self.validation.y])
        )


def load(name: str) -> Dataset:
    """The data set `name` ("mnist" or "digits"), fetched if not at hand; raises sources.DataError."""
    folder = sources.ensure(name)
    rest, test = _digits() if name == "digits" else _mnist(folder)
    order = torch.randperm(len(rest), generator=torch.Generator().manual_seed(VALIDATION_SEED))
    held_out = round(len(rest) * VALIDATION_FRACTION)
    return Dataset(
        name=name,
        train=rest[order[held_out:]],
        validation=rest[order[:held_out]],
        test=test,
    )


def _digits() -> tuple[Split, Split]:
    """scikit-learn's 1,797 handwritten digits, 8x8 pixels of 0 to 16; its last 360, other writers, test."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    all_of_it = Split(torch.from_numpy(pixels), torch.from_numpy(digits.target.astype(np.int64)))
    return all_of_it[:-DIGITS_TEST], all_of_it[-DIGITS_TEST:]


def _mnist(folder: Path) -> tuple[Split, Split]:
    raw = folder / "MNIST" / "raw"

    def part(prefix: str) -> Split:
        # IDX: 16 bytes of header before the images, 8 before the labels; sources has checked the files.
        images = np.fromfile(raw / f"{prefix}-images-idx3-ubyte", np.uint8)[16:].reshape(-1, 28, 28)
        labels = np.fromfile(raw / f"{prefix}-labels-idx1-ubyte", np.uint8)[8:]
        return Split(torch.from_numpy(images), torch.from_numpy(labels).long())

    return part("train"), part("t10k")
