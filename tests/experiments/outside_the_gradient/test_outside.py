"""Section 2: what a gradient step that ignores the statistics does, and whitening with its gradient."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from bnbook import claims
from bnbook.experiments.outside_the_gradient import measures, protocol
from bnbook.experiments.outside_the_gradient import training as experiment
from bnbook.experiments.outside_the_gradient.networks import Normalization, inverse_root
from tests.experiments.outside_the_gradient.synthetic import GROWTH, LEAP, WHITENING_COST

SMOKE = protocol.PROFILES["smoke"]
CONFIGS = protocol.main(SMOKE)


def mixed(*shape, seed=0):
    """Correlated, off-centre columns, in float64."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return x @ torch.randn(shape[1], shape[1], generator=generator, dtype=torch.float64) + 3


@pytest.mark.parametrize("ignored", [True, False])
@pytest.mark.parametrize("kind", ["mean", "mean_std", "whiten"])
def test_what_comes_out(kind, ignored):
    """Mean 0; then variance 1; then no correlation either. Ignoring changes the gradient, not the value."""
    y = Normalization(kind, ignored, eps=1e-9)(mixed(50, 4))
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-9)
    covariance = (y.T @ y / len(y)).numpy()
    if kind != "mean":
        np.testing.assert_allclose(np.diag(covariance), 1, rtol=1e-6)
    if kind == "whiten":
        np.testing.assert_allclose(covariance, np.eye(4), atol=1e-6)


def test_whitening_is_zca():
    """Of all whitened versions, the one closest to the data: its matrix is symmetric."""
    x = mixed(50, 4)
    centred = x - x.mean(0)
    matrix = torch.linalg.lstsq(centred, Normalization("whiten", False, eps=1e-9)(x)).solution
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-7)


@pytest.mark.parametrize("kind", ["mean", "mean_std", "whiten"])
def test_the_gradient_through_is_that_of_finite_differences(kind):
    x = mixed(9, 3).requires_grad_()
    assert torch.autograd.gradcheck(Normalization(kind, ignored=False), (x,))


@pytest.mark.parametrize("kind", ["mean", "mean_std", "whiten"])
def test_the_gradient_that_ignores_is_not(kind):
    x = mixed(9, 3).requires_grad_()
    assert not torch.autograd.gradcheck(Normalization(kind, ignored=True), (x,), raise_exception=False)


def test_equal_eigenvalues_have_a_gradient():
    """Where differentiating the eigenvectors would divide by zero."""
    matrix = (2 * torch.eye(3, dtype=torch.float64)).requires_grad_()
    inverse_root(matrix).trace().backward()
    np.testing.assert_allclose(matrix.grad, -0.5 * 2**-1.5 * np.eye(3))


def test_unknown_normalization():
    with pytest.raises(ValueError, match="normalization is 'std'; it must be one of none, mean, mean_std"):
        Normalization("std", ignored=False)


def test_the_papers_example():
    """The bias runs away by the same stride every step, and the loss does not move; with the gradient through
    the mean, the bias stays where it is."""
    ignored = experiment.toy(CONFIGS["toy", "mean_ignored"], seed=0).curves["toy"]
    through = experiment.toy(CONFIGS["toy", "mean_through"], seed=0).curves["toy"]
    np.testing.assert_allclose(ignored["loss"], ignored["loss"][0], rtol=1e-4)
    strides = np.diff(ignored["bias"]) / np.diff(ignored["step"])
    np.testing.assert_allclose(strides, strides[0], rtol=1e-3)
    assert abs(ignored["bias"][-1]) > 10
    np.testing.assert_allclose(through["bias"], 0, atol=1e-5)
    assert through["loss"][-1] == pytest.approx(ignored["loss"][-1], rel=1e-4)


def test_the_bias_of_a_layer_is_idle_with_the_gradient_through():
    """Only where the step ignores the mean do the biases of a network move."""
    for name, moves in (("mean_ignored", True), ("mean_std_through", False), ("whiten_through", False)):
        config = dataclasses.replace(CONFIGS["net", name], steps=30)
        measured = experiment.net(config, 0, None, lambda step: None, measure=True)
        assert (measured.final["bias"] > 1e-3) == moves, name


def test_the_networks_start_alike():
    one, other = (
        experiment.network(CONFIGS["net", name], 64, seed=3) for name in ("none", "mean_std_ignored")
    )
    one, other = one.hidden[0], other.hidden[0]
    assert torch.equal(one.linear.weight, other.linear.weight)
    assert one.linear.bias is not None and other.linear.bias is not None
    assert isinstance(one.norm, Normalization) and isinstance(one.activation, nn.Sigmoid)


def test_cost_is_a_ratio_measured_side_by_side():
    config = CONFIGS["cost", "mean_std_through", str(SMOKE.widths[0])]
    final = experiment.cost(config, 0).final
    assert final["times_bare"] > 1 and final["milliseconds"] > 0


# Measures


def test_measures_tell_the_truth(synthetic):
    growth = measures.bias_growth(synthetic)
    assert growth.interval.estimate == pytest.approx(2, rel=0.15)
    assert f"{GROWTH * SMOKE.toy_steps:.1f}" in growth.detail["en"]
    assert measures.loss_leap(synthetic).interval.estimate == pytest.approx(LEAP)
    cost = measures.whitening_cost(synthetic).interval.estimate
    assert cost == pytest.approx(WHITENING_COST["whiten_through"] / WHITENING_COST["mean_std_through"])


def test_a_bias_at_rest_does_not_grow(synthetic):
    assert all(measures.growth(r) == 1.0 for r in synthetic.main["toy", "mean_through"])


def test_board(synthetic):
    board = {claim.id: claim for claim in claims.board({protocol.EXPERIMENT: synthetic})}
    assert board["c-2-outside-the-gradient"].verdict == "holds"
    assert board["c-2-scale"].verdict == "reproduced"


def test_the_row_on_the_scale_says_that_the_network_does_not_blow_up(synthetic):
    text = measures.loss_leap(synthetic).caveat["en"]
    seeds = len(synthetic.main["net", "mean_std_ignored"])
    assert text.startswith("Measured in a small example.") and f"0 of {seeds} seeds diverged" in text
    lost = [dataclasses.replace(r, outcome={"status": "diverged", "step": 3}) for r in
            synthetic.main["net", "mean_std_ignored"]]  # fmt: skip
    main = synthetic.main | {("net", "mean_std_ignored"): lost}
    text = measures.loss_leap(dataclasses.replace(synthetic, main=main)).caveat["ko"]
    assert f"{seeds}개 가운데 {seeds}개가 발산" in text


def test_numbers(synthetic):
    numbers = measures.numbers(synthetic)
    assert numbers["toy.mean_through.bias"] == 0 and numbers["toy.mean_std_ignored.leap"] == LEAP
    assert numbers["net.none.accuracy"] == pytest.approx(90.5)
    assert (numbers["narrowest"], numbers["widest"]) == (min(SMOKE.widths), max(SMOKE.widths))
