"""The abstract and Section 3.3: initial weights too small or too large by up to three decades, with and
without batch normalization, in shallow networks and deep ones.

Run it: `bnbook run careless_initialization --profile cpu --jobs 2`.
Expected: without BN a deep network trains only where the scale is nearly right, and one of sigmoids hardly
anywhere; with BN over decades, until epsilon (below) or the output layer, which is not normalized, (above)
gets in the way.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bnbook.data import datasets
from bnbook.data.batches import Batches
from bnbook.data.datasets import Split, binarised
from bnbook.experiments.careless_initialization.protocol import Config
from bnbook.nn.batchnorm import population_statistics
from bnbook.nn.mlp import MLP
from bnbook.train.checkpoint import Checkpoint
from bnbook.train.loop import Progress, train
from bnbook.train.measured import Measured
from bnbook.train.probes import evaluate

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
    training, validation = binarised(data.train), binarised(data.validation)
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


def network(config: Config, scale: float, inputs: int, seed: int) -> MLP:
    """The initialised network, with BN where the row normalizes.

    Weights are `scale` times N(0, 2 / inputs of the layer), biases 0; the same draw at every scale, and with
    BN and without. Without `scale_output` those of the output layer are the draw itself.
    """
    norm = functools.partial(nn.BatchNorm1d, eps=config.norm_eps) if config.norm else None
    model = MLP(inputs, config.hidden, config.depth, datasets.CLASSES, norm, config.activation)
    generator = torch.Generator().manual_seed(seed)
    for linear in [*(layer.linear for layer in model.hidden), model.output]:
        factor = scale if linear is not model.output or config.scale_output else 1.0
        nn.init.normal_(linear.weight, 0, factor * (2 / linear.in_features) ** 0.5, generator=generator)
        if linear.bias is not None:
            nn.init.zeros_(linear.bias)
    return model


def train_cell(config: Config, scale: float, lr: float, seed: int, batches: Batches) -> tuple[MLP, Progress]:
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


def judge(model: MLP, config: Config, batches: Batches, validation: Split) -> float:
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
    for layer in model.hidden:
        x = layer(x)
        x.retain_grad()
        outputs.append(x)
    F.cross_entropy(model.output(x), y, reduction="sum").backward()
    spread = [output.detach().var(0, unbiased=False).mean().sqrt().item() for output in outputs]
    gradient = [output.grad.square().mean().sqrt().item() for output in outputs]
    return np.array(spread), np.array(gradient)
