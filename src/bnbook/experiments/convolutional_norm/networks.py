"""A small convolutional network that normalizes where, and over what, it is told to (Section 3.2)."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bnbook.nn.inception import PerActivationNorm

OVER = ("none", "map", "activation")
PLACES = ("before", "after", "input")


def norm(over: str, maps: int, side: int, eps: float) -> nn.Module:
    """Batch normalization of (N, maps, side, side): statistics, gamma and beta for each "map", or for each
    "activation", that is, each place of each map; "none" changes nothing."""
    if over not in OVER:
        raise ValueError(f"norm is {over!r}; it must be one of {', '.join(OVER)}")
    if over == "map":
        return nn.BatchNorm2d(maps, eps)
    return PerActivationNorm(maps, side, eps) if over == "activation" else nn.Identity()


class ConvLayer(nn.Module):
    """A 3x3 convolution W, a ReLU g, and BN at its place: "before" the nonlinearity, g(BN(Wu + b)); "after"
    it, BN(g(Wu + b)); or on the layer's "input", g(W BN(u) + b). With `bias` false there is no b.

    (N, inputs, side, side) -> (N, maps, side, side).
    """

    def __init__(self, inputs: int, maps: int, side: int, over: str, place: str, bias: bool, eps: float):
        super().__init__()
        if place not in PLACES:
            raise ValueError(f"place is {place!r}; it must be one of {', '.join(PLACES)}")
        self.place = place
        self.conv = nn.Conv2d(inputs, maps, 3, padding=1, bias=bias)
        self.norm = norm(over, inputs if place == "input" else maps, side, eps)

    def linear(self, u: Tensor) -> Tensor:
        """Wu + b, of the normalized u where the input is what is normalized."""
        return self.conv(self.norm(u) if self.place == "input" else u)

    def relu_input(self, u: Tensor) -> Tensor:
        """What the nonlinearity receives."""
        x = self.linear(u)
        return self.norm(x) if self.place == "before" else x

    def forward(self, u: Tensor) -> Tensor:
        z = F.relu(self.relu_input(u))
        return self.norm(z) if self.place == "after" else z


class ConvNet(nn.Module):
    """(N, 1, side, side) -> (N, classes) logits: two layers, of `maps` and twice as many, each followed by
    2x2 maximum pooling, and an output layer."""

    def __init__(self, side: int, maps: int, classes: int, over: str, place: str, bias: bool, eps: float):
        super().__init__()
        self.layers = nn.ModuleList(
            ConvLayer(a, b, side // shrunk, over, place, bias, eps)
            for (a, b), shrunk in zip(pairwise((1, maps, 2 * maps)), (1, 2), strict=True)
        )
        self.output = nn.Linear(2 * maps * (side // 4) ** 2, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.layer_inputs(x)[-1].flatten(1))

    def layer_inputs(self, x: Tensor) -> list[Tensor]:
        """What each layer receives, the output layer being the last."""
        found = [x]
        for layer in self.layers:
            found.append(F.max_pool2d(layer(found[-1]), 2))
        return found


def initialise(model: ConvNet, bias_std: float, generator: torch.Generator) -> None:
    """Gaussian weights of He's variance 2 / fan-in (1 / fan-in for the output layer), which are the same for
    every kind and place of BN; then the convolutions' biases, N(0, bias_std^2), where there are any."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            gain = math.sqrt(2) if isinstance(module, nn.Conv2d) else 1.0
            std = gain / math.sqrt(module.weight[0].numel())
            nn.init.normal_(module.weight, 0, std, generator=generator)
    nn.init.zeros_(model.output.bias)
    for layer in model.layers:
        if layer.conv.bias is not None:
            nn.init.normal_(layer.conv.bias, 0, bias_std, generator=generator)
