"""Batch normalization against torch's layers, against sums done by hand, and against the traps."""

import contextlib
import inspect

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import grad

from bnbook.nn.batchnorm import (
    BatchNorm,
    BatchNormFunction,
    batch_statistics,
    inference_statistics,
    population_statistics,
)

modest = settings(max_examples=25, deadline=None)
channels = st.integers(1, 5)
small = st.integers(2, 6)
shapes = st.one_of(
    st.tuples(small, channels),
    st.tuples(st.integers(1, 4), channels, small),
    st.tuples(st.integers(1, 3), channels, small, st.integers(1, 5)),
    st.tuples(st.integers(1, 2), channels, small, st.integers(1, 3), st.integers(1, 3)),
)
seeds = st.integers(0, 2**31)
MATRIX, SEQUENCE, IMAGE, VOLUME = (7, 3), (4, 3, 5), (2, 3, 4, 5), (2, 3, 2, 3, 2)  # each with 3 channels
TORCHS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}  # by rank


def normal(shape, seed=0, mean=0.0, std=1.0, dtype=torch.float64):
    draw = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (draw * std + mean).to(dtype)


def torchs(shape, **options):
    """torch's layer for inputs of this shape."""
    return TORCHS[len(shape)](shape[1], **options)


def twins(shape, dtype, **options):
    """Our layer and torch's with the same random gamma and beta."""
    ours, theirs = BatchNorm(shape[1], **options).to(dtype), torchs(shape, **options).to(dtype)
    for index, (name, parameter) in enumerate(theirs.named_parameters()):
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(index))
        getattr(ours, name).data.copy_(parameter.data)
    return ours, theirs


def output_and_gradients(layer, x, d_y):
    """y and the gradients of x, weight and bias."""
    layer.zero_grad()
    x = x.clone().requires_grad_()
    y = layer(x)
    y.backward(d_y)
    return [y.detach(), x.grad, *(parameter.grad for parameter in layer.parameters())]


def statistics(layer):
    return {name: buffer.clone() for name, buffer in layer.named_buffers()}


def assert_all_close(ours, theirs, tolerance):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


# The story, for somebody who meets the layer here first.


