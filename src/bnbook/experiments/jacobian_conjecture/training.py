"""Section 3.3: the singular values of the Jacobians between normalized layers, in the paper's linear case
and in real networks.

Run it: `bnbook run jacobian_conjecture --profile cpu --jobs 2`.
Expected: all singular values are 1 where the paper's premise holds, that is, where layers are whitened. With
batch normalization alone they spread as those of a random matrix do, or further.
"""

import functools
import itertools
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bnbook.data import datasets
from bnbook.data.batches import Batches
from bnbook.data.datasets import Split, binarised
from bnbook.experiments.jacobian_conjecture import networks as jacobian
from bnbook.experiments.jacobian_conjecture.protocol import LEVELS, NEAR, POPULATION_BATCHES, Config
from bnbook.experiments.outside_the_gradient.networks import covariance, inverse_root
from bnbook.nn.mlp import MLP, initialise
from bnbook.train.checkpoint import Checkpoint
from bnbook.train.loop import Progress, train
from bnbook.train.measured import Measured
from bnbook.train.probes import Evaluation, StepSummary
from bnbook.train.schedules import log_then_even


def train_run(
    config: Config,
    seed: int,
    checkpoint: Checkpoint | None,
    report: Callable[[int], None] = lambda step: None,
    measure: bool = True,
) -> Measured:
    """One run of the configuration's part; only that of the net uses the checkpoint."""
    if config.part == "linear":
        return linear(config, seed)
    return net(config, seed, checkpoint, report, measure)


def near(values: Tensor) -> float:
    """Percent of singular values within NEAR."""
    return 100 * ((values >= NEAR[0]) & (values <= NEAR[1])).double().mean().item()


def quantiles(values: Tensor) -> np.ndarray:
    """(len(LEVELS),) float32: the spectrum, from its smallest value to its largest."""
    return np.quantile(values.flatten().numpy(), LEVELS).astype(np.float32)


# The paper's argument: linear and Gaussian


def linear(config: Config, seed: int) -> Measured:
    """The spectra of `depth` layers, all together."""
    began = time.perf_counter()
    values = torch.linalg.svdvals(linear_jacobians(config, seed))
    final = {"near": near(values), "rms": values.square().mean().sqrt().item()}
    progress = Progress(step=config.steps, seconds=time.perf_counter() - began)
    return Measured(progress, {}, final, {"spectrum": quantiles(values)})


def linear_jacobians(config: Config, seed: int) -> Tensor:
    """(depth, hidden, hidden) float64: layer by layer, that of x_hat -> normalized W x_hat, with random W."""
    generator = torch.Generator().manual_seed(seed)
    size = (config.hidden, config.hidden)
    x_hat = torch.randn(config.batch_size, config.hidden, generator=generator, dtype=torch.float64)
    found = []
    for _ in range(config.depth):
        weight = torch.randn(*size, generator=generator, dtype=torch.float64) / config.hidden**0.5
        step = _normalizing(config, weight, x_hat @ weight.T) @ weight
        x_hat = x_hat @ step.T
        found.append(step)
    return torch.stack(found)


def _normalizing(config: Config, weight: Tensor, x: Tensor) -> Tensor:
    """The matrix that normalizes x = W x_hat (all means are 0, or nearly)."""
    spread = covariance(x, config.eps)
    scales = {
        "rows": lambda: torch.diag(1 / weight.norm(dim=1)),
        "bn": lambda: torch.diag(spread.diagonal().rsqrt()),
        "whiten": lambda: inverse_root(spread),
    }
    return scales[config.normalization]()


# Real networks


