"""Santurkar et al. 2018: the network of Section 4.1 plain, with BN, and with BN and noise that never settles.

Run it: `bnbook run covariate_shift_tested --profile cpu --jobs 2`.
Expected, by the source: the noisy network's inputs move most, and it is nearly as fast as the one with BN; BN
does not lessen how gradients change under the layers below, and makes the loss smoother along the step.
"""

import functools
import math
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bnbook.data import datasets
from bnbook.data.batches import Batches
from bnbook.data.datasets import binarised
from bnbook.experiments.covariate_shift_tested.networks import Step, flat, noisy_norm
from bnbook.experiments.covariate_shift_tested.protocol import FACTORS, Config
from bnbook.experiments.mnist_activation_shift.protocol import PERCENTILES, drift, typical_unit
from bnbook.nn.batchnorm import batch_statistics
from bnbook.nn.mlp import MLP, initialise
from bnbook.train.checkpoint import Checkpoint
from bnbook.train.loop import train
from bnbook.train.measured import Measured
from bnbook.train.probes import Evaluation, Probe, SigmoidInputs, StepSummary
from bnbook.train.schedules import log_then_even


def train_run(
    config: Config,
    seed: int,
    checkpoint: Checkpoint | None,
    report: Callable[[int], None] = lambda step: None,
    measure: bool = True,
) -> Measured:
    """Train and measure one run; it takes seconds, so that there is no checkpoint."""
    dataset = datasets.load(config.data)
    training, test = binarised(dataset.train_and_validation), binarised(dataset.test)
    del dataset
    model = network(config, training.x.shape[1], seed)
    torch.manual_seed(seed)  # the noise
    batches = Batches(training, config.batch_size, seed)
    normalized = config.variant != "plain"
    following = range(config.steps, config.steps + config.population_batches)
    evaluation = Evaluation(
        {"test": test},
        log_then_even(config.steps, config.evaluate_growth, config.evaluate_every),
        population=[batches[step][0] for step in following] if normalized else [],
        moving=not normalized,
    )
    probed = log_then_even(config.steps, config.probe_growth, config.probe_every)
    inputs = SigmoidInputs(training.x[: config.probe_size], PERCENTILES, probed)
    landscape = Landscape(batches, config, probed)
    progress = train(
        model=model,
        loss_function=F.cross_entropy,
        optimizer=torch.optim.SGD(model.parameters(), lr=config.lr),
        batches=batches,
        steps=config.steps,
        probes=[evaluation, Apart(inputs), Apart(landscape)] if measure else [],
        report=report,
    )
    if not measure:
        return Measured(progress, {}, {}, {})
    curves = {"evaluation": evaluation.columns(), "landscape": landscape.columns()}
    final, arrays = {"chance_accuracy": 1 / datasets.CLASSES}, {}
    if not progress.diverged:
        last = evaluation.rows[-1]
        final["test_accuracy"] = last["test_accuracy_population" if normalized else "test_accuracy"]
        final["drift"], arrays = travelled(inputs)
    return Measured(progress, curves, final, arrays)


def network(config: Config, inputs: int, seed: int) -> MLP:
    """The initialised network. All variants draw the same weights from the same seed."""
    noise = (config.noise_mean, config.noise_scale, config.noise_spread)
    norms: dict[str, Callable[[int], nn.Module] | None] = {
        "plain": None,
        "bn": functools.partial(nn.BatchNorm1d, eps=config.norm_eps),
        "noisy": lambda units: noisy_norm(units, config.norm_eps, *noise),
    }
    model = MLP(inputs, config.hidden, config.depth, datasets.CLASSES, norms[config.variant])
    initialise(model, config.init_std, torch.Generator().manual_seed(seed))
    return model


# What is measured on the way


class Apart:
    """`probe`, what it draws at random being drawn apart from what training draws, and anew at every step."""

    def __init__(self, probe: Probe):
        self.probe = probe
        self.steps, self.rows = probe.steps, probe.rows

    def __call__(self, summary: StepSummary, model: nn.Module) -> None:
        with torch.random.fork_rng(devices=()):
            redraw(summary.step, 0)
            self.probe(summary, model)


def redraw(step: int, number: int) -> None:
    torch.manual_seed(1_000_003 * step + number)


def travelled(inputs: SigmoidInputs) -> tuple[float, dict[str, np.ndarray]]:
    """The drift of the last sigmoids' inputs as in Section 4.1, the median over units; and arrays: "drift" of
    each unit, and of the typical one the "percentiles" (T, 3) at the steps "percentile_step" (T,)."""
    found = inputs.arrays()
    percentiles = found["input_percentiles"]
    by_unit = drift(percentiles)
    arrays = {
        "drift": by_unit.astype(np.float32),
        "percentile_step": found["percentile_step"],
        "percentiles": percentiles[:, :, typical_unit(percentiles)],
    }
    return float(np.nanmedian(by_unit)), arrays


class Landscape:
    """Probe: what the step that comes next does, on its mini-batch (batch statistics, as in training).

    One row a call: {"step", "loss" (nats), "gradient" (norm, all parameters)}; for each layer k from the
    second on, the output layer the last, "gradient_<k>" by its weights, "shift_<k>", the norm of its change
    when the layers below have moved and it has not, and "cosine_<k>" between the two; and along the gradient,
    over FACTORS times the step, "loss_low" and "loss_high", "change_low" and "change_high" of the gradient
    (norms), and "beta", the largest change of the gradient over the distance. None where not finite.
    """

    def __init__(self, batches: Batches, config: Config, steps: Iterable[int]):
        self.batches = batches
        self.lr = config.lr
        self.steps = frozenset(steps)
        self.rows: list[dict[str, float | None]] = []

    def __call__(self, summary: StepSummary, model: nn.Module) -> None:
        x, y = self.batches[summary.step]
        with batch_statistics(model):
            step = Step(model, x, y, self.lr, functools.partial(redraw, summary.step))
            found = {"loss": step.loss, "gradient": norm(flat(step.gradient))}
            for layer, (before, after) in enumerate(step.shifts(), start=2):
                found |= {
                    f"gradient_{layer}": norm(before),
                    f"shift_{layer}": norm(after - before),
                    f"cosine_{layer}": F.cosine_similarity(before.flatten(), after.flatten(), dim=0).item(),
                }
            losses, changes = zip(*step.along(FACTORS), strict=True)
        sizes = [norm(change) for change in changes]
        found |= {"loss_low": min(losses), "loss_high": max(losses)}
        found |= {"change_low": min(sizes), "change_high": max(sizes)}
        distance = self.lr * found["gradient"]
        slopes = [size / (factor * distance) for size, factor in zip(sizes, FACTORS, strict=True) if distance]
        found["beta"] = max(slopes, default=math.inf)
        self.rows.append(
            {"step": summary.step}
            | {name: value if math.isfinite(value) else None for name, value in found.items()}
        )

    def columns(self) -> dict[str, list]:
        return (
            {name: [row[name] for row in self.rows] for name in self.rows[0]} if self.rows else {"step": []}
        )


def norm(vector: Tensor) -> float:
    return vector.norm().item()