def test_what_the_layer_does():
    # Three units whose inputs live in three different places, as Wu of a network in training may.
    place, spread = torch.tensor([-3.0, 0.0, 50.0]), torch.tensor([0.5, 1.0, 20.0])
    layer = BatchNorm(3)

    def batch(seed):
        return normal((64, 3), seed, dtype=torch.float32) * spread + place

    # Each unit comes out with mean 0 and variance 1, on its own. One mean for the whole tensor, a trap in
    # well-known code, would have left the third unit far above the first.
    x = batch(0)
    y = layer(x)
    torch.testing.assert_close(y.mean(0), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(y.var(0, unbiased=False), torch.ones(3), rtol=0, atol=1e-4)
    assert not torch.allclose(y, (x - x.mean()) / x.std(), atol=0.1)

    # A constant added before the layer changes nothing: this is why the layer before needs no bias.
    torch.testing.assert_close(layer(x + 7.0), y, rtol=0, atol=1e-5)

    # gamma and beta give the layer back any scale and place, also those it took away.
    undone = BatchNorm(3)
    undone.weight.data, undone.bias.data = (x.var(0, unbiased=False) + undone.eps).sqrt(), x.mean(0)
    torch.testing.assert_close(undone(x), x, rtol=1e-5, atol=1e-4)

    # In training an example's output depends on the other examples of its mini-batch.
    assert not torch.allclose(layer(x[:32])[0], y[0], atol=1e-3)

    # Meanwhile the layer learns where its inputs live. These averages keep no step's graph.
    for seed in range(1, 200):
        layer(batch(seed)).sum().backward()
    assert not layer.running_mean.requires_grad and not layer.running_var.requires_grad
    torch.testing.assert_close(layer.running_mean, place, rtol=0.1, atol=0.1)
    torch.testing.assert_close(layer.running_var.sqrt(), spread, rtol=0.1, atol=0)

    # In inference it uses them: an example's output is its own, alone or in company.
    layer.eval()
    torch.testing.assert_close(layer(x)[:1], layer(x[:1]))

    # And they travel with the model.
    assert {"running_mean", "running_var", "num_batches_tracked"} <= set(layer.state_dict())


# Equal to torch.


@modest
@given(
    shape=shapes,
    affine=st.booleans(),
    momentum=st.sampled_from([None, 0.0, 0.1, 0.7, 1.0]),
    track=st.booleans(),
    precision=st.sampled_from([(torch.float64, 1e-10), (torch.float32, 1e-3)]),
    mean=st.floats(-5, 5),
    std=st.floats(0.1, 5),
    seed=seeds,
)
def test_equals_torch_in_training_and_evaluation(shape, affine, momentum, track, precision, mean, std, seed):
    dtype, tolerance = precision
    options = {"affine": affine, "momentum": momentum, "track_running_stats": track}
    ours, theirs = twins(shape, dtype, **options)
    for training in (True, True, False, True, False):
        ours.train(training)
        theirs.train(training)
        seed += 1
        x, d_y = normal(shape, seed, mean, std, dtype), normal(shape, -seed, dtype=dtype)
        assert_all_close(output_and_gradients(ours, x, d_y), output_and_gradients(theirs, x, d_y), tolerance)
        assert_all_close(list(ours.buffers()), list(theirs.buffers()), tolerance)


@modest
@given(shape=shapes, affine=st.booleans(), track=st.booleans())
def test_state_dicts_are_interchangeable_with_torch(shape, affine, track):
    options = {"affine": affine, "track_running_stats": track}
    x = normal(shape, dtype=torch.float32)
    for source, target in (
        twins(shape, torch.float32, **options),
        twins(shape, torch.float32, **options)[::-1],
    ):
        target.reset_parameters()
        source(x)
        target.load_state_dict(source.state_dict())  # strict: no key missing, none left over
        assert list(target.state_dict()) == list(source.state_dict())
        assert_all_close(list(target.state_dict().values()), list(source.state_dict().values()), 0)
        assert_all_close([target.eval()(x)], [source.eval()(x)], 1e-4)


def test_it_is_made_as_torchs_layer_is():
    """Names, order, defaults and kinds of the arguments are those of the torch that is installed."""
    assert inspect.signature(BatchNorm) == inspect.signature(nn.BatchNorm1d)
    layer = BatchNorm(3, 1e-3, None, True, True, "meta", torch.float64)
    theirs = nn.BatchNorm1d(3, 1e-3, None, True, True, "meta", torch.float64)
    assert str(layer).removeprefix("BatchNorm") == str(theirs).removeprefix("BatchNorm1d")
    for name, value in theirs.state_dict().items():
        ours = layer.state_dict()[name]
        assert (ours.shape, ours.dtype, ours.device) == (value.shape, value.dtype, value.device)
    # As torch's layer is filled in that was made on no device.
    filled = layer.to_empty(device="cpu")
    filled.reset_parameters()
    assert_all_close(
        list(filled.state_dict().values()), list(nn.BatchNorm1d(3).double().state_dict().values()), 0
    )


@pytest.mark.skipif(
    "bias" not in inspect.signature(nn.BatchNorm1d).parameters, reason="this torch has no argument bias"
)
@pytest.mark.parametrize("shape", [MATRIX, SEQUENCE, IMAGE, VOLUME])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_without_bias_it_is_torchs_layer_without_bias(shape, affine, training):
    ours, theirs = twins(shape, torch.float64, affine=affine, bias=False)
    assert list(ours.state_dict()) == list(theirs.state_dict()) and ours.bias is None
    theirs.load_state_dict(ours.state_dict())
    ours.load_state_dict(theirs.state_dict())
    x, d_y = normal(shape, mean=1.0), normal(shape, seed=1)
    ours.train(training)
    theirs.train(training)
    assert_all_close(output_and_gradients(ours, x, d_y), output_and_gradients(theirs, x, d_y), 1e-10)
    assert_all_close(list(ours.buffers()), list(theirs.buffers()), 1e-10)


@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 5), (4, 3, 0), (0, 3, 2, 2), (2, 3, 0, 2), (0, 3, 2, 2, 2)])
@pytest.mark.parametrize(
    "options",
    [
        *({"momentum": momentum} for momentum in (None, 0.0, 0.1, 1.0)),
        *({"affine": False}, {"track_running_stats": False}),
    ],
    ids=str,
)
@pytest.mark.parametrize("training", [True, False])
def test_a_mini_batch_of_no_samples_is_answered_as_torch_answers_it(shape, options, training):
    ours, theirs = (layer.train(training) for layer in twins(shape, torch.float64, **options))
    full = normal((3, *[size or 2 for size in shape[1:]]), mean=2.0)
    for x in (full, normal(shape), full):  # it changes nothing that was there, and nothing that comes
        d_y = torch.ones_like(x)
        assert_all_close(output_and_gradients(ours, x, d_y), output_and_gradients(theirs, x, d_y), 1e-10)
        assert_all_close(list(ours.buffers()), list(theirs.buffers()), 1e-10)


