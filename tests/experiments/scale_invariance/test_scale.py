"""Section 3.3: what the scale of the weights changes under batch normalization, and which rates work."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bnbook import claims
from bnbook.experiments.scale_invariance import figures, measures, protocol
from bnbook.experiments.scale_invariance import training as experiment
from bnbook.train.probes import StepSummary
from tests.experiments.scale_invariance.synthetic import GROWN, WORKING, WU_VARIANCE

SMOKE = protocol.PROFILES["smoke"]
CONFIGS = protocol.main(SMOKE)
QUANTITIES = ("output", "input_gradient", "weight_gradient")


def one_layer(a, eps, seed=0):
    """The layer's three quantities at the factor `a`, in float64."""
    generator = torch.Generator().manual_seed(seed)
    u = torch.randn(20, 6, generator=generator, dtype=torch.float64).requires_grad_()
    weight = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    direction = torch.randn(20, 4, generator=generator, dtype=torch.float64)
    return weight, experiment.layer(u, a * weight, eps, direction, a)


@pytest.mark.parametrize("a", [1e-4, 0.3, 1e4])
@pytest.mark.parametrize("quantity", QUANTITIES)
def test_the_papers_relations_without_eps(quantity, a):
    """BN((aW)u) = BN(Wu), the same gradient of u, and a times the gradient of aW is that of W."""
    np.testing.assert_allclose(one_layer(a, 0.0)[1][quantity], one_layer(1, 0.0)[1][quantity], rtol=1e-9)


