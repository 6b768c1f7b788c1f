"""After the paper: the small Inception with batch normalization and without, at the same small learning rates
to convergence, each at its own, and in its first steps at large ones.

Run it: `bnbook run learning_rate_share --profile cpu --jobs 2`.
Expected: at the same small rate both come to about the same accuracy; most of what batch normalization gains
comes with its larger rate, at which the outputs of a network without it grow from layer to layer.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bnbook.data import datasets
from bnbook.data.augment import centre_crop
from bnbook.data.batches import Batches
from bnbook.data.datasets import Split
from bnbook.experiments.learning_rate_share.protocol import DROP_AT, Config
from bnbook.nn.batchnorm import batch_statistics, population_statistics
from bnbook.nn.inception import Conv, Inception, initialise
from bnbook.train.checkpoint import Checkpoint
from bnbook.train.loop import train
from bnbook.train.measured import Measured
from bnbook.train.precision import device
from bnbook.train.probes import Evaluation, Probe, StepSummary, evaluate
from bnbook.train.schedules import DENSE

CHUNK = 250  # images at once in evaluation: their maps stay in the processor's cache
CURVE_IMAGES = 1000  # validation images that the curve is measured on


def train_run(
    config: Config,
    seed: int,
    checkpoint: Checkpoint | None,
    report: Callable[[int], None] = lambda step: None,
    measure: bool = True,
) -> Measured:
    """Train one network and measure it; a run of the part "start" takes seconds and needs no checkpoint.

    Arrays of that part: "size_step" (T,), "activation" and "gradient" (T, layers), see `Sizes`.
    """
    on = device()
    data = datasets.load_colour(config.data).to(on)
    training = prepare(subset(data.train, config.images, seed), config)
    batches = Batches(training, config.batch_size, seed)
    model = network(config, seed).to(on, memory_format=torch.channels_last)
    probe = (sizes if config.part == "start" else curve)(config, data, batches, model)
    progress = train(
        model=model,
        loss_function=F.cross_entropy,
        optimizer=torch.optim.SGD(model.parameters(), lr=config.lr, momentum=config.momentum),
        batches=batches,
        steps=config.steps,
        probes=[probe] if measure else [],
        checkpoint=checkpoint if config.part == "net" else None,
        report=report,
        learning_rate=schedule(config),
    )
    if not measure:
        return Measured(progress, {}, {}, {}, device=on.type)
    final = {"chance_accuracy": 1 / datasets.CLASSES}
    if isinstance(probe, Sizes):
        return Measured(progress, {}, final, probe.arrays(), device=on.type)
    if not progress.diverged:
        final |= judged(model, config, data, training, batches)
    return Measured(progress, {"evaluation": probe.columns()}, final, {}, device=on.type)


def schedule(config: Config) -> Callable[[int], float]:
    """The rate at each step, from 0: it drops once."""
    return lambda step: config.lr * (config.final_share if step >= DROP_AT * config.steps else 1.0)


def subset(split: Split, images: int, seed: int) -> Split:
    """That many images, drawn by the seed; all for 0."""
    if not images:
        return split
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
    return split[order[:images].to(split.y.device)]


def prepare(split: Split, config: Config) -> Split:
    """Centre crops, normalised and averaged over squares of `pool` places."""
    x = F.avg_pool2d(centre_crop(split.x), config.pool)
    return Split(x.contiguous(memory_format=torch.channels_last), split.y)


def network(config: Config, seed: int) -> Inception:
    """The initialised network; with BN and without it draws the same weights from the same seed."""
    model = Inception(width=config.width, norm=nn.BatchNorm2d if config.norm else None)
    initialise(model, "relu", torch.Generator().manual_seed(seed))
    return model


def curve(config: Config, data: datasets.Dataset, batches: Batches, model: Inception) -> Evaluation:
    """Training loss and validation accuracy along the way, with BN by Algorithm 2's statistics."""
    some = {"validation": prepare(data.validation.spread(CURVE_IMAGES), config)}
    population = [batches[config.steps + step][0] for step in range(10)] if config.norm else []
    return Evaluation(some, DENSE(config.steps), CHUNK, population=population, moving=not config.norm)


def judged(
    model: Inception, config: Config, data: datasets.Dataset, training: Split, batches: Batches
) -> dict[str, float]:
    """Accuracies and losses at the end, with BN by Algorithm 2; without `tested` none on test images."""
    if config.norm:
        following = range(config.steps, config.steps + config.population_batches)
        population_statistics(model, (batches[step][0] for step in following))
    splits = {"train": training, "validation": prepare(data.validation, config)}
    if config.tested:
        splits["test"] = prepare(data.test, config)
    found = {}
    for name, split in splits.items():
        found[f"{name}_loss"], found[f"{name}_accuracy"] = evaluate(model, split, CHUNK)
    return {name: value for name, value in found.items() if value is not None}


def sizes(config: Config, data: datasets.Dataset, batches: Batches, model: Inception) -> "Sizes":
    """The probe of the part "start", which has looked at the network before its first step."""
    images = data.train[:: max(1, len(data.train) // config.probe_images)][: config.probe_images]
    probe = Sizes(prepare(images, config), range(1, config.steps + 1))
    probe(StepSummary(step=0, train_loss=0.0, train_seconds=0.0), model)
    return probe


class Sizes(Probe):
    """What becomes of a network layer by layer, on a fixed mini-batch and, with BN, by its statistics.

    A row a call, of the convolutions in their order: *activation*, the root mean square of what the layer
    puts out, and *gradient*, that of the loss's derivatives by its weights. Values that are no finite numbers
    any more are infinite.
    """

    def __init__(self, batch: Split, steps: range):
        self.batch, self.steps = batch, frozenset(steps)
        self.rows: list[tuple[int, np.ndarray, np.ndarray]] = []

    def __call__(self, summary: StepSummary, model: nn.Module) -> None:
        layers = [module for module in model.modules() if isinstance(module, Conv)]
        outputs: dict[Conv, Tensor] = {}
        hooks = [
            layer.register_forward_hook(lambda layer, _, out: outputs.__setitem__(layer, out.detach()))
            for layer in layers
        ]
        try:
            with batch_statistics(model):
                loss = F.cross_entropy(model(self.batch.x), self.batch.y)
                gradients = torch.autograd.grad(loss, [layer.conv.weight for layer in layers])
        finally:
            for hook in hooks:
                hook.remove()
        self.rows.append((summary.step, rms([outputs[layer] for layer in layers]), rms(gradients)))

    def arrays(self) -> dict[str, np.ndarray]:
        """ "size_step" (T,), "activation" and "gradient" (T, layers); the first row is before any step."""
        steps, activation, gradient = zip(*self.rows, strict=True)
        return {
            "size_step": np.array(steps),
            "activation": np.stack(activation),
            "gradient": np.stack(gradient),
        }


def rms(values: list[Tensor] | tuple[Tensor, ...]) -> np.ndarray:
    """Root mean square of each, (len(values),) float64; infinite where it is no finite number."""
    found = np.array([value.double().square().mean().sqrt().item() for value in values])
    return np.where(np.isfinite(found), found, np.inf)