@pytest.mark.parametrize("kept_at_first", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_tracking_can_be_switched_later_as_in_torch(kept_at_first, training):
    ours, theirs = twins(MATRIX, torch.float64, track_running_stats=kept_at_first)
    for layer in (ours, theirs):
        layer(normal(MATRIX, mean=2.0))
        layer.track_running_stats = not kept_at_first
        layer.train(training)
    x, d_y = normal(MATRIX, seed=1), normal(MATRIX, seed=2)
    assert_all_close(output_and_gradients(ours, x, d_y), output_and_gradients(theirs, x, d_y), 1e-10)
    assert_all_close(list(ours.buffers()), list(theirs.buffers()), 1e-10)


@pytest.mark.parametrize("gone", ["weight", "bias"])
@pytest.mark.parametrize("training", [True, False])
def test_gamma_or_beta_may_be_taken_away_as_in_torch(gone, training):
    ours, theirs = twins(MATRIX, torch.float64)
    for layer in (ours, theirs):
        setattr(layer, gone, None)
        layer.train(training)
    x, d_y = normal(MATRIX, seed=1), normal(MATRIX, seed=2)
    assert_all_close(output_and_gradients(ours, x, d_y), output_and_gradients(theirs, x, d_y), 1e-10)


def test_a_state_dict_from_before_mini_batches_were_counted_loads_as_in_torch():
    old = {"weight": torch.ones(3), "bias": torch.zeros(3)}
    old |= {"running_mean": torch.full((3,), 2.0), "running_var": torch.full((3,), 4.0)}
    ours, theirs = twins(MATRIX, torch.float32)
    for layer in (ours, theirs):
        layer.load_state_dict(dict(old))
    assert_all_close(list(ours.state_dict().values()), list(theirs.state_dict().values()), 0)


def test_a_channels_last_image_stays_so():
    x = normal(IMAGE).contiguous(memory_format=torch.channels_last)
    y = BatchNorm(3).double()(x)
    assert y.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(y, BatchNorm(3).double()(x.contiguous()))


# The gradient.


@settings(max_examples=10, deadline=None)
@given(shape=shapes, seed=seeds)
def test_gradient_is_the_one_of_finite_differences(shape, seed):
    def output(x, gamma, beta):
        return BatchNormFunction.apply(x, gamma, beta, 1e-3)[0]

    inputs = normal(shape, seed), normal((shape[1],), seed + 1), normal((shape[1],), seed + 2)
    assert torch.autograd.gradcheck(output, [value.requires_grad_() for value in inputs])


@settings(max_examples=10, deadline=None)
@given(shape=shapes, seed=seeds)
def test_gradient_is_the_one_of_the_transform_differentiated_by_autograd(shape, seed):
    """Algorithm 1 in four plain lines is the oracle of the equations of Section 3."""
    x, d_y = normal(shape, seed, mean=2.0).requires_grad_(), normal(shape, seed + 1)
    dims = [0, *range(2, len(shape))]
    mu = x.mean(dims, keepdim=True)
    sigma2 = ((x - mu) ** 2).mean(dims, keepdim=True)
    (expected,) = grad((x - mu) / (sigma2 + 1e-5).sqrt(), x, d_y)
    (actual,) = grad(BatchNorm(shape[1]).double()(x), x, d_y)
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)


