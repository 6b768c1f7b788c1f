"""Section 4.2, Figures 2 and 3: how many steps does batch normalization save an Inception network?

Run it: `make reproduce PROFILE=cpu` (all of it), or `bnbook run inception_speedups --profile cpu --jobs 2`.
Expected: BN-x5 gets to where the baseline ends in a fraction of its steps, and ends higher. Runs of the first
registration and of what rests on it are made here too: they differ in where they are measured.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from bnbook.data import datasets
from bnbook.data.augment import AugmentedBatches, centre_crop
from bnbook.data.batches import Batches
from bnbook.data.datasets import Split
from bnbook.experiments.inception_first.protocol import Config, SlowedConfig
from bnbook.experiments.inception_speedups import protocol
from bnbook.nn.batchnorm import population_statistics
from bnbook.nn.inception import Conv, Inception, initialise
from bnbook.train.checkpoint import Checkpoint
from bnbook.train.loop import train
from bnbook.train.measured import Measured
from bnbook.train.precision import autocast, device, resolve
from bnbook.train.probes import Evaluation, Probe, evaluate
from bnbook.train.schedules import exponential, log_then_even

# Images evaluated at a time: on a CPU their activations fit into memory beside a second run's, a GPU is busy.
CHUNKS = {"cpu": 125, "cuda": 1000}
# How maps lie in memory: each device's convolutions are faster in one of the two.
LAYOUTS = {"cpu": torch.channels_last, "cuda": torch.contiguous_format}


# (model, data, context to compute in) -> arrays to be recorded.
Arrays = Callable[[nn.Module, datasets.Dataset, AbstractContextManager], dict[str, np.ndarray]]
# (data, context to compute in) -> a probe with `columns()`.
Watch = Callable[[datasets.Dataset, AbstractContextManager], Probe]
CURVES = {"test": "evaluation"}  # the record's names of probes, where they differ


def train_run(
    config: Config,
    seed: int,
    checkpoint: Checkpoint | None,
    report: Callable[[int], None] = lambda step: None,
    measure: bool = True,
) -> Measured:
    """Train and measure one run; without `measure` only train. On one machine, equal configurations and seeds
    give equal numbers."""
    torch.manual_seed(seed)  # Dropout draws from torch's own generator; all else has generators of its own
    return train_inception(config, seed, network(config, seed), checkpoint, report, measure)


def train_inception(
    config: Config,
    seed: int,
    model: Inception,
    checkpoint: Checkpoint | None,
    report: Callable[[int], None],
    measure: bool,
    last: Arrays = lambda model, data, computing: {},
    watch: Watch | None = None,
) -> Measured:
    """The same for any initialised `model`; `last` measures arrays when all else is done, in evaluation mode
    with population statistics; `watch(data, computing)` makes a probe more, whose columns are the record's
    curve "watch". The caller has seeded torch's own generator, which Dropout draws from."""
    on = device()
    precision = resolve(config.precision, on)
    computing = autocast(precision, on)
    data = datasets.load_colour(config.data).to(on)
    cut = Batches(data.train, config.batch_size, seed, config.fixed_membership)
    batches = AugmentedBatches(cut, config.photometric, seed, LAYOUTS[on.type])
    model = model.to(on, memory_format=LAYOUTS[on.type])
    judged = Judged(held_out(config, data) if measure else {}, CHUNKS[on.type], computing)
    epochs = range(cut.per_epoch, config.steps + 1, cut.per_epoch)
    probes = evaluations(config, judged, batches, epochs) if measure else {}
    if watch and measure:
        probes["watch"] = watch(data, computing)
    progress = train(
        model=model,
        loss_function=F.cross_entropy,
        optimizer=torch.optim.SGD(parameter_groups(model, config), lr=config.lr, momentum=config.momentum),
        batches=batches,
        steps=config.steps,
        probes=list(probes.values()),
        checkpoint=checkpoint,
        report=report,
        learning_rate=exponential(config.lr, config.lr_decay, cut.per_epoch),
        computing=computing,
    )
    if not measure:
        return Measured(progress, {}, {}, {}, precision, on.type)
    curves = {CURVES.get(name, name): probe.columns() for name, probe in probes.items()}
    final, arrays = {"chance_accuracy": 1 / datasets.CLASSES}, {}
    if not progress.diverged:
        final |= end_point(model, config, judged, batches)
        final["seconds_per_step"] = seconds_per_step(curves["evaluation"])
        arrays = last(model.eval(), data, computing)
    return Measured(progress, curves, final, arrays, precision, on.type)


@dataclasses.dataclass(frozen=True)
class Judged:
    """What a network is judged on: the prepared splits by name, so many images at a time, in the context
    `computing`."""

    splits: dict[str, Split]
    chunk: int
    computing: AbstractContextManager

    def evaluation(self, splits: dict[str, Split], steps: Iterable[int], **more: Any) -> Evaluation:
        """A probe of `splits`."""
        return Evaluation(splits, steps, self.chunk, self.computing, **more)

    def evaluate(self, model: nn.Module) -> Iterator[tuple[str, float | None, float]]:
        """(name, loss, accuracy) of each split."""
        for name, split in self.splits.items():
            yield name, *evaluate(model, split, self.chunk, self.computing)


