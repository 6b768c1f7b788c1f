"""The small Inception for 28x28 images: Section 4.2's network at CIFAR-10's scale.

Its shape is in `bnbook.architecture`: GoogLeNet's modules with 1x1 and 3x3 branches, batch
normalization between convolution and nonlinearity.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bnbook.architecture import BLOCKS, STEM, scaled
from bnbook.nn.gradient import once_differentiable

ACTIVATIONS = {"relu": F.relu, "sigmoid": torch.sigmoid}
# He's variance 2 / fan-in keeps the scale of a signal through ReLUs; a sigmoid passes small signals on
# without halving them, so 1 / fan-in.
GAINS = {"relu": math.sqrt(2), "sigmoid": 1.0}
GAUSSIAN_STD = 0.05

Norm = Callable[[int], nn.Module]


class Conv(nn.Module):
    """g(BN(conv(u))) where the layer normalizes, g(conv(u) + b) where it does not (Section 3.2).

    (N, inputs, H, W) -> (N, outputs, H', W'); `kernel` 1 or 3, padded to keep the size at stride 1.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, norm: Norm | None, activation: str, stride: int = 1
    ):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=norm is None)
        self.norm = norm(outputs) if norm else nn.Identity()
        self.activation = ACTIVATIONS[activation]

    def forward(self, u: Tensor) -> Tensor:
        out = self.activation(self.norm(self.conv(u)))
        if out.requires_grad and not out.is_cuda:
            out.register_hook(packed)
        return out


def packed(gradient: Tensor) -> Tensor:
    """The same gradient without gaps in memory. A branch of a module gets its gradient as a slice of the
    whole, through which a ReLU goes backward eighteen times as slowly: a quarter of a step in bfloat16."""
    return gradient.contiguous(memory_format=torch.channels_last)


class Module(nn.Module):
    """An Inception module: (N, inputs, H, W) -> (N, narrow + wide, H, W), 1x1 and 3x3 side by side."""

    def __init__(self, inputs: int, narrow: int, wide: int, norm: Norm | None, activation: str):
        super().__init__()
        self.narrow = Conv(inputs, narrow, 1, norm, activation)
        self.wide = Conv(inputs, wide, 3, norm, activation)

    def forward(self, u: Tensor) -> Tensor:
        return torch.cat([self.narrow(u), self.wide(u)], dim=1)


class Halving(nn.Module):
    """(N, inputs, H, W) -> (N, inputs + maps, H / 2, W / 2): convolution and maximum, of stride 2."""

    def __init__(self, inputs: int, maps: int, norm: Norm | None, activation: str):
        super().__init__()
        self.conv = Conv(inputs, maps, 3, norm, activation, stride=2)

    def forward(self, u: Tensor) -> Tensor:
        return torch.cat([self.conv(u), F.max_pool2d(u, 3, stride=2, padding=1)], dim=1)


