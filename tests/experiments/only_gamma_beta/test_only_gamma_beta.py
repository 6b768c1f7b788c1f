"""What is trained and what stays as it was drawn; how rates are chosen; what is measured."""

import dataclasses

import numpy as np
import pytest
import torch

from bnbook import paper
from bnbook.experiments.only_gamma_beta import figures, measures, networks, protocol, training
from tests.experiments.only_gamma_beta.synthetic import BEST_LR, DOUBLING, ENDS, OFF, PARAMETERS

PROFILE = protocol.PROFILES["smoke"]
each = pytest.mark.parametrize("arm", protocol.ARMS)


def config(arm: str, **changes) -> protocol.Config:
    one = protocol.net(PROFILE, arm, PROFILE.depth, PROFILE.width, 0.3)
    return dataclasses.replace(one, steps=5, population_batches=2, **changes)


def trained(arm: str, monkeypatch) -> tuple[dict, dict]:
    """Every parameter before and after a run of `arm`, by name."""
    made = []
    original = training.network

    def keep(*arguments):
        made.append(original(*arguments))
        return made[-1]

    monkeypatch.setattr(training, "network", keep)
    training.train_run(config(arm), 0, None, measure=False)
    before = dict(original(config(arm), 0)[0].named_parameters())
    return before, dict(made[0][0].named_parameters())


def is_norm(name: str) -> bool:
    return "norm" in name


@each
def test_what_is_frozen_stays_bit_by_bit_and_what_is_trained_moves(arm, monkeypatch):
    before, after = trained(arm, monkeypatch)
    assert any(is_norm(name) for name in before) and any("conv" in name for name in before)
    for name, start in before.items():
        moved = after[name].detach() != start.detach()
        free = {
            "gamma_beta": is_norm(name),
            "output": name.startswith("output"),
            "random": "conv" in name,
            "all": True,
        }[arm]
        if not free:
            assert not moved.any(), f"{name} has moved"
        elif arm == "random":
            per_channel = moved.flatten(1).sum(1)
            assert per_channel.max() <= protocol.PER_CHANNEL, f"{name}: more than was to be trained"
            assert moved.any()
        else:
            assert moved.any(), f"{name} has not moved"


def test_gamma_and_beta_and_the_random_weights_are_as_many():
    counts = {arm: training.network(config(arm), 0)[2] for arm in protocol.ARMS}
    model = training.network(config("all"), 0)[0]
    assert counts["gamma_beta"] == counts["random"] == 2 * sum(n.num_features for n in networks.norms(model))
    assert counts["all"] == sum(p.numel() for p in model.parameters())
    assert counts["output"] == 10 * 16 + 10


@each
def test_every_arm_starts_from_the_same_network(arm):
    ours, other = (training.network(config(one), 3)[0].state_dict() for one in (arm, "all"))
    assert all(torch.equal(ours[name], other[name]) for name in other)


def test_the_start_is_the_papers():
    """gamma uniform between 0 and 1, beta 0, weights of He's variance."""
    model = training.network(config("gamma_beta", width=32), 0)[0]
    start = training.gammas(model)
    assert 0 <= start.min() < 0.05 and 0.95 < start.max() <= 1 and abs(start.mean() - 0.5) < 0.05
    assert all(not norm.bias.any() for norm in networks.norms(model))
    weight = networks.convolutions(model)[-1].weight
    assert weight.var().item() == pytest.approx(2 / weight[0].numel(), rel=0.1)