def test_statistics_carry_no_gradient():
    x = normal(MATRIX).requires_grad_()
    y, mean, variance = BatchNormFunction.apply(x, torch.ones(3), torch.zeros(3), 1e-5)
    assert y.requires_grad and not mean.requires_grad and not variance.requires_grad
    torch.testing.assert_close(mean, x.mean(0).detach())
    torch.testing.assert_close(variance, x.var(0, unbiased=False).detach())


@pytest.mark.parametrize("loss", [lambda y: y.pow(3).sum(), lambda y: (y * normal(MATRIX, seed=1)).sum()])
def test_second_derivative_is_refused_and_not_wrong(loss):
    """Also where dl/dy is a constant, and torch's own decorator would take the second derivative for zero."""
    x = normal(MATRIX).requires_grad_()
    with pytest.raises(RuntimeError, match="only once: leave out create_graph=True"):
        grad(loss(BatchNorm(3).double()(x)), x, create_graph=True)


# Precision.


@pytest.mark.parametrize("shape", [(60, 20), (16, 4, 9), (8, 4, 7, 7)])
@pytest.mark.parametrize("seed", range(3))
def test_far_from_zero_it_is_as_exact_as_near_it(shape, seed):
    x = normal(shape, seed, mean=1e4, std=1e-2, dtype=torch.float32)
    d_y = normal(shape, seed + 100, dtype=torch.float32)
    ours, theirs = twins(shape, torch.float32, momentum=1.0)
    exact = twins(shape, torch.float64, momentum=1.0)[1]
    exact.load_state_dict(theirs.state_dict())

    truth = output_and_gradients(exact, x.double(), d_y.double())
    our_errors, their_errors = (
        [(value - true).abs().max() for value, true in zip(values, truth, strict=True)]
        for values in (output_and_gradients(ours, x, d_y), output_and_gradients(theirs, x, d_y))
    )
    for ours_is_off, theirs_is_off in list(zip(our_errors, their_errors, strict=True))[:3]:  # y, dx, dgamma
        assert ours_is_off <= theirs_is_off
    assert our_errors[0] < 1e-5
    assert our_errors[1] < 1e-5 * truth[1].abs().max()
    # The running mean is the nearest float32, or its neighbour; the variance has all its digits.
    torch.testing.assert_close(ours.running_mean.double(), exact.running_mean, rtol=0, atol=1e-3)
    torch.testing.assert_close(ours.running_var.double(), exact.running_var, rtol=1e-5, atol=0)

    # Inference, from the same statistics.
    exact.load_state_dict(ours.state_dict())
    theirs.load_state_dict(ours.state_dict())
    truth = exact.eval()(x.double())
    assert (ours.eval()(x) - truth).abs().max() <= (theirs.eval()(x) - truth).abs().max()
    assert (ours(x) - truth).abs().max() < 1e-5


def test_an_outlying_first_sample_costs_no_precision():
    x = normal((4096, 2), dtype=torch.float32)
    x[0] = 1e3
    expected = BatchNorm(2).double()(x.double())
    torch.testing.assert_close(BatchNorm(2)(x).double(), expected, rtol=1e-6, atol=1e-6)


