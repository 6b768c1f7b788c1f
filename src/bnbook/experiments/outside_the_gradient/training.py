"""Section 2: normalization that gradient descent does not know of, and the cost of whitening.

Run it: `bnbook run outside_the_gradient --profile cpu --jobs 2`.
Expected: with the statistics outside the gradient the bias grows for ever while the loss stands still, and
worse where the scale is normalized too; whitening costs more and more as a layer gets wider.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bnbook.data import datasets
from bnbook.data.batches import Batches
from bnbook.data.datasets import binarised
from bnbook.experiments.outside_the_gradient.networks import Normalization
from bnbook.experiments.outside_the_gradient.protocol import Config
from bnbook.nn.mlp import MLP, initialise
from bnbook.train.checkpoint import Checkpoint
from bnbook.train.loop import FIRST_LOSSES, Progress, train
from bnbook.train.measured import Measured
from bnbook.train.probes import Evaluation, StepSummary
from bnbook.train.schedules import DENSE, DENSEST


def train_run(
    config: Config,
    seed: int,
    checkpoint: Checkpoint | None,
    report: Callable[[int], None] = lambda step: None,
    measure: bool = True,
) -> Measured:
    """One run of the configuration's part; only that of the net uses the checkpoint."""
    if config.part == "toy":
        return toy(config, seed)
    if config.part == "cost":
        return cost(config, seed)
    return net(config, seed, checkpoint, report, measure)


# The paper's example


@dataclasses.dataclass
class Toy:
    """x = w u + b over one mini-batch u, normalized, against fixed targets; the paper has w = 1."""

    u: Tensor  # (m,)
    targets: Tensor  # (m,)
    weight: Tensor
    bias: Tensor
    normalization: Normalization

    def loss(self) -> Tensor:
        x = self.weight * self.u + self.bias
        return 0.5 * (self.normalization(x[:, None])[:, 0] - self.targets).square().mean()


def make_toy(config: Config, seed: int) -> Toy:
    """Targets that go with u a little and lie off zero: something is left to be learned, and the mean of
    what comes out cannot be it."""
    generator = torch.Generator().manual_seed(seed)
    u, noise = torch.randn(2, config.batch_size, generator=generator)
    return Toy(
        u=u,
        targets=0.5 * u + 0.5 * noise + 1.0,
        weight=torch.ones((), requires_grad=config.normalization != "mean"),
        bias=torch.zeros((), requires_grad=True),
        normalization=Normalization(config.normalization, config.ignored, config.eps),
    )


def toy(config: Config, seed: int) -> Measured:
    """Gradient descent on the toy; the curve has the loss, w and b."""
    began = time.perf_counter()
    model = make_toy(config, seed)
    learned = [value for value in (model.weight, model.bias) if value.requires_grad]
    wanted = set(DENSEST(config.steps))
    rows, losses = [], []
    for step in range(1, config.steps + 1):
        loss = model.loss()
        gradients = torch.autograd.grad(loss, learned)
        with torch.no_grad():
            for value, gradient in zip(learned, gradients, strict=True):
                value -= config.lr * gradient
        losses.append(loss.item())
        if step in wanted:
            rows.append((step, model.loss().item(), model.weight.item(), model.bias.item()))
    columns = dict(zip(("step", "loss", "weight", "bias"), map(list, zip(*rows, strict=True)), strict=True))
    progress = Progress(
        step=config.steps, seconds=time.perf_counter() - began, first_losses=losses[:FIRST_LOSSES]
    )
    final = {name: columns[name][-1] for name in ("loss", "weight", "bias")}
    return Measured(progress, {"toy": columns}, final, {})


# Inside a network


class Sizes:
    """Probe: mean absolute bias, and norm of the weights, over all hidden layers."""

    def __init__(self, steps: list[int]):
        self.steps = frozenset(steps)
        self.rows: list[dict[str, float]] = []

    def __call__(self, summary: StepSummary, model: MLP) -> None:
        layers = [layer.linear for layer in model.hidden]
        self.rows.append(
            {
                "step": summary.step,
                "train_loss": summary.train_loss,
                "bias": torch.cat([layer.bias for layer in layers]).abs().mean().item(),
                "weight": torch.cat([layer.weight.flatten() for layer in layers]).norm().item(),
            }
        )

    def columns(self) -> dict[str, list]:
        return {key: [row[key] for row in self.rows] for key in self.rows[0]} if self.rows else {"step": []}


def net(
    config: Config, seed: int, checkpoint: Checkpoint | None, report: Callable[[int], None], measure: bool
) -> Measured:
    """The network of Section 4.1, normalized as the configuration says."""
    data = datasets.load(config.data)
    training, test = binarised(data.train), binarised(data.test)
    model = network(config, training.x.shape[1], seed)
    steps = DENSE(config.steps)
    evaluation, sizes = Evaluation({"test": test}, steps), Sizes(steps)
    progress = train(
        model=model,
        loss_function=F.cross_entropy,
        optimizer=torch.optim.SGD(model.parameters(), lr=config.lr),
        batches=Batches(training, config.batch_size, seed),
        steps=config.steps,
        probes=[evaluation, sizes] if measure else [],
        checkpoint=checkpoint,
        report=report,
    )
    if not measure:
        return Measured(progress, {}, {}, {})
    curves = {"evaluation": evaluation.columns(), "sizes": sizes.columns()}
    final = {"chance_accuracy": 1 / datasets.CLASSES}
    if not progress.diverged:
        final |= {"test_accuracy": curves["evaluation"]["test_accuracy"][-1]}
        final |= {name: curves["sizes"][name][-1] for name in ("train_loss", "bias", "weight")}
    return Measured(progress, curves, final, {})


def network(config: Config, inputs: int, seed: int) -> MLP:
    """The initialised network, its layers normalized before their sigmoids and keeping their bias."""

    def norm(units: int) -> nn.Module:
        return Normalization(config.normalization, config.ignored, config.eps)

    model = MLP(inputs, config.hidden, config.depth, datasets.CLASSES, norm, bias=True)
    initialise(model, config.init_std, torch.Generator().manual_seed(seed))
    return model


# The cost of one layer


def cost(config: Config, seed: int) -> Measured:
    """Milliseconds of a layer's forward and backward, normalized and bare: medians of `steps` rounds that
    measure one after the other, and the median of their ratio."""
    began = time.perf_counter()
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(config.batch_size, config.hidden, generator=generator)
    linear = nn.Linear(config.hidden, config.hidden)
    normalized = nn.Sequential(linear, Normalization(config.normalization, config.ignored, config.eps))
    rounds = [(_milliseconds(normalized, x), _milliseconds(linear, x)) for _ in range(config.steps + 2)]
    rounds = rounds[2:]  # the first warm up
    final = {
        "milliseconds": statistics.median(own for own, _ in rounds),
        "bare_milliseconds": statistics.median(bare for _, bare in rounds),
        "times_bare": statistics.median(own / bare for own, bare in rounds),
    }
    progress = Progress(step=config.steps, seconds=time.perf_counter() - began)
    return Measured(progress, {}, final, {})


def _milliseconds(layer: nn.Module, x: Tensor) -> float:
    began = time.perf_counter()
    layer(x).square().mean().backward()
    return 1000 * (time.perf_counter() - began)
