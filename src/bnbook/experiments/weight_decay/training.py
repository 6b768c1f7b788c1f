"""Van Laarhoven 2017, Hoffer et al. 2018: weight decay with batch normalization, and rates in its place.

Run it: `bnbook run weight_decay --profile cpu --jobs 2`.
Expected, by the sources: with BN accuracy goes by the product of rate and decay, and rates that follow the
norms do what decay does; without BN they do not.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bnbook.data import datasets
from bnbook.data.augment import centre_crop
from bnbook.data.batches import Batches
from bnbook.data.datasets import Split
from bnbook.experiments.weight_decay.networks import ConvNet, MatchedSGD, between, initialise
from bnbook.experiments.weight_decay.protocol import NORM_POINTS, Config
from bnbook.nn.batchnorm import population_statistics
from bnbook.train.checkpoint import Checkpoint
from bnbook.train.loop import train
from bnbook.train.measured import Measured
from bnbook.train.probes import Evaluation, StepSummary, evaluate
from bnbook.train.schedules import exponential

CHUNK = 500  # images at once in evaluation


def train_run(
    config: Config,
    seed: int,
    checkpoint: Checkpoint | None,
    report: Callable[[int], None] = lambda step: None,
    measure: bool = True,
) -> Measured:
    """Train and measure one run; it takes seconds, so that there is no checkpoint."""
    data = datasets.load_colour(config.data)
    model = network(config, seed)
    batches = Cropped(Batches(data.train, config.batch_size, seed))
    following = range(config.steps, config.steps + config.population_batches)
    population = [batches[step][0] for step in following] if config.norm else []
    points = sorted({max(1, round(config.steps * k / NORM_POINTS)) for k in range(1, NORM_POINTS + 1)})
    norms = Norms(points)
    norms(StepSummary(step=0, train_loss=0.0, train_seconds=0.0), model)
    probes = [norms]
    if config.tested and measure:
        shown = prepared(data.test.spread(config.curve_images))
        curve = Evaluation(
            {"test": shown}, points[1::2], CHUNK, population=population, moving=not config.norm
        )
        probes.append(curve)
    progress = train(
        model=model,
        loss_function=F.cross_entropy,
        optimizer=optimizer(model, config),
        batches=batches,
        steps=config.steps,
        probes=probes if measure else [],
        report=report,
        learning_rate=exponential(1.0, config.decay, config.steps),
    )
    if not measure:
        return Measured(progress, {}, {}, {})
    curves = {"norms": norms.columns()}
    if config.tested:
        curves["evaluation"] = curve.columns()
    final = {"chance_accuracy": 1 / datasets.CLASSES}
    if not progress.diverged:
        if config.norm:
            population_statistics(model, population)
        name, split = ("test", data.test) if config.tested else ("validation", data.validation)
        final[f"{name}_loss"], final[f"{name}_accuracy"] = evaluate(model, prepared(split), CHUNK)
    return Measured(progress, curves, final, {})


class Cropped:
    """The stream of `batches` of bytes as the network takes them: (N, 3, 28, 28) float32 and labels."""

    def __init__(self, batches: Batches):
        self.batches = batches

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        x, y = self.batches[step]
        return centre_crop(x), y


def prepared(split: Split) -> Split:
    return Split(centre_crop(split.x), split.y)


def network(config: Config, seed: int) -> ConvNet:
    model = ConvNet(config.maps, datasets.CLASSES, config.norm)
    initialise(model, torch.Generator().manual_seed(seed))
    return model


def optimizer(model: ConvNet, config: Config) -> torch.optim.SGD:
    """Plain gradient descent whose rates are factors on the loop's: `lr` and the decay for the convolutions'
    weights, `rest_lr` and none for the rest. Where a decay is mimicked, rates are matched in its place."""
    weights = model.weights
    own = {id(weight) for weight in weights}
    rest = {"params": [p for p in model.parameters() if id(p) not in own], "lr_factor": config.rest_lr}
    if not config.mimicked:
        decayed = {"params": weights, "lr_factor": config.lr, "weight_decay": config.weight_decay}
        return torch.optim.SGD([decayed, rest], lr=1.0)
    held = [
        {"params": [weight], "lr_factor": config.lr, "ratio": between(points, config.steps)}
        for weight, points in zip(weights, np.reshape(config.shrinking, (len(weights), -1)), strict=True)
    ]
    return MatchedSGD([*held, rest], lr=1.0, mimicked=config.mimicked)


class Norms:
    """Probe: of each convolution, the squared norm of its weights; None where it is not finite."""

    def __init__(self, steps: list[int]):
        self.steps = frozenset(steps)
        self.rows: list[dict[str, float | None]] = []

    @torch.no_grad()
    def __call__(self, summary: StepSummary, model: ConvNet) -> None:
        squares = [weight.double().square().sum().item() for weight in model.weights]
        self.rows.append(
            {"step": summary.step}
            | {
                f"layer_{layer}": square if math.isfinite(square) else None
                for layer, square in enumerate(squares, start=1)
            }
        )

    def columns(self) -> dict[str, list]:
        return {name: [row[name] for row in self.rows] for name in self.rows[0]}
