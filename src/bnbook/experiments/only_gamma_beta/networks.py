"""Small residual networks of 6n + 2 layers for CIFAR (He et al. 2016), and what of them is trained."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bnbook.experiments.only_gamma_beta.protocol import ARMS, PER_CHANNEL


class Block(nn.Module):
    """Two 3x3 convolutions with BN beside a skip without parameters: where the block has a stride, every
    second place of the input, and channels of zeros for those that are new.

    (N, inputs, side, side) -> (N, outputs, side / stride, side / stride).
    """

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.stride, self.new = stride, outputs - inputs
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        z = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        skip = F.pad(x[..., :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new))
        return F.relu(z + skip)


class ResNet(nn.Module):
    """(N, 3, side, side) -> (N, classes) logits: a convolution, three stages of (depth - 2) / 6 blocks with
    `width`, twice and four times as many channels, the mean over places, an output layer.

    Raises ValueError where `depth` is not 6n + 2.
    """

    def __init__(self, depth: int, width: int, classes: int):
        super().__init__()
        blocks, rest = divmod(depth - 2, 6)
        if rest or not blocks:
            raise ValueError(f"depth is {depth}; it must be 6n + 2, such as 8 or 14")
        self.conv = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.blocks = nn.Sequential()
        channels = width
        for stage in range(3):
            for block in range(blocks):
                outputs = width * 2**stage
                self.blocks.append(Block(channels, outputs, 2 if stage and not block else 1))
                channels = outputs
        self.output = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        z = self.blocks(F.relu(self.norm(self.conv(x))))
        return self.output(z.mean(dim=(2, 3)))


def norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    """The BN layers, from the first."""
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]


def convolutions(model: nn.Module) -> list[nn.Conv2d]:
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)]


def initialise(model: ResNet, generator: torch.Generator) -> None:
    """As the paper has it: convolutions of He's variance 2 / fan-in, gamma uniform between 0 and 1, beta 0;
    the output layer N(0, 1 / fan-in), its biases 0."""
    for conv in convolutions(model):
        nn.init.normal_(conv.weight, 0, math.sqrt(2 / conv.weight[0].numel()), generator=generator)
    for norm in norms(model):
        nn.init.uniform_(norm.weight, 0, 1, generator=generator)
        nn.init.zeros_(norm.bias)
    nn.init.normal_(model.output.weight, 0, model.output.in_features**-0.5, generator=generator)
    nn.init.zeros_(model.output.bias)


def free(model: ResNet, arm: str, generator: torch.Generator) -> tuple[list[nn.Parameter], int]:
    """Freeze all but what `arm` trains, one of ARMS; returns the tensors with free parameters, and how many
    parameters are free. Raises ValueError on an arm that is not there.

    "random" frees PER_CHANNEL weights of every channel's filter, drawn by `generator`: of the gradient of
    a filter only those entries are left, and an optimizer without weight decay never moves the others.
    """
    trained = {
        "gamma_beta": [p for norm in norms(model) for p in norm.parameters()],
        "random": [conv.weight for conv in convolutions(model)],
        "output": list(model.output.parameters()),
        "all": list(model.parameters()),
    }
    if arm not in trained:
        raise ValueError(f"arm is {arm!r}; it must be one of {', '.join(ARMS)}")
    model.requires_grad_(False)
    count = 0
    for parameter in trained[arm]:
        parameter.requires_grad_(True)
        if arm == "random":
            mask = drawn(parameter, generator)
            parameter.register_hook(lambda gradient, mask=mask: gradient * mask)
            count += int(mask.sum())
        else:
            count += parameter.numel()
    return trained[arm], count


def drawn(weight: Tensor, generator: torch.Generator) -> Tensor:
    """For filters (outputs, inputs, 3, 3): 1 at PER_CHANNEL places of each output's filter, 0 elsewhere; in
    the memory layout of `weight`."""
    order = torch.rand(weight.shape[0], weight[0].numel(), generator=generator)
    mask = torch.zeros_like(order).scatter_(1, order.topk(PER_CHANNEL, dim=1).indices, 1.0)
    return torch.empty_like(weight).copy_(mask.view_as(weight))