@pytest.mark.parametrize("a", [1e-6, 1e-3, 1.0])
def test_eps_breaks_them_where_it_is_as_large_as_the_variance(a):
    """A unit's output has the variance a^2 var / (a^2 var + eps): one half where the two are equal."""
    weight, _ = one_layer(1, 0.0)
    u = torch.randn(20, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    variance = (u @ weight.T).var(0, unbiased=False)[0].item()
    for eps in (1e-6, a**2 * variance):
        found = one_layer(a, eps)[1]["output"][:, 0].square().mean().item()
        assert found == pytest.approx(a**2 * variance / (a**2 * variance + eps))


def test_the_gradient_stands_at_a_right_angle_to_the_weights():
    weight, whole = one_layer(1, 0.0)
    cosines = F.cosine_similarity(weight, whole["weight_gradient"])
    np.testing.assert_allclose(cosines, 0, atol=1e-12)
    # So a step lengthens the weights, by exactly Pythagoras.
    step = weight - 0.1 * whole["weight_gradient"]
    squares = weight.square().sum(1) + 0.01 * whole["weight_gradient"].square().sum(1)
    np.testing.assert_allclose(step.square().sum(1), squares)


def test_ten_times_the_weights_is_a_hundredth_of_the_rate():
    """One step at the rate lr from W and one at 100 lr from 10 W give the same function."""
    weight, whole = one_layer(1, 0.0)
    _, larger = one_layer(10, 0.0)
    one = weight - 0.1 * whole["weight_gradient"]
    other = 10 * weight - 10 * larger["weight_gradient"] / 10  # the layer gives a times the gradient
    np.testing.assert_allclose(other, 10 * one, rtol=1e-9)


def test_relations_of_an_image_layer():
    """As recorded: exact without eps, broken at small a with it, the reach shorter the larger eps."""
    found = {name: experiment.relations(CONFIGS["relations", name], 0) for name in protocol.EPSILONS}
    exact = found["none"].curves["relations"]
    assert len(exact["scale"]) == protocol.SCALES and exact["scale"][0] == pytest.approx(1e-4)
    for quantity in QUANTITIES:
        assert max(exact[f"{quantity}_error"]) < 1e-10
        usual = found["usual"].curves["relations"]
        assert usual[f"{quantity}_error"][0] > 0.9 and usual[f"{quantity}_error"][-1] < 0.01
    assert found["none"].final["cosine"] < 1e-12 < found["large"].final["cosine"]


def test_norms_are_of_a_units_weights():
    model = experiment.network(CONFIGS["sweep", "bn", "1"], 64, seed=0)
    norms = experiment.Norms([1])
    norms(StepSummary(step=0, train_loss=0.0, train_seconds=0.0), model)
    row = norms.rows[0]
    assert row["layer_1"] == pytest.approx(model.hidden[0].linear.weight.norm(dim=1).square().mean().item())
    assert row["layer_2"] == pytest.approx(SMOKE.hidden * 0.1**2, rel=0.1)
    with torch.no_grad():
        model.hidden[2].linear.weight[0, 0] = math.inf
    norms(StepSummary(step=1, train_loss=0.0, train_seconds=0.0), model)
    assert norms.columns()["layer_3"] == [row["layer_3"], None]


def test_the_networks_start_alike():
    plain, bn = (experiment.network(CONFIGS["sweep", v, "1"], 64, seed=3) for v in protocol.VARIANTS)
    assert torch.equal(plain.hidden[1].linear.weight, bn.hidden[1].linear.weight)
    assert isinstance(bn.hidden[0].norm, torch.nn.BatchNorm1d) and plain.hidden[0].linear.bias is not None


def test_the_sweep_starts_before_training_and_weights_only_grow():
    config = dataclasses.replace(CONFIGS["sweep", "bn", "10"], steps=30)
    measured = experiment.sweep(config, 0, None, lambda step: None, measure=True)
    norms = measured.curves["norms"]
    assert norms["step"][0] == 0 and norms["step"][-1] == 30
    assert np.all(np.diff(norms["layer_2"]) > 0)
    assert 0 <= measured.final["validation_accuracy"] <= 1


def test_grids():
    """Five decades, whose whole powers are the same in every profile."""
    for profile in protocol.PROFILES.values():
        assert (profile.lrs[0], profile.lrs[-1]) == (0.001, 100.0)
        assert {protocol.SLOW, 1.0, protocol.FAST} <= set(profile.lrs)
    assert protocol.rates(4)[:5] == (0.001, 0.0018, 0.0032, 0.0056, 0.01)


def test_the_picture():
    """Its gradient is at a right angle to w and goes as one over its length."""
    w = np.array([1.0, 0.4])
    assert figures.gradient(w) @ w == pytest.approx(0)
    np.testing.assert_allclose(figures.gradient(2 * w), figures.gradient(w) / 2)
    lengths = np.linalg.norm(figures.descent(w, 2.0, [figures.TOP] * 4), axis=1)
    assert np.all(np.diff(lengths) > 0)


# Measures


def test_reach_is_where_eps_is_felt(synthetic):
    """size = 1 / sqrt(1 + eps / (a^2 var)) falls by 1% at 1 / a = sqrt(0.0203 var / eps)."""
    for eps in ("usual", "tiny"):
        factor, broken = measures.reach(synthetic.main["relations", eps][0])
        truth = ((0.99**-2 - 1) * WU_VARIANCE / protocol.EPSILONS[eps]) ** 0.5
        assert broken and factor == pytest.approx(truth, rel=0.02)
    assert measures.reach(synthetic.main["relations", "none"][0]) == (pytest.approx(1e4), False)
    assert measures.relation_reach(synthetic).bound is None


def test_a_relation_broken_upwards_ends_the_reach_as_well():
    factor, error = np.array([2.0, 4.0, 8.0]), np.array([0.001, 0.1, 0.2])
    assert measures._broken(factor, error) == pytest.approx(2 * 2**0.5)
    assert measures._broken(factor, error + 0.1) == 2.0
    assert measures._broken(factor, error * 0) == 8.0


def test_working_rates(synthetic):
    np.testing.assert_allclose(measures.highest_working(synthetic, "plain"), WORKING["plain"][1])
    np.testing.assert_allclose(measures.highest_working(synthetic, "bn"), [10.0, 1.0])
    np.testing.assert_allclose(measures.working_decades(synthetic, "bn"), [4, 3])
    found = measures.usable_rates(synthetic)
    assert found.interval.estimate == pytest.approx(10**0.5) and found.bound is None
    assert "1–10" in found.detail["en"] and "<0.001" not in found.detail["en"]


def test_a_threshold_asked_more_strictly(synthetic):
    """One rate of the baseline's just works: 92% is enough for the rule, and not where 95% is asked."""
    found = changed(synthetic, "plain", 0.92, at="1")
    np.testing.assert_allclose(measures.highest_working(found, "plain"), 1.0)
    np.testing.assert_allclose(measures.highest_working(found, "plain", measures.STRICT), 0.1)
    assert measures.numbers(found)["ratio_strict"] == pytest.approx(10**1.5)


def test_the_interval_is_a_step_of_the_grid_wider(synthetic):
    """Equal seeds would leave no doubt; the grid does."""
    seeds = {key: found[:1] * 3 for key, found in synthetic.main.items()}
    found = measures.usable_rates(dataclasses.replace(synthetic, main=seeds)).interval
    assert (found.low, found.estimate, found.high) == (
        pytest.approx(1),
        pytest.approx(10),
        pytest.approx(100),
    )


def changed(results, variant, accuracy, at=None):
    """The results with this validation accuracy of a network, everywhere or at one rate."""
    main = {
        key: [dataclasses.replace(r, final=r.final | {"validation_accuracy": accuracy}) for r in found]
        if key[:2] == ("sweep", variant) and at in (None, key[2])
        else found
        for key, found in results.main.items()
    }
    return dataclasses.replace(results, main=main)


def test_bounds_at_the_ends_of_the_grid(synthetic):
    nowhere = changed(synthetic, "plain", 0.1)
    assert measures.usable_rates(nowhere).bound == "lower"
    assert "<0.001 without" in measures.usable_rates(nowhere).detail["en"]
    np.testing.assert_allclose(measures.highest_working(nowhere, "plain"), 1e-4)
    everywhere = changed(synthetic, "bn", 0.95, at="100")
    assert measures.usable_rates(everywhere).bound == "lower"
    assert measures.usable_rates(changed(everywhere, "plain", 0.95, at="100")).bound == "both"
    assert measures.usable_rates(changed(synthetic, "bn", 0.1)).bound == "upper"


def test_rates_draw_together(synthetic):
    """||w||^2 ends at 1 + GROWN lr."""
    apart = (10 / (1 + 10 * GROWN)) / (0.1 / (1 + 0.1 * GROWN))
    np.testing.assert_allclose(measures.spreads(synthetic), apart)


def test_growth_is_compared_where_bn_works(synthetic):
    """At the rates that work with BN with every seed, 0.01 to 1, and geometrically over them."""
    assert measures.usable(synthetic, "bn") == [0.01, 0.1, 1.0]
    assert measures.usable(synthetic, "plain", "bn") == [0.1, 1.0]
    main = {
        key: [grown(r, 3 * float(key[2])) for r in found] if key[:2] == ("sweep", "plain") else found
        for key, found in synthetic.main.items()
    }
    found = measures.steadied_growth(dataclasses.replace(synthetic, main=main))
    ratios = [(1 + 3 * lr) / (1 + GROWN * lr) for lr in (0.01, 0.1, 1.0)]
    assert found.interval.estimate == pytest.approx(np.prod(ratios) ** (1 / 3))
    assert (
        "At the rate 1, ‖w‖² becomes 3.0 times as large with batch normalization and 4.0 without"
        in (found.detail["en"])
    )


def test_where_no_rate_works_growth_is_that_at_all(synthetic):
    """As in a rerun of a few steps."""
    found = measures.steadied_growth(changed(synthetic, "bn", 0.1)).interval
    assert found.estimate == pytest.approx(1)


def grown(record, more):
    """The record with a ||w||^2 that ends `more` above its start."""
    norms = {"step": [0, 1]} | {f"layer_{layer}": [1.0, 1 + more] for layer in (1, 2, 3)}
    return dataclasses.replace(record, curves={"norms": norms})


def test_a_run_that_blew_up_counts_with_its_last_finite_norm():
    assert measures.last(np.array([1.0, 2.0, np.nan])) == 2.0


def test_board(synthetic):
    board = {claim.id: claim for claim in claims.board({protocol.EXPERIMENT: synthetic})}
    assert board["c-3.3-invariance"].verdict == "holds"
    assert board["c-3.3-growth"].verdict == "not reproduced"  # both grow alike
    assert board["c-3.3-usable-rates"].verdict == "inconclusive"  # two seeds that differ


def test_numbers(synthetic):
    numbers = measures.numbers(synthetic)
    assert numbers["sweep.plain.highest"] == 1.0 and numbers["sweep.bn.lowest"] == 0.01
    assert numbers["sweep.bn.at_slow"] == pytest.approx(95)
    assert numbers["norms.bn.fast.grown"] == pytest.approx(1 + 10 * GROWN)
    assert numbers["norms.plain.top.effective"] == pytest.approx(100 / (1 + 100 * GROWN))
    assert numbers["relations.usual.variance"] == WU_VARIANCE
    assert (numbers["growth.lowest"], numbers["growth.highest"]) == (0.01, 1.0)
    assert numbers["growth.ratio"] == pytest.approx(1)
