"""Augmentation of a whole mini-batch at once, in memory: random crop, flip, photometric distortion.

What each image gets depends on the run's seed and the step alone, so a resumed run sees the same images.
Distortions are affine in the pixel values (brightness, contrast, saturation: Howard 2013, the reference for
the paper's "photometric distortions"), so three of them are one small matrix an image and one product.
"""

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from bnbook.data.batches import Batches
from bnbook.photometric import STRENGTHS, Photometric

CROP = 28  # pixels on a side, of 32
# Means and standard deviations of CIFAR-10's channels, of pixels in [0, 1].
MEAN = torch.tensor([0.4914, 0.4822, 0.4465])
STD = torch.tensor([0.2470, 0.2435, 0.2616])
LUMA = torch.tensor([0.299, 0.587, 0.114])  # how bright red, green and blue look (ITU-R BT.601)


class AugmentedBatches:
    """The stream of augmented mini-batches of one run, addressed by step: (N, 3, 28, 28) float32 and labels.

    `batches` cuts (N, 32, 32, 3) uint8 images. The result is laid out as `layout` says; the crop leaves it
    channels-last.
    """

    def __init__(
        self,
        batches: Batches,
        photometric: str,
        seed: int,
        layout: torch.memory_format = torch.channels_last,
    ):
        self.batches = batches
        self.strength = STRENGTHS[photometric]
        self.seed = seed
        self.layout = layout

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        images, labels = self.batches[step]
        # Drawn on the CPU wherever the images are, so that every device sees the same crops.
        generator = torch.Generator().manual_seed((self.seed + 1) * 1_000_000_007 + step)
        cropped = crop_and_flip(images, generator)
        matrix, offset = colour_change(channel_means(cropped), self.strength, generator)
        return recolour(cropped, matrix, offset).contiguous(memory_format=self.layout), labels


def crop_and_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, 28, 28, 3) uint8: a random window of each, half of them mirrored."""
    count, height, width, _ = images.shape
    tops = torch.randint(height - CROP + 1, (count, 1), generator=generator)
    lefts = torch.randint(width - CROP + 1, (count, 1), generator=generator)
    mirrored = torch.randint(2, (count, 1), generator=generator).bool()
    place = torch.arange(CROP)
    rows = (tops + place).to(images.device)
    columns = (lefts + torch.where(mirrored, CROP - 1 - place, place)).to(images.device)
    index = torch.arange(count, device=images.device)[:, None, None]
    return images[index, rows[:, :, None], columns[:, None, :]]


def centre_crop(images: Tensor) -> Tensor:
    """(N, 32, 32, 3) uint8 -> (N, 3, 28, 28) float32, normalised and channels-last: what is evaluated."""
    margin = (images.shape[1] - CROP) // 2
    return crop(images, margin, margin)


def crop(images: Tensor, top: int, left: int) -> Tensor:
    """The window at (top, left) of every image, as `centre_crop` gives the middle one."""
    cropped = images[:, top : top + CROP, left : left + CROP]
    normalised = (cropped.float() / 255 - MEAN.to(images.device)) / STD.to(images.device)
    return normalised.permute(0, 3, 1, 2)


def ten_crops(images: Tensor) -> Iterator[Tensor]:
    """The corners and the middle of every image, each also mirrored: ten times (N, 3, 28, 28)."""
    margin = images.shape[1] - CROP
    corners = itertools.product((0, margin), repeat=2)
    for top, left in (*corners, (margin // 2, margin // 2)):
        window = crop(images, top, left)
        yield window
        yield window.flip(3)


def channel_means(images: Tensor) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, 3) float32: each channel's mean over the image, in [0, 1]."""
    return images.flatten(1, 2).float().mean(dim=1) / 255


def colour_change(means: Tensor, strength: Photometric, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random brightness, contrast and saturation, then normalisation, as one affine map an image.

    Returns matrices (N, 3, 3) and offsets (N, 1, 3) such that pixel @ matrix + offset, of pixels in
    [0, 1], is the distorted pixel less MEAN over STD. Values are not clipped.
    """
    count, device = len(means), means.device

    def factors(largest: float) -> Tensor:
        return (1 + largest * (2 * torch.rand(count, 1, 1, generator=generator) - 1)).to(device)

    brightness = factors(strength.brightness)
    contrast = factors(strength.contrast)
    saturation = factors(strength.saturation)
    luma = LUMA.to(device)
    # Saturation moves each pixel between its own grey and itself; every output channel gets the same grey.
    grey = luma[:, None].expand(3, 3)
    matrix = brightness * contrast * (saturation * torch.eye(3, device=device) + (1 - saturation) * grey)
    # Contrast moves each pixel between the image's mean grey, which saturation keeps, and itself.
    offset = (1 - contrast) * brightness * (means @ luma)[:, None, None]
    std = STD.to(device)
    return matrix / std, (offset - MEAN.to(device)) / std


def recolour(images: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) float32, channels-last: pixel @ matrix + offset, image by image."""
    count, height, width, _ = images.shape
    pixels = torch.baddbmm(offset, images.flatten(1, 2).float(), matrix / 255)
    return pixels.view(count, height, width, 3).permute(0, 3, 1, 2)
