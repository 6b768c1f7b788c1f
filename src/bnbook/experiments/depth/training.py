"""After the paper: residual networks and plain ones of 8 to 56 layers, with batch normalization and without.

Run it: `bnbook run depth --profile cpu --jobs 2`.
Expected: a plain network trains deep only with batch normalization, and then ends the lower the deeper it is;
with shortcuts it does not; and with shortcuts whose branches start at 0 it trains without normalization.
"""

import functools
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bnbook.data import datasets
from bnbook.data.augment import AugmentedBatches, centre_crop
from bnbook.data.batches import Batches
from bnbook.data.datasets import Split
from bnbook.experiments.depth.networks import DeepNet, initialise
from bnbook.experiments.depth.protocol import Config
from bnbook.nn.batchnorm import batch_statistics, population_statistics
from bnbook.nn.mlp import MLP
from bnbook.train.checkpoint import Checkpoint
from bnbook.train.loop import Progress, train
from bnbook.train.measured import Measured
from bnbook.train.precision import device
from bnbook.train.probes import Evaluation, evaluate
from bnbook.train.schedules import DENSE, exponential

CHUNK = 250  # images at once in evaluation: their maps stay in the processor's cache
TRAIN_IMAGES = 5000  # training images, of all classes alike, that are looked back at


def train_run(
    config: Config,
    seed: int,
    checkpoint: Checkpoint | None,
    report: Callable[[int], None] = lambda step: None,
    measure: bool = True,
) -> Measured:
    """One run of the configuration's part; only that of a net uses the checkpoint."""
    if config.part == "wide":
        return wide(config, seed)
    return net(config, seed, checkpoint, report, measure)


def net(
    config: Config, seed: int, checkpoint: Checkpoint | None, report: Callable[[int], None], measure: bool
) -> Measured:
    """Train a network and measure it.

    Arrays of a `tested` one: "gradient" and "rank" (blocks + 1,), before training, and "rank_end", after it:
    see `look_inside`.
    """
    on = device()
    data = datasets.load_colour(config.data).to(on)
    batches = AugmentedBatches(Batches(data.train, config.batch_size, seed), "none", seed)
    model = network(config, seed).to(on, memory_format=torch.channels_last)
    probed, evaluation, arrays = data.train, None, {}
    if measure and config.tested:
        probed = prepare(data.train.spread(config.probe_images))
        arrays["gradient"], arrays["rank"] = look_inside(model, model.features, probed)
        following = range(config.steps, config.steps + config.statistics_batches)
        population = [batches[step][0] for step in following] if config.norm else []
        some = {"test": prepare(data.test.spread(config.curve_images))}
        evaluation = Evaluation(
            some, DENSE(config.steps), CHUNK, population=population, moving=not config.norm
        )
    progress = train(
        model=model,
        loss_function=F.cross_entropy,
        optimizer=torch.optim.SGD(parameter_groups(model, config), lr=config.lr, momentum=config.momentum),
        batches=batches,
        steps=config.steps,
        probes=[evaluation] if evaluation else [],
        checkpoint=checkpoint,
        report=report,
        learning_rate=exponential(config.lr, config.final_share, config.steps),
    )
    if not measure:
        return Measured(progress, {}, {}, {}, device=on.type)
    final = {"chance_accuracy": 1 / datasets.CLASSES}
    if not progress.diverged:
        if config.norm:
            following = range(config.steps, config.steps + config.population_batches)
            population_statistics(model, (batches[step][0] for step in following))
        final |= judged(model, config, data)
        if config.tested:
            arrays["rank_end"] = look_inside(model, model.features, probed)[1]
    curves = {"evaluation": evaluation.columns()} if evaluation else {}
    return Measured(progress, curves, final, arrays, device=on.type)


def network(config: Config, seed: int) -> DeepNet:
    """The initialised network. Arms of one depth draw the same weights from the same seed."""
    model = DeepNet(
        config.depth,
        config.maps,
        datasets.CLASSES,
        config.norm,
        config.residual,
        config.scaled,
        config.pool,
    )
    initialise(model, torch.Generator().manual_seed(seed))
    return model


