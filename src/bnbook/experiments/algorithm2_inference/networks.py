"""Batch normalization after training (Section 3.1): moving averages side by side, and normalization folded
into the layer before it."""

import copy
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from bnbook.nn.batchnorm import BatchNorm, batch_statistics
from bnbook.nn.mlp import MLP


class AveragedBatchNorm(BatchNorm):
    """BatchNorm that keeps several moving averages of the same mini-batch statistics.

    `momenta` are the weights of the newest mini-batch; None weighs all mini-batches equally. `means` and
    `variances` are (averages, C), in the order of `momenta`, and start like BatchNorm's own, at 0 and 1.
    """

    def __init__(self, num_features: int, momenta: Sequence[float | None], eps: float = 1e-5):
        super().__init__(num_features, eps, momenta[0])
        self.momenta = tuple(momenta)
        # Buffers, so that a checkpoint holds them.
        self.register_buffer("means", torch.zeros(len(momenta), num_features))
        self.register_buffer("variances", torch.ones(len(momenta), num_features))

    def _track(self, mean: Tensor, variance: Tensor, m: int) -> None:
        super()._track(mean, variance, m)
        equal = 1 / int(self.num_batches_tracked)
        shares = self.means.new_tensor(
            [[equal if momentum is None else momentum] for momentum in self.momenta]
        )
        self.means.lerp_(mean.expand_as(self.means), shares)
        self.variances.lerp_((variance * (m / (m - 1))).expand_as(self.variances), shares)

    def use(self, number: int) -> None:
        """Make the `number`-th average the statistics of inference."""
        self.running_mean.copy_(self.means[number])
        self.running_var.copy_(self.variances[number])


def alone(model: MLP) -> Tensor:
    """(classes,) logits of a mini-batch of one image, whichever it is.

    Each unit is its own mean, and its variance is 0: x_hat is 0, and beta is all that is left. This needs no
    image, and nothing below the last hidden layer.
    """
    return model.output(torch.sigmoid(model.hidden[-1].norm.bias))


def biased(model: MLP, m: int) -> None:
    """Take the factor m / (m - 1) out of the variances that `model` has for inference."""
    for layer in model.hidden:
        layer.norm.running_var.mul_((m - 1) / m)


@torch.no_grad()
def mean_gain(model: MLP, batches: Iterable[Tensor]) -> None:
    """Give `model` the variances by which inference scales each unit as training does on average.

    Training divides by another deviation in every mini-batch: on average it multiplies by
    E_B[1 / sqrt(sigma^2_B + eps)]. The mean of a reciprocal is larger than the reciprocal of the mean, and
    the more so the smaller the mini-batches.
    """
    sums, count = [0.0] * len(model.hidden), 0
    with batch_statistics(model):
        for x in batches:
            for number, layer in enumerate(model.hidden):
                u = layer.linear(x)
                sums[number] += 1 / (u.var(0, unbiased=False) + layer.norm.eps).sqrt()
                x = torch.sigmoid(layer.norm(u))
            count += 1
    for layer, total in zip(model.hidden, sums, strict=True):
        layer.norm.running_var.copy_((count / total).square() - layer.norm.eps)


def fold(linear: nn.Linear, norm: nn.Module) -> nn.Linear:
    """The one layer that does what `linear` and then `norm` do in inference: Algorithm 2, line 11, multiplied
    into the weights.

    Row k of the weights is scaled by gain = gamma / sqrt(Var + eps), and the bias becomes
    beta + gain * (b - E[x]). Device and dtype are those of `linear`. Raises ValueError for a `norm` without
    running statistics.
    """
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("fold needs running statistics, but the layer has none: its output is not linear")
    gamma = 1 if norm.weight is None else norm.weight
    beta = 0 if norm.bias is None else norm.bias
    gain = gamma / (norm.running_var + norm.eps).sqrt()
    before = 0 if linear.bias is None else linear.bias
    made = nn.Linear(linear.in_features, linear.out_features).to(linear.weight)
    with torch.no_grad():
        made.weight.copy_(gain[:, None] * linear.weight)
        made.bias.copy_(beta + gain * (before - norm.running_mean))
    return made


def folded(model: MLP) -> MLP:
    """A copy of `model` for inference, without batch normalization."""
    made = copy.deepcopy(model).eval()
    for layer in made.hidden:
        layer.linear, layer.norm = fold(layer.linear, layer.norm), nn.Identity()
    return made
