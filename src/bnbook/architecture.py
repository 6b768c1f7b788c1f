"""The shape of the small Inception, without PyTorch: figures and chapters count it, nn builds it.

It is that of Zhang et al. 2017 (arXiv:1611.03530): the Inception family cut down to ten blocks for 28x28
images, a first convolution before them, a mean over the last 7x7 map and one fully connected layer after.
"""

STEM = 96  # maps of the first convolution, 3x3
# Each block: maps of the 1x1 and of the 3x3 branch, or of the one convolution that halves the map's size.
BLOCKS: tuple[tuple[int, int] | int, ...] = (
    (32, 32),
    (32, 48),
    80,
    (112, 48),
    (96, 64),
    (80, 80),
    (48, 96),
    96,
    (176, 160),
    (176, 160),
)
CLASSES = 10


def scaled(maps: int, width: float) -> int:
    """The number of maps at a width."""
    return max(1, round(maps * width))


def parameters(width: float, norm: bool) -> int:
    """How many numbers are trained: weights, and per map a bias without, gamma and beta with BN."""
    maps, count = 3, 0

    def add(inputs: int, outputs: int, kernel: int) -> int:
        return inputs * outputs * kernel**2 + outputs * (2 if norm else 1)

    count += add(maps, scaled(STEM, width), 3)
    maps = scaled(STEM, width)
    for block in BLOCKS:
        if isinstance(block, int):
            count += add(maps, scaled(block, width), 3)
            maps += scaled(block, width)
        else:
            narrow, wide = (scaled(branch, width) for branch in block)
            count += add(maps, narrow, 1) + add(maps, wide, 3)
            maps = narrow + wide
    return count + (maps + 1) * CLASSES
