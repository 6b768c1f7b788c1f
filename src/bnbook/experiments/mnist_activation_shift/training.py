"""Section 4.1, Figure 1: does batch normalization speed up a sigmoid network, and still what its layers see?

Run it: `make reproduce PROFILE=cpu` (all of it), or `bnbook run mnist_activation_shift --profile cpu`.
Expected: the network with BN starts faster and ends higher, and the inputs of its last sigmoids move less.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bnbook.data import datasets
from bnbook.data.batches import Batches
from bnbook.data.datasets import Split, binarised
from bnbook.experiments.mnist_activation_shift.protocol import CURVE_BATCHES, PERCENTILES, Config
from bnbook.nn.batchnorm import BatchNorm, population_statistics
from bnbook.nn.mlp import MLP, initialise
from bnbook.train.checkpoint import Checkpoint
from bnbook.train.loop import train
from bnbook.train.measured import Measured
from bnbook.train.probes import Evaluation, SigmoidInputs, evaluate
from bnbook.train.schedules import log_then_even


def train_run(
    config: Config,
    seed: int,
    checkpoint: Checkpoint | None,
    report: Callable[[int], None] = lambda step: None,
    measure: bool = True,
) -> Measured:
    """Train and measure one run; without `measure` only train. On one machine, equal configurations and seeds
    give equal numbers."""
    training, held_out = splits(config)
    model = network(config, inputs=training.x.shape[1], classes=datasets.CLASSES, seed=seed)
    batches = Batches(training, config.batch_size, seed)
    evaluation = Evaluation(
        held_out,
        log_then_even(config.steps, config.evaluate_growth, config.evaluate_every),
        population=list(following(batches, config, CURVE_BATCHES[config.recipe])),
    )
    inputs = SigmoidInputs(
        training.x[: config.probe_size],
        PERCENTILES,
        log_then_even(config.steps, config.probe_growth, config.probe_every),
    )
    progress = train(
        model=model,
        loss_function=F.cross_entropy,
        optimizer=torch.optim.SGD(model.parameters(), lr=config.lr),
        batches=batches,
        steps=config.steps,
        probes=[evaluation, inputs] if measure else [],
        checkpoint=checkpoint,
        report=report,
    )
    if not measure:
        return Measured(progress, {}, {}, {})
    final = {"chance_accuracy": 1 / datasets.CLASSES}
    if not progress.diverged:
        final |= end_point(model, held_out, batches, config)
    return Measured(progress, {"evaluation": evaluation.columns()}, final, inputs.arrays())


def splits(config: Config) -> tuple[Split, dict[str, Split]]:
    """What to train on, and what to evaluate on, by name. The raw bytes are let go of on return."""
    dataset = datasets.load(config.data)
    held_out = {"test": prepare(dataset.test, config)}
    if config.train_on == "train":
        held_out["validation"] = prepare(dataset.validation, config)
        return prepare(dataset.train, config), held_out
    return prepare(dataset.train_and_validation, config), held_out


def prepare(split: Split, config: Config) -> Split:
    """Flat float32 images in [0, 1]; binarised (as the paper's) where `config` says so."""
    return binarised(split) if config.binarise else Split(split.x.flatten(1).float() / 255, split.y)


def network(config: Config, inputs: int, classes: int, seed: int) -> MLP:
    """The initialised network. Both variants draw the same weights from the same seed."""
    layers = {"torch": nn.BatchNorm1d, "paper": BatchNorm}
    if config.norm_backend not in layers:
        raise ValueError(f"norm_backend is {config.norm_backend!r}; it must be one of {', '.join(layers)}")

    def norm(units: int) -> nn.Module:
        return layers[config.norm_backend](units, eps=config.norm_eps, momentum=config.norm_momentum)

    model = MLP(inputs, config.hidden, config.depth, classes, norm if config.variant == "bn" else None)
    initialise(model, config.init_std, torch.Generator().manual_seed(seed))
    return model


def following(batches: Batches, config: Config, count: int) -> Iterator[Tensor]:
    """Inputs of the `count` mini-batches after the run's own, for Algorithm 2; none without BN."""
    steps = range(config.steps, config.steps + count) if config.variant == "bn" else ()
    return (batches[step][0] for step in steps)


def end_point(model: MLP, held_out: dict[str, Split], batches: Batches, config: Config) -> dict[str, float]:
    """Losses and accuracies at the end; with BN also the test accuracy by Algorithm 2's statistics."""
    final = {}
    for name, split in held_out.items():
        final[f"{name}_loss"], final[f"{name}_accuracy"] = evaluate(model, split)
    if config.variant == "bn":
        population_statistics(model, following(batches, config, config.population_batches))
        _, final["test_accuracy_population"] = evaluate(model, held_out["test"])
    return final
