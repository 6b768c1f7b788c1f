"""The fully connected sigmoid network of Section 4.1."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn


class HiddenLayer(nn.Module):
    """g(BN(Wu)) where the layer normalizes, g(Wu + b) where it does not (Section 3.2); g is the sigmoid.

    With a norm the bias is left out: the mean is subtracted anyway, and beta takes its role.
    """

    def __init__(self, inputs: int, outputs: int, norm: Callable[[int], nn.Module] | None):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=norm is None)
        self.norm = norm(outputs) if norm else nn.Identity()

    def sigmoid_input(self, u: Tensor) -> Tensor:
        """(N, inputs) -> (N, outputs): what the sigmoid receives, after gamma and beta where there is BN."""
        return self.norm(self.linear(u))

    def forward(self, u: Tensor) -> Tensor:
        return torch.sigmoid(self.sigmoid_input(u))


class MLP(nn.Module):
    """(N, inputs) -> (N, classes) logits, through `depth` hidden layers of `hidden` sigmoids.

    `norm(units)` makes the normalization of one layer; None for the plain network.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        depth: int,
        classes: int,
        norm: Callable[[int], nn.Module] | None = None,
    ):
        super().__init__()
        widths = [inputs] + [hidden] * depth
        self.hidden = nn.ModuleList(HiddenLayer(a, b, norm) for a, b in pairwise(widths))
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
