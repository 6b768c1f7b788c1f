"""Section 3.3: the Jacobian between normalized layers, its spectrum, and the random matrices beside it."""

import dataclasses
import functools

import numpy as np
import pytest
import torch
from torch import nn

from bnbook import claims
from bnbook.experiments.jacobian_conjecture import figures, measures, protocol
from bnbook.experiments.jacobian_conjecture import networks as jacobian
from bnbook.experiments.jacobian_conjecture import training as experiment
from bnbook.nn.batchnorm import population_statistics
from bnbook.nn.mlp import MLP, initialise
from tests.experiments.jacobian_conjecture.synthetic import NEARNESS

SMOKE = protocol.PROFILES["smoke"]
CONFIGS = protocol.main(SMOKE)
EPS = 1e-5


def made(activation, normalized, seed=0):
    """A network of 6 inputs and two layers of 5, its gammas and betas anything, and a batch of 40."""
    generator = torch.Generator().manual_seed(seed)
    norm = functools.partial(nn.BatchNorm1d, eps=EPS) if normalized else None
    model = MLP(6, 5, 2, 10, norm, activation)
    initialise(model, 0.7, generator)
    if normalized:
        for layer in model.hidden:
            nn.init.normal_(layer.norm.weight, generator=generator)
            nn.init.normal_(layer.norm.bias, generator=generator)
    return model, torch.randn(40, 6, generator=generator)


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
def test_jacobian_is_that_of_automatic_differentiation(activation, normalized):
    """From x_hat of layer 1 to x_hat of layer 2, with the reference batch's statistics as constants."""
    model, x = made(activation, normalized)
    before, after = jacobian.layers(model, x, EPS)
    model, x = model.double(), x.double()
    first_layer, following = model.hidden[0], model.hidden[1].linear
    linear, norm, g = first_layer.linear, first_layer.norm, first_layer.activation
    with torch.no_grad():
        first = linear(x)
        mean, std = first.mean(0), (first.var(0, unbiased=False) + EPS).sqrt()
        y = norm.weight * (first - mean) / std + norm.bias if normalized else first
        second = following(g(y))
        mean_after, std_after = second.mean(0), (second.var(0, unbiased=False) + EPS).sqrt()

    def step(x_hat):
        y = norm.weight * x_hat + norm.bias if normalized else std * x_hat + mean
        return (following(g(y)) - mean_after) / std_after

    x_hat = (first - mean) / std
    found = jacobian.jacobians(before, after, 3)
    for example in range(3):
        expected = torch.autograd.functional.jacobian(step, x_hat[example])
        np.testing.assert_allclose(found[example], expected, rtol=2e-4, atol=2e-5)
    every = torch.stack([torch.autograd.functional.jacobian(step, one) for one in x_hat])
    np.testing.assert_allclose(jacobian.mean_jacobian(before, after), every.mean(0), rtol=2e-4, atol=2e-5)


def test_gradient_gain_is_that_of_backpropagation():
    """In a plain network, whose statistics are no part of it: gradients of the loss at x_1 and x_2, in units
    of the standard deviations."""
    model, x = made("sigmoid", False)
    y = torch.arange(40) % 10
    passed = jacobian.layers(model, x, EPS)
    gain = jacobian.gradient_gain(model, passed, x, y, 7)
    one, other = model.hidden
    first = one.linear(x)
    second = other.linear(one.activation(first))
    loss = nn.functional.cross_entropy(model.output(other.activation(second)), y, reduction="sum")
    gradients = torch.autograd.grad(loss, (first, second))
    lengths = [(g * layer.std).norm(dim=1)[:7] for g, layer in zip(gradients, passed, strict=True)]
    assert gain == pytest.approx((lengths[0] / lengths[1]).log().mean().exp().item(), rel=1e-4)


def test_looking_changes_nothing():
    model, x = made("sigmoid", True)
    population_statistics(model, [x])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    jacobian.layers(model, 2 * x, EPS)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_how_a_plain_layer_is_scaled_does_not_matter():
    """x_hat does not know of the scale of the weights, so neither does the Jacobian of a ReLU network."""
    model, x = made("relu", False)
    one = jacobian.jacobians(*jacobian.layers(model, x, eps=0.0), 4)
    with torch.no_grad():
        model.hidden[0].linear.weight *= 8
        model.hidden[1].linear.weight /= 4
    np.testing.assert_allclose(jacobian.jacobians(*jacobian.layers(model, x, eps=0.0), 4), one, rtol=1e-5)


def test_relu_loses_a_direction_for_each_unit_at_rest():
    model, x = made("relu", True)
    before, after = jacobian.layers(model, x, EPS)
    values = torch.linalg.svdvals(jacobian.jacobians(before, after, 40))
    resting = (before.slope == 0).sum(1)
    assert resting.max() > 0
    assert torch.equal((values < 1e-12).sum(1), resting)


def test_directions():
    generator = torch.Generator().manual_seed(0)
    apart = torch.randn(100_000, 4, generator=generator)
    assert jacobian.directions(apart) == pytest.approx(4, rel=1e-3)
    assert jacobian.directions(apart[:, :1].expand(-1, 4) * torch.tensor([1, -2, 3, 4])) == pytest.approx(1)


# The paper's argument


def test_the_papers_argument_holds_where_its_premise_does():
    """With the input's covariance the identity to numerical precision, from the second layer on, J J' = I."""
    steps = experiment.linear_jacobians(CONFIGS["linear", "whiten"], seed=0)[1:]
    identity = np.broadcast_to(np.eye(SMOKE.hidden), steps.shape)
    np.testing.assert_allclose(steps @ steps.mT, identity, atol=1e-4)


