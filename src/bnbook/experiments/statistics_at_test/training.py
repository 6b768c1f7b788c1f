"""After the paper: a network trained on clean images, asked about corrupted ones with other statistics.

Run it: `bnbook run statistics_at_test --profile cpu --jobs 2`.
Expected: without adaptation both networks lose by every corruption; statistics of images of the corrupted
kind bring a good part back with BN, of a thousand images more than of sixteen, of one class alone least.
"""

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bnbook.data import datasets
from bnbook.data.augment import AugmentedBatches, centre_crop
from bnbook.data.batches import Batches
from bnbook.data.datasets import Split
from bnbook.experiments.statistics_at_test.corruptions import corrupted
from bnbook.experiments.statistics_at_test.protocol import COUNTED, PRIOR, Config
from bnbook.nn.batchnorm import LAYERS, inference_statistics, population_statistics
from bnbook.nn.convnet import ConvNet
from bnbook.nn.inception import initialise
from bnbook.train.checkpoint import Checkpoint
from bnbook.train.loop import train
from bnbook.train.measured import Measured
from bnbook.train.probes import evaluate
from bnbook.train.schedules import exponential

CHUNK = 250  # images at a time: their activations stay in the processor's cache


def train_run(
    config: Config,
    seed: int,
    checkpoint: Checkpoint | None,
    report: Callable[[int], None] = lambda step: None,
    measure: bool = True,
) -> Measured:
    """Train one network and ask it. Final: "validation_accuracy" on clean images, and what `answers` finds;
    arrays: "drift" (kinds, layers), see there."""
    data = datasets.load_colour(config.data)
    batches = AugmentedBatches(Batches(data.train, config.batch_size, seed), "none", seed)
    model = network(config, seed)
    progress = train(
        model=model,
        loss_function=F.cross_entropy,
        optimizer=torch.optim.SGD(model.parameters(), lr=config.lr, momentum=config.momentum),
        batches=batches,
        steps=config.steps,
        checkpoint=checkpoint,
        report=report,
        learning_rate=exponential(config.lr, config.lr_fall, config.steps),
    )
    if not measure:
        return Measured(progress, {}, {}, {})
    final, arrays = {"chance_accuracy": 1 / datasets.CLASSES}, {}
    if not progress.diverged:
        if config.norm:
            following = range(config.steps, config.steps + config.population_batches)
            population_statistics(model, (batches[step][0] for step in following))
        final["validation_accuracy"] = accuracy(model, prepared(data.validation, "clean"))
        if config.kinds:
            tested = data.test.spread(config.test_images)
            final |= answers(model, config, data.validation, tested, seed)
            seen = data.validation.spread(config.counts[-1])
            arrays["drift"] = drift(model, seen.x, config.kinds)
    return Measured(progress, {}, final, arrays)


def network(config: Config, seed: int) -> ConvNet:
    """The initialised network; with BN and without it draws the same weights from the same seed."""
    model = ConvNet(config.widths, datasets.CLASSES, nn.BatchNorm2d if config.norm else None)
    initialise(model, "relu", torch.Generator().manual_seed(seed))
    return model.to(memory_format=torch.channels_last)


def prepared(split: Split, kind: str) -> Split:
    """Corrupted, cut to the middle and normalised: (N, 3, 28, 28) float32."""
    images = centre_crop(torch.from_numpy(corrupted(split.x.numpy(), kind)))
    return Split(images.contiguous(memory_format=torch.channels_last), split.y)


def accuracy(model: nn.Module, split: Split) -> float:
    """From 0 to 1, in evaluation mode."""
    return evaluate(model, split, CHUNK)[1]


# By which statistics it answers


def answers(model: ConvNet, config: Config, lenders: Split, tested: Split, seed: int) -> dict[str, float]:
    """Accuracy (0 to 1) on `tested` images of each kind: "<kind>_accuracy" by `model`'s own statistics;
    with BN also "<kind>_accuracy_<way>", by those of images of that kind, drawn from the `lenders`:

    - "few", "more", "most": as many as `config.counts` says;
    - "mixed": of few, mixed with those that `model` has;
    - "even": of few, chosen for classes as even as can be;
    - "one_class": of few, all of one class.

    Means over draws; the same draws for every kind.
    """
    found = {}
    for kind in config.kinds:
        asked, lent = prepared(tested, kind), prepared(lenders, kind).x
        found[f"{kind}_accuracy"] = accuracy(model, asked)
        if not config.norm:
            continue
        for name, (draws, statistics) in ways(config, lenders.y, seed).items():
            shares = []
            for index in draws:
                with statistics(model, lent[index]):
                    shares.append(accuracy(model, asked))
            found[f"{kind}_accuracy_{name}"] = float(np.mean(shares))
    return found


