"""Residual networks for small images (He et al. 2016, Section 4.2), and what they are compared with."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bnbook.experiments.depth.protocol import LAYERS_A_BLOCK

STAGES = 3  # of 1, 2 and 4 times as many maps, at 1, 1/2 and 1/4 of the side


class Block(nn.Module):
    """Two 3x3 convolutions; the first may halve the side. (N, inputs, H, W) -> (N, maps, H', W').

    - plain: g(F(u)), F being convolution, ReLU, convolution, normalized where `norm` says;
    - `residual`: g(s(u) + F(u)). The shortcut s has no parameters: places are left out and maps of zeros
      added where F changes the shape (option A of the paper);
    - `scaled` besides: g(s(u) + alpha F(u)) with a learned number alpha that starts at 0 (SkipInit, De &
      Smith 2020), so that the block starts as its shortcut.
    """

    def __init__(self, inputs: int, maps: int, stride: int, norm: bool, residual: bool, scaled: bool):
        super().__init__()
        self.stride, self.more, self.residual = stride, maps - inputs, residual
        self.first = nn.Conv2d(inputs, maps, 3, stride, padding=1, bias=not norm)
        self.second = nn.Conv2d(maps, maps, 3, padding=1, bias=not norm)
        self.first_norm = nn.BatchNorm2d(maps) if norm else nn.Identity()
        self.second_norm = nn.BatchNorm2d(maps) if norm else nn.Identity()
        self.alpha = nn.Parameter(torch.zeros(1)) if scaled else None

    def branch(self, u: Tensor) -> Tensor:
        """F(u)."""
        return self.second_norm(self.second(F.relu(self.first_norm(self.first(u)))))

    def shortcut(self, u: Tensor) -> Tensor:
        """s(u)."""
        kept = u[:, :, :: self.stride, :: self.stride]
        return F.pad(kept, (0, 0, 0, 0, 0, self.more)) if self.more else kept

    def forward(self, u: Tensor) -> Tensor:
        out = self.branch(u)
        if self.alpha is not None:
            out = self.alpha * out
        return F.relu(self.shortcut(u) + out if self.residual else out)


class DeepNet(nn.Module):
    """(N, 3, side, side) -> (N, classes) logits, in `depth` = 6n + 2 layers with weights.

    A convolution, three stages of n blocks, an output layer behind the mean over places. Images are first
    averaged over squares of `pool` places. Raises ValueError on another depth.
    """

    def __init__(
        self,
        depth: int,
        maps: int,
        classes: int,
        norm: bool = False,
        residual: bool = False,
        scaled: bool = False,
        pool: int = 1,
    ):
        super().__init__()
        blocks, rest = divmod(depth - 2, STAGES * LAYERS_A_BLOCK)
        if rest or blocks < 1:
            raise ValueError(f"depth is {depth}; it must be 6n + 2: 8, 14, 20, ...")
        self.pool = pool
        self.stem = nn.Conv2d(3, maps, 3, padding=1, bias=not norm)
        self.stem_norm = nn.BatchNorm2d(maps) if norm else nn.Identity()
        widths = [maps] + [maps * 2**stage for stage in range(STAGES) for _ in range(blocks)]
        self.blocks = nn.ModuleList(
            Block(a, b, 1 if a == b else 2, norm, residual, scaled) for a, b in pairwise(widths)
        )
        self.output = nn.Linear(widths[-1], classes)

    def features(self, x: Tensor) -> list[Tensor]:
        """What the first layer and each block put out, in their order."""
        found = [F.relu(self.stem_norm(self.stem(F.avg_pool2d(x, self.pool))))]
        for block in self.blocks:
            found.append(block(found[-1]))
        return found

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.features(x)[-1].mean(dim=(2, 3)))


def initialise(model: nn.Module, generator: torch.Generator) -> None:
    """Gaussian weights of variance 2 / fan-in (He et al. 2015), of 1 / fan-in in the output layer, and zero
    biases; gamma, beta and alpha stay as made. All networks of a shape draw the same weights from the same
    generator."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            gain = math.sqrt(2) if isinstance(module, nn.Conv2d) else 1.0
            nn.init.normal_(module.weight, 0, gain / math.sqrt(module.weight[0].numel()), generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