def test_which_weights_are_drawn_depends_on_the_seed():
    weight = torch.empty(8, 4, 3, 3).contiguous(memory_format=torch.channels_last)
    masks = [networks.drawn(weight, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(masks[0], masks[1]) and not torch.equal(masks[0], masks[2])
    assert all((mask.flatten(1).sum(1) == protocol.PER_CHANNEL).all() for mask in masks)
    assert masks[0].is_contiguous(memory_format=torch.channels_last)


def test_an_unknown_arm_and_an_impossible_depth_are_refused():
    with pytest.raises(ValueError, match="arm is 'gamma'; it must be one of gamma_beta, random, output, all"):
        networks.free(networks.ResNet(8, 4, 10), "gamma", torch.Generator())
    with pytest.raises(ValueError, match="depth is 9; it must be 6n"):
        networks.ResNet(9, 4, 10)


@pytest.mark.parametrize(("depth", "width"), [(8, 4), (14, 8)])
def test_a_network_has_the_layers_that_its_depth_says(depth, width):
    model = networks.ResNet(depth, width, 10)
    assert len(networks.convolutions(model)) + 1 == depth
    assert model(torch.randn(2, 3, 16, 16)).shape == (2, 10)
    assert model.output.in_features == 4 * width


def test_images_are_halved_by_the_mean_of_four_pixels():
    x = torch.randint(256, (3, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = training.halved(training.Split(x, torch.zeros(3)))
    pixels = (x[1, 4:6, 6:8, 2].float() / 255).mean()
    assert found.x.shape == (3, 3, 16, 16)
    expected = (pixels - training.MEAN[2]) / training.STD[2]
    assert found.x[1, 2, 2, 3].item() == pytest.approx(expected.item(), abs=1e-5)


def test_a_run_measures_and_is_the_same_again():
    first, again = (training.train_run(config("gamma_beta"), 1, None) for _ in range(2))
    assert first.final == again.final and first.progress.first_losses == again.progress.first_losses
    assert first.curves["gammas"]["step"][-1] == 5 and len(first.curves["evaluation"]["train_loss"])
    share = (np.abs(first.arrays["gamma"]) < protocol.NEAR_ZERO).mean()
    assert first.curves["gammas"]["near_zero"][-1] == pytest.approx(share)
    assert {"validation_accuracy", "test_accuracy", "test_accuracy_zeroed"} <= first.final.keys()


def test_zeroing_changes_small_gammas_alone():
    model = training.network(config("all"), 0)[0]
    with torch.no_grad():
        networks.norms(model)[0].weight[:2] = torch.tensor([0.009, -0.009])
    before = training.gammas(model)
    training.zero(model)
    after = training.gammas(model)
    small = np.abs(before) < protocol.NEAR_ZERO
    assert small[:2].all() and not after[small].any() and np.array_equal(after[~small], before[~small])


# The protocol


def test_the_main_runs_have_every_size_and_no_seed_that_chose():
    choice = dict.fromkeys(protocol.ARMS, 0.3)
    profile = protocol.PROFILES["cpu"]
    jobs = protocol.jobs(profile, choice)
    grid = [(one, seed) for one, seed in jobs if seed < 100]
    mains = [(one, seed) for one, seed in jobs if seed >= 100]
    assert len(grid) == sum(map(len, profile.lrs.values())) * profile.seeds
    seeds = {}
    for one, _ in mains:
        seeds[one.arm, one.depth, one.width] = seeds.get((one.arm, one.depth, one.width), 0) + 1
    assert {key[1:] for key in seeds} == {(8, 8), (14, 8), (26, 8), (14, 4), (14, 16)}
    assert all(seeds["gamma_beta", depth, 8] >= 5 for depth in (8, 14, 26))
    assert all(seeds[arm, 14, 8] >= 5 for arm in protocol.ARMS)


def test_each_arm_is_run_at_its_own_best_rate(synthetic):
    for arm in protocol.ARMS:
        rates = {record.config["lr"] for record in measures.runs(synthetic, arm)}
        assert rates == {BEST_LR[arm]}


def test_an_only_rate_needs_no_choice():
    profile = dataclasses.replace(PROFILE, lrs=dict.fromkeys(protocol.ARMS, (0.07,)))
    found = protocol.confirm(profile, dict.fromkeys(protocol.ARMS, 0.3))
    assert {one.lr for one, _ in found.values()} == {0.07}


# Measures and figures


def test_statistics_find_the_truth(synthetic):
    found = {name: statistic(synthetic) for name, statistic in measures.STATISTICS.items()}
    over = 100 * (ENDS["gamma_beta"] - ENDS["random"])
    assert found["over_random"].interval.estimate == pytest.approx(over)
    assert found["depth_gain"].interval.estimate == pytest.approx(100 * DOUBLING * np.log2(14 / 8))
    assert found["switched_off"].interval.estimate == pytest.approx(100 * (OFF - 0.01), abs=1e-4)
    assert str(PARAMETERS["random"]) in found["over_random"].detail["en"]
    assert all(text for one in found.values() for text in one.detail.values())


def test_numbers_find_the_truth(synthetic):
    found = measures.numbers(synthetic)
    assert found["gamma_beta.parameters"] == PARAMETERS["gamma_beta"]
    assert found["share_of_parameters"] == pytest.approx(4)
    assert found["gamma_beta.zeroed_loss"] == pytest.approx(0.2)
    assert found["gamma_beta.zeroed_tells"] == PROFILE.new_seeds
    assert found["gamma_beta.near_zero"] == pytest.approx(100 * OFF)
    assert found["halfway.near_zero"] == pytest.approx(1)
    assert found["gamma_beta.below_0_1"] == pytest.approx(100 * OFF)
    assert found["gamma_beta.below_0_1_start"] == pytest.approx(10)
    assert found["gamma_beta.negative"] == 0
    assert found["tried.near_zero_most"] == pytest.approx(100 * OFF)
    assert found["over_output"] == pytest.approx(100 * (ENDS["gamma_beta"] - ENDS["output"]))
    assert (found["random.tried_worst"], found["random.tried_best"]) == pytest.approx((40, 50))
    assert found["width_gain"] == pytest.approx(100 * DOUBLING)
    assert found["gamma_beta.8_8.accuracy"] - found["gamma_beta.accuracy"] == pytest.approx(100 * DOUBLING)


def test_figures_have_every_run(synthetic):
    _, table = figures.arms(synthetic)
    assert table[table.kind == "run"].groupby("trained").seed.nunique().tolist() == [2] * 4
    _, table = figures.sizes(synthetic)
    assert len(table[table.kind == "run"]) == 4 * 3 * 2
    _, table = figures.gammas(synthetic)
    densities = table[table.kind == "density"].groupby("when").density.sum()
    assert densities.tolist() == pytest.approx([1 / np.diff(figures.EDGES)[0]] * 2)
    asked = table[table.kind == "effect"].near_zero_percent.tolist()
    assert asked == pytest.approx([1 + paper.effect("c-after-gamma-beta-off")])
