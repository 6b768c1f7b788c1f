"""Section 3.2: batch normalization per map and per activation, its place in the layer, and an idle bias."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bnbook import claims, paths
from bnbook.experiments.convolutional_norm import measures, protocol
from bnbook.experiments.convolutional_norm import training as experiment
from bnbook.experiments.convolutional_norm.networks import ConvLayer, ConvNet, norm
from bnbook.nn.batchnorm import population_statistics
from tests.experiments.convolutional_norm.synthetic import CONVOLUTIONAL

SMOKE = protocol.PROFILES["smoke"]
CONFIGS = protocol.main(SMOKE)
LARGE = (str(SMOKE.batch_size), str(SMOKE.lrs[0]))


def maps(*shape, seed=0):
    """Maps (N, C, H, W) off centre, each place with a mean of its own."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return 2 * x + 3 + torch.randn(1, *shape[1:], generator=generator, dtype=torch.float64)


# Statistics per map and per activation


def test_per_map_normalizes_over_all_places():
    x = maps(5, 2, 3, 3)
    y = norm("map", 2, 3, eps=1e-9).double()(x).detach()
    values = y.transpose(0, 1).flatten(1)  # m' = m p q values a map
    assert values.shape[1] == 5 * 9
    np.testing.assert_allclose(values.mean(1), 0, atol=1e-9)
    np.testing.assert_allclose(values.var(1, unbiased=False), 1, rtol=1e-6)
    assert y.mean(0).abs().max() > 0.1  # a place by itself need not be centred


def test_per_activation_normalizes_each_place_by_itself():
    y = norm("activation", 2, 3, eps=1e-9).double()(maps(5, 2, 3, 3)).detach()
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(y.var(0, unbiased=False), 1, rtol=1e-6)


@pytest.mark.parametrize(("over", "name"), [("map", "per_map"), ("activation", "per_activation")])
def test_the_parameters_are_as_many_as_the_book_says(over, name):
    found = measures.sizes(SMOKE)
    model = ConvNet(8, SMOKE.maps, 10, over, "before", bias=False, eps=1e-5)
    assert (
        sum(p.numel() for layer in model.layers for p in layer.norm.parameters())
        == (found[f"parameters.{name}"])
    )


def test_sizes_of_the_committed_profile():
    found = measures.sizes(protocol.PROFILES["cpu"])
    assert found["parameters.per_map"] == 2 * (8 + 16)
    assert found["parameters.per_activation"] == 2 * (8 * 28 * 28 + 16 * 14 * 14)
    assert found["layer_1.effective_small"] == 4 * 28 * 28
    assert found["layer_2.effective_large"] == 60 * 14 * 14


@pytest.mark.parametrize(("over", "commutes"), [("none", True), ("map", True), ("activation", False)])
def test_a_shifted_image_gives_shifted_maps_only_per_map(over, commutes):
    layer = ConvLayer(1, 4, 8, over, "before", bias=False, eps=1e-5).double()
    images = maps(16, 1, 8, 8)
    population_statistics(layer, [images])
    layer.eval()
    with torch.no_grad():
        before, moved = layer.relu_input(images), layer.relu_input(images.roll(2, dims=-1))
    error = experiment.shift_error(before, moved, 2)
    assert error < 1e-12 if commutes else error > 0.1


def test_shift_error_sees_a_shift_that_is_wrong():
    x = maps(4, 2, 8, 8)
    assert experiment.shift_error(x, x.roll(1, dims=-1), 1) == 0
    assert experiment.shift_error(x, x.roll(1, dims=-1), 2) > 0.5


# Where BN stands


def test_places():
    """g(BN(Wu)), BN(g(Wu)) and g(W BN(u))."""
    u = maps(6, 2, 4, 4).float()
    layers = {
        place: ConvLayer(2, 3, 4, "map", place, bias=False, eps=1e-5)
        for place in ("before", "after", "input")
    }
    for layer in layers.values():
        layer.conv.weight.data = layers["before"].conv.weight.data

    def bn(x):
        return F.batch_norm(x, None, None, training=True)

    wu = layers["before"].conv(u)
    torch.testing.assert_close(layers["before"](u), bn(wu).relu())
    torch.testing.assert_close(layers["after"](u), bn(wu.relu()))
    torch.testing.assert_close(layers["input"](u), layers["input"].conv(bn(u)).relu())


