"""Algorithm 1 in other ways than `bnbook.nn.batchnorm`'s, to hold that one against: as it is printed, with
the naive variance, as torch has it, and exactly.

All take x, (m, C), gamma and beta, (C,), and eps. (Ioffe & Szegedy 2015, Section 3.)
"""

import decimal
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bnbook.nn.batchnorm import BatchNormFunction

# (x, gamma, beta, eps) -> y, in the shape and dtype of x.
Transform = Callable[[Tensor, Tensor, Tensor, float], Tensor]

DIGITS = 50  # of the exact one: the squares of float64's 16 fit, with room for what cancels


def deviations_variance(x: Tensor) -> Tensor:
    """(m, C) -> (C,): the mean squared deviation from the mean, as Algorithm 1 has it."""
    return (x - x.mean(0)).square().mean(0)


def naive_variance(x: Tensor) -> Tensor:
    """(m, C) -> (C,): E[x^2] - E[x]^2, the same number on paper. In a computer it may be negative."""
    return x.square().mean(0) - x.mean(0).square()


def ours(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    return BatchNormFunction.apply(x, gamma, beta, eps)[0]


def torchs(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    return F.batch_norm(x, None, None, gamma, beta, training=True, eps=eps)


def printed(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    """Algorithm 1 as it is printed, every line in the dtype of `x`."""
    return gamma * (x - x.mean(0)) / (deviations_variance(x) + eps).sqrt() + beta


def naive(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    """The same with the naive variance, taken for 0 where it is negative."""
    return gamma * (x - x.mean(0)) / (naive_variance(x).clamp(min=0) + eps).sqrt() + beta


TRANSFORMS: dict[str, Transform] = {"ours": ours, "torch": torchs, "printed": printed, "naive": naive}


def forward_backward(
    transform: Transform, x: Tensor, d_y: Tensor, gamma: Tensor, beta: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """y and dl/dx, both (m, C), where the loss l has the gradient `d_y`, (m, C), with respect to y."""
    x = x.detach().requires_grad_()
    y = transform(x, gamma, beta, eps)
    y.backward(d_y)
    return y.detach(), x.grad


def exact(x: Tensor, d_y: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> tuple[np.ndarray, ...]:
    """y, dl/dx, both (m, C), and sigma^2_B, (C,), without rounding but for the last, to float64.

    Decimal numbers, in the paper's equations one by one, with no shortcut: the second term of dl/dmu, too,
    which is zero.
    """
    with decimal.localcontext(prec=DIGITS):
        x, d_y, gamma, beta = (decimals(value) for value in (x, d_y, gamma, beta))
        m, eps = len(x), decimal.Decimal(eps)

        mean = x.sum(0) / m
        variance = ((x - mean) * (x - mean)).sum(0) / m
        std = np.array([(one + eps).sqrt() for one in variance])
        x_hat = (x - mean) / std
        y = gamma * x_hat + beta

        d_x_hat = d_y * gamma
        d_variance = (d_x_hat * (x - mean)).sum(0) * decimal.Decimal("-0.5") / (std * std * std)
        d_mean = (d_x_hat * (-1 / std)).sum(0) + d_variance * (-2 * (x - mean)).sum(0) / m
        d_x = d_x_hat / std + d_variance * 2 * (x - mean) / m + d_mean / m

        return y.astype(float), d_x.astype(float), variance.astype(float)


def exact_variance(x: Tensor) -> np.ndarray:
    """(m, C) -> (C,): the last of `exact` alone."""
    with decimal.localcontext(prec=DIGITS):
        x = decimals(x)
        centred = x - x.sum(0) / len(x)
        return ((centred * centred).sum(0) / len(x)).astype(float)


def decimals(values: Tensor) -> np.ndarray:
    """The same numbers as `decimal.Decimal`; every float is one exactly."""
    plain = values.double()
    return np.array([decimal.Decimal(one) for one in plain.flatten().tolist()]).reshape(plain.shape)


def differences(x: Tensor, d_y: Tensor, gamma: Tensor, beta: Tensor, eps: float, stride: float) -> Tensor:
    """dl/dx, (m, C), by central differences, of l = sum y dl/dy: every x moved by `stride` up and down.

    Channels know nothing of one another, so the x of all channels in a row are moved at once.
    """

    def losses(moved: Tensor) -> Tensor:
        return (printed(moved, gamma, beta, eps) * d_y).sum(0)

    rows = []
    for row in range(len(x)):
        step = torch.zeros_like(x)
        step[row] = stride
        rows.append((losses(x + step) - losses(x - step)) / (2 * stride))
    return torch.stack(rows)
