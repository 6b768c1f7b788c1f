"""Augmentation in batches does to every image what it would do to one alone."""

import numpy as np
import pytest
import torch

from bnbook.data import augment
from bnbook.data.augment import MEAN, STD, STRENGTHS, AugmentedBatches, Photometric
from bnbook.data.batches import Batches
from bnbook.data.datasets import Split

COUNT = 12


@pytest.fixture
def images():
    return torch.randint(
        256, (COUNT, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_crops_are_windows_some_mirrored(images):
    crops = augment.crop_and_flip(images, generator())
    assert crops.shape == (COUNT, 28, 28, 3) and crops.dtype == torch.uint8
    found = []
    for image, crop in zip(images, crops, strict=True):
        windows = {
            (top, left, mirrored): image[top : top + 28, left : left + 28].flip(1)
            if mirrored
            else image[top : top + 28, left : left + 28]
            for top in range(5)
            for left in range(5)
            for mirrored in (False, True)
        }
        found += [place for place, window in windows.items() if torch.equal(window, crop)]
    assert len(found) == COUNT, "a crop is no window of its image"
    assert len({mirrored for _, _, mirrored in found}) == 2 and len({top for top, _, _ in found}) > 2


def test_every_place_is_as_likely():
    """Crops of an image that carries its coordinates: corners 0 to 4, each about a fifth."""
    grid = torch.arange(32, dtype=torch.uint8)
    rows, columns = torch.meshgrid(grid, grid, indexing="ij")
    image = torch.stack([rows, columns, torch.zeros_like(rows)], dim=-1)
    crops = augment.crop_and_flip(image.expand(4000, -1, -1, -1), generator())
    tops = torch.bincount(crops[:, 0, 0, 0].long(), minlength=5) / 4000
    lefts = torch.bincount(crops[:, :, :, 1].amin(dim=(1, 2)).long(), minlength=5) / 4000
    mirrored = (crops[:, 0, 0, 1] > crops[:, 0, -1, 1]).float().mean()
    np.testing.assert_allclose(tops, 0.2, atol=0.03)
    np.testing.assert_allclose(lefts, 0.2, atol=0.03)
    assert mirrored == pytest.approx(0.5, abs=0.03)


def test_no_distortion_is_the_plain_normalization(images):
    matrix, offset = augment.colour_change(augment.channel_means(images), STRENGTHS["none"], generator())
    plain = (images.float() / 255 - MEAN) / STD
    np.testing.assert_allclose(augment.recolour(images, matrix, offset), plain.permute(0, 3, 1, 2), atol=1e-5)


def test_centre_crop_is_the_undistorted_middle(images):
    expected = (images[:, 2:30, 2:30].float() / 255 - MEAN) / STD
    np.testing.assert_allclose(augment.centre_crop(images), expected.permute(0, 3, 1, 2), atol=1e-6)


def pixels(images, strength, seed=1):
    """Distorted pixels in [0, 1], before normalization, channels last."""
    matrix, offset = augment.colour_change(augment.channel_means(images), strength, generator(seed))
    return augment.recolour(images, matrix, offset).permute(0, 2, 3, 1) * STD + MEAN


def test_brightness_scales_contrast_keeps_the_mean_grey_saturation_the_grey(images):
    """Each property alone, as Howard 2013 describes it."""
    before = images.float() / 255
    luma = augment.LUMA
    ratio = pixels(images, Photometric(0.4, 0.0, 0.0)) / before.clamp(min=1e-3)
    per_image = ratio[before.amin(-1) > 0.1]
    assert per_image.min() >= 0.6 and per_image.max() <= 1.4 and per_image.std() > 0.05
    contrast = pixels(images, Photometric(0.0, 0.4, 0.0))
    np.testing.assert_allclose((contrast @ luma).mean((1, 2)), (before @ luma).mean((1, 2)), atol=1e-5)
    spread = (contrast @ luma).std((1, 2)) / (before @ luma).std((1, 2))
    assert 0.6 <= spread.min() < 0.9 < 1.1 < spread.max() <= 1.4
    saturation = pixels(images, Photometric(0.0, 0.0, 0.4))
    np.testing.assert_allclose(saturation @ luma, before @ luma, atol=1e-5)
    assert not torch.allclose(saturation, before, atol=1e-2)


def test_strong_moves_more_than_weak(images):
    moved = {
        name: (pixels(images, STRENGTHS[name]) - images.float() / 255).abs().mean()
        for name in ("none", "weak", "strong")
    }
    assert moved["none"] < 1e-5 < moved["weak"] < moved["strong"] / 2


def stream(seed=0, photometric="strong"):
    images = torch.randint(256, (40, 32, 32, 3), dtype=torch.uint8, generator=generator(7))
    return AugmentedBatches(Batches(Split(images, torch.arange(40)), 8, seed), photometric, seed)


def test_a_step_is_the_same_whenever_it_is_cut():
    """A resumed run sees the images of the uninterrupted one; torch's own generator has no say."""
    first = [stream()[step] for step in range(7)]
    torch.manual_seed(99)
    x, y = stream()[6]
    assert torch.equal(x, first[6][0]) and torch.equal(y, first[6][1])
    assert x.shape == (8, 3, 28, 28) and x.is_contiguous(memory_format=torch.channels_last)


def test_epochs_and_seeds_see_other_crops():
    assert not torch.equal(stream()[0][0], stream(seed=1)[0][0])
    fixed = Split(torch.randint(256, (8, 32, 32, 3), dtype=torch.uint8), torch.arange(8))
    again = AugmentedBatches(Batches(fixed, 8, 0), "none", 0)
    order = [again[step][1].argsort() for step in (0, 1)]
    assert not torch.equal(again[0][0][order[0]], again[1][0][order[1]])