Statistics = Callable[[nn.Module, Tensor], contextlib.AbstractContextManager[None]]


def anew(model: nn.Module, images: Tensor) -> contextlib.AbstractContextManager[None]:
    """Within it `model` has the statistics of `images`, one mini-batch, and nothing of those of training."""
    return inference_statistics(model, [images])


@contextlib.contextmanager
def mixed(model: nn.Module, images: Tensor) -> Iterator[None]:
    """Within it `model` has the statistics of n `images`, and to PRIOR / (PRIOR + n) those that it had."""
    layers = [module for module in model.modules() if isinstance(module, LAYERS)]
    before = [(layer.running_mean.clone(), layer.running_var.clone()) for layer in layers]
    with inference_statistics(model, [images]):
        for layer, (mean, variance) in zip(layers, before, strict=True):
            layer.running_mean.lerp_(mean, PRIOR / (PRIOR + len(images)))
            layer.running_var.lerp_(variance, PRIOR / (PRIOR + len(images)))
        yield


def ways(config: Config, labels: Tensor, seed: int) -> dict[str, tuple[list[Tensor], Statistics]]:
    """By the names of WAYS: the draws, indices into the lenders whose `labels` these are, and what is made of
    their statistics. Labels only say which classes are among them. Of the most images there is one draw."""
    rng = torch.Generator().manual_seed(seed)
    few = config.counts[0]
    found: dict[str, tuple[list[Tensor], Statistics]] = {}
    for name, n in zip(COUNTED, config.counts, strict=True):
        draws = 1 if name == "most" else config.draws
        found[name] = [torch.randperm(len(labels), generator=rng)[:n] for _ in range(draws)], anew
    found["mixed"] = found["few"][0], mixed
    found["even"] = [evenly(labels, few, rng) for _ in range(config.draws)], anew
    alone = torch.randperm(datasets.CLASSES, generator=rng)[: 2 * config.draws].tolist()
    found["one_class"] = [of_one_class(labels, label, few, rng) for label in alone], anew
    return found


def of_one_class(labels: Tensor, label: int, n: int, rng: torch.Generator) -> Tensor:
    """Indices of `n` images of that class, of all where there are fewer."""
    members = (labels == label).nonzero().flatten()
    return members[torch.randperm(len(members), generator=rng)[:n]]


def evenly(labels: Tensor, n: int, rng: torch.Generator) -> Tensor:
    """Indices of `n` images, no class having two more than another."""
    classes = torch.randperm(datasets.CLASSES, generator=rng).tolist()
    rounds = -(-n // datasets.CLASSES)
    columns = [of_one_class(labels, label, rounds, rng) for label in classes]
    return torch.stack(columns, dim=1).flatten()[:n]


# How far the images move what the layers see


@torch.no_grad()
def drift(model: ConvNet, images: Tensor, kinds: tuple[str, ...]) -> np.ndarray:
    """(kinds, layers): how far the mean of a convolution's output lies from that of the same images when they
    are clean, in standard deviations of these, root mean square over maps. `model` is as it was trained, so
    that a layer sees what reaches it without any adaptation; `images` are (N, H, W, 3) uint8."""
    labels = torch.zeros(len(images), dtype=torch.int64)
    moments = {kind: outputs(model.eval(), prepared(Split(images, labels), kind).x) for kind in kinds}
    clean = moments["clean"]
    return np.array(
        [
            [
                ((mean - wanted) / std).square().mean().sqrt().item()
                for (mean, _), (wanted, std) in zip(found, clean, strict=True)
            ]
            for found in moments.values()
        ]
    )


def outputs(model: ConvNet, x: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Mean and standard deviation of every map of each convolution's output, over images and places."""
    found: list[tuple[Tensor, Tensor]] = []
    for layer in model.convs:
        wu = torch.cat([layer.conv(part) for part in x.split(CHUNK)])
        found.append((wu.mean((0, 2, 3)), wu.std((0, 2, 3))))
        x = torch.cat([layer(part) for part in x.split(CHUNK)])
    return found