def test_a_constant_channel_becomes_beta():
    layer = BatchNorm(2)
    layer.bias.data.fill_(0.5)
    torch.testing.assert_close(
        layer(torch.full((6, 2), 1234.567)), torch.full((6, 2), 0.5), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [MATRIX, SEQUENCE, IMAGE])
def test_narrow_input_has_float32_statistics(shape, dtype):
    x = normal(shape, mean=30.0, std=2.0).to(dtype)
    narrow, wide = BatchNorm(3), BatchNorm(3)
    y, expected = narrow(x), wide(x.float())
    assert y.dtype == dtype
    assert torch.equal(y, expected.to(dtype))  # rounded once, at the end
    for name in ("running_mean", "running_var"):
        assert getattr(narrow, name).dtype == torch.float32
        assert torch.equal(getattr(narrow, name), getattr(wide, name))
    assert narrow.eval()(x).dtype == dtype

    narrow.train()
    gradients = output_and_gradients(narrow, x, torch.ones_like(x))[1:]
    assert [gradient.dtype for gradient in gradients] == [dtype, torch.float32, torch.float32]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_narrow_module_has_float32_running_statistics_from_the_start(dtype):
    made, converted = BatchNorm(3, dtype=dtype), BatchNorm(3).to(dtype)
    for name, value in made.state_dict().items():
        assert value.dtype == converted.state_dict()[name].dtype
    assert made.weight.dtype == dtype and made.running_var.dtype == torch.float32


def test_a_module_made_narrow_keeps_float32_running_statistics():
    layer = BatchNorm(3)
    layer(normal(MATRIX, dtype=torch.float32))
    before = statistics(layer)
    layer.bfloat16()
    assert layer.weight.dtype == torch.bfloat16
    assert all(torch.equal(buffer, before[name]) for name, buffer in statistics(layer).items())
    assert layer.running_mean.dtype == torch.float32
    output_and_gradients(
        layer, normal(MATRIX, dtype=torch.bfloat16), torch.ones(MATRIX, dtype=torch.bfloat16)
    )
    assert layer.weight.grad.dtype == torch.bfloat16
    assert layer.double().running_mean.dtype == torch.float64


def test_autocast():
    x = normal((8, 4), dtype=torch.float32)
    net = nn.Sequential(nn.Linear(4, 3), BatchNorm(3))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = net(x)
    y.float().square().sum().backward()
    assert y.dtype == torch.bfloat16 and net[1].running_var.dtype == torch.float32
    assert net[0].weight.grad.dtype == torch.float32


# Running statistics.


def test_running_variance_is_unbiased_and_the_normalizing_one_is_not():
    x = torch.tensor([[0.0], [2.0]], dtype=torch.float64)  # biased variance 1, unbiased 2
    layer = BatchNorm(1, eps=1e-30, momentum=1.0).double()
    assert layer(x).flatten().tolist() == [-1.0, 1.0]
    assert layer.running_mean.item() == 1.0 and layer.running_var.item() == 2.0


def test_momentum_none_is_the_average_of_all_batches():
    layer = BatchNorm(3, momentum=None).double()
    batches = [normal(MATRIX, seed, mean=seed) for seed in range(5)]
    for batch in batches:
        layer(batch)
    torch.testing.assert_close(layer.running_mean, torch.stack([b.mean(0) for b in batches]).mean(0))
    torch.testing.assert_close(layer.running_var, torch.stack([b.var(0) for b in batches]).mean(0))
    assert layer.num_batches_tracked == 5
    layer.reset_running_stats()
    assert statistics(layer).keys() == {"running_mean", "running_var", "num_batches_tracked"}
    assert layer.running_mean.eq(0).all() and layer.running_var.eq(1).all() and layer.num_batches_tracked == 0