def held_out(config: Config, data: datasets.Dataset) -> dict[str, Split]:
    """The splits that `config` is judged on; one that chooses has no say on test images."""
    found = {"test": prepare(data.test)} if config.tested else {}
    return found | {"validation": prepare(data.validation)}


def evaluations(config: Config, judged: Judged, batches: AugmentedBatches, epochs: range) -> dict[str, Probe]:
    """The probes that evaluate along the way, by name."""
    if isinstance(config, protocol.Config):
        return along_the_curve(config, judged, batches, epochs)
    schedules = {"test": evaluation_steps(config), "validation": epochs}
    return {name: judged.evaluation({name: split}, schedules[name]) for name, split in judged.splits.items()}


def end_point(
    model: nn.Module, config: Config, judged: Judged, batches: AugmentedBatches
) -> dict[str, float]:
    """Losses and accuracies at the end; with batch normalization also by Algorithm 2's statistics, which
    `model` has from then on."""
    final = {}
    for name, loss, accuracy in judged.evaluate(model):
        final |= {f"{name}_loss": loss, f"{name}_accuracy": accuracy}
    final = {name: value for name, value in final.items() if value is not None}
    if config.norm:
        following = range(config.steps, config.steps + config.population_batches)
        with judged.computing:
            population_statistics(model, (batches[step][0] for step in following))
        final |= {f"{name}_accuracy_population": accuracy for name, _, accuracy in judged.evaluate(model)}
    return final


def along_the_curve(
    config: protocol.Config, judged: Judged, batches: AugmentedBatches, epochs: range
) -> dict[str, Probe]:
    """The probes of recipe 2: "evaluation", some test images on the fine grid, and "epochs", all images that
    are held out after every epoch. With batch normalization both measure by Algorithm 2's statistics over
    mini-batches beyond the run's own, the second by moving averages too."""
    following = range(config.steps, config.steps + config.statistics_batches)
    population = [batches[step][0] for step in following] if config.norm else []
    some = {"test": judged.splits["test"].spread(config.curve_images)} if config.tested else {}
    grid = [
        step
        for step in log_then_even(config.steps, config.evaluate_growth, config.evaluate_every)
        if step >= config.evaluate_from
    ]
    fine = judged.evaluation(some, grid, population=population if some else (), moving=not config.norm)
    return {"test": fine, "epochs": judged.evaluation(judged.splits, epochs, population=population)}


def prepare(split: Split) -> Split:
    """Centre crops, normalised, laid out for their device: (N, 3, 28, 28) float32."""
    images = centre_crop(split.x)
    return Split(images.contiguous(memory_format=LAYOUTS[images.device.type]), split.y)


def network(config: Config, seed: int) -> Inception:
    """The initialised network. Variants of one activation draw the same weights from the same seed."""

    def norm(maps: int) -> nn.Module:
        return nn.BatchNorm2d(maps, eps=config.norm_eps, momentum=config.norm_momentum)

    model = Inception(
        width=config.width,
        classes=datasets.CLASSES,
        norm=norm if config.norm else None,
        activation=config.activation,
        dropout=config.dropout,
        lrn=config.lrn,
        lrn_alpha=config.lrn_alpha,
    )
    generator = torch.Generator().manual_seed(seed)
    initialise(model, config.activation, generator, config.initial, config.output_scale)
    return model


def parameter_groups(model: Inception, config: Config) -> list[dict]:
    """L2 falls on the weights; biases, gamma and beta, which are vectors, go free. "lr_factor" is what the
    learning rate is multiplied by (`bnbook.train.loop`)."""
    factors, groups = lr_factors(model, config), {}
    for parameter in model.parameters():
        kind = config.weight_decay if parameter.ndim > 1 else 0.0, factors.get(parameter, 1.0)
        groups.setdefault(kind, []).append(parameter)
    return [
        {"params": parameters, "weight_decay": weight_decay, "lr_factor": factor}
        for (weight_decay, factor), parameters in groups.items()
    ]


def lr_factors(model: Inception, config: Config) -> dict[nn.Parameter, float]:
    """What has another learning rate than the rest, and how many times it."""
    if not isinstance(config, SlowedConfig):
        return {}
    norms = [module.norm for module in model.modules() if isinstance(module, Conv)]
    gamma_beta = [parameter for norm in norms for parameter in norm.parameters()]
    return dict.fromkeys(model.output.parameters(), config.output_lr / config.lr) | dict.fromkeys(
        gamma_beta, config.gamma_beta_lr / config.lr
    )


def evaluation_steps(config: Config) -> list[int]:
    """Each four times the last up to `evaluate_from`, then the fine grid; the last step is always there."""
    early = log_then_even(min(config.evaluate_from, config.steps), 4.0, config.evaluate_from)
    fine = log_then_even(config.steps, config.evaluate_growth, config.evaluate_every)
    return sorted({*early, *(step for step in fine if step > config.evaluate_from), config.steps})


def seconds_per_step(curve: dict[str, list]) -> float:
    """The median over the stretches between evaluations: one that shared its core with other work does not
    weigh."""
    stretches = np.diff(curve["train_seconds"]) / np.diff(curve["step"])
    return float(np.median(stretches))
