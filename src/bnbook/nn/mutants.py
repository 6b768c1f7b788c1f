"""Ten mistakes that people make in batch normalization, each a layer that is right in all else.

`Written` is the control: `bnbook.nn.batchnorm` once more, each step of it a method and the gradient left to
autograd. A mutant replaces one of its methods. They are there to be caught: a check that notices none of them
checks nothing (`bnbook.nn.checks`, `bnbook mutants`). Where each was seen in real code is in mutants.yml.
"""

import torch
from torch import Tensor

from bnbook.nn.batchnorm import BatchNorm, _batch_dims, _per_channel, _widened
from bnbook.nn.gradient import once_differentiable


class _ByAutograd(torch.autograd.Function):
    """What `write(x, gamma, beta)` gives, (y, mean, variance), with the gradient of y by autograd; like the
    gradient by hand it can be differentiated once, and none flows through mean and variance."""

    @staticmethod
    def forward(ctx, write, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with torch.enable_grad():
            ctx.inputs = [value.detach().requires_grad_() for value in inputs]
            ctx.y, mean, variance = write(*ctx.inputs)
        mean, variance = mean.detach(), variance.detach()
        ctx.mark_non_differentiable(mean, variance)
        return ctx.y.detach(), mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx, d_y: Tensor, _d_mean: Tensor, _d_variance: Tensor):
        return None, *torch.autograd.grad(ctx.y, ctx.inputs, d_y, retain_graph=True)


class Written(BatchNorm):
    """No mistake: `BatchNorm` with each step in a method of its own, for a mutant to replace."""

    def dims(self, x: Tensor) -> list[int]:
        """What the statistics are taken over."""
        return _batch_dims(x)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x - mean, mean and biased variance; the mean in two parts, as `BatchNormFunction` explains."""
        shift = x.mean(self.dims(x), keepdim=True).detach()
        centred = x - shift
        missed = centred.mean(self.dims(x), keepdim=True)
        centred = centred - missed
        return centred, shift + missed, centred.square().mean(self.dims(x), keepdim=True)

    def std(self, variance: Tensor) -> Tensor:
        return (variance + self.eps).sqrt()

    def before(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        """What is normalized."""
        return x

    def after(self, x_hat: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        """What becomes of the normalized."""
        return gamma * x_hat + beta

    def share(self) -> float:
        """The weight of the newest mini-batch in the running statistics."""
        return 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum

    def _transform(self, x: Tensor, gamma: Tensor, beta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        def write(x: Tensor, gamma: Tensor, beta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            wide, affine = _widened(x), (_per_channel(gamma, x), _per_channel(beta, x))
            centred, mean, variance = self.moments(self.before(wide, *affine))
            y = self.after(centred / self.std(variance), *affine)
            return y.to(x.dtype), self.per_channel(mean), self.per_channel(variance)

        return _ByAutograd.apply(write, x, gamma, beta)

    def per_channel(self, statistic: Tensor) -> Tensor:
        """A statistic, whatever it was taken over, as the (C,) that running statistics are."""
        wide = statistic.expand(1, self.num_features, *statistic.shape[2:])
        return wide.flatten(2).mean(2).flatten() if wide.dim() > 2 else wide.flatten()

    def _inference(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        affine = _per_channel(gamma, x), _per_channel(beta, x)
        mean, std = _per_channel(self.running_mean, x), _per_channel(self.std(self.running_var), x)
        return self.after((self.before(_widened(x), *affine) - mean) / std, *affine).to(x.dtype)

    def _track(self, mean: Tensor, variance: Tensor, m: int) -> None:
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.share())
        self.running_var.lerp_(self.tracked(variance, m).to(self.running_var.dtype), self.share())

    def tracked(self, variance: Tensor, m: int) -> Tensor:
        return variance * (m / (m - 1))


class OneMean(Written):
    """One mean and one variance over the whole tensor: the channels stay as different as they were."""

    def dims(self, x: Tensor) -> list[int]:
        return list(range(x.dim()))


class WrongAxes(Written):
    """`x.mean(0)`, right after a dense layer, behind a convolution: each place is normalized by itself."""

    def dims(self, x: Tensor) -> list[int]:
        return [0]


class DifferenceOfSquares(Written):
    """The variance as E[x^2] - E[x]^2: noise, or negative, where the mean is large beside the spread."""

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean = x.mean(self.dims(x), keepdim=True)
        return x - mean, mean, x.square().mean(self.dims(x), keepdim=True) - mean.square()


class OutsideTheGradient(Written):
    """Mean and variance are constants to the gradient, which then undoes what normalization does."""

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        _, mean, variance = super().moments(x)
        return x - mean.detach(), mean, variance.detach()


class EpsOutsideTheRoot(Written):
    """sqrt(variance) + eps: a channel that hardly varies comes out as large as any."""

    def std(self, variance: Tensor) -> Tensor:
        return variance.sqrt() + self.eps


class GammaFirst(Written):
    """gamma and beta come before normalization, which takes them away again."""

    def before(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        return gamma * x + beta

    def after(self, x_hat: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        return x_hat


class TestBatchStatistics(Written):
    """In inference, too, the mini-batch is normalized by its own statistics: company decides the answer."""

    __test__ = False  # no test of pytest's

    def _uses_batch_statistics(self) -> bool:
        return True


class BiasedRunningVariance(Written):
    """The running variance is that of the mini-batch, 1/m and not 1/(m - 1): too small by (m - 1) / m."""

    def tracked(self, variance: Tensor, m: int) -> Tensor:
        return variance


class MomentumReversed(Written):
    """momentum weighs what was there and not what is new: the averages are all but the last mini-batch."""

    def share(self) -> float:
        return 1 - super().share()


class NeverUpdated(Written):
    """The running statistics stay where they began, at mean 0 and variance 1."""

    def _track(self, mean: Tensor, variance: Tensor, m: int) -> None:
        pass


ALL = (
    OneMean,
    WrongAxes,
    DifferenceOfSquares,
    OutsideTheGradient,
    EpsOutsideTheRoot,
    GammaFirst,
    TestBatchStatistics,
    BiasedRunningVariance,
    MomentumReversed,
    NeverUpdated,
)
