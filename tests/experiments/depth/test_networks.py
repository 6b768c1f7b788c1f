"""Residual networks and plain ones: their shape, their start, and what is measured in them."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bnbook.data.datasets import Split
from bnbook.experiments.depth import measures, protocol, training
from bnbook.experiments.depth.networks import Block, DeepNet, initialise

SMOKE = protocol.PROFILES["smoke"]


def values(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def config(arm, depth=8, **others):
    return dataclasses.replace(protocol.net(SMOKE, arm, depth, 0.05, tested=True), **others)


def test_layers_with_weights_are_as_many_as_is_said():
    for depth in (8, 20, 56):
        model = DeepNet(depth, 2, 10)
        assert sum(isinstance(one, nn.Conv2d | nn.Linear) for one in model.modules()) == depth
    with pytest.raises(ValueError, match="depth is 10; it must be 6n"):
        DeepNet(10, 2, 10)


def test_maps_double_where_the_side_halves():
    found = DeepNet(14, 3, 10, pool=2).features(values(2, 3, 16, 16))
    assert [tuple(one.shape[1:]) for one in found] == [(3, 8, 8)] * 3 + [(6, 4, 4)] * 2 + [(12, 2, 2)] * 2


def test_a_block_is_its_formula():
    """g(s(u) + alpha F(u)), g(s(u) + F(u)) and g(F(u)), with one F."""
    u = values(2, 3, 8, 8).relu()
    blocks = [Block(3, 6, 2, False, residual, scaled) for residual, scaled in [(0, 0), (1, 0), (1, 1)]]
    for block in blocks[1:]:
        block.load_state_dict(blocks[0].state_dict(), strict=False)
    plain, residual, scaled = blocks
    branch = plain.second(F.relu(plain.first(u)))
    skipped = torch.cat([u[:, :, ::2, ::2], torch.zeros(2, 3, 4, 4)], dim=1)
    with torch.no_grad():
        assert torch.equal(plain(u), F.relu(branch))
        assert torch.allclose(residual(u), F.relu(skipped + branch))
        assert torch.equal(scaled(u), skipped)  # alpha is 0
        scaled.alpha.fill_(0.5)
        assert torch.allclose(scaled(u), F.relu(skipped + 0.5 * branch))


def test_with_bn_both_convolutions_are_normalized_and_have_no_bias():
    block = Block(3, 3, 1, True, True, False)
    out = block.first_norm(block.first(values(16, 3, 8, 8)))
    np.testing.assert_allclose(out.mean(dim=(0, 2, 3)).detach(), 0, atol=1e-5)
    np.testing.assert_allclose(block.branch(values(16, 3, 8, 8)).var(dim=(0, 2, 3)).detach(), 1, atol=0.01)
    assert block.first.bias is None and block.second.bias is None


def test_all_arms_start_from_the_same_weights():
    models = [training.network(config(arm), seed=3) for arm in protocol.ARMS]
    weights = [[m.weight for m in model.modules() if isinstance(m, nn.Conv2d)] for model in models]
    for other in weights[1:]:
        assert all(torch.equal(a, b) for a, b in zip(weights[0], other, strict=True))
    assert models[-1].blocks[0].alpha.item() == 0


def test_each_arm_trains_and_repeats_itself():
    for arm in protocol.ARMS:
        one = config(arm, steps=3, population_batches=2, statistics_batches=2)
        first, again = (training.train_run(one, 0, None) for _ in range(2))
        assert first.final == again.final and not first.progress.diverged
        assert set(first.arrays) == {"gradient", "rank", "rank_end"}
        assert {"test_accuracy", "train_accuracy", "validation_accuracy"} <= set(first.final)
        losses = [
            training.train_run(one, 0, None, measure=False).progress.first_losses,
            first.progress.first_losses,
        ]
        assert losses[0] == losses[1]  # measuring changes nothing


def test_the_arms_differ_where_they_should():
    """From the first step, SkipInit's from the second on: its branches start at 0."""
    losses = {
        arm: training.train_run(config(arm, steps=3), 0, None, measure=False).progress.first_losses
        for arm in protocol.ARMS
    }
    assert len({tuple(found) for found in losses.values()}) == len(protocol.ARMS)


def test_alpha_learns():
    model = training.network(config("skipinit"), 0)
    F.cross_entropy(model(values(8, 3, 28, 28)), torch.arange(8)).backward()
    assert all(block.alpha.grad.item() != 0 for block in model.blocks)
    (decayed, free) = training.parameter_groups(model, config("skipinit"))
    assert any(model.blocks[0].alpha is one for one in free["params"]) and "weight_decay" not in free
    assert len(decayed["params"]) == 8


def test_the_test_set_has_no_say_in_the_rate():
    found = training.train_run(config("plain", steps=2, tested=False), 0, None)
    assert not found.arrays and not found.curves
    assert "test_accuracy" not in found.final and "validation_accuracy" in found.final


# What is measured before training


def test_effective_rank():
    """1 of one direction, k of k directions alike; that of what exploded as well."""
    one = values(5, 1) * torch.ones(1, 7)
    assert training.effective_rank(one) == pytest.approx(1, abs=1e-6)
    assert training.effective_rank(1e30 * one) == pytest.approx(1, abs=1e-6)
    assert training.effective_rank(torch.eye(6)[:4]) == pytest.approx(4)
    assert training.effective_rank(torch.eye(6).view(6, 1, 2, 3)) == pytest.approx(6)


def test_the_gradient_is_that_of_an_examples_loss():
    """By finite differences, in the last features of a network without BN."""
    model = DeepNet(8, 2, 10)
    initialise(model, torch.Generator().manual_seed(0))
    batch = Split(values(5, 3, 8, 8), torch.arange(5))
    gradient, rank = training.look_inside(model, model.features, batch)
    assert len(gradient) == len(rank) == 4
    last = model.features(batch.x)[-1].detach().requires_grad_()
    loss = F.cross_entropy(model.output(last.mean(dim=(2, 3))), batch.y, reduction="none")
    lengths = torch.stack([torch.autograd.grad(one, last, retain_graph=True)[0].norm() for one in loss])
    assert gradient[-1] == pytest.approx(lengths.square().mean().sqrt().item(), rel=1e-5)


def test_looking_changes_nothing():
    model = training.network(config("residual_bn"), 0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    training.look_inside(model, model.features, Split(values(8, 3, 28, 28), torch.arange(8)))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_wide_network_has_the_theorys_factor_and_a_plain_one_has_none():
    """256 units, 512 images: within 2%."""
    one = dataclasses.replace(protocol.wide(SMOKE, True, 256, 512), depth=20)
    found = {}
    for norm in (True, False):
        arrays = training.train_run(dataclasses.replace(one, norm=norm), 0, None).arrays
        logs = np.log(arrays["gradient"])[measures.EDGE : -measures.EDGE]
        found[norm] = np.exp((logs[0] - logs[-1]) / (len(logs) - 1)), arrays["rank"]
    assert found[True][0] == pytest.approx(measures.theory(), rel=0.02)
    assert found[False][0] == pytest.approx(1, abs=0.06)
    assert found[True][1][-1] > 5 * found[False][1][-1]  # the features of the plain one collapse