def parameter_groups(model: nn.Module, config: Config) -> list[dict]:
    """L2 falls on the weights; biases, gamma, beta and alpha, which are vectors, go free."""
    weights = [one for one in model.parameters() if one.ndim > 1]
    vectors = [one for one in model.parameters() if one.ndim <= 1]
    return [{"params": weights, "weight_decay": config.weight_decay}, {"params": vectors}]


def prepare(split: Split) -> Split:
    """Centre crops, normalised: (N, 3, 28, 28) float32."""
    return Split(centre_crop(split.x).contiguous(memory_format=torch.channels_last), split.y)


def judged(model: DeepNet, config: Config, data: datasets.Dataset) -> dict[str, float]:
    """Accuracies and losses at the end, in evaluation mode; without `tested` those on validation images."""
    splits = {"validation": data.validation}
    if config.tested:
        some = data.train[:: max(1, len(data.train) // TRAIN_IMAGES)]
        splits |= {"test": data.test, "train": some}
    found = {}
    for name, split in splits.items():
        found[f"{name}_loss"], found[f"{name}_accuracy"] = evaluate(model, prepare(split), CHUNK)
    return {name: value for name, value in found.items() if value is not None}


# What is measured of a network that does not train


def wide(config: Config, seed: int) -> Measured:
    """Arrays "gradient" and "rank" (depth,) of an untrained fully connected network, on a mini-batch of
    training images."""
    began = time.perf_counter()
    data = datasets.load_colour(config.data).train
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
    some = prepare(data[order[: config.batch_size]])
    x = F.avg_pool2d(some.x, config.pool).flatten(1)
    model = wide_network(config, x.shape[1], seed)
    gradient, rank = look_inside(model, functools.partial(hidden_outputs, model), Split(x, some.y))
    progress = Progress(step=config.steps, seconds=time.perf_counter() - began)
    return Measured(progress, {}, {}, {"gradient": gradient, "rank": rank})


def wide_network(config: Config, inputs: int, seed: int) -> MLP:
    """The initialised network of ReLUs; with BN and without it draws the same weights from the same seed."""
    norm = nn.BatchNorm1d if config.norm else None
    model = MLP(inputs, config.hidden, config.depth, datasets.CLASSES, norm, "relu")
    generator = torch.Generator().manual_seed(seed)
    for layer in [*(one.linear for one in model.hidden), model.output]:
        nn.init.normal_(layer.weight, 0, (2 / layer.in_features) ** 0.5, generator=generator)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return model


def hidden_outputs(model: MLP, x: Tensor) -> list[Tensor]:
    """What each hidden layer puts out, (N, hidden)."""
    found = []
    for layer in model.hidden:
        x = layer(x)
        found.append(x)
    return found


def look_inside(
    model: DeepNet | MLP, features: Callable[[Tensor], list[Tensor]], batch: Split
) -> tuple[np.ndarray, np.ndarray]:
    """Of the network as it is, on one mini-batch and with that mini-batch's statistics, at each of its
    `features(x)`:

    - *gradient*: the length of the derivative of an example's loss by them, root mean square over examples;
    - *rank*: see `effective_rank`.
    """
    with batch_statistics(model):
        found = features(batch.x)
        last = found[-1].mean(dim=(2, 3)) if found[-1].dim() == 4 else found[-1]
        loss = F.cross_entropy(model.output(last), batch.y, reduction="sum")
        gradients = torch.autograd.grad(loss, found)
    lengths = [one.double().flatten(1).square().sum(1).mean().sqrt().item() for one in gradients]
    return np.array(lengths), np.array([effective_rank(one.detach()) for one in found])


def effective_rank(features: Tensor) -> float:
    """How many directions the examples' features (N, ...) span, after Roy & Vetterli 2007: e to the entropy
    of the squared singular values' shares. 1 where all examples point the same way, N at most."""
    x = features.double().flatten(1)
    x = x / x.abs().max().clamp_min(torch.finfo(x.dtype).tiny)  # squares of what has exploded are finite
    shares = torch.linalg.eigvalsh(x @ x.T).clamp_min(0)
    shares = shares[shares > 0] / shares.sum()
    return torch.exp(-(shares * shares.log()).sum()).item()
