"""The abstract and Section 3.3: initial weights too small or too large by up to three decades, with and
without batch normalization, in shallow networks and deep ones.

Run it: `bnbook run careless_initialization --profile cpu --jobs 2`.
Expected: without BN a deep network trains only where the scale is nearly right, and one of sigmoids hardly
anywhere; with BN over decades, until epsilon (below) or the output layer, which is not normalized, (above)
gets in the way.
Takes: about ten minutes on one core at PROFILE=cpu, seconds at PROFILE=smoke.
"""

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bnbook.data import datasets
from bnbook.data.batches import Batches
from bnbook.data.datasets import Split
from bnbook.experiments.careless_initialization.protocol import Config
from bnbook.nn.batchnorm import population_statistics
from bnbook.train.checkpoint import Checkpoint
from bnbook.train.loop import Progress, train
from bnbook.train.measured import Measured
from bnbook.train.probes import evaluate

ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid}
CHANCE = 1 / datasets.CLASSES


def train_run(
    config: Config,
    seed: int,
    checkpoint: Checkpoint | None,
    report: Callable[[int], None] = lambda step: None,
    measure: bool = True,
) -> Measured:
    """One row of the map. It takes seconds, so that the checkpoint is not used.

    Arrays: "accuracy" (scales, rates), on the validation set, chance where the cell diverged; "steps", the
    same shape, the steps that a cell got through; "spread" and "gradient" (scales, depth), see `at_start`.
    The first losses are those of scale 1 at the lowest rate, the steadiest cell; without `measure` only it
    is trained.
    """
    data = datasets.load(config.data)
    training, validation = prepare(data.train), prepare(data.validation)
    batches = Batches(training, config.batch_size, seed)
    steady = train_cell(config, 1.0, config.lrs[0], seed, batches)[1]
    if not measure:
        return Measured(steady, {}, {}, {})
    shape = (len(config.scales), len(config.lrs))
    accuracy, steps = np.full(shape, CHANCE, dtype=np.float32), np.zeros(shape, dtype=np.int32)
    seconds = steady.seconds
    for (i, scale), (j, lr) in itertools.product(enumerate(config.scales), enumerate(config.lrs)):
        model, progress = train_cell(config, scale, lr, seed, batches)
        if not progress.diverged:
            accuracy[i, j] = judge(model, config, batches, validation)
        steps[i, j] = progress.step
        seconds += progress.seconds
    spread, gradient = map(
        np.stack, zip(*(at_start(config, scale, seed, batches[0]) for scale in config.scales), strict=True)
    )
    final = {"chance_accuracy": CHANCE, "mean_accuracy": float(accuracy.max(1).mean())}
    arrays = {"accuracy": accuracy, "steps": steps, "spread": spread, "gradient": gradient}
    return Measured(dataclasses.replace(steady, seconds=seconds), {}, final, arrays)


def prepare(split: Split) -> Split:
    """Flat images, binarised at half brightness, as in Section 4.1."""
    return Split((split.x.flatten(1) > 127).float(), split.y)


def network(config: Config, scale: float, inputs: int, seed: int) -> nn.Sequential:
    """Linear, BN where the row normalizes, and the activation, `depth` times; then the output layer.

    Weights are `scale` times N(0, 2 / inputs of the layer), biases 0; the same draw at every scale, and with
    BN and without. Without `scale_output` those of the output layer are the draw itself.
    """
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise([inputs] + [config.hidden] * config.depth):
        norm = [nn.BatchNorm1d(b, eps=config.norm_eps)] if config.norm else []
        layers += [nn.Linear(a, b, bias=not config.norm), *norm, ACTIVATIONS[config.activation]()]
    model = nn.Sequential(*layers, nn.Linear(config.hidden, datasets.CLASSES))
    generator = torch.Generator().manual_seed(seed)
    for layer in model:
        if isinstance(layer, nn.Linear):
            factor = scale if layer is not model[-1] or config.scale_output else 1.0
            nn.init.normal_(layer.weight, 0, factor * (2 / layer.in_features) ** 0.5, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return model


def train_cell(
    config: Config, scale: float, lr: float, seed: int, batches: Batches
) -> tuple[nn.Sequential, Progress]:
    """A network of this scale trained at this rate, and how far it came."""
    model = network(config, scale, batches.data.x.shape[1], seed)
    progress = train(
        model=model,
        loss_function=F.cross_entropy,
        optimizer=torch.optim.SGD(model.parameters(), lr=lr),
        batches=batches,
        steps=config.steps,
    )
    return model, progress


def judge(model: nn.Sequential, config: Config, batches: Batches, validation: Split) -> float:
    """Validation accuracy; with BN by Algorithm 2's statistics, since a moving average lags behind a training
    this short."""
    if config.norm:
        following = range(config.steps, config.steps + config.population_batches)
        population_statistics(model, (batches[step][0] for step in following))
    return evaluate(model, validation)[1]


def at_start(
    config: Config, scale: float, seed: int, batch: tuple[Tensor, Tensor]
) -> tuple[np.ndarray, np.ndarray]:
    """What becomes of the signal in the untrained network, by hidden layer, each (depth,).

    *spread*: the standard deviation of a unit's output over the mini-batch, root mean square over units.
    *gradient*: root mean square of the derivative of the loss by the layer's output, times the batch size. In
    float64, for without BN a scale of 1000 comes to 1000^20.
    """
    x, y = batch[0].double(), batch[1]
    outputs = []
    model = network(config, scale, x.shape[1], seed).double().train()
    for module in model:
        x = module(x)
        if isinstance(module, ACTIVATIONS[config.activation]):
            x.retain_grad()
            outputs.append(x)
    F.cross_entropy(x, y, reduction="sum").backward()
    spread = [output.detach().var(0, unbiased=False).mean().sqrt().item() for output in outputs]
    gradient = [output.grad.square().mean().sqrt().item() for output in outputs]
    return np.array(spread), np.array(gradient)
