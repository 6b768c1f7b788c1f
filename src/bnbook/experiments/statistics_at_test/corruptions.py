"""What is done to test images: five corruptions of those that common benchmarks have (Hendrycks & Dietterich
2019), and inversion. Without PyTorch, so that a figure can show them."""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

# Severities, fixed before the main runs by a trial of another seed: a network without adaptation loses five
# points or more to each, and stays well above chance.
NOISE = 0.08  # standard deviation, of brightness in [0, 1]
BLUR = 1.0  # pixels, standard deviation of the Gaussian
CONTRAST = 0.3  # of the differences from an image's mean that are left
BRIGHTNESS = 0.3  # added

WHITE = 255
BATCH = 1000  # images at a time: floats are four times as large as bytes


def noise(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return images + NOISE * rng.standard_normal(images.shape, dtype=np.float32)


def blur(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return ndimage.gaussian_filter(images, (0, BLUR, BLUR, 0))


def contrast(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    means = images.mean((1, 2, 3), keepdims=True)
    return means + CONTRAST * (images - means)


def inversion(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return 1 - images


def brightness(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return images + BRIGHTNESS


CORRUPTIONS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "noise": noise,
    "blur": blur,
    "contrast": contrast,
    "brightness": brightness,
    "inversion": inversion,
}
CLEAN = "clean"
KINDS = (CLEAN, *CORRUPTIONS)


def corrupted(images: np.ndarray, kind: str) -> np.ndarray:
    """(N, H, W, 3) uint8 -> the same, cut off at black and white; CLEAN images as they are. The same images
    get the same noise, whoever asks."""
    if kind == CLEAN:
        return images
    rng = np.random.default_rng(0)
    parts = [
        CORRUPTIONS[kind](images[start : start + BATCH].astype(np.float32) / WHITE, rng)
        for start in range(0, len(images), BATCH)
    ]
    return np.rint(WHITE * np.concatenate(parts).clip(0, 1)).astype(np.uint8)
