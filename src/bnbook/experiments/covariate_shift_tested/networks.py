"""Batch normalization followed by noise that never settles (Santurkar et al. 2018, Section 2.1)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bnbook.nn.mlp import MLP


class DriftingNoise(nn.Module):
    """s * y + m of each value y of (N, units), with noise whose distribution is another at every step.

    In training each forward pass draws for every unit a mean from U(-mean, mean) and a scale from
    U(1, scale), and then for every example its own m and s around these: m from U(mean - spread,
    mean + spread), s from N(scale, spread^2). That is Algorithm 1 of the paper's appendix. Nothing in it is
    learned, and no weight can foresee it. In evaluation m and s are what they are on average, as Dropout's
    factor is: 0 and (1 + scale) / 2. Draws come from torch's own generator.
    """

    def __init__(self, mean: float, scale: float, spread: float):
        super().__init__()
        self.mean, self.scale, self.spread = mean, scale, spread

    def forward(self, y: Tensor) -> Tensor:
        if not self.training:
            return y * ((1 + self.scale) / 2)
        units = y.shape[1]
        mean = self.mean * (2 * torch.rand(units) - 1)
        scale = 1 + (self.scale - 1) * torch.rand(units)
        m = mean + self.spread * (2 * torch.rand_like(y) - 1)
        s = scale + self.spread * torch.randn_like(y)
        return s * y + m


def noisy_norm(units: int, eps: float, mean: float, scale: float, spread: float) -> nn.Module:
    """BN with gamma and beta, and then the noise: what the sigmoids receive."""
    return nn.Sequential(nn.BatchNorm1d(units, eps), DriftingNoise(mean, scale, spread))


# What a step does to the layers above, and what lies along it

Parameters = list[Tensor]


def layer_parameters(model: MLP) -> list[Parameters]:
    """Of each layer from the first to the output layer, its weights first."""
    return [list(layer.parameters()) for layer in (*model.hidden, model.output)]


class Step:
    """The network as it stands, the mini-batch (x, y) and the step of gradient descent at rate `lr` that it
    would take there, in a model whose parameters are put back afterwards.

    `redraw(number)` seeds whatever the network draws: equal numbers draw the same.
    """

    def __init__(self, model: MLP, x: Tensor, y: Tensor, lr: float, redraw: Callable[[int], None]):
        self.model, self.x, self.y, self.lr, self.redraw = model, x, y, lr, redraw
        self.layers = layer_parameters(model)
        self.parameters = [one for layer in self.layers for one in layer]
        self.start = [one.detach().clone() for one in self.parameters]
        self.loss, self.gradient = self.at(self.start, 0)

    def at(self, values: Parameters, draw: int) -> tuple[float, Parameters]:
        """The mini-batch's loss, and its gradient by all parameters, with the parameters at `values`."""
        with torch.no_grad():
            for parameter, value in zip(self.parameters, values, strict=True):
                parameter.copy_(value)
        self.redraw(draw)
        loss = F.cross_entropy(self.model(self.x), self.y)
        gradient = list(torch.autograd.grad(loss, self.parameters))
        with torch.no_grad():
            for parameter, value in zip(self.parameters, self.start, strict=True):
                parameter.copy_(value)
        return loss.item(), gradient

    def moved(self, factor: float, below: int | None = None) -> Parameters:
        """The parameters after `factor` times the step; with `below` only those of the layers before it."""
        ends = [0]
        for layer in self.layers:
            ends.append(ends[-1] + len(layer))
        last = ends[-1] if below is None else ends[below]
        return [
            value - factor * self.lr * slope if place < last else value
            for place, (value, slope) in enumerate(zip(self.start, self.gradient, strict=True))
        ]

    def shifts(self) -> list[tuple[Tensor, Tensor]]:
        """Internal covariate shift as the paper defines it (Definition 2.1), for each layer but the first:
        the gradient by the layer's weights as it is, and as it is once all layers below have made their step
        and it has not. What the network draws is drawn anew, as it is at the next step."""
        return [
            (self.gradient[place], self.at(self.moved(1, below=number), 1)[1][place])
            for number, place in enumerate(self._weights())
            if number
        ]

    def _weights(self) -> list[int]:
        """Where each layer's weights stand among all parameters."""
        counts = [0, *(len(layer) for layer in self.layers)]
        return [sum(counts[: number + 1]) for number in range(len(self.layers))]

    def along(self, factors: tuple[float, ...]) -> list[tuple[float, Tensor]]:
        """The loss and the change of the gradient (all of it, in one vector) after `factors` times the step;
        what the network draws stays as it was."""
        here = flat(self.gradient)
        found = (self.at(self.moved(factor), 0) for factor in factors)
        return [(loss, flat(gradient) - here) for loss, gradient in found]


def flat(parameters: Parameters) -> Tensor:
    return torch.cat([one.flatten() for one in parameters])
