"""Section 3.2: batch normalization of convolutions, over maps or activations, and its place in the layer.

Run it: `bnbook run convolutional_norm --profile cpu --jobs 2`.
Expected: per map a shifted image gives shifted maps and small mini-batches do less harm, per activation
neither; a bias before BN does nothing.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bnbook.data import datasets
from bnbook.data.batches import Batches
from bnbook.data.datasets import Split
from bnbook.experiments.convolutional_norm.networks import ConvNet, initialise
from bnbook.experiments.convolutional_norm.protocol import Config
from bnbook.nn.batchnorm import population_statistics
from bnbook.train.checkpoint import Checkpoint
from bnbook.train.loop import train
from bnbook.train.measured import Measured
from bnbook.train.probes import Evaluation, evaluate
from bnbook.train.schedules import DENSE, exponential

CHUNK = 250  # images at once in evaluation: their maps stay in the processor's cache
BINS = torch.linspace(-4, 4, 65)  # of the densities, in standard deviations


def train_run(
    config: Config,
    seed: int,
    checkpoint: Checkpoint | None,
    report: Callable[[int], None] = lambda step: None,
    measure: bool = True,
) -> Measured:
    """Train one network, and at its end measure accuracy and what goes on inside; or only train."""
    data = datasets.load(config.data)
    model = network(config, data.train.x.shape[-1], seed)
    # The training loss alone: accuracy is wanted at the end.
    losses = Evaluation({}, DENSE(config.steps))
    batches = Batches(prepare(data.train), config.batch_size, seed)
    progress = train(
        model=model,
        loss_function=F.cross_entropy,
        optimizer=torch.optim.SGD(model.parameters(), lr=config.lr),
        batches=batches,
        steps=config.steps,
        probes=[losses] if measure else [],
        checkpoint=checkpoint,
        report=report,
        learning_rate=exponential(config.lr, config.decay, config.steps),
    )
    if not measure:
        return Measured(progress, {}, {}, {})
    final, arrays = {"chance_accuracy": 1 / datasets.CLASSES}, {}
    if not progress.diverged:
        following = range(config.steps, config.steps + max(config.population_images // config.batch_size, 1))
        population_statistics(model, (batches[step][0] for step in following))
        model.eval()
        final |= accuracies(model, prepare(data.validation), prepare(data.test), config.shift)
        final |= biases(model, network(config, data.train.x.shape[-1], seed))
        inside, arrays = look_inside(model, prepare(data.test).x[: config.probe_images], config.shift)
        final |= inside
    return Measured(progress, {"evaluation": losses.columns()}, final, arrays)


def prepare(split: Split) -> Split:
    """(N, 1, H, W) in [0, 1], laid out as the convolutions like it: in a third of the time."""
    x = split.x[:, None].float() / 255
    return Split(x.contiguous(memory_format=torch.channels_last), split.y)


def network(config: Config, side: int, seed: int) -> ConvNet:
    """The initialised network; equal seeds give equal weights, whatever is normalized."""
    model = ConvNet(side, config.maps, datasets.CLASSES, config.norm, config.place, config.bias, config.eps)
    initialise(model, config.bias_std, torch.Generator().manual_seed(seed))
    return model.to(memory_format=torch.channels_last)


def accuracies(model: ConvNet, validation: Split, test: Split, shift: int) -> dict[str, float]:
    """At the end, by population statistics (Algorithm 2); also on test images moved to the right."""
    found = {}
    moved = Split(test.x.roll(shift, dims=-1), test.y)
    for name, split in (("validation", validation), ("test", test), ("shifted", moved)):
        _, found[f"{name}_accuracy"] = evaluate(model, split, chunk=CHUNK)
    return found


def biases(model: ConvNet, start: ConvNet) -> dict[str, float]:
    """How far the convolutions' biases have moved since the start, on average."""
    pairs = [(now.conv.bias, then.conv.bias) for now, then in zip(model.layers, start.layers, strict=True)]
    moves = [(now - then).abs().detach() for now, then in pairs if now is not None]
    return {"bias_moved": torch.cat(moves).mean().item()} if moves else {}


