"""A small convolutional network with BN or without, and gradient descent at matched effective rates."""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvLayer(nn.Module):
    """ReLU(BN(Wu)), or ReLU(Wu + b) without BN, W a 3x3 convolution of this stride."""

    def __init__(self, inputs: int, maps: int, stride: int, norm: bool):
        super().__init__()
        self.conv = nn.Conv2d(inputs, maps, 3, stride, padding=1, bias=not norm)
        self.norm = nn.BatchNorm2d(maps) if norm else nn.Identity()

    def forward(self, u: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(u)))


class ConvNet(nn.Module):
    """(N, 3, side, side) -> (N, classes) logits: convolutions of `maps`, all but the last halving the side,
    the mean of each map, and an output layer."""

    def __init__(self, maps: Sequence[int], classes: int, norm: bool):
        super().__init__()
        strides = [2] * (len(maps) - 1) + [1]
        self.layers = nn.ModuleList(
            ConvLayer(a, b, stride, norm)
            for (a, b), stride in zip(pairwise((3, *maps)), strides, strict=True)
        )
        self.output = nn.Linear(maps[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.output(x.mean((2, 3)))

    @property
    def weights(self) -> list[nn.Parameter]:
        """Those of the convolutions, layer by layer: before BN where there is BN."""
        return [layer.conv.weight for layer in self.layers]


def initialise(model: ConvNet, generator: torch.Generator) -> None:
    """Gaussian weights of He's variance 2 / fan-in (1 / fan-in for the output layer), biases zero; the same
    with BN and without."""
    for weight in model.weights:
        nn.init.normal_(weight, 0, math.sqrt(2 / weight[0].numel()), generator=generator)
    nn.init.normal_(model.output.weight, 0, model.output.in_features**-0.5, generator=generator)
    for name, parameter in model.named_parameters():
        if name.endswith(("conv.bias", "output.bias")):
            nn.init.zeros_(parameter)


def between(points: Sequence[float], steps: int) -> Callable[[int], float]:
    """A positive function of the step, from 0, that has these values at the ends of equal parts of `steps`:
    straight in the logarithm between them."""
    places, logs = np.linspace(0, steps, len(points)), np.log(points)
    return lambda step: float(np.exp(np.interp(step, places, logs)))


class MatchedSGD(torch.optim.SGD):
    """Gradient descent without decay, as weight decay would have it where only the direction of W counts.

    Decay at rate lr makes the step W <- (1 - lr decay) W - lr G. As far as directions go it is the same to
    leave W alone and take lr / (1 - lr decay); and with W held at another norm than it would have, the rate
    goes with the square of the norms' ratio, since the gradient falls as one over the norm. So each of the
    `groups` that has a "ratio", a function of the step (squared norm under decay over the one that it is held
    at) and a single parameter, has its rate divided by it, and its parameter scaled back after every step to
    the norm that it began with. Groups without one are SGD's own.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float, mimicked: float):
        super().__init__(groups, lr=lr)
        self.mimicked = mimicked
        self.taken = 0
        held = (group for group in self.param_groups if "ratio" in group)
        self.norms = {group["params"][0]: group["params"][0].detach().norm() for group in held}

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        held = [group for group in self.param_groups if "ratio" in group]
        for group in held:
            lr = group["lr"] / (1 - group["lr"] * self.mimicked)
            group["lr"] = lr / group["ratio"](self.taken)
        loss = super().step(closure)
        for group in held:
            (weight,) = group["params"]
            weight.mul_(self.norms[weight] / weight.norm())
        self.taken += 1
        return loss
