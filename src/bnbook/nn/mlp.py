"""Fully connected networks: that of Section 4.1, and what the other experiments make of it."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU}


class HiddenLayer(nn.Module):
    """g(BN(Wu)) where the layer normalizes, g(Wu + b) where it does not (Section 3.2); then Dropout."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        norm: Callable[[int], nn.Module] | None,
        activation: str,
        bias: bool,
        dropout: float,
    ):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=bias)
        self.norm = norm(outputs) if norm else nn.Identity()
        self.activation = ACTIVATIONS[activation]()
        self.dropout = nn.Dropout(dropout)

    def preactivation(self, u: Tensor) -> Tensor:
        """(N, inputs) -> (N, outputs): what g receives, after gamma and beta where there is BN."""
        return self.norm(self.linear(u))

    def forward(self, u: Tensor) -> Tensor:
        return self.dropout(self.activation(self.preactivation(u)))


class MLP(nn.Module):
    """(N, inputs) -> (N, classes) logits, through `depth` hidden layers of `hidden` units.

    `norm(units)` makes the normalization of one layer; None for the plain network. With a norm the bias is
    left out, unless `bias` says otherwise: the mean is subtracted anyway, and beta takes its role.
    `activation` is one of ACTIVATIONS, else ValueError; `dropout` the share of a hidden layer's outputs that
    training drops.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        depth: int,
        classes: int,
        norm: Callable[[int], nn.Module] | None = None,
        activation: str = "sigmoid",
        bias: bool | None = None,
        dropout: float = 0.0,
    ):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation is {activation!r}; it must be one of {', '.join(ACTIVATIONS)}")
        bias = norm is None if bias is None else bias
        self.hidden = nn.ModuleList(
            HiddenLayer(a, b, norm, activation, bias, dropout)
            for a, b in pairwise([inputs] + [hidden] * depth)
        )
        self.output = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.hidden:
            x = layer(x)
        return self.output(x)

    def below_last(self, x: Tensor) -> Tensor:
        """(N, inputs) -> (N, hidden): what the last hidden layer receives."""
        for layer in self.hidden[:-1]:
            x = layer(x)
        return x


def initialise(model: nn.Module, std: float, generator: torch.Generator) -> None:
    """Small random Gaussian weights, N(0, std^2), and zero biases (Section 4.1); norm layers stay as made."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, std, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
