"""The Jacobian of Section 3.3, from one normalized layer input to the next.

With x_l what layer l puts into its normalization, x_hat_l its standardised version, and y_l what its
activation g receives:

    x_hat_{l+1} = (W g(y_l) + b - mean) / std,    d x_hat_{l+1} / d x_hat_l = diag(1/std) W diag(g'(y_l) s_l),

where s_l = d y_l / d x_hat_l is gamma with batch normalization. Without it y_l is x_l, and s_l is the
standard deviation that standardising afterwards divides by: the same quantity is compared in both networks.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from bnbook.nn.batchnorm import LAYERS, batch_statistics
from bnbook.nn.mlp import MLP

TINY = 1e-12  # for the logarithm of a gradient that is lost


@dataclasses.dataclass(frozen=True)
class Layer:
    """One hidden layer as a batch of N examples passes it, in float64, its statistics those of the batch."""

    weight: Tensor  # (units, units of the layer before)
    x_hat: Tensor  # (N, units): standardised
    std: Tensor  # (units,)
    slope: Tensor  # (N, units): d g(y) / d x_hat


def jacobians(before: Layer, after: Layer, examples: int) -> Tensor:
    """(examples, units after, units before): the Jacobian at each of the batch's first examples, with the
    statistics constant."""
    return after.weight / after.std[:, None] * before.slope[:examples, None, :]


def mean_jacobian(before: Layer, after: Layer) -> Tensor:
    """(units after, units before): the mean over the whole batch. Were x_hat Gaussian it would be the best
    linear approximation of the step from layer to layer (Stein's lemma)."""
    return after.weight / after.std[:, None] * before.slope.mean(0)


def gradient_gain(model: MLP, passed: list[Layer], x: Tensor, y: Tensor, examples: int) -> float:
    """What the loss's gradient is multiplied by, in length, from one normalized layer input back to the one
    before: the geometric mean over layers and the first examples of the batch `x`, labels `y`."""
    with torch.no_grad(), batch_statistics(model):
        error = model(x)[:examples].double().softmax(1) - functional.one_hot(
            y[:examples], model.output.out_features
        )
    gradient = error @ model.output.weight.detach().double() * passed[-1].slope[:examples]
    gains = []
    for before, after in reversed(list(itertools.pairwise(passed))):
        following, gradient = gradient, (gradient[:, None] @ jacobians(before, after, examples))[:, 0]
        gains.append(gradient.norm(dim=1) / following.norm(dim=1))
    mean = torch.stack(gains).clamp(min=TINY).log().nanmean().exp().item()
    return TINY if math.isnan(mean) else mean  # of no example is any gradient left


def layers(model: MLP, x: Tensor, eps: float = 1e-5) -> list[Layer]:
    """The hidden layers of `model` as the batch `x` passes them; `eps` is added to variances."""
    return list(_pass(model, x, eps))


def _pass(model: MLP, x: Tensor, eps: float) -> Iterator[Layer]:
    with batch_statistics(model):
        for layer in model.hidden:
            with torch.no_grad():
                before = layer.linear(x)
                std = (before.double().var(0, unbiased=False) + eps).sqrt()
                scale = layer.norm.weight.double() if isinstance(layer.norm, LAYERS) else std
            y = layer.norm(before).detach().requires_grad_()
            x = layer.activation(y)
            (slope,) = torch.autograd.grad(x.sum(), y)
            x = x.detach()
            yield Layer(
                weight=layer.linear.weight.detach().double(),
                x_hat=(before.double() - before.double().mean(0)) / std,
                std=std,
                slope=slope.double() * scale,
            )


def directions(x: Tensor) -> float:
    """How many directions (N, C) values of unit variance fill: C where they are uncorrelated, 1 where all go
    together. (sum of eigenvalues)^2 / sum of their squares, of the correlation matrix."""
    correlation = torch.corrcoef(x.T).nan_to_num(0.0)
    squares = correlation.square().sum()
    return (correlation.trace() ** 2 / squares).item() if squares else 0.0  # nothing varies
