"""The normalizations that are compared, by name (`norm`): batch, ghost batch and group normalization, batch
renormalization. Layers of torch where it has them."""

import functools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bnbook.data import datasets
from bnbook.experiments.small_batches.protocol import Config
from bnbook.nn.convnet import ConvNet
from bnbook.nn.inception import Norm, initialise


def network(config: Config, seed: int) -> ConvNet:
    """The initialised network; all normalizations draw the same weights from the same seed."""
    model = ConvNet(config.widths, datasets.CLASSES, norm(config))
    initialise(model, "relu", torch.Generator().manual_seed(seed))
    return model.to(memory_format=torch.channels_last)


def norm(config: Config) -> Norm:
    """(maps) -> the layer that `config` normalizes with."""
    makers: dict[str, Norm] = {
        "bn": functools.partial(nn.BatchNorm2d, momentum=config.norm_momentum),
        "ghost": functools.partial(GhostBatchNorm, group=config.ghost, momentum=config.norm_momentum),
        "renorm": functools.partial(BatchRenorm, config=config),
        "gn": functools.partial(nn.GroupNorm, config.groups),
        # Layer normalization as Wu & He 2018 have it for convolutions: a mean for all maps and places of an
        # image, gamma and beta for each map.
        "ln": functools.partial(nn.GroupNorm, 1),
    }
    return makers[config.variant]


class GhostBatchNorm(nn.BatchNorm2d):
    """`nn.BatchNorm2d` that in training normalizes each `group` of images by itself, as if they were the
    mini-batch (Hoffer et al. 2017); (N, maps, H, W), N a multiple of `group`. For the running statistics each
    is a mini-batch, too.

    Raises ValueError for a mini-batch that does not fall into groups.
    """

    def __init__(self, maps: int, group: int, momentum: float):
        super().__init__(maps, momentum=momentum)
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        if len(x) % self.group:
            raise ValueError(f"a mini-batch of {len(x)} does not fall into groups of {self.group}")
        return torch.cat([nn.BatchNorm2d.forward(self, part) for part in x.split(self.group)])


class BatchRenorm(nn.Module):
    """Batch renormalization (Ioffe 2017): (N, maps, H, W) -> the same.

    In training x_hat = (x - mu_B) / sigma_B * r + d with r = sigma_B / sigma and d = (mu_B - mu) / sigma, cut
    to [1 / r_max, r_max] and [-d_max, d_max], through which no gradient flows; mu and sigma are moving
    averages of mini-batches' mean and standard deviation, with which x_hat = (x - mu) / sigma in inference.
    Not cut, both are the same. The bounds widen as training goes on (`bounds`); at first r = 1 and d = 0,
    which is batch normalization.
    """

    running_mean: Tensor
    running_std: Tensor

    def __init__(self, maps: int, config: Config, eps: float = 1e-5):
        super().__init__()
        self.config = config
        self.eps = eps
        self.momentum = config.renorm_momentum
        self.step = 0  # mini-batches that it has trained on
        self.weight = nn.Parameter(torch.ones(maps))
        self.bias = nn.Parameter(torch.zeros(maps))
        self.register_buffer("running_mean", torch.zeros(maps))
        self.register_buffer("running_std", torch.ones(maps))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            gain = self.weight / self.running_std
            return x * per_map(gain) + per_map(self.bias - self.running_mean * gain)
        with torch.no_grad():
            variance, mean = torch.var_mean(x, (0, 2, 3), correction=0)
            std = (variance + self.eps).sqrt()
            r_max, d_max = bounds(self.config, self.step)
            r = (std / self.running_std).clamp(1 / r_max, r_max)
            d = ((mean - self.running_mean) / self.running_std).clamp(-d_max, d_max)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_std.lerp_(std, self.momentum)
            self.step += bool(self.momentum)
        # gamma (x_hat_B r + d) + beta: batch normalization with another gamma and beta.
        gamma, beta = self.weight * r, self.weight * d + self.bias
        return F.batch_norm(x, None, None, gamma, beta, training=True, eps=self.eps)


def per_map(vector: Tensor) -> Tensor:
    return vector.view(1, -1, 1, 1)


def bounds(config: Config, step: int) -> tuple[float, float]:
    """r_max and d_max at a step: 1 and 0 until `renorm_from`, then rising evenly to their last values, as
    shares of all steps."""

    def risen(until: float) -> float:
        return min(1.0, max(0.0, (step / config.steps - config.renorm_from) / (until - config.renorm_from)))

    r_max = 1 + risen(config.r_until) * (config.r_max - 1)
    return r_max, risen(config.d_until) * config.d_max
