"""The Jacobian of Section 3.3, from one normalized layer input to the next, and networks to take it of.

With x_l what layer l puts into its normalization, x_hat_l its standardised version, and y_l what its
activation g receives:

    x_hat_{l+1} = (W g(y_l) + b - mean) / std,    d x_hat_{l+1} / d x_hat_l = diag(1/std) W diag(g'(y_l) s_l),

where s_l = d y_l / d x_hat_l is gamma with batch normalization. Without it y_l is x_l, and s_l is the
standard deviation that standardising afterwards divides by: the same quantity is compared in both networks.
"""

import dataclasses
import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from bnbook.nn.batchnorm import LAYERS, batch_statistics

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU}
TINY = 1e-12  # for the logarithm of a gradient that is lost


def network(
    inputs: int, hidden: int, depth: int, classes: int, activation: str, normalized: bool, eps: float = 1e-5
) -> nn.Sequential:
    """(N, inputs) -> (N, classes): linear, batch normalization or nothing, activation, `depth` times; then
    the output layer. A normalized layer has no bias (Section 3.2)."""
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation is {activation!r}; it must be one of {', '.join(ACTIVATIONS)}")
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise([inputs] + [hidden] * depth):
        norm = nn.BatchNorm1d(b, eps=eps) if normalized else nn.Identity()
        layers += [nn.Linear(a, b, bias=not normalized), norm, ACTIVATIONS[activation]()]
    return nn.Sequential(*layers, nn.Linear(hidden, classes))


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


def gradient_gain(model: nn.Sequential, passed: list[Layer], x: Tensor, y: Tensor, examples: int) -> float:
    """What the loss's gradient is multiplied by, in length, from one normalized layer input back to the one
    before: the geometric mean over layers and the first examples of the batch `x`, labels `y`."""
    with torch.no_grad(), batch_statistics(model):
        error = model(x)[:examples].double().softmax(1) - functional.one_hot(
            y[:examples], model[-1].out_features
        )
    gradient = error @ model[-1].weight.detach().double() * passed[-1].slope[:examples]
    gains = []
    for before, after in reversed(list(itertools.pairwise(passed))):
        following, gradient = gradient, (gradient[:, None] @ jacobians(before, after, examples))[:, 0]
        gains.append(gradient.norm(dim=1) / following.norm(dim=1))
    return torch.stack(gains).clamp(min=TINY).log().nanmean().exp().item()


def layers(model: nn.Sequential, x: Tensor, eps: float = 1e-5) -> list[Layer]:
    """The hidden layers of `network` as the batch `x` passes them; `eps` is added to variances."""
    return list(_pass(model, x, eps))


def _pass(model: nn.Sequential, x: Tensor, eps: float) -> Iterator[Layer]:
    hidden = list(model)[:-1]
    with batch_statistics(model):
        for linear, norm, activation in zip(hidden[::3], hidden[1::3], hidden[2::3], strict=True):
            with torch.no_grad():
                before = linear(x)
                std = (before.double().var(0, unbiased=False) + eps).sqrt()
                scale = norm.weight.double() if isinstance(norm, LAYERS) else std
            y = norm(before).detach().requires_grad_()
            x = activation(y)
            (slope,) = torch.autograd.grad(x.sum(), y)
            x = x.detach()
            yield Layer(
                weight=linear.weight.detach().double(),
                x_hat=(before.double() - before.double().mean(0)) / std,
                std=std,
                slope=slope.double() * scale,
            )


def directions(x: Tensor) -> float:
    """How many directions (N, C) values of unit variance fill: C where they are uncorrelated, 1 where all go
    together. (sum of eigenvalues)^2 / sum of their squares, of the correlation matrix."""
    correlation = torch.corrcoef(x.T).nan_to_num(0.0)
    return (correlation.trace() ** 2 / correlation.square().sum()).item()
