"""Section 4.2.3, Figure 4: six networks like BN-x30, and what their mean answers.

Run it: `bnbook run bn_ensemble --profile cpu --jobs 2` (what it shares with `inception_speedups` is made only
where it is missing).
Expected: the ensemble errs less than its members; how much of that needs different settings is the question.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import Tensor, nn

from bnbook.data import datasets
from bnbook.data.augment import centre_crop, ten_crops
from bnbook.experiments.bn_ensemble.protocol import Config
from bnbook.experiments.inception_speedups import training as inception_speedups
from bnbook.experiments.inception_speedups.training import CHUNKS
from bnbook.nn.inception import Inception, PerActivationNorm, initialise
from bnbook.train.checkpoint import Checkpoint
from bnbook.train.measured import Measured

LAST_SIDE = 7  # pixels on a side of the last module's maps


def train_run(
    config: Config,
    seed: int,
    checkpoint: Checkpoint | None,
    report: Callable[[int], None] = lambda step: None,
    measure: bool = True,
) -> Measured:
    """Train and measure one network; its arrays are its test probabilities, see `answers`."""
    torch.manual_seed(seed)  # Dropout draws from torch's own generator
    model = network(config, seed)
    return inception_speedups.train_inception(config, seed, model, checkpoint, report, measure, answers)


def network(config: Config, seed: int) -> Inception:
    """The initialised network, BN-x30 but for what its configuration changes."""

    def per_map(maps: int) -> nn.Module:
        return nn.BatchNorm2d(maps, config.norm_eps, config.norm_momentum)

    def per_activation(maps: int) -> nn.Module:
        return PerActivationNorm(maps, LAST_SIDE, config.norm_eps, config.norm_momentum)

    model = Inception(
        width=config.width,
        classes=datasets.CLASSES,
        norm=per_map,
        activation=config.activation,
        dropout=config.dropout,
        lrn=config.lrn,
        last_norm=per_activation if config.per_activation else None,
    )
    initialise(model, config.activation, torch.Generator().manual_seed(seed))
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data *= config.init_scale
    return model


def answers(
    model: nn.Module, data: datasets.Dataset, computing: AbstractContextManager
) -> dict[str, np.ndarray]:
    """ "single" and "multicrop", (N, classes) float16: the probabilities of every test image by its centre
    crop, and averaged over ten crops; "labels" (N,) uint8."""
    images = data.test.x
    multicrop = sum(probabilities(model, crop, computing) for crop in ten_crops(images)) / 10
    found = {"single": probabilities(model, centre_crop(images), computing), "multicrop": multicrop}
    # Half precision keeps three digits of a probability, in half of the space.
    arrays = {name: value.half().numpy(force=True) for name, value in found.items()}
    return arrays | {"labels": data.test.y.numpy(force=True).astype(np.uint8)}


@torch.no_grad()
def probabilities(model: nn.Module, images: Tensor, computing: AbstractContextManager) -> Tensor:
    """(N, 3, 28, 28) -> (N, classes) float32, in the model's present mode."""
    images = images.contiguous(memory_format=torch.channels_last)
    parts = []
    for chunk in images.split(CHUNKS[images.device.type]):
        with computing:
            logits = model(chunk)
        parts.append(logits.float().softmax(1))
    return torch.cat(parts)
