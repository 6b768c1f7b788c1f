"""Section 3, Algorithm 1: errors of the transform and of its gradient, by precision and by input.

Run it: `bnbook run algorithm1_line_by_line --profile cpu`.
Expected: the gradient by hand is that of finite differences; far from zero the variance E[x^2] - E[x]^2 fails
in float32 and bfloat16, where that of the deviations does not.
"""

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from bnbook.experiments.algorithm1_line_by_line import networks as algorithm1
from bnbook.experiments.algorithm1_line_by_line.networks import TRANSFORMS, Transform, forward_backward
from bnbook.experiments.algorithm1_line_by_line.protocol import DTYPES, Config
from bnbook.nn.batchnorm import BatchNormFunction
from bnbook.train.checkpoint import Checkpoint
from bnbook.train.loop import Progress
from bnbook.train.measured import Measured

Batch = tuple[Tensor, Tensor, Tensor, Tensor]  # x and dl/dy, (m, C), gamma and beta, (C,)


def train_run(
    config: Config,
    seed: int,
    checkpoint: Checkpoint | None,
    report: Callable[[int], None] = lambda step: None,
    measure: bool = True,
) -> Measured:
    """What the configuration's part measures; nothing is trained."""
    began = time.perf_counter()
    curves, final = PARTS[config.part](config, seed) if measure else ({}, {})
    progress = Progress(step=config.steps, seconds=time.perf_counter() - began)
    return Measured(progress, curves, final, {})


def batch(config: Config, seed: int) -> Batch:
    """A mini-batch in float64: normal x, normal dl/dy, gamma about 1 and beta about 0."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    x = config.mean + config.std * normal(config.batch_size, config.channels)
    d_y = normal(config.batch_size, config.channels)
    return x, d_y, 1 + 0.1 * normal(config.channels), 0.1 * normal(config.channels)


def relative_error(found: Tensor, truth: np.ndarray) -> float:
    """The largest error over the largest right value."""
    return float(np.abs(found.double().numpy() - truth).max() / np.abs(truth).max())


# Inputs, easy and badly scaled


def inputs(config: Config, seed: int) -> tuple[dict, dict[str, float]]:
    """By "<way>.<dtype>.": "y" and "d_x", relative errors; "moments", how far mean and variance of x_hat are
    from what they should be. By "<variance>.<dtype>.": "lost", the share of channels whose variance is off by
    more than half; "negative", of those where it is below zero. "identity" and "identity_eps"."""
    values = batch(config, seed)
    final = {}
    for name in DTYPES:
        rounded = [value.to(getattr(torch, name)) for value in values]
        y, d_x, variance = algorithm1.exact(*rounded, config.eps)
        for way, transform in TRANSFORMS.items():
            found_y, found_d_x = forward_backward(transform, *rounded, config.eps)
            final[f"{way}.{name}.y"] = relative_error(found_y, y)
            final[f"{way}.{name}.d_x"] = relative_error(found_d_x, d_x)
            final[f"{way}.{name}.moments"] = moments_error(transform, rounded[0], variance, config.eps)
        for how, compute in VARIANCES.items():
            found = compute(rounded[0]).double().numpy()
            final[f"{how}.{name}.lost"] = float((np.abs(found - variance) > variance / 2).mean())
            final[f"{how}.{name}.negative"] = float((found < 0).mean())
    final["identity"] = identity_error(values[0], config.eps, 0.0)
    final["identity_eps"] = identity_error(values[0], config.eps, config.eps)
    return {}, final


def moments_error(transform: Transform, x: Tensor, variance: np.ndarray, eps: float) -> float:
    """The larger of two errors of x_hat, over all channels: its mean, which should be 0, and its variance,
    which should be sigma^2 / (sigma^2 + eps), 1 but for eps."""
    ones, zeros = torch.ones_like(x[0]), torch.zeros_like(x[0])
    x_hat = transform(x, ones, zeros, eps).double().numpy()
    mean = np.abs(x_hat.mean(0)).max()
    return float(max(mean, np.abs(x_hat.var(0) - variance / (variance + eps)).max()))


def identity_error(x: Tensor, eps: float, added: float) -> float:
    """What is left of x - y where gamma = sqrt(Var[x] + added) and beta = E[x] are to undo the normalization:
    the largest difference over the spread of x. The paper adds nothing."""
    gamma = (x.var(0, unbiased=False) + added).sqrt()
    y = algorithm1.ours(x, gamma, x.mean(0), eps)
    return ((y - x).abs().max() / x.std()).item()


# The variance, as the mean moves away


VARIANCES: dict[str, Callable[[Tensor], Tensor]] = {
    "ours": lambda x: BatchNormFunction.apply(x, torch.ones_like(x[0]), torch.zeros_like(x[0]), 0.0)[2],
    "deviations": algorithm1.deviations_variance,
    "naive": algorithm1.naive_variance,
}


def variance(config: Config, seed: int) -> tuple[dict, dict]:
    """The relative error of the variance, the median over channels, by "<variance>.<dtype>"."""
    x = batch(config, seed)[0]
    columns: dict[str, list[float]] = {"step": [], "distance": []}
    for step, distance in enumerate(config.sweep, start=1):
        columns["step"].append(step)
        columns["distance"].append(distance)
        for name in ("float64", "float32"):
            moved = (x + distance * config.std).to(getattr(torch, name))
            truth = algorithm1.exact_variance(moved)
            for how, compute in VARIANCES.items():
                error = np.median(np.abs(compute(moved).double().numpy() - truth) / truth)
                columns.setdefault(f"{how}.{name}", []).append(float(error))
    return {"variance": columns}, {}


# The gradient against finite differences


def differences(config: Config, seed: int) -> tuple[dict, dict]:
    """Relative errors by stride: of the gradient by hand against differences in float64 and in float32, and
    of the gradient that takes mean and variance for constants ("ignored") against those in float64."""
    x, d_y, gamma, beta = batch(config, seed)
    by_hand = forward_backward(algorithm1.ours, x, d_y, gamma, beta, config.eps)[1]
    ignored = d_y * gamma / (x.var(0, unbiased=False) + config.eps).sqrt()
    columns: dict[str, list[float]] = {"step": [], "stride": [], "float64": [], "float32": [], "ignored": []}
    for step, stride in enumerate(config.sweep, start=1):
        wide = algorithm1.differences(x, d_y, gamma, beta, config.eps, stride * config.std)
        narrow = algorithm1.differences(
            x.float(), d_y.float(), gamma.float(), beta.float(), config.eps, stride * config.std
        )
        columns["step"].append(step)
        columns["stride"].append(stride)
        columns["float64"].append(relative_error(wide, by_hand.numpy()))
        columns["float32"].append(relative_error(narrow, by_hand.numpy()))
        columns["ignored"].append(relative_error(wide, ignored.numpy()))
    return {"differences": columns}, {}


PARTS = {"input": inputs, "variance": variance, "differences": differences}