def test_unknown_words():
    with pytest.raises(ValueError, match="norm is 'layer'; it must be one of none, map, activation"):
        norm("layer", 2, 3, 1e-5)
    with pytest.raises(ValueError, match="place is 'between'; it must be one of before, after, input"):
        ConvLayer(1, 2, 4, "map", "between", bias=True, eps=1e-5)


def test_networks_start_alike():
    """The same weights, whatever is normalized; only the idle biases are not 0."""
    models = {name: experiment.network(CONFIGS[name, *LARGE], 8, seed=3) for name in protocol.VARIANTS}
    for model in models.values():
        assert torch.equal(model.layers[1].conv.weight, models["none"].layers[1].conv.weight)
        assert torch.equal(model.output.weight, models["none"].output.weight)
    assert models["per_map"].layers[0].conv.bias is None
    assert not models["after"].layers[0].conv.bias.any()
    assert models["biased"].layers[0].conv.bias.std() > 0.2


def trained(variant, **changes):
    return experiment.train_run(dataclasses.replace(CONFIGS[variant, *LARGE], steps=15, **changes), 0, None)


def test_a_bias_before_bn_is_idle():
    """Random biases change no loss, and do not move; without BN they do."""
    without, biased, plain = (trained(name) for name in ("per_map", "biased", "none"))
    np.testing.assert_allclose(biased.progress.first_losses, without.progress.first_losses, rtol=1e-3)
    assert biased.final["bias_moved"] < 1e-5 < plain.final["bias_moved"]
    assert "bias_moved" not in without.final


def test_a_run_that_diverges_is_recorded_as_such():
    measured = trained("none", lr=1e9)
    assert measured.progress.diverged and "test_accuracy" not in measured.final


def test_a_dead_network_has_finite_numbers():
    """One whose maps are all constant has nothing to measure inside, but an accuracy."""
    model = experiment.network(CONFIGS["none", *LARGE], 8, seed=0)
    for layer in model.layers:
        layer.conv.weight.data.zero_()
    final, arrays = experiment.look_inside(model.eval(), maps(5, 1, 8, 8).float(), 1)
    assert "wu_distance" not in final and np.isfinite(list(final.values())).all()
    assert all(np.isfinite(array).all() for array in arrays.values())


# What is measured inside


def test_worth_of_independent_places_is_their_number():
    x = torch.randn(4000, 6, 3, 3, generator=torch.Generator().manual_seed(1))
    assert experiment.effective_sample_size(x) == pytest.approx(9, rel=0.1)


def test_worth_of_places_that_are_all_alike_is_one():
    x = torch.randn(500, 3, 1, 1, generator=torch.Generator().manual_seed(1)).expand(-1, -1, 4, 4)
    assert experiment.effective_sample_size(x) == pytest.approx(1, rel=0.01)


def test_distance_from_the_normal_distribution():
    x = torch.randn(100, 4, 6, 6, generator=torch.Generator().manual_seed(1))
    assert experiment.distance(5 * x + 2) < 0.03  # whatever mean and scale
    # ReLU puts half of the values at 0, which lies 0.68 deviations below the mean: Phi(-0.68) = 0.247.
    assert experiment.distance(x.relu()) == pytest.approx(0.253, abs=0.03)


def test_density_counts_every_value_once():
    x = torch.rand(100, 4, 6, 6, generator=torch.Generator().manual_seed(1))
    assert experiment.density(x).sum() == pytest.approx(1)


# Measures


