"""Is it batch normalization? Questions to a layer of your own. A file that can be copied: it needs PyTorch.

    from bnbook.nn.checks import check

    for answer in check(MyBatchNorm):  # MyBatchNorm(channels), called with (N, channels, H, W)
        print(answer)

The layer is a module with the names of torch's: parameters `weight` and `bias`, buffers `running_mean` and
`running_var`, numbers `eps` and `momentum`, where it has them; else 1e-5 and 0.1 are taken for meant. Each
question is one that a common mistake (`bnbook.nn.mutants`) answers wrongly.
"""

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Make = Callable[[int], nn.Module]
CHANNELS = 3
IMAGES = (8, CHANNELS, 4, 4)


@dataclasses.dataclass(frozen=True)
class Answer:
    """What was asked, and what is wrong: one line, empty where the layer is right."""

    question: str
    wrong: str

    def __str__(self) -> str:
        return f"wrong  {self.question}: {self.wrong}" if self.wrong else f"right  {self.question}"


def check(make: Make, shape: Sequence[int] = IMAGES) -> list[Answer]:
    """The answers of the layer that `make(channels)` makes, to mini-batches of `shape` (N, 3, ...): images,
    or (32, 3) for a layer that takes none, and can show nothing of its places.

    An error of the layer is a wrong answer. Raises ValueError for a shape with other than 3 channels, or with
    fewer than 4 samples.
    """
    if len(shape) < 2 or shape[0] < 4 or shape[1] != CHANNELS:
        raise ValueError(f"shape is {tuple(shape)}; it must be (N, {CHANNELS}, ...) with N of 4 or more")
    return [Answer(ask.__doc__ or ask.__name__, _answered(ask, make, shape)) for ask in QUESTIONS]


def _answered(ask: Callable[[Make, Sequence[int]], str], make: Make, shape: Sequence[int]) -> str:
    before = torch.get_rng_state()
    try:
        return ask(make, shape)
    except Exception as error:  # whatever a layer of one's own says
        return f"{type(error).__name__}: {error}".partition("\n")[0]
    finally:
        torch.set_rng_state(before)


# What is asked with


def _layer(make: Make, dtype: torch.dtype = torch.float64) -> nn.Module:
    return make(CHANNELS).to(dtype).train()


