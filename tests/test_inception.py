"""The small Inception: its shape, its parameters, and where batch normalization stands in it."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from bnbook import architecture
from bnbook.experiments.inception_first import protocol
from bnbook.experiments.inception_speedups import training as experiment
from bnbook.nn.inception import Conv, Halving, Inception, LocalResponseNorm, Module, initialise
from bnbook.train import precision

CHOICE = protocol.Choice(lr=0.05, lr_decay=0.5, weight_decay=1e-4)
SMOKE = protocol.PROFILES["smoke"]


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("width", "norm", "parameters"),
    [
        (1.0, None, 1_649_402),
        (1.0, nn.BatchNorm2d, 1_651_114),
        (0.5, None, 414_274),
        (0.5, nn.BatchNorm2d, 415_130),
    ],
)
def test_parameters(width, norm, parameters):
    """The published counts, by the network itself and by the arithmetic that the book uses."""
    assert count(Inception(width, norm=norm)) == parameters
    assert architecture.parameters(width, norm is not None) == parameters


@pytest.mark.parametrize("width", [1 / 16, 0.25])
def test_the_arithmetic_holds_at_every_width(width):
    for norm in (None, nn.BatchNorm2d):
        assert count(Inception(width, norm=norm)) == architecture.parameters(width, norm is not None)


def test_shapes():
    """28x28 through two halvings to a 7x7 map of 336 features."""
    seen = []
    model = Inception(norm=nn.BatchNorm2d)
    for block in model.blocks:
        block.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape[1:])))
    assert model(torch.zeros(2, 3, 28, 28)).shape == (2, 10)
    assert [size for _, size, _ in seen] == [28, 28, 14, 14, 14, 14, 14, 7, 7, 7]
    assert seen[0][0] == 64 and seen[2][0] == 80 + 80 and seen[-1][0] == 336 == model.output.in_features


def test_branches_stand_side_by_side():
    torch.manual_seed(0)
    u = torch.randn(2, 5, 6, 6)
    module, halving = Module(5, 3, 4, None, "relu"), Halving(5, 7, None, "relu")
    assert torch.equal(module(u), torch.cat([module.narrow(u), module.wide(u)], dim=1))
    pooled = halving(u)[:, 7:]
    assert halving(u).shape == (2, 12, 3, 3)
    assert torch.equal(pooled[:, :, 1, 1], u[:, :, 1:4, 1:4].amax(dim=(2, 3)))


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_bn_stands_between_convolution_and_nonlinearity(activation):
    """Section 3.2: g(BN(Wu)), the bias dropped; without BN g(Wu + b)."""
    torch.manual_seed(0)
    u = torch.randn(4, 3, 8, 8)
    g = {"relu": torch.relu, "sigmoid": torch.sigmoid}[activation]
    with_bn, plain = Conv(3, 5, 3, nn.BatchNorm2d, activation), Conv(3, 5, 3, None, activation)
    assert with_bn.conv.bias is None and plain.conv.bias is not None
    wu = with_bn.conv(u)
    mean, variance = wu.mean((0, 2, 3), keepdim=True), wu.var((0, 2, 3), unbiased=False, keepdim=True)
    expected = g((wu - mean) / (variance + 1e-5).sqrt())
    np.testing.assert_allclose(with_bn(u).detach(), expected.detach(), atol=1e-5)
    np.testing.assert_allclose(plain(u).detach(), g(plain.conv(u)).detach())


@pytest.mark.parametrize("maps", [3, 6, 24])
def test_local_response_normalization_is_torchs(maps):
    torch.manual_seed(0)
    u = (torch.randn(2, maps, 5, 5) * 30).requires_grad_()
    ours, torchs = LocalResponseNorm(maps)(u), nn.LocalResponseNorm(5)(u)
    np.testing.assert_allclose(ours.detach(), torchs.detach(), rtol=1e-5, atol=1e-6)
    weights = torch.randn_like(u)
    gradients = [torch.autograd.grad((out * weights).sum(), u)[0] for out in (ours, torchs)]
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-4, atol=1e-5)


def test_second_derivative_of_local_response_normalization_is_refused_and_not_wrong():
    """Also where the loss is linear, and the second derivative would be taken for zero."""
    u = torch.ones(2, 8, 5, 5, requires_grad=True)
    with pytest.raises(RuntimeError, match="only once: leave out create_graph=True"):
        torch.autograd.grad(LocalResponseNorm(8)(u).sum(), u, create_graph=True)


def test_dropout_and_local_response_normalization_where_asked():
    bare, dressed = Inception(1 / 16), Inception(1 / 16, dropout=0.4, lrn=True)
    assert isinstance(bare.lrn, nn.Identity) and bare.dropout.p == 0
    assert isinstance(dressed.lrn, LocalResponseNorm) and dressed.dropout.p == 0.4


def test_unknown_activation():
    with pytest.raises(ValueError, match="activation is 'tanh'; it must be one of relu, sigmoid"):
        Inception(activation="tanh")


def test_variants_draw_the_same_weights():
    configs = protocol.main(SMOKE, CHOICE)
    plain, bn = (
        {
            name: parameter
            for name, parameter in experiment.network(configs[variant], seed=3).named_parameters()
            if parameter.ndim > 1
        }
        for variant in ("inception", "bn_baseline")
    )
    assert plain.keys() == bn.keys() and all(torch.equal(plain[name], bn[name]) for name in plain)


@pytest.mark.parametrize(("activation", "gain"), [("relu", 2.0), ("sigmoid", 1.0)])
def test_initial_variance_is_over_fan_in(activation, gain):
    model = Inception(activation=activation)
    initialise(model, activation, torch.Generator().manual_seed(0))
    wide = model.blocks[-1].wide.conv
    fan_in = wide.weight[0].numel()
    assert wide.weight.var().item() * fan_in == pytest.approx(gain, rel=0.03)
    assert torch.all(wide.bias == 0)
    assert model.output.weight.std().item() == pytest.approx(1 / math.sqrt(336), rel=0.05)


def test_l2_falls_on_weights_alone():
    config = protocol.main(SMOKE, CHOICE)["bn_baseline"]
    model = experiment.network(config, seed=0)
    weights, free = experiment.parameter_groups(model, config)
    assert weights["weight_decay"] == config.weight_decay and free["weight_decay"] == 0
    assert len(weights["params"]) + len(free["params"]) == len(list(model.parameters()))
    gammas = [m.weight for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert gammas and {id(g) for g in gammas} <= {id(p) for p in free["params"]}
    assert weights["lr_factor"] == free["lr_factor"] == 1


def test_evaluations_are_fine_enough_for_steps_to_target():
    """At most 5% of the step apart from the end of the first epoch on, and at most an epoch."""
    cpu = protocol.PROFILES["cpu"]
    for config in protocol.main(cpu, CHOICE).values():
        steps = np.array(experiment.evaluation_steps(config))
        fine = steps[steps >= config.evaluate_from]
        assert np.all(np.diff(fine) <= np.maximum(0.05 * fine[1:] + 1, 1))
        assert np.all(np.diff(fine) <= cpu.steps_per_epoch)
        assert steps[0] == 1 and steps[-1] == config.steps and len(steps[steps < config.evaluate_from]) < 8


def test_median_seconds_per_step():
    """Three quick stretches and one that shared its core."""
    curve = {"step": [10, 20, 30, 40, 50], "train_seconds": [3.0, 4.0, 5.0, 6.0, 16.0]}
    assert experiment.seconds_per_step(curve) == pytest.approx(0.1)


# Precision and device


@pytest.fixture
def flags(monkeypatch):
    def set_flags(*names):
        monkeypatch.setattr(precision, "cpu_flags", lambda: set(names))

    return set_flags


def test_auto_is_bfloat16_only_where_it_is_native(flags):
    cpu = torch.device("cpu")
    flags("avx2", "fma")
    assert precision.resolve("auto", cpu) == "float32"
    flags("avx512f", "avx512_bf16")
    assert precision.resolve("auto", cpu) == "bfloat16"
    assert precision.resolve("float32", cpu) == "float32"


def test_unknown_precision():
    with pytest.raises(ValueError, match="precision is 'half'; it must be one of auto, float32, bfloat16"):
        precision.resolve("half", torch.device("cpu"))


def test_bfloat16_rounds_products_and_keeps_weights():
    """Asked for by name it is used, native or not; its context holds over many steps."""
    torch.manual_seed(0)
    layer, x = nn.Linear(64, 64), torch.randn(8, 64)
    context = precision.autocast("bfloat16", torch.device("cpu"))
    for _ in range(2):
        with context:
            rounded = layer(x)
        with torch.no_grad():
            layer.weight += 1.0  # a cached cast of the weights would miss this
    assert rounded.dtype == torch.bfloat16 and layer.weight.dtype == torch.float32
    with torch.no_grad():
        layer.weight -= 1.0
    np.testing.assert_allclose(rounded.detach().float(), layer(x).detach(), atol=0.2)
    with precision.autocast("float32", torch.device("cpu")):
        assert layer(x).dtype == torch.float32