def test_without_running_statistics_evaluation_uses_the_batch():
    layer = BatchNorm(3, track_running_stats=False).double()
    assert not list(layer.buffers())
    x = normal(MATRIX, mean=3.0)
    assert torch.equal(layer.eval()(x), layer.train()(x))


# What is refused.


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (torch.zeros(1, 3), ValueError, r"at least 2 values per channel .* not 1 .* \(1, 3\)"),
        (torch.zeros(1, 3, 1, 1), ValueError, r"at least 2 values per channel .* not 1 .* \(1, 3, 1, 1\)"),
        (torch.zeros(3), ValueError, r"needs \(N, C\), .* or \(N, C, D, H, W\), not .* \(3,\)"),
        (torch.zeros(2, 3, 1, 1, 1, 1), ValueError, r"needs \(N, C\), .* not .* \(2, 3, 1, 1, 1, 1\)"),
        (torch.zeros(5, 4), ValueError, r"BatchNorm\(3\) needs 3 channels .* not 4 .* \(5, 4\)"),
        (
            torch.zeros(5, 3, dtype=torch.int64),
            TypeError,
            r"floating-point input, not torch.int64: .*x\.float",
        ),
    ],
)
def test_refusals_say_what_and_which(x, error, words):
    layer = BatchNorm(3)
    before = statistics(layer)
    with pytest.raises(error, match=words) as caught:
        layer(x)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(buffer, before[name]) for name, buffer in statistics(layer).items())


def test_one_value_per_channel_is_refused_only_where_the_batch_is_measured():
    x = torch.zeros(1, 3)
    assert BatchNorm(3).eval()(x).shape == (1, 3)
    with pytest.raises(ValueError, match="at least 2 values"):
        BatchNorm(3, track_running_stats=False).eval()(x)


@pytest.mark.parametrize("eps", [0.0, -1e-5])
@pytest.mark.parametrize("training", [True, False])
def test_an_eps_of_zero_is_for_inference_only_and_a_negative_one_for_nothing(eps, training):
    layer, x = BatchNorm(3, eps=eps).double().train(training), normal(MATRIX)
    if eps == 0 and not training:
        torch.testing.assert_close(layer(x), nn.BatchNorm1d(3, eps=0.0).double().eval()(x))
        return
    with pytest.raises(ValueError, match=r"^BatchNorm needs eps >.*$"):
        layer(x)


@pytest.mark.parametrize("gone", ["running_mean", "running_var", "num_batches_tracked"])
@pytest.mark.parametrize("training", [True, False])
def test_running_statistics_are_there_or_not_but_not_by_halves(gone, training):
    layer = BatchNorm(3).train(training)
    setattr(layer, gone, None)
    with pytest.raises(ValueError, match=rf"^BatchNorm needs .* all or none, and misses {gone}: .*None.*$"):
        layer(torch.zeros(MATRIX))


# Algorithm 2, and looking without touching.

WIDTHS = (4, 3, 2)
LAYERS = pytest.mark.parametrize("layer", [BatchNorm, nn.BatchNorm1d])


def two_layers(layer, dropout=0.0):
    """u = W1 x, BN, sigmoid, v = W2 h, BN: random weights, gamma and beta; one batch tracked."""
    net = nn.Sequential(
        nn.Linear(WIDTHS[0], WIDTHS[1], bias=False),
        layer(WIDTHS[1]),
        nn.Sigmoid(),
        nn.Dropout(dropout),
        nn.Linear(WIDTHS[1], WIDTHS[2], bias=False),
        layer(WIDTHS[2], momentum=0.3),
    ).double()
    for index, parameter in enumerate(net.parameters()):
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(index))
    net(normal((9, WIDTHS[0]), seed=99))
    return net


def training_batches(count=5, size=3):
    return [normal((size, WIDTHS[0]), seed, mean=1.0) for seed in range(count)]


