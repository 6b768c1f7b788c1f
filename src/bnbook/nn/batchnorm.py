"""Batch normalization as the paper defines it: Algorithm 1, its backward by hand, and Algorithm 2.

Ioffe & Szegedy 2015, Section 3. Symbols in the code and in the paper:

    x, y            input and output, (N, C), (N, C, L) or (N, C, H, W); C channels (units, or feature maps)
    m               values per channel in the mini-batch: N, N * L or N * H * W (the m' of Section 3.2)
    mean, variance  mu_B and sigma^2_B, one per channel; std = sqrt(variance + eps)
    x_hat           the normalized input
    gamma, beta     scale and shift, learned; called weight and bias in the module, as in torch
    d_x, ...        dl/dx, ...: derivatives of the loss

A channel is normalized by itself. One mean over the whole tensor would leave the channels as different
from one another as they were before.
"""

import contextlib
import copy
import itertools
from collections.abc import Iterable, Iterator
from typing import NoReturn

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.lazy import LazyModuleMixin

from bnbook.nn.gradient import once_differentiable

NARROW = (torch.bfloat16, torch.float16)  # 8 and 11 significant bits: too few to sum a mini-batch in
RUNNING = ("running_mean", "running_var", "num_batches_tracked")


def _widened(x: Tensor) -> Tensor:
    """`x` in the precision in which its statistics are computed: float32, or float64 if it has that."""
    return x.float() if x.dtype in NARROW else x


def _batch_dims(x: Tensor) -> list[int]:
    """Every dimension but that of the channels: what the statistics are taken over."""
    return [0, *range(2, x.dim())]


def _values_per_channel(x: Tensor) -> int:
    """m: how many values each channel has in the mini-batch."""
    return x.numel() // x.shape[1]


def _per_channel(vector: Tensor, x: Tensor) -> Tensor:
    """A vector (C,) shaped to broadcast over the channels of `x`: (1, C, 1, ...)."""
    return vector.view(1, -1, *[1] * (x.dim() - 2))


class BatchNormFunction(torch.autograd.Function):
    """The Batch Normalizing Transform (Algorithm 1) and its gradient (Section 3), each line of it by hand.

    `apply(x, gamma, beta, eps)` returns `y` in the shape and dtype of `x`, and the mini-batch's `mean` (C,)
    and biased `variance` (C,) in float32 or wider. These two are for running averages: no gradient flows
    through them, so that an average kept over steps holds no step's graph. The derivatives of `y` with
    respect to mean and variance are in `backward`. It can be differentiated once: RuntimeError under
    `create_graph=True`.
    """

    @staticmethod
    def forward(ctx, x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        gamma, beta = _per_channel(gamma, x), _per_channel(beta, x)
        dims, wide = _batch_dims(x), _widened(x)

        # mu_B in two parts. Where the mean is large beside the spread, no single float32 can hold it well:
        # at 10000 its neighbours are 0.001 apart, a tenth of a spread of 0.01. So the rounded mean only
        # shifts the data (a difference of close numbers is exact), and what it missed, now small and
        # precise, is subtracted as well. A sample of each channel would do as the shift; the mean has no
        # unlucky case, such as a first sample that lies far out.
        shift = wide.mean(dims, keepdim=True)
        centred = wide - shift
        missed = centred.mean(dims, keepdim=True)
        centred -= missed

        # sigma^2_B, biased (1/m). From the centred values, never E[x^2] - E[x]^2: that subtracts two
        # numbers of the size of mean^2, and what is left may be noise, or negative.
        variance = centred.square().mean(dims, keepdim=True)

        std = (variance + eps).sqrt()
        x_hat = centred.div_(std)
        y = gamma * x_hat + beta

        mean, variance = (shift + missed).flatten(), variance.flatten()
        ctx.save_for_backward(x_hat, gamma, std)
        ctx.dtypes = x.dtype, gamma.dtype, beta.dtype
        ctx.mark_non_differentiable(mean, variance)
        return y.to(x.dtype), mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx, d_y: Tensor, _d_mean: Tensor, _d_variance: Tensor):
        x_hat, gamma, std = ctx.saved_tensors
        x_dtype, gamma_dtype, beta_dtype = ctx.dtypes
        d_y, dims = _widened(d_y), _batch_dims(x_hat)
        m = _values_per_channel(x_hat)

        # dl/dgamma = sum dl/dy x_hat     dl/dbeta = sum dl/dy
        d_gamma = (d_y * x_hat).sum(dims, keepdim=True)
        d_beta = d_y.sum(dims, keepdim=True)

        # dl/dx_hat = dl/dy gamma
        # gamma is constant over the batch. So the sums over dl/dx_hat in the next two equations are those
        # above times gamma, and need no further pass over the data.
        d_x_hat = d_y * gamma

        # dl/dvariance = sum dl/dx_hat (x - mean) (-1/2) (variance + eps)^(-3/2)
        # (x - mean) / std is x_hat: only two of the three powers of 1/std are left.
        d_variance = -gamma * d_gamma / (2 * std.square())

        # dl/dmean = sum dl/dx_hat (-1 / std) + dl/dvariance sum (-2 (x - mean)) / m
        # The second term is zero, because deviations from the mean sum to zero. Computing it would only
        # add their rounding error.
        d_mean = -gamma * d_beta / std

        # dl/dx = dl/dx_hat / std + dl/dvariance 2 (x - mean) / m + dl/dmean / m
        # x acts in three ways: directly, through the variance and through the mean. The second term with
        # x - mean = std x_hat; what depends on the channel alone is multiplied first.
        d_x = d_x_hat / std + (d_variance * 2 * std / m) * x_hat + d_mean / m

        return d_x.to(x_dtype), d_gamma.flatten().to(gamma_dtype), d_beta.flatten().to(beta_dtype), None


