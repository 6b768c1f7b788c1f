"""Section 3.3: batch normalization and the scale of the weights, and which learning rates work.

Run it: `bnbook run scale_invariance --profile cpu --jobs 2`.
Expected: a factor before W changes neither output nor input gradient, until eps has its say; weights that
grow slow themselves down; with batch normalization higher learning rates work than without.
"""

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bnbook.data import datasets
from bnbook.data.batches import Batches
from bnbook.data.datasets import binarised
from bnbook.experiments.scale_invariance.protocol import Config
from bnbook.nn.batchnorm import BatchNormFunction, population_statistics
from bnbook.nn.mlp import MLP, initialise
from bnbook.train.checkpoint import Checkpoint
from bnbook.train.loop import Progress, train
from bnbook.train.measured import Measured
from bnbook.train.probes import StepSummary, evaluate
from bnbook.train.schedules import MEDIUM


def train_run(
    config: Config,
    seed: int,
    checkpoint: Checkpoint | None,
    report: Callable[[int], None] = lambda step: None,
    measure: bool = True,
) -> Measured:
    """One run of the configuration's part; only the sweep uses the checkpoint."""
    if config.part == "relations":
        return relations(config, seed)
    return sweep(config, seed, checkpoint, report, measure)


# The relations of one layer


def relations(config: Config, seed: int) -> Measured:
    """What becomes of BN((aW)u) and its two gradients as a goes over its decades, beside a = 1.

    The layer is the first of Section 4.1's network, u a mini-batch of images. All in float64, so that what
    breaks is the doing of eps and not of rounding. Of each quantity the curve has its norm over that at
    a = 1 ("_size") and the norm of its difference from that at a = 1 ("_error"), the gradient with respect
    to aW multiplied by a first.
    """
    began = time.perf_counter()
    u, _ = Batches(binarised(datasets.load(config.data).train), config.batch_size, seed)[0]
    u = u.double().requires_grad_()
    generator = torch.Generator().manual_seed(seed)
    weight = config.init_std * torch.randn(config.hidden, u.shape[1], generator=generator).double()
    direction = torch.randn(len(u), config.hidden, generator=generator).double()

    def scaled(a: float) -> dict[str, Tensor]:
        return layer(u, a * weight, config.eps, direction, a)

    reference, rows = scaled(1.0), []
    scales = torch.logspace(-config.scale_decades, config.scale_decades, config.steps, dtype=torch.float64)
    for step, a in enumerate(scales.tolist(), start=1):
        row: dict[str, float] = {"step": step, "scale": a}
        for name, value in scaled(a).items():
            size = reference[name].norm()
            row[f"{name}_size"] = (value.norm() / size).item()
            row[f"{name}_error"] = ((value - reference[name]).norm() / size).item()
        rows.append(row)
    gradient = reference["weight_gradient"]
    final = {
        "variance": (u @ weight.T).var(0, unbiased=False).median().item(),
        "cosine": F.cosine_similarity(weight, gradient).abs().max().item(),
    }
    curves = {"relations": {name: [row[name] for row in rows] for name in rows[0]}}
    return Measured(Progress(step=config.steps, seconds=time.perf_counter() - began), curves, final, {})


def layer(u: Tensor, weight: Tensor, eps: float, direction: Tensor, a: float) -> dict[str, Tensor]:
    """BN(Wu) of u (N, inputs) for W (units, inputs), and the gradients of its product with `direction`
    (N, units): with respect to u, and to W times `a`."""
    weight = weight.detach().requires_grad_()
    gamma, beta = u.new_ones(len(weight)), u.new_zeros(len(weight))
    y, _, _ = BatchNormFunction.apply(u @ weight.T, gamma, beta, eps)
    of_u, of_weight = torch.autograd.grad((y * direction).sum(), [u, weight])
    return {"output": y.detach(), "input_gradient": of_u, "weight_gradient": a * of_weight}


# The sweep


class Norms:
    """Probe: of each hidden layer, the mean over its units of ||w||^2, w being a unit's incoming weights.

    None where it is not finite any more.
    """

    def __init__(self, steps: list[int]):
        self.steps = frozenset(steps)
        self.rows: list[dict[str, float | None]] = []

    def __call__(self, summary: StepSummary, model: MLP) -> None:
        self.rows.append({"step": summary.step} | self.measure(model))

    @torch.no_grad()
    def measure(self, model: MLP) -> dict[str, float | None]:
        squares = [layer.linear.weight.double().square().sum(1).mean().item() for layer in model.hidden]
        return {
            f"layer_{index}": square if math.isfinite(square) else None
            for index, square in enumerate(squares, start=1)
        }

    def columns(self) -> dict[str, list]:
        return {key: [row[key] for row in self.rows] for key in self.rows[0]}


def sweep(
    config: Config, seed: int, checkpoint: Checkpoint | None, report: Callable[[int], None], measure: bool
) -> Measured:
    """The network of Section 4.1 at one learning rate; its end point on the validation split."""
    data = datasets.load(config.data)
    training, validation = binarised(data.train), binarised(data.validation)
    model = network(config, training.x.shape[1], seed)
    batches = Batches(training, config.batch_size, seed)
    norms = Norms(MEDIUM(config.steps))
    norms(StepSummary(step=0, train_loss=0.0, train_seconds=0.0), model)
    progress = train(
        model=model,
        loss_function=F.cross_entropy,
        optimizer=torch.optim.SGD(model.parameters(), lr=config.lr),
        batches=batches,
        steps=config.steps,
        probes=[norms] if measure else [],
        checkpoint=checkpoint,
        report=report,
    )
    if not measure:
        return Measured(progress, {}, {}, {})
    final = {"chance_accuracy": 1 / datasets.CLASSES}
    if not progress.diverged:
        if config.variant == "bn":
            following = range(config.steps, config.steps + config.population_batches)
            population_statistics(model, (batches[step][0] for step in following))
        _, final["validation_accuracy"] = evaluate(model, validation)
    return Measured(progress, {"norms": norms.columns()}, final, {})


def network(config: Config, inputs: int, seed: int) -> MLP:
    """The initialised network. Both variants draw the same weights from the same seed."""

    def norm(units: int) -> nn.Module:
        return nn.BatchNorm1d(units, eps=config.eps)

    normalized = config.variant == "bn"
    model = MLP(inputs, config.hidden, config.depth, datasets.CLASSES, norm if normalized else None)
    initialise(model, config.init_std, torch.Generator().manual_seed(seed))
    return model