def _batch(shape: Sequence[int], seed: int = 0, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Normal values, in three channels that lie far apart: a unit of spread times 1, 2 and 3."""
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    each = torch.arange(1.0, CHANNELS + 1, dtype=torch.float64)
    return x * _shaped(std * each, x) + _shaped(mean * each, x)


def _shaped(each: Tensor, x: Tensor) -> Tensor:
    return each.view(1, -1, *[1] * (x.dim() - 2))


def _dims(x: Tensor) -> list[int]:
    return [dim for dim in range(x.dim()) if dim != 1]


def _normalized(x: Tensor, eps: float) -> Tensor:
    """Algorithm 1 before gamma and beta, in plain lines."""
    centred = x - x.mean(_dims(x), keepdim=True)
    return centred / (centred.square().mean(_dims(x), keepdim=True) + eps).sqrt()


def _eps(layer: nn.Module) -> float:
    return float(getattr(layer, "eps", 1e-5))


def _differ(found: Tensor, expected: Tensor, what: str, tolerance: float = 1e-4) -> str:
    """ "`what` is 4.5 where it should be 0.5", of the value that is furthest off; "" where all are close."""
    if found.shape != expected.shape:
        return f"{what} is of shape {tuple(found.shape)} where it should be {tuple(expected.shape)}"
    found, expected = found.detach().double(), expected.detach().double()
    off = ((found - expected).abs() / expected.abs().clamp(min=1.0)).nan_to_num(torch.inf).flatten()
    if off.max() <= tolerance:
        return ""
    worst = int(off.argmax())
    return f"{what} is {found.flatten()[worst]:.4g} where it should be {expected.flatten()[worst]:.4g}"


# The questions, each a sentence that the right layer makes true


def _channels(make: Make, shape: Sequence[int]) -> str:
    """each channel comes out with mean 0 and variance 1"""
    y = _layer(make)(_batch(shape, mean=5.0))
    dims, each = _dims(y), torch.ones(CHANNELS, dtype=y.dtype)
    return _differ(y.mean(dims), 0 * each, "a channel's mean") or _differ(
        y.var(dims, unbiased=False), each, "a channel's variance", 1e-3
    )


def _places(make: Make, shape: Sequence[int]) -> str:
    """all places of a channel are normalized together"""
    layer, x = _layer(make), _batch(shape, mean=5.0)
    x = x + torch.linspace(0, 3, x[0, 0].numel(), dtype=x.dtype).view(x.shape[2:])
    return _differ(layer(x), _normalized(x, _eps(layer)), "an output")


def _precision(make: Make, shape: Sequence[int]) -> str:
    """it is precise where the mean is large beside the spread (float32)"""
    x = _batch(shape, mean=1000.0, std=0.1).float()
    layer = _layer(make, torch.float32)
    return _differ(layer(x), _normalized(x.double(), _eps(layer)), "an output", 0.02)


def _epsilon(make: Make, shape: Sequence[int]) -> str:
    """eps is added to the variance, under the root"""
    layer = _layer(make)
    x = _batch(shape, std=_eps(layer) ** 0.5)
    return _differ(layer(x), _normalized(x, _eps(layer)), "an output")


def _affine(make: Make, shape: Sequence[int]) -> str:
    """gamma and beta scale and shift what was normalized"""
    layer, x = _layer(make), _batch(shape, mean=5.0)
    gamma, beta = (torch.tensor(values, dtype=x.dtype) for values in ([2.0, 0.5, -1.0], [1.0, 0.0, -3.0]))
    with torch.no_grad():
        layer.weight.copy_(gamma)
        layer.bias.copy_(beta)
    expected = _shaped(gamma, x) * _normalized(x, _eps(layer)) + _shaped(beta, x)
    return _differ(layer(x), expected, "an output")


def _gradient(make: Make, shape: Sequence[int]) -> str:
    """the gradient goes through mean and variance"""
    layer, x, d_y = _layer(make), _batch(shape).requires_grad_(), _batch(shape, seed=1)
    (expected,) = torch.autograd.grad(_normalized(x, _eps(layer)), x, d_y)
    (found,) = torch.autograd.grad(layer(x), x, d_y)
    return _differ(found, expected, "dl/dx")


def _momentum(make: Make, shape: Sequence[int]) -> str:
    """momentum is the weight of the newest mini-batch in the running mean, as in PyTorch"""
    layer, x = _layer(make), _batch(shape, mean=5.0)
    layer(x)
    share = float(getattr(layer, "momentum", 0.1))
    return _differ(layer.running_mean, share * x.mean(_dims(x)), "running_mean after a mini-batch")


def _unbiased(make: Make, shape: Sequence[int]) -> str:
    """the running variance is that of 1 / (m - 1)"""
    layer, x = _layer(make), _batch((4, CHANNELS, *[2] * (len(shape) - 2)), mean=5.0)
    for _ in range(300):
        layer(x)
    return _differ(layer.running_var, x.var(_dims(x)), "running_var", 1e-3)


def _updated(make: Make, shape: Sequence[int]) -> str:
    """the running statistics arrive where the inputs are"""
    layer = _layer(make)
    for seed in range(300):
        layer(_batch(shape, seed, mean=5.0))
    each = torch.arange(1.0, CHANNELS + 1, dtype=torch.float64)
    return _differ(layer.running_mean, 5 * each, "running_mean", 0.25) or _differ(
        layer.running_var, each**2, "running_var", 0.25
    )


def _alone(make: Make, shape: Sequence[int]) -> str:
    """in eval() an example is answered alike alone and in company"""
    layer, x = _layer(make), _batch(shape, mean=5.0)
    layer(x)
    layer.eval()
    return _differ(layer(x[:2]), layer(x)[:2], "an output")


def _inference(make: Make, shape: Sequence[int]) -> str:
    """in eval() it normalizes by the running statistics, and leaves them as they are"""
    layer, x = _layer(make), _batch(shape, mean=5.0)
    layer(x)
    with torch.no_grad():
        layer.running_var.fill_(_eps(layer))  # so small that the place of eps shows
    mean, variance = layer.running_mean.clone(), layer.running_var.clone()
    expected = (x - _shaped(mean, x)) / (_shaped(variance, x) + _eps(layer)).sqrt()
    return _differ(layer.eval()(x), expected, "an output") or _differ(
        torch.cat([layer.running_mean, layer.running_var]), torch.cat([mean, variance]), "a running statistic"
    )


QUESTIONS = (
    _channels,
    _places,
    _precision,
    _epsilon,
    _affine,
    _gradient,
    _momentum,
    _unbiased,
    _updated,
    _alone,
    _inference,
)
