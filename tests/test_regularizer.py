"""Section 3.4: the noise of a mini-batch's company, statistics over groups, and what Dropout gains."""

import dataclasses

import numpy as np
import pytest
import torch
from conftest import CHANGED, DROPOUT_GAIN, GROUP_GAIN, SPREAD
from torch import nn

from bnbook import claims
from bnbook.experiments import bn_regularizer as experiment
from bnbook.measures import bn_regularizer as measures
from bnbook.nn.ghost import GhostBatchNorm, in_company, network, normalized
from bnbook.protocols import bn_regularizer as protocol

SMOKE = protocol.PROFILES["smoke"]
CONFIGS = protocol.main(SMOKE)
LR = f"{SMOKE.lrs['bn'][0]:g}"


def values(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def small(group=0, dropout=0.0, activation="sigmoid"):
    torch.manual_seed(0)
    return network(5, 4, 2, 3, activation, group, dropout)


def test_each_group_is_normalized_by_itself():
    """As if each were a mini-batch; the groups are every k-th example."""
    x = values(12, 3) * 2 + 5
    layer, plain = GhostBatchNorm(3, group=4), nn.BatchNorm1d(3)
    y = layer(x)
    for k in range(3):
        np.testing.assert_allclose(y[k::3].detach(), plain(x[k::3]).detach(), atol=1e-6)


def test_running_statistics_are_the_groups_mean():
    x, layer = values(12, 3) * 2 + 5, GhostBatchNorm(3, group=4)
    layer(x)
    variance = torch.stack([x[k::3].var(0) for k in range(3)]).mean(0)
    np.testing.assert_allclose(layer.running_mean, 0.1 * x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(layer.running_var, 0.9 + 0.1 * variance, rtol=1e-5)


def test_the_whole_mini_batch_is_one_group():
    x, layer, plain = values(12, 3), GhostBatchNorm(3, group=12), nn.BatchNorm1d(3)
    assert torch.equal(layer(x), plain(x)) and torch.equal(layer.running_var, plain.running_var)


def test_no_groups_at_inference():
    x, layer = values(12, 3), GhostBatchNorm(3, group=4).eval()
    np.testing.assert_allclose(layer(x).detach(), x, atol=1e-4)


def test_a_mini_batch_has_to_fall_into_groups():
    with pytest.raises(ValueError, match="a mini-batch of 10 does not fall into groups of 4"):
        GhostBatchNorm(3, group=4)(values(10, 3))


def test_unknown_activation():
    with pytest.raises(ValueError, match="activation is 'tanh'; it must be one of sigmoid, relu"):
        small(activation="tanh")


def test_in_company_is_the_network_in_training():
    """Each mini-batch by itself, Dropout being 0."""
    model, x = small(group=6), values(6, 7, 5)
    x_hats, logits = in_company(model, model[0](x), eps=1e-5)
    for k in range(7):
        np.testing.assert_allclose(logits[:, k], model(x[:, k]).detach(), atol=1e-5)
    np.testing.assert_allclose(x_hats[1].mean(0).detach(), 0, atol=1e-5)


def test_of_two_only_the_sign_is_left():
    x_hat = normalized(values(2, 50, 4), eps=1e-12)
    np.testing.assert_allclose(x_hat.abs(), 1, atol=1e-4)


def test_the_law_of_the_root():
    """The spread of a normal value's x_hat over large random mini-batches."""
    m, companies, examples = 200, 300, 40
    fixed = values(examples, 1, seed=1)
    found = []
    for k in range(companies):
        others = values(m - 1, examples, 1, seed=2 + k)
        found.append(normalized(torch.cat([fixed[None], others]), eps=1e-12)[0])
    spread = torch.stack(found).var(0).mean().sqrt().item()
    expected = np.sqrt((1 + fixed.square().mean().item() / 2) / m)
    assert spread == pytest.approx(expected, rel=0.05)
    assert measures.law(m) == pytest.approx(np.sqrt(1.5 / m))


def test_dropout_stands_behind_the_nonlinearity_of_every_hidden_layer():
    kinds = [type(module) for module in small(group=6, dropout=0.5, activation="relu")]
    assert kinds == [nn.Linear, GhostBatchNorm, nn.ReLU, nn.Dropout] * 2 + [nn.Linear]


def test_networks_start_alike_and_see_the_same_images():
    plain, bn = (CONFIGS["dropout", name, "0", LR] for name in ("plain", "bn"))
    one, other = (experiment.network(config, 64, seed=3) for config in (plain, bn))
    assert torch.equal(one[0].weight, other[0].weight)
    assert one[0].bias is not None and other[0].bias is None
    first, again, another = (experiment.subset("digits", 300, seed) for seed in (3, 3, 4))
    assert len(first) == 300 and torch.equal(first.x, again.x) and not torch.equal(first.y, another.y)


def test_the_whole_group_is_bn_without_dropout():
    assert CONFIGS["statistics", str(SMOKE.batch_size), LR] == CONFIGS["dropout", "bn", "0", LR]


def test_a_run_repeats_itself_whatever_ran_before():
    """Dropout's random numbers are the run's own."""
    config = CONFIGS["dropout", "bn", "0.3", LR]
    config = dataclasses.replace(config, steps=5)
    losses = []
    for other in (1, 2):
        torch.manual_seed(other)
        losses.append(experiment.train_run(config, 0, None, measure=False).progress.first_losses)
    assert losses[0] == losses[1]


def test_larger_company_less_noise():
    final = experiment.train_run(dataclasses.replace(CONFIGS["noise", "bn"], steps=20), 0, None).final
    for layer in (1, 2, 3):
        noise = [final[f"noise_{m}_layer_{layer}"] for m in SMOKE.sizes]
        assert noise == sorted(noise, reverse=True)
    assert 0 <= final["changed_60"] <= 1


# Measures


def test_the_learning_rate_is_the_best_on_validation(synthetic_regularizer):
    """The synthetic networks lose at the high one."""
    for record in measures.with_dropout(synthetic_regularizer, "bn", 0.3):
        assert record.config["lr"] == 0.3 and record.config["dropout"] == 0.3


def test_a_run_that_diverged_counts_as_chance_when_choosing(synthetic_regularizer):
    record = measures.noisy(synthetic_regularizer)[0]
    diverged = dataclasses.replace(record, final={"chance_accuracy": 0.1}, outcome={"status": "diverged"})
    assert measures.validation([diverged]) == pytest.approx(10)
    assert measures.train_accuracies([diverged]) == pytest.approx(10)


def test_measures_tell_the_truth(synthetic_regularizer):
    changed = measures.company_changes_answers(synthetic_regularizer)
    assert changed.interval.estimate == pytest.approx(100 * CHANGED / SMOKE.batch_size)
    assert f"{SPREAD / np.sqrt(60):.2f}" in changed.detail["en"]
    gain = measures.noise_gain(synthetic_regularizer).interval.estimate
    assert gain == pytest.approx(100 * GROUP_GAIN)
    spared = measures.dropout_spared(synthetic_regularizer).interval.estimate
    assert spared == pytest.approx(100 * (DROPOUT_GAIN["plain"] - DROPOUT_GAIN["bn"]))


def test_the_exponent_of_the_law(synthetic_regularizer):
    assert measures.exponent(synthetic_regularizer, 2).estimate == pytest.approx(-0.5)


def test_board(synthetic_regularizer):
    board = {claim.id: claim for claim in claims.board({protocol.EXPERIMENT: synthetic_regularizer})}
    names = ("noise", "generalization", "dropout")
    assert [board[f"c-3.4-{name}"].verdict for name in names] == ["holds", "reproduced", "reproduced"]


def test_numbers(synthetic_regularizer):
    numbers = measures.numbers(synthetic_regularizer)
    assert numbers["dropout.bn.30.accuracy"] - numbers["dropout.bn.0.accuracy"] == pytest.approx(0.5)
    assert numbers["dropout.plain.0.gap"] == pytest.approx(100 - numbers["dropout.plain.0.accuracy"])
    assert numbers["gain.plain.rate"] == 30 and numbers["gain.plain.points"] == pytest.approx(2)
    assert numbers["statistics.60.accuracy"] == numbers["dropout.bn.0.accuracy"]
    assert (numbers["lowest.lr"], numbers["lowest.points"]) == (0.3, pytest.approx(100 * GROUP_GAIN))
    assert numbers["runs"] == len(protocol.jobs(SMOKE))