def test_a_mean_square_of_1_proves_nothing():
    """Random matrices with rows of length 1 have it exactly, and a third of their values below one half."""
    config = dataclasses.replace(CONFIGS["linear", "null"], hidden=100, batch_size=200)
    values = torch.linalg.svdvals(experiment.linear_jacobians(config, seed=0))
    assert values.square().mean().item() == pytest.approx(1, rel=1e-9)
    theory = 100 * np.mean(
        np.diff([np.interp(x, figures.quarter_circle(), protocol.LEVELS) for x in protocol.NEAR])
    )
    assert theory == pytest.approx(68.5, abs=0.5)
    assert experiment.near(values) == pytest.approx(theory, abs=2)


def test_batch_normalization_gives_rows_of_length_1_for_uncorrelated_inputs():
    """All that normalizing unit by unit can do: the first layer's matrix is a random matrix of the null."""
    config = dataclasses.replace(CONFIGS["linear", "bn"], batch_size=100_000, depth=1)
    null = dataclasses.replace(config, normalization="rows")
    own, other = (experiment.linear_jacobians(one, seed=3) for one in (config, null))
    np.testing.assert_allclose(own, other, atol=0.01)


def test_near_counts():
    assert experiment.near(torch.tensor([0.4, 0.5, 1.0, 2.0, 2.1])) == pytest.approx(60)


# The networks


def test_a_run_measures_through_training():
    config = dataclasses.replace(CONFIGS["net", "sigmoid", "bn"], steps=30, probe_every=10)
    measured = experiment.net(config, 0, None, lambda step: None, measure=True)
    curve, spectra = measured.curves["spectra"], measured.arrays["spectra"]
    assert curve["step"] == measured.curves["evaluation"]["step"] == [1, 2, 3, 4, 7, 10, 15, 20, 30]
    assert spectra.shape == (9, len(protocol.LEVELS))
    # The end point is Algorithm 2's; after so few steps moving averages know little.
    end = measured.final["test_accuracy_population"]
    assert end == measured.curves["evaluation"]["test_accuracy_population"][-1]
    assert end != measured.final["test_accuracy"]
    assert (np.diff(spectra, axis=1) >= 0).all()
    assert 0 < measured.final["near"] == curve["near"][-1] < 100
    assert 1 <= measured.final["directions"] <= SMOKE.hidden
    assert 0 < measured.final["gain"] <= measured.arrays["spectra"][-1, -1]


def test_measuring_changes_no_training():
    config = dataclasses.replace(CONFIGS["net", "relu", "bn"], steps=20)
    looked, bare = (experiment.net(config, 0, None, lambda step: None, measure=m) for m in (True, False))
    assert looked.progress.first_losses == bare.progress.first_losses


def test_the_networks_start_alike():
    one, other = (experiment.network(CONFIGS["net", "sigmoid", name], 64, seed=3) for name in ("plain", "bn"))
    one, other = one.hidden[0].linear, other.hidden[0].linear
    assert torch.equal(one.weight, other.weight) and one.bias is not None and other.bias is None


# Measures


def test_measures_tell_the_truth(synthetic):
    for statistic, own, other in (
        (measures.linear_nearness, "linear_whiten", "linear_null"),
        (measures.nearness, "net_sigmoid_bn", "linear_null"),
        (measures.nearness_gain, "net_sigmoid_bn", "net_sigmoid_plain"),
    ):
        found = statistic(synthetic)
        assert found.interval.estimate == pytest.approx(NEARNESS[own] - NEARNESS[other])
        assert f"{NEARNESS[own] + 0.5:.1f}%" in found.detail["en"]


def test_a_diverged_network_has_nothing_near(synthetic):
    record = synthetic.main["net", "sigmoid", "plain"][0]
    lost = dataclasses.replace(record, outcome={"status": "diverged", "step": 3}, final={})
    assert measures.near(lost) == 0 < measures.near(record)


def test_at_equal_accuracy(synthetic):
    """By Algorithm 2's curve, 50, 70 and 90% after spectra of 49, 45 and 40: 80% lies halfway."""
    record = synthetic.main["net", "sigmoid", "bn"][0]
    near = NEARNESS["net_sigmoid_bn"]
    assert measures.near_at(record, 80) == pytest.approx(near + 2.5)
    assert measures.near_at(record, 40) == near + 9  # above it from the first
    assert np.isnan(measures.near_at(record, 95))
    # The first evaluation is at step 1, the second, halfway, at 100.
    share, accuracy = measures.early(record)
    assert share == pytest.approx(near + 9 - 4 * 79 / 99)
    assert accuracy == pytest.approx(50 + 20 * 79 / 99)
    detail = measures.nearness_gain(synthetic).detail["en"]
    assert "at an accuracy of 90%, 40.5% and 50.5%" in detail


def test_board(synthetic):
    board = {claim.id: claim for claim in claims.board({protocol.EXPERIMENT: synthetic})}
    assert board["c-3.3-jacobian-linear"].verdict == "holds"
    assert board["c-3.3-jacobian"].verdict == board["c-3.3-jacobian-plain"].verdict == "not reproduced"


def test_numbers(synthetic):
    numbers = measures.numbers(synthetic)
    assert numbers["linear.null.near"] == NEARNESS["linear_null"] + 0.5
    assert numbers["relu.bn.near_first"] == NEARNESS["net_relu_bn"] + 9.5
    assert numbers["relu.plain.near_at_80"] == pytest.approx(NEARNESS["net_relu_plain"] + 3)
    assert numbers["sigmoid.bn.low"] == pytest.approx(0.2) and numbers["sigmoid.bn.high"] == pytest.approx(
        1.8
    )
    assert numbers["sigmoid.bn.spread"] == pytest.approx(9) and numbers["sigmoid.bn.accuracy"] == 90
