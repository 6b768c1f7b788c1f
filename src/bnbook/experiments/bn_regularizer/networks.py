"""Batch normalization over groups of a mini-batch (Hoffer et al. 2017, "ghost" batch normalization).

The size of the group sets the noise of the statistics, while the gradient step stays what it is.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bnbook.nn.mlp import MLP


def normalized(x: Tensor, eps: float) -> Tensor:
    """(m, groups, units) -> the same shape: each group's m values of a unit normalized by their own mean and
    biased variance (Algorithm 1 without gamma and beta), m at least 2."""
    return F.batch_norm(x.flatten(1), None, None, training=True, eps=eps).view_as(x)


class GhostBatchNorm(nn.BatchNorm1d):
    """`nn.BatchNorm1d` that in training normalizes each `group` of the mini-batch by itself; (N, units), N a
    multiple of `group`. The running statistics are those of the groups, averaged.

    Raises ValueError for a mini-batch that does not fall into groups.
    """

    def __init__(self, units: int, group: int, eps: float = 1e-5):
        super().__init__(units, eps)
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or len(x) == self.group:
            return super().forward(x)
        groups, left = divmod(len(x), self.group)
        if left:
            raise ValueError(f"a mini-batch of {len(x)} does not fall into groups of {self.group}")
        # A row has one example of each group: a group's unit is a channel of its own.
        mean, variance, gamma, beta = (
            one.repeat(groups) for one in (self.running_mean, self.running_var, self.weight, self.bias)
        )
        y = F.batch_norm(
            x.reshape(self.group, -1), mean, variance, gamma, beta, True, self.momentum, self.eps
        )
        self.running_mean.copy_(mean.view(groups, -1).mean(0))
        self.running_var.copy_(variance.view(groups, -1).mean(0))
        return y.view_as(x)


@torch.no_grad()
def forward_batches(model: MLP, first: Tensor, eps: float) -> tuple[list[Tensor], Tensor]:
    """What a network makes of many mini-batches at once, each normalized by its own statistics, without
    Dropout.

    `first` is (m, groups, hidden): the first layer's Wu. Returns x_hat of each hidden layer and the logits,
    all (m, groups, ...).
    """
    x_hats, wu = [], first
    following = [*(layer.linear for layer in model.hidden[1:]), model.output]
    for layer, linear in zip(model.hidden, following, strict=True):
        x_hats.append(normalized(wu, eps))
        wu = linear(layer.activation(layer.norm.weight * x_hats[-1] + layer.norm.bias))
    return x_hats, wu