class BatchNorm(_BatchNorm):
    """Batch normalization of each channel, in training (Algorithm 1) and in inference (Algorithm 2, line 11).

    Input and output: (N, C), (N, C, L), (N, C, H, W) or (N, C, D, H, W) with C = `num_features`, any
    floating-point dtype; the output has the input's. It stands before the nonlinearity, on Wu: the layer
    before it needs no bias, since the mean takes any bias away and beta takes its role (Section 3.2).

    The constructor, its arguments, the parameters (`weight`, `bias`) and the buffers (`running_mean`,
    `running_var`, `num_batches_tracked`) are those of `torch.nn.BatchNorm1d`, `BatchNorm2d` and
    `BatchNorm3d`, from their common base; state dicts can be exchanged with them.

    - `momentum`: the weight of the newest mini-batch in the running statistics; `None` weighs all
      mini-batches since the last reset equally.
    - `affine=False`: no gamma and beta; `bias=False` (where torch has it): no beta.
    - `track_running_stats=False`: no running statistics; mini-batch statistics in eval mode as well.

    The mini-batch is normalized by its biased variance; `running_var` is unbiased, m / (m - 1) times as
    large. Under bfloat16 and float16 the arithmetic is in float32, and the running statistics stay so even
    when the module is made or converted in those. A mini-batch of no samples gives an output of none; it is
    counted, and leaves the running statistics as they are.

    Raises TypeError for an input that is not floating-point; ValueError for a wrong rank, a wrong number of
    channels, one value per channel or `eps` 0 where mini-batch statistics are used, a negative `eps`, and
    running statistics of which only some are there; RuntimeError in `torch.jit.script`, and with mini-batch
    statistics in `torch.jit.trace`, since those cannot hold a gradient that is written in Python.
    """

    def reset_running_stats(self) -> None:
        """Set the running mean to 0, the running variance to 1, and the count of mini-batches to 0."""
        super().reset_running_stats()
        for name, buffer in self.named_buffers(recurse=False):
            if buffer.dtype in NARROW:
                setattr(self, name, buffer.float())

    def forward(self, x: Tensor) -> Tensor:
        self._check(x)
        gamma = x.new_ones(self.num_features) if self.weight is None else self.weight
        beta = x.new_zeros(self.num_features) if self.bias is None else self.bias
        if not self._uses_batch_statistics():
            return self._inference(x, gamma, beta)
        y, mean, variance = self._transform(x, gamma, beta)
        if self.training and self.track_running_stats and self.running_mean is not None:
            self.num_batches_tracked += 1
            if m := _values_per_channel(x):  # no samples, no statistics
                self._track(mean, variance, m)
        return y

    def _uses_batch_statistics(self) -> bool:
        return self.training or self.running_mean is None

    def _transform(self, x: Tensor, gamma: Tensor, beta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Algorithm 1: y, and the mini-batch's mean (C,) and biased variance (C,)."""
        return BatchNormFunction.apply(x, gamma, beta, self.eps)

    def _inference(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        """Algorithm 2, line 11: a fixed linear transform of each channel.

        The paper multiplies out, gamma / std * x + (beta - gamma * mean / std). Subtracting the mean first is
        the same map without the difference of two large numbers.
        """
        mean, variance = _per_channel(self.running_mean, x), _per_channel(self.running_var, x)
        gain = _per_channel(gamma, x) / (variance + self.eps).sqrt()
        return ((_widened(x) - mean) * gain + _per_channel(beta, x)).to(x.dtype)

    def _track(self, mean: Tensor, variance: Tensor, m: int) -> None:
        """Move the running statistics towards those of a mini-batch with `m` values per channel."""
        share = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        unbiased = variance * (m / (m - 1))
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)

    def _check(self, x: Tensor) -> None:
        shape = tuple(x.shape)
        if not x.is_floating_point():
            raise TypeError(
                f"BatchNorm needs a floating-point input, not {x.dtype}: convert it, as in x.float()"
            )
        if x.dim() not in (2, 3, 4, 5):
            raise ValueError(
                f"BatchNorm needs (N, C), (N, C, L), (N, C, H, W) or (N, C, D, H, W), "
                f"not an input of shape {shape}"
            )
        if x.shape[1] != self.num_features:
            raise ValueError(
                f"BatchNorm({self.num_features}) needs {self.num_features} channels in dimension 1, "
                f"not {x.shape[1]} as in an input of shape {shape}"
            )
        missing = [name for name in RUNNING if getattr(self, name) is None]
        if missing and len(missing) < len(RUNNING):
            raise ValueError(
                f"BatchNorm needs {', '.join(RUNNING)} all or none, and misses {', '.join(missing)}: "
                f"set all of them to None to normalize by mini-batch statistics"
            )
        if self.eps < 0:
            raise ValueError(f"BatchNorm needs eps >= 0, not {self.eps}")
        if self._uses_batch_statistics():
            self._check_batch(shape, _values_per_channel(x))

    def _check_batch(self, shape: tuple[int, ...], m: int) -> None:
        """Whether a mini-batch can be normalized by its own statistics."""
        if m == 1:
            raise ValueError(
                f"BatchNorm needs at least 2 values per channel for mini-batch statistics, "
                f"not 1 as in an input of shape {shape}: use a larger mini-batch"
            )
        if self.eps == 0:
            raise ValueError("BatchNorm needs eps > 0 for mini-batch statistics: a channel may be constant")
        if torch.jit.is_tracing():
            raise RuntimeError(
                "BatchNorm can be traced in eval mode only, because its gradient is written in Python: "
                "call eval() first, or use torch.export"
            )

    def __prepare_scriptable__(self) -> NoReturn:
        """The question of `torch.jit.script`."""
        raise RuntimeError(
            "BatchNorm cannot be scripted, because its gradient is written in Python: "
            "use torch.export, or torch.jit.trace in eval mode"
        )

    def _apply(self, fn, recurse=True):
        """Move and convert like any module, but never make the running statistics narrower than float32.

        In bfloat16 a step of momentum 0.1 rounds to no step at all once the average is within two percent of
        where it should go.
        """
        own = self.named_buffers(recurse=False)
        wide = {name: buffer for name, buffer in own if buffer.is_floating_point()}
        super()._apply(fn, recurse)
        for name, before in wide.items():
            after = getattr(self, name)
            if after.dtype in NARROW:
                setattr(self, name, before.to(after.device, torch.float32))
        return self


LAYERS = _BatchNorm  # what is a batch normalization layer: this module's, torch's and those derived from them


def _layers(model: nn.Module) -> list[_BatchNorm]:
    """The batch normalization layers of `model`; ValueError for a lazy one that has not seen an input."""
    layers = [module for module in model.modules() if isinstance(module, LAYERS)]
    for layer in layers:
        if isinstance(layer, LazyModuleMixin) and layer.has_uninitialized_params():
            raise ValueError(
                f"{type(layer).__name__} has no statistics before its first input: run the model once"
            )
    return layers


def _tracking(model: nn.Module) -> list[_BatchNorm]:
    """Those of its batch normalization layers that have running statistics."""
    return [layer for layer in _layers(model) if layer.running_mean is not None]


@contextlib.contextmanager
def _set_within(modules: Iterable[nn.Module], **values) -> Iterator[None]:
    """Give each module these attributes inside the `with` block, and its own again after it."""
    before = [(module, name, getattr(module, name)) for module in modules for name in values]
    try:
        for module, name, _ in before:
            setattr(module, name, values[name])
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def batch_statistics(model: nn.Module) -> contextlib.AbstractContextManager[None]:
    """Within this context batch normalization uses mini-batch statistics and leaves the running ones alone.

    For looking at a network as it is in training without changing it. All batch normalization layers (this
    module's and torch's) are set, also those kept in eval mode, and nothing else; whether Dropout drops is
    still the mode's business.
    """
    return _set_within(_layers(model), training=True, track_running_stats=False)


@torch.no_grad()
def population_statistics(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Put population statistics into the batch normalization layers of `model` (Algorithm 2, lines 8 to 10).

    With the parameters as they are, `running_mean` becomes E_B[mu_B] and `running_var`
    E_B[m / (m - 1) sigma^2_B], averages over the mini-batches, each with equal weight. `batches` holds
    input tensors of training data, of one size, and best of the size used in training. One pass serves all
    layers: each sees its input as in training, normalized by mini-batch statistics below it, which do not
    depend on any average.

    Layers are this module's and torch's; those that keep no running statistics are left alone. All else is in
    eval mode meanwhile, so Dropout drops nothing. Modes, momentum and `num_batches_tracked` are
    afterwards as they were before; so are the running statistics, if the pass fails.

    Raises ValueError where `batches` is empty or one of them is, and for a lazy layer that has not seen an
    input; TypeError for a batch that is not a tensor.
    """
    batches = iter(batches)
    first = next(batches, None)
    if first is None:
        raise ValueError("population_statistics needs at least one mini-batch, but batches is empty")
    layers = _tracking(model)
    before = [copy.deepcopy(layer.state_dict()) for layer in layers]
    try:
        _average_over(model, layers, itertools.chain([first], batches))
    except BaseException:
        for layer, state in zip(layers, before, strict=True):
            layer.load_state_dict(state)
        raise
    for layer, state in zip(layers, before, strict=True):
        layer.num_batches_tracked.copy_(state["num_batches_tracked"])


@contextlib.contextmanager
def inference_statistics(
    model: nn.Module,
    batches: Iterable[Tensor],
    computing: contextlib.AbstractContextManager = contextlib.nullcontext(),  # noqa: B008 - it holds nothing
) -> Iterator[None]:
    """Within this context `model` has the population statistics over `batches` (see `population_statistics`),
    computed in `computing`; after it the running statistics are as they were, so that training goes on as if
    nobody had looked."""
    layers = _tracking(model)
    before = [copy.deepcopy(layer.state_dict()) for layer in layers]
    with computing:
        population_statistics(model, batches)
    try:
        yield
    finally:
        for layer, state in zip(layers, before, strict=True):
            layer.load_state_dict(state)


def _average_over(model: nn.Module, layers: list[_BatchNorm], batches: Iterable[Tensor]) -> None:
    """Make the running statistics of `layers` plain averages over `batches`: momentum=None after a reset."""
    tracking = {"training": True, "track_running_stats": True, "momentum": None}
    with _set_within(model.modules(), training=False), _set_within(layers, **tracking):
        for layer in layers:
            layer.reset_running_stats()
        for batch in batches:
            if not isinstance(batch, Tensor):
                raise TypeError(f"population_statistics needs input tensors, not a {type(batch).__name__}")
            if not batch.numel():
                raise ValueError("population_statistics needs samples in every mini-batch, but one is empty")
            model(batch)
