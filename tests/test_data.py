"""Splits and batches: nothing leaks, nothing is lost, every step has its batch."""

import pytest
import torch

from bnbook.data import datasets
from bnbook.data.batches import Batches
from bnbook.data.datasets import Split


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


def test_digits(digits):
    sizes = [len(split) for split in (digits.train, digits.validation, digits.test)]
    assert sum(sizes) == 1797 and sizes == [1197, 240, 360]
    assert digits.train.x.shape[1:] == (8, 8) and digits.train.x.dtype == torch.uint8
    assert digits.train.x.max() == 255 and digits.train.y.dtype == torch.int64
    assert set(digits.test.y.tolist()) == set(range(datasets.CLASSES))


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