class Spectra:
    """Probe: the Jacobian from each normalized layer input to the next at the first `examples` images of the
    reference batch, whose statistics are the constants.

    A row a call: numbers by name, and quantiles (LEVELS,) over all pairs of layers and examples. "near" is in
    percent; "near_mean" is that of the Jacobian averaged over the batch; "rms" the root mean square singular
    value; "directions" how many of the units' directions x_hat fills, averaged over layers; "gain" what the
    loss's gradient is multiplied by in length from layer to layer.
    """

    def __init__(self, reference: Split, examples: int, eps: float, steps: list[int]):
        self.reference, self.examples, self.eps = reference, examples, eps
        self.steps = frozenset(steps)
        self.rows: list[tuple[dict[str, float], np.ndarray]] = []

    def __call__(self, summary: StepSummary, model: MLP) -> None:
        x, y = self.reference.x, self.reference.y
        layers = jacobian.layers(model, x, self.eps)
        pairs = list(itertools.pairwise(layers))
        own = torch.stack([torch.linalg.svdvals(jacobian.jacobians(*pair, self.examples)) for pair in pairs])
        mean = torch.stack([torch.linalg.svdvals(jacobian.mean_jacobian(*pair)) for pair in pairs])
        numbers = {
            "step": summary.step,
            "near": near(own),
            "near_mean": near(mean),
            "rms": own.square().mean().sqrt().item(),
            "directions": float(np.mean([jacobian.directions(layer.x_hat) for layer in layers])),
            "gain": jacobian.gradient_gain(model, layers, x, y, self.examples),
        }
        self.rows.append((numbers, quantiles(own)))

    def columns(self) -> dict[str, list]:
        rows = [numbers for numbers, _ in self.rows]
        return {key: [row[key] for row in rows] for key in rows[0]} if rows else {"step": []}

    def arrays(self) -> dict[str, np.ndarray]:
        """ "spectra" (T, LEVELS)."""
        return {"spectra": np.stack([spectrum for _, spectrum in self.rows])} if self.rows else {}


def net(
    config: Config, seed: int, checkpoint: Checkpoint | None, report: Callable[[int], None], measure: bool
) -> Measured:
    """The network of Section 4.1, with its spectra through training."""
    data = datasets.load(config.data)
    training, test = binarised(data.train_and_validation), binarised(data.test)
    model = network(config, training.x.shape[1], seed)
    batches = Batches(training, config.batch_size, seed)
    steps = log_then_even(config.steps, config.probe_growth, config.probe_every)
    evaluation = Evaluation({"test": test}, steps, population=following(batches, config))
    spectra = Spectra(training[: config.reference], config.examples, config.eps, steps)
    progress = train(
        model=model,
        loss_function=F.cross_entropy,
        optimizer=torch.optim.SGD(model.parameters(), lr=config.lr),
        batches=batches,
        steps=config.steps,
        probes=[evaluation, spectra] if measure else [],
        checkpoint=checkpoint,
        report=report,
    )
    if not measure:
        return Measured(progress, {}, {}, {})
    curves = {"evaluation": evaluation.columns(), "spectra": spectra.columns()}
    final = {"chance_accuracy": 1 / datasets.CLASSES}
    if not progress.diverged:
        accuracies = [key for key in curves["evaluation"] if key.startswith("test_accuracy")]
        final |= {name: curves["evaluation"][name][-1] for name in accuracies}
        final |= {name: column[-1] for name, column in curves["spectra"].items() if name != "step"}
    return Measured(progress, curves, final, spectra.arrays())


def following(batches: Batches, config: Config) -> list[Tensor]:
    """The images whose statistics evaluate a normalized network (Algorithm 2); none for a plain one."""
    number = POPULATION_BATCHES if config.normalization == "bn" else 0
    return [batches[config.steps + step][0] for step in range(number)]


def network(config: Config, inputs: int, seed: int) -> MLP:
    """The initialised network. Plain and normalized draw the same weights from the same seed."""
    norm = functools.partial(nn.BatchNorm1d, eps=config.eps) if config.normalization == "bn" else None
    model = MLP(inputs, config.hidden, config.depth, datasets.CLASSES, norm, config.activation)
    initialise(model, config.init_std, torch.Generator().manual_seed(seed))
    return model
