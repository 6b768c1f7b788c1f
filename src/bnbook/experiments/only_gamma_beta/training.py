"""After the paper: only gamma and beta of a random network are trained (Frankle et al. 2021).

Run it: `bnbook run only_gamma_beta --profile cpu --jobs 2`.
Expected: far above chance and above as many other parameters, better with depth and width; part of the
gammas goes to nearly 0, so that random features are switched off.
"""

import functools
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from bnbook.data import datasets
from bnbook.data.augment import MEAN, STD
from bnbook.data.batches import Batches
from bnbook.data.datasets import Dataset, Split
from bnbook.experiments.only_gamma_beta.networks import ResNet, free, initialise, norms
from bnbook.experiments.only_gamma_beta.protocol import NEAR_ZERO, Config
from bnbook.nn.batchnorm import population_statistics
from bnbook.train.checkpoint import Checkpoint
from bnbook.train.loop import train
from bnbook.train.measured import Measured
from bnbook.train.probes import Evaluation, StepSummary, evaluate
from bnbook.train.schedules import DENSE, exponential

CHUNK = 250  # images at once in evaluation: their maps stay in the processor's cache


def train_run(
    config: Config,
    seed: int,
    checkpoint: Checkpoint | None,
    report: Callable[[int], None] = lambda step: None,
    measure: bool = True,
) -> Measured:
    """Train what the arm trains, and at the end measure the network; or only train.

    `final` has accuracies by Algorithm 2's statistics, "parameters", how many are trained, and
    "test_accuracy_zeroed", the test accuracy with every gamma below NEAR_ZERO set to 0. Arrays: "gamma_start"
    and "gamma" (channels of all layers), before training and after it.
    """
    data = load(config.data)
    model, trained, count = network(config, seed)
    start = gammas(model)
    batches = Batches(data.train, config.batch_size, seed)
    losses, zeros = Evaluation({}, DENSE(config.steps)), NearZero(DENSE(config.steps))
    progress = train(
        model=model,
        loss_function=F.cross_entropy,
        # No weight decay: it would move what the gradient does not.
        optimizer=torch.optim.SGD(trained, lr=config.lr, momentum=config.momentum),
        batches=batches,
        steps=config.steps,
        probes=[losses, zeros] if measure else [],
        checkpoint=checkpoint,
        report=report,
        learning_rate=exponential(config.lr, config.decay, config.steps),
    )
    if not measure:
        return Measured(progress, {}, {}, {})
    final = {"chance_accuracy": 1 / datasets.CLASSES, "parameters": float(count)}
    if not progress.diverged:
        following = range(config.steps, config.steps + config.population_batches)
        population_statistics(model, (batches[step][0] for step in following))
        for name, split in (("validation", data.validation), ("test", data.test)):
            _, final[f"{name}_accuracy"] = evaluate(model, split, chunk=CHUNK)
    arrays = {"gamma_start": start, "gamma": gammas(model)}
    if not progress.diverged:
        zero(model)
        _, final["test_accuracy_zeroed"] = evaluate(model, data.test, chunk=CHUNK)
    return Measured(progress, {"evaluation": losses.columns(), "gammas": zeros.columns()}, final, arrays)


@functools.cache  # a process makes several runs
def load(data: str) -> Dataset:
    """The images as the networks receive them."""
    found = datasets.load_colour(data)
    return Dataset(data, *map(halved, (found.train, found.validation, found.test)))


def halved(split: Split) -> Split:
    """(N, 32, 32, 3) uint8 -> (N, 3, 16, 16) float32: normalised, each pixel the mean of four, channels-last
    as convolutions like it."""
    parts = []
    for x in split.x.split(5000):  # in float32 all at once would take half a gigabyte
        pixels = (x.float() / 255 - MEAN) / STD
        parts.append(F.avg_pool2d(pixels.permute(0, 3, 1, 2), 2))
    return Split(torch.cat(parts).contiguous(memory_format=torch.channels_last), split.y)


def network(config: Config, seed: int) -> tuple[ResNet, list[nn.Parameter], int]:
    """The initialised network, its tensors with free parameters, and how many of these there are; equal seeds
    give equal parameters in every arm."""
    model = ResNet(config.depth, config.width, datasets.CLASSES)
    generator = torch.Generator().manual_seed(seed)
    initialise(model, generator)
    model = model.to(memory_format=torch.channels_last)
    return model, *free(model, config.arm, generator)


def gammas(model: nn.Module) -> np.ndarray:
    """(channels of all layers,) float32, from the first layer."""
    return torch.cat([norm.weight.detach() for norm in norms(model)]).numpy().copy()


@torch.no_grad()
def zero(model: nn.Module) -> None:
    """Set every gamma below NEAR_ZERO to 0."""
    for norm in norms(model):
        norm.weight[norm.weight.abs() < NEAR_ZERO] = 0.0


class NearZero:
    """The share of gammas below NEAR_ZERO while training; one row a call: (step, share)."""

    def __init__(self, steps: Iterable[int]):
        self.steps = frozenset(steps)
        self.rows: list[tuple[int, float]] = []

    def __call__(self, summary: StepSummary, model: nn.Module) -> None:
        self.rows.append((summary.step, float((np.abs(gammas(model)) < NEAR_ZERO).mean())))

    def columns(self) -> dict[str, list]:
        return {"step": [step for step, _ in self.rows], "near_zero": [share for _, share in self.rows]}