def test_measures_tell_the_truth(synthetic):
    def estimate(name):
        return measures.STATISTICS[name](synthetic).interval.estimate

    accuracy = CONVOLUTIONAL["accuracy"]
    assert estimate("placement_gain") == pytest.approx(100 * (accuracy["per_map"] - accuracy["input"]))
    assert estimate("gaussian_ratio") == pytest.approx(3)
    assert estimate("bias_dropped") == pytest.approx(0, abs=1e-9)
    assert estimate("shift_gap") == pytest.approx(100 * CONVOLUTIONAL["shift_error"]["per_activation"])
    assert estimate("image_worth") == pytest.approx(CONVOLUTIONAL["worth_2"])  # the smaller layer
    loss = CONVOLUTIONAL["small_batch_loss"]
    assert estimate("per_map_gain") == pytest.approx(
        100 * (accuracy["per_map"] - loss["per_map"] - accuracy["per_activation"] + loss["per_activation"])
    )


def test_the_rate_is_chosen_by_validation(synthetic):
    """The synthetic test accuracy is highest where the validation accuracy is lowest."""
    best = CONVOLUTIONAL["best_lr"]
    assert measures.chosen_rate(synthetic, "per_map", SMOKE.batch_size) == best
    assert {r.config["lr"] for r in measures.chosen(synthetic, "biased")} == {best}


def test_places_are_compared_by_seeds_that_chose_nothing(synthetic):
    """At the chosen rate; the seed that does not learn with u is left out of the difference, and counted."""
    for name in protocol.PLACES:
        found = measures.new(synthetic, name)
        assert [record.seed for record in found] == [100, 101, 102]
        assert {record.config["lr"] for record in found} == {CONVOLUTIONAL["best_lr"]}
    found = measures.placement_gain(synthetic)
    assert found.interval.n == 2
    assert "Of 3 new seeds 0 do not learn with Wu, 1 with u." in found.detail["en"]


def test_where_no_pair_learns_all_count(synthetic):
    """As in a rerun of a few steps."""
    main = {
        key: [dataclasses.replace(r, final=r.final | {"test_accuracy": 0.1}) for r in found]
        for key, found in synthetic.main.items()
    }
    short = dataclasses.replace(synthetic, main=main)
    assert measures.placement_gain(short).interval.n == 3
    assert measures.numbers(short)["placed.input.lost"] == 3


def test_the_rule_says_what_is_measured():
    rule, cpu = claims.paper.claims()["c-3.2-placement"]["rule"]["en"], protocol.PROFILES["cpu"]
    assert f"{cpu.new_seeds} new seeds" in rule and f"above {100 * protocol.LEARNS:.0f}%" in rule


def test_the_convolutional_network_bears_higher_rates_without_bn():
    """What the row on learning rates of Section 3.3 says beside its own network."""
    results = protocol.results(protocol.PROFILES["cpu"], [paths.runs(paths.RESULTS)])
    numbers = measures.numbers(results)
    assert numbers["top.per_map.learned"] < numbers["top.none.learned"] == results.profile.seeds


def test_board(synthetic):
    board = {claim.id: claim for claim in claims.board({protocol.EXPERIMENT: synthetic})}
    assert board["c-3.2-placement"].verdict == board["c-3.2-per-map"].verdict == "reproduced"
    assert board["c-3.2-bias"].verdict == board["c-3.2-shift"].verdict == "holds"


def test_numbers(synthetic):
    numbers = measures.numbers(synthetic)
    assert numbers["large.per_map.accuracy"] == pytest.approx(100 * CONVOLUTIONAL["accuracy"]["per_map"])
    assert numbers["small.none.lr"] == CONVOLUTIONAL["best_lr"] and numbers["diverged"] == 0
    assert numbers["inside.none.u_distance"] == pytest.approx(0.3)
    assert (numbers["placed.per_map.lost"], numbers["placed.input.lost"]) == (0, 1)
    places, worth = 4 * 4, CONVOLUTIONAL["worth_2"]  # of the second layer, 8x8 digits
    assert numbers["layer_2.factor_counted"] == pytest.approx(100 / (4 * places - 1))
    assert numbers["layer_2.factor_needed"] == pytest.approx(100 / (4 * worth - 1))
    assert numbers["top.lr"] == 0.3 and numbers["top.none.learned"] == SMOKE.seeds