class PerActivationNorm(nn.Module):
    """Batch normalization as in a fully connected layer, Section 4.2.3's "per-activation": each place of each
    map has statistics, gamma and beta of its own. (N, maps, side, side) -> the same shape."""

    def __init__(self, maps: int, side: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.norm = nn.BatchNorm1d(maps * side * side, eps, momentum)

    def forward(self, u: Tensor) -> Tensor:
        return self.norm(u.flatten(1)).view(u.shape)


class LocalResponseNorm(nn.Module):
    """torch's `nn.LocalResponseNorm` (GoogLeNet's: 5 maps, alpha 1e-4, beta 0.75, k 1), made quick.

    u / (k + alpha / size * sum of u^2 over `size` neighbouring maps)^0.75. The sum is a 1x1 convolution
    with a banded matrix, and x^-0.75 is two square roots: a tenth of the time on a CPU.
    """

    def __init__(self, maps: int, size: int = 5, alpha: float = 1e-4, k: float = 1.0):
        super().__init__()
        self.k = k
        place = torch.arange(maps)
        band = ((place[:, None] - place[None]).abs() <= size // 2).float() * (alpha / size)
        self.register_buffer("band", band[:, :, None, None], persistent=False)

    def forward(self, u: Tensor) -> Tensor:
        return LocalResponseFunction.apply(u, self.band.to(u.dtype), self.k)


class LocalResponseFunction(torch.autograd.Function):
    """u * s^-0.75 with s = k + band * u^2, and its gradient in closed form, which passes over the maps
    less than half as often as automatic differentiation."""

    @staticmethod
    def forward(ctx, u: Tensor, band: Tensor, k: float) -> Tensor:
        # Autocast would widen the root on a GPU, and not on a CPU.
        root = torch.rsqrt(F.conv2d(u * u, band) + k).to(u.dtype)
        scale = root * root.sqrt()
        ctx.save_for_backward(u, band, root, scale)
        return u * scale

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        u, band, root, scale = ctx.saved_tensors
        direct = gradient * scale
        # Each map also lowers its neighbours; the band is symmetric, so it is its own transpose.
        mutual = F.conv2d(direct * u * root * root, band)
        return direct.addcmul_(u, mutual, value=-1.5), None, None


class Dropout(nn.Dropout):
    """torch's, but what it drops is drawn on the CPU wherever the features are: a seed means the same network
    on every device."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        kept = torch.empty(x.shape, dtype=x.dtype).bernoulli_(1 - self.p).div_(1 - self.p)
        return x * kept.to(x.device)


class Inception(nn.Module):
    """(N, 3, 28, 28) -> (N, classes) logits.

    `norm(maps)` makes the normalization of one layer, None for the plain network; `last_norm(maps)` that of
    the last module's layers, where it is another; `width` multiplies every number of maps; `dropout` is the
    share of the pooled features that is dropped in training; `lrn` puts local response normalization, of
    strength `lrn_alpha`, behind the stem, where GoogLeNet has it.
    """

    def __init__(
        self,
        width: float = 1.0,
        classes: int = 10,
        norm: Norm | None = None,
        activation: str = "relu",
        dropout: float = 0.0,
        lrn: bool = False,
        lrn_alpha: float = 1e-4,
        last_norm: Norm | None = None,
    ):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation is {activation!r}; it must be one of {', '.join(ACTIVATIONS)}")

        maps = scaled(STEM, width)
        self.stem = Conv(3, maps, 3, norm, activation)
        self.lrn = LocalResponseNorm(maps, alpha=lrn_alpha) if lrn else nn.Identity()
        blocks = []
        for index, block in enumerate(BLOCKS, start=1):
            own = last_norm if last_norm and index == len(BLOCKS) else norm
            if isinstance(block, int):
                blocks.append(Halving(maps, scaled(block, width), norm, activation))
                maps += scaled(block, width)
            else:
                narrow, wide = (scaled(branch, width) for branch in block)
                blocks.append(Module(maps, narrow, wide, own, activation))
                maps = narrow + wide
        self.blocks = nn.Sequential(*blocks)
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(maps, classes)

    def forward(self, x: Tensor) -> Tensor:
        features = self.blocks(self.lrn(self.stem(x))).mean(dim=(2, 3))
        return self.output(self.dropout(features))


def initialise(
    model: nn.Module,
    activation: str,
    generator: torch.Generator,
    initial: str = "he",
    output_scale: float = 1.0,
) -> None:
    """Gaussian weights, zero biases; gamma 1 and beta 0 stay. `model` calls its last layer `output`. The
    standard deviations go by `initial`:

    - "he": the square root of 2 / fan-in before a ReLU (He et al. 2015), of 1 / fan-in before a sigmoid and
      in the output layer, which stands before no activation;
    - "xavier": of 2 / (fan-in + fan-out) everywhere (Glorot & Bengio 2010);
    - "gaussian": GAUSSIAN_STD everywhere, as networks before these had it.

    The output layer's is multiplied by `output_scale`. Variants with and without batch normalization draw the
    same weights from the same generator. Raises ValueError on another `initial`.
    """
    if initial not in INITIALS:
        raise ValueError(f"initial is {initial!r}; it must be one of {', '.join(INITIALS)}")
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            gain = GAINS[activation] if isinstance(module, nn.Conv2d) else 1.0
            scale = output_scale if module is model.output else 1.0
            nn.init.normal_(module.weight, 0, scale * INITIALS[initial](module, gain), generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _he_std(layer: nn.Conv2d | nn.Linear, gain: float) -> float:
    return gain / math.sqrt(layer.weight[0].numel())


def _xavier_std(layer: nn.Conv2d | nn.Linear, gain: float) -> float:
    fan_in, fan_out = layer.weight[0].numel(), layer.weight[:, 0].numel()
    return math.sqrt(2 / (fan_in + fan_out))


def _gaussian_std(layer: nn.Conv2d | nn.Linear, gain: float) -> float:
    return GAUSSIAN_STD


# By name: (layer, gain of its activation) -> standard deviation of its initial weights.
INITIALS = {"he": _he_std, "xavier": _xavier_std, "gaussian": _gaussian_std}