def by_hand(net, batches):
    """E_B[mu_B] and E_B[sigma^2_B] (biased) at both layers, every sum written out."""
    w1, gamma, beta, w2, *_ = (parameter.detach() for parameter in net.parameters())
    sums = [torch.zeros(width, dtype=torch.float64) for width in (3, 3, 2, 2)]
    for x in batches:
        u = x @ w1.T
        mu1, var1 = u.mean(0), ((u - u.mean(0)) ** 2).mean(0)
        h = 1 / (1 + torch.exp(-(gamma * (u - mu1) / torch.sqrt(var1 + 1e-5) + beta)))
        v = h @ w2.T
        mu2, var2 = v.mean(0), ((v - v.mean(0)) ** 2).mean(0)
        sums = [total + value for total, value in zip(sums, (mu1, var1, mu2, var2), strict=True)]
    return [total / len(batches) for total in sums]


@LAYERS
def test_population_statistics_by_hand(layer):
    net, batches = two_layers(layer), training_batches()
    mean1, var1, mean2, var2 = by_hand(net, batches)
    population_statistics(net, iter(batches))

    m = len(batches[0])
    torch.testing.assert_close(net[1].running_mean, mean1)
    torch.testing.assert_close(net[5].running_mean, mean2)
    torch.testing.assert_close(net[1].running_var, var1 * m / (m - 1))
    torch.testing.assert_close(net[5].running_var, var2 * m / (m - 1))
    # With m = 3 the factor is 1.5: without it the assertions above could not hold.
    assert not torch.allclose(net[1].running_var, var1, rtol=0.3)

    # Inference then is line 11 of Algorithm 2 as printed.
    u = batches[0] @ net[0].weight.T
    std = torch.sqrt(var1 * m / (m - 1) + 1e-5)
    printed = net[1].weight / std * u + (net[1].bias - net[1].weight * mean1 / std)
    torch.testing.assert_close(net[1].eval()(u), printed)


@LAYERS
def test_population_statistics_change_nothing_else(layer):
    net = two_layers(layer, dropout=0.9)
    net[1].eval()
    kept = [parameter.clone() for parameter in net.parameters()]
    modes = [module.training for module in net.modules()]
    population_statistics(net, training_batches())
    assert [module.training for module in net.modules()] == modes
    assert net[1].momentum == 0.1 and net[5].momentum == 0.3
    assert net[1].num_batches_tracked == 1 and net[5].num_batches_tracked == 1
    assert all(torch.equal(a, b) and a.grad is None for a, b in zip(net.parameters(), kept, strict=True))

    # Nothing was dropped on the way: the statistics are those of the net without Dropout.
    without = two_layers(layer, dropout=0.0)
    population_statistics(without, training_batches())
    torch.testing.assert_close(net[5].running_mean, without[5].running_mean)
    torch.testing.assert_close(net[5].running_var, without[5].running_var)


def test_population_statistics_forget_what_was_tracked_before():
    net, elsewhere = two_layers(BatchNorm), two_layers(BatchNorm)
    elsewhere(normal((9, 4), mean=1e3))
    for model in (net, elsewhere):
        population_statistics(model, training_batches())
    assert torch.equal(net[5].running_var, elsewhere[5].running_var)


def test_population_statistics_leave_layers_without_running_statistics_alone():
    net = nn.Sequential(BatchNorm(4, track_running_stats=False), BatchNorm(4)).double()
    population_statistics(net, training_batches())
    assert net[0].running_mean is None
    torch.testing.assert_close(net[1].running_mean, torch.zeros(4, dtype=torch.float64))


@pytest.mark.parametrize(
    ("batches", "error", "words"),
    [
        ([], ValueError, "batches is empty"),
        ([torch.ones(3, 4).double(), (1, 2)], TypeError, "not a tuple"),
        ([torch.ones(3, 4).double(), torch.ones(0, 4).double()], ValueError, "but one is empty"),
    ],
)
def test_population_statistics_refuse(batches, error, words):
    net = two_layers(BatchNorm)
    before = statistics(net)
    with pytest.raises(error, match=words):
        population_statistics(net, batches)
    assert all(torch.equal(buffer, before[name]) for name, buffer in statistics(net).items())
    assert all(module.training for module in net.modules()) and net[1].momentum == 0.1