@torch.no_grad()
def look_inside(model: ConvNet, x: Tensor, shift: int) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """What the paper's reasons are about, on images x, (N, 1, H, W), in evaluation mode.

    - "shift_error": see `shift_error`, of what the first nonlinearity receives.
    - "worth_1", "worth_2": see `effective_sample_size`, of Wu in each layer.
    - "u_distance", "wu_distance": `distance` from the normal distribution of what the second layer receives,
      and of Wu there; their densities between BINS are arrays.
    - arrays "map" and "map_moved": the first image in that map of the first layer that varies most, and the
      shifted image there, moved back.
    """
    first, second = model.layers
    u = model.layer_inputs(x)[1]
    inputs = {"u": u, "wu": second.linear(u)}
    before, moved = first.relu_input(x), first.relu_input(x.roll(shift, dims=-1))
    final = {
        "shift_error": shift_error(before, moved, shift),
        "worth_1": effective_sample_size(first.linear(x)),
        "worth_2": effective_sample_size(inputs["wu"]),
    }
    chosen = before.var(dim=(0, 2, 3)).argmax()
    arrays = {"map": before[0, chosen], "map_moved": moved[0, chosen].roll(-shift, dims=-1)}
    for name, values in inputs.items():
        final[f"{name}_distance"] = distance(values)
        arrays[f"{name}_density"] = density(values)
    # Of a network whose maps have all died there is nothing to measure.
    final = {name: value for name, value in final.items() if math.isfinite(value)}
    return final, {name: value.numpy().astype(np.float16) for name, value in arrays.items()}


def shift_error(maps: Tensor, moved: Tensor, shift: int) -> float:
    """Of maps (N, C, H, W) and those of the images moved `shift` places to the right: root mean square of
    their difference at corresponding places, over the standard deviation of the maps; 0 where a shifted
    image gives shifted maps. Only places whose 3x3 neighbourhood lies in both images count."""
    here, there = maps[..., 1:-1, 1 : -1 - shift], moved[..., 1:-1, 1 + shift : -1]
    return ((here - there).square().mean().sqrt() / here.std()).item()


def effective_sample_size(values: Tensor) -> float:
    """How many independent values one image is worth to a map's mean: the variance of the map's values,
    (N, C, H, W), over that of their image means; the median over maps. H W where the places of an image are
    independent of one another, 1 where they are all alike; above H W where they make up for one another."""
    total = values.transpose(0, 1).flatten(1).var(dim=1)
    means = values.mean(dim=(2, 3)).var(dim=0)
    return (total / means)[means > 0].median().item()


def distance(values: Tensor) -> float:
    """Kolmogorov and Smirnov's distance between a map's values, standardised, and the standard normal
    distribution: the largest difference of the distribution functions, averaged over maps that vary."""
    x = standardised(values).sort(dim=1).values
    normal = torch.special.ndtr(x)
    ranks = torch.arange(x.shape[1] + 1) / x.shape[1]
    gaps = torch.maximum(ranks[1:] - normal, normal - ranks[:-1])
    return gaps.max(dim=1).values.mean().item()


def density(values: Tensor) -> Tensor:
    """Share of the standardised values between each two of BINS."""
    x = standardised(values).flatten()
    return torch.histogram(x, BINS).hist / max(len(x), 1)


def standardised(values: Tensor) -> Tensor:
    """(N, C, H, W) -> (C', N H W): each map that varies, at mean 0 and variance 1."""
    x = values.transpose(0, 1).flatten(1)
    centred = x - x.mean(dim=1, keepdim=True)
    std = centred.square().mean(dim=1, keepdim=True).sqrt()
    varies = std[:, 0] > 1e-6
    return centred[varies] / std[varies]
