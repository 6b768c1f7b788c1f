"""Section 5, future work: batch normalization in a recurrent network, by its place and by its first gamma.

Run it: `bnbook run recurrent --profile cpu --jobs 2`.
Expected, of Laurent et al.: on the input it helps training; of Cooijmans et al.: within the recurrence it
helps too, with statistics by step and a gamma of 0.1, since with 1 the gradient vanishes on its way back.
"""

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bnbook.data import datasets
from bnbook.data.batches import Batches
from bnbook.data.datasets import Split
from bnbook.experiments.recurrent.networks import LSTM, Tanh
from bnbook.experiments.recurrent.protocol import Config
from bnbook.nn.batchnorm import LAYERS, population_statistics
from bnbook.train.checkpoint import Checkpoint
from bnbook.train.loop import Progress, train
from bnbook.train.measured import Measured
from bnbook.train.probes import Evaluation, evaluate

DECAY = 0.9  # of RMSProp's average of squares
CHUNK = 1000  # images at once in evaluation


def train_run(
    config: Config,
    seed: int,
    checkpoint: Checkpoint | None,
    report: Callable[[int], None] = lambda step: None,
    measure: bool = True,
) -> Measured:
    """One run of the configuration's part; only training uses the checkpoint."""
    data = datasets.load(config.data)
    batches = Batches(prepare(data.train), config.batch_size, seed)
    if config.part == "gradient":
        return follow(config, seed, *batches[0])
    model = network(config, data.train.x.shape[1:], config.gammas[0], seed)
    normalizes = any(isinstance(module, LAYERS) for module in model.modules())
    later = [
        batches[step][0]
        for step in range(config.steps, config.steps + config.population_batches)
        if normalizes and measure
    ]
    validation, test = prepare(data.validation), prepare(data.test)
    curve = Evaluation(
        {"validation": validation[: config.curve_images]},
        range(config.evaluate_every, config.steps + 1, config.evaluate_every),
        chunk=CHUNK,
        population=later[: config.statistics_batches],
        moving=not normalizes,
    )
    progress = train(
        model=model,
        loss_function=F.cross_entropy,
        optimizer=ClippedRMSprop(model.parameters(), lr=config.lr, alpha=DECAY, clip=config.clip),
        batches=batches,
        steps=config.steps,
        probes=[curve] if measure else [],
        checkpoint=checkpoint,
        report=report,
    )
    if not measure:
        return Measured(progress, {}, {}, {})
    final = {"chance_accuracy": 1 / datasets.CLASSES}
    if not progress.diverged:
        if normalizes:
            population_statistics(model, later)
        for name, split in {"validation": validation, "test": test}.items():
            _, final[f"{name}_accuracy"] = evaluate(model, split, CHUNK)
    return Measured(progress, {"evaluation": curve.columns()}, final, {})


def prepare(split: Split) -> Split:
    """(N, rows, pixels of a row) in [0, 1]: a row a step."""
    return Split(split.x.float() / 255, split.y)


class ClippedRMSprop(torch.optim.RMSprop):
    """RMSProp that first cuts the gradient of all parameters together to the norm `clip`."""

    def __init__(self, parameters, lr: float, alpha: float, clip: float):
        super().__init__(parameters, lr=lr, alpha=alpha)
        self.clip = clip

    def step(self, closure=None):
        for group in self.param_groups:
            nn.utils.clip_grad_norm_(group["params"], self.clip)
        return super().step(closure)


def network(config: Config, image: tuple[int, int], gamma: float | None, seed: int) -> LSTM | Tanh:
    """The initialised network for images of that height and width; without normalization for a `gamma` of
    None. Equal seeds give equal weights."""
    generator = torch.Generator().manual_seed(seed)
    shared = {
        "eps": config.eps,
        "noise": config.noise,
        "places": config.batch_size,
        "generator": generator,
    }
    if config.cell == "tanh":
        return Tanh(1, config.hidden, datasets.CLASSES, config.initial, gamma, **shared)
    steps, inputs = image
    norm = "none" if gamma is None else config.norm
    return LSTM(inputs, config.hidden, datasets.CLASSES, steps, norm, gamma or 1.0, **shared)


# The gradient through time


def follow(config: Config, seed: int, x: Tensor, y: Tensor) -> Measured:
    """The gradient of the loss by each state before any training, without normalization and at each gamma.

    Arrays: "gradient" (1 + gammas, steps), the first row without: by the state after each step, the logarithm
    to base 10 of the root mean square over units and examples. Computed in float64 and kept as a logarithm:
    over hundreds of steps it may fall by more than float32 has.
    """
    began = time.perf_counter()
    image = tuple(x.shape[1:])
    x = x.double()
    if config.cell == "tanh":
        x = x.flatten(1)[..., None]  # a pixel a step
    rows = [
        gradient(network(config, image, gamma, seed).double().train(), x, y)
        for gamma in (None, *config.gammas)
    ]
    seconds = time.perf_counter() - began
    arrays = {"gradient": np.log10(rows).astype(np.float32)}
    return Measured(
        Progress(step=config.steps, seconds=seconds), {}, {"followed_steps": len(rows[0])}, arrays
    )


def gradient(model: LSTM | Tanh, x: Tensor, y: Tensor) -> list[float]:
    """Root mean square of the derivative of the summed loss by each of the states."""
    states = model.states(x)
    found = torch.autograd.grad(F.cross_entropy(model.output(states[-1]), y, reduction="sum"), states)
    return [one.square().mean().sqrt().item() for one in found]