@LAYERS
def test_batch_statistics_look_without_touching(layer):
    net, x = two_layers(layer, dropout=0.5).eval(), normal((9, 4), mean=5.0)
    before, in_inference = statistics(net), net(x)
    with batch_statistics(net):
        y = net(x)
        assert not net[3].training  # Dropout is as the caller left it
    # gamma and beta are what the mini-batch's own normalization leaves: mean beta, spread gamma.
    torch.testing.assert_close(y.mean(0), net[5].bias.detach())
    torch.testing.assert_close(y.std(0, unbiased=False), net[5].weight.detach().abs(), rtol=1e-3, atol=0)
    assert all(torch.equal(buffer, before[name]) for name, buffer in statistics(net).items())
    assert torch.equal(net(x), in_inference) and not torch.allclose(y, in_inference, atol=0.01)


@LAYERS
def test_batch_statistics_end_with_an_exception_too(layer):
    net = two_layers(layer).eval()
    with contextlib.suppress(KeyError), batch_statistics(net):
        raise KeyError
    assert not any(module.training for module in net.modules())
    assert net[1].track_running_stats and net[5].track_running_stats


ASKING = [
    batch_statistics,
    lambda net: population_statistics(net, training_batches()),
    lambda net: inference_statistics(net, training_batches()),
]


@pytest.mark.parametrize("ask", ASKING, ids=["batch", "population", "inference"])
def test_a_lazy_layer_has_no_statistics_before_its_first_input(ask):
    """It could take them for those of a layer without, and keep none for good."""
    net = nn.Sequential(nn.LazyBatchNorm1d()).double()
    words = r"^LazyBatchNorm1d has no statistics .* run the model once$"
    with pytest.raises(ValueError, match=words), ask(net):
        pass
    assert net[0].training and net[0].track_running_stats
    net(training_batches()[0])
    population_statistics(net, training_batches())
    expected = torch.stack([x.mean(0) for x in training_batches()]).mean(0)
    torch.testing.assert_close(net[0].running_mean, expected)


def test_only_batch_normalization_is_taken_for_it():
    """An InstanceNorm has running statistics too, of another kind."""
    net = nn.Sequential(nn.InstanceNorm1d(4, track_running_stats=True), BatchNorm(4)).double().eval()
    x = [normal((3, 4, 5), seed, mean=1.0) for seed in range(3)]
    before = statistics(net[0])
    with batch_statistics(net):
        assert not net[0].training and net[1].training
    population_statistics(net, x)
    assert all(torch.equal(buffer, before[name]) for name, buffer in statistics(net[0]).items())
    expected = torch.stack([batch.mean((0, 2)) for batch in x]).mean(0)
    torch.testing.assert_close(net[1].running_mean, expected, rtol=1e-4, atol=0)


@LAYERS
@pytest.mark.parametrize("frozen", [{"training": False}, {"track_running_stats": False}], ids=str)
def test_a_frozen_layer_is_asked_like_any_and_stays_frozen(layer, frozen):
    """Frozen by eval(), or by tracking no more, it has statistics for inference: these are replaced."""
    net, like_any = two_layers(layer), two_layers(layer)
    for name, value in frozen.items():
        setattr(net[1], name, value)
    before = statistics(net)
    with inference_statistics(net, training_batches()):
        population_statistics(like_any, training_batches())
        torch.testing.assert_close(net[1].running_var, like_any[1].running_var)
        torch.testing.assert_close(net[5].running_var, like_any[5].running_var)
    assert all(torch.equal(buffer, before[name]) for name, buffer in statistics(net).items())
    assert all(getattr(net[1], name) == value for name, value in frozen.items())
