"""Section 3.4: the noise of a mini-batch's company, statistics over groups, and what Dropout gains."""

import dataclasses
import functools

import numpy as np
import pytest
import torch
from torch import nn

from bnbook import claims, records
from bnbook.data.batches import Batches
from bnbook.data.datasets import Split
from bnbook.experiments.bn_regularizer import measures, protocol
from bnbook.experiments.bn_regularizer import training as experiment
from bnbook.experiments.bn_regularizer.networks import GhostBatchNorm, forward_batches, normalized
from bnbook.nn.mlp import MLP
from tests.experiments.bn_regularizer.synthetic import (
    CHANGED,
    COMPANY_LOSS,
    DROPOUT_GAIN,
    GROUP_GAIN,
    SHIFT_COST,
    SPREAD,
    VARIANCE_SHIFT,
)

SMOKE = protocol.PROFILES["smoke"]
CONFIGS = protocol.main(SMOKE)
LR = f"{SMOKE.lrs['bn'][0]:g}"


def values(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def small(group=0, dropout=0.0, activation="sigmoid"):
    torch.manual_seed(0)
    norm = functools.partial(GhostBatchNorm, group=group) if group else None
    return MLP(5, 4, 2, 3, norm, activation, dropout=dropout)


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


def test_many_mini_batches_at_once_are_the_network_in_training():
    """Each mini-batch by itself, Dropout being 0."""
    model, x = small(group=6), values(6, 7, 5)
    x_hats, logits = forward_batches(model, model.hidden[0].linear(x), eps=1e-5)
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
    layers = small(group=6, dropout=0.5, activation="relu").hidden
    kinds = [[type(module) for module in layer.children()] for layer in layers]
    assert kinds == [[nn.Linear, GhostBatchNorm, nn.ReLU, nn.Dropout]] * 2
    torch.manual_seed(1)
    dropped = layers[0](values(12, 5)) == 0
    layers[0].dropout.p = 0.0
    assert dropped.sum() > (layers[0](values(12, 5)) == 0).sum()


def test_networks_start_alike_and_see_the_same_images():
    plain, bn = (CONFIGS["dropout", name, "0", LR] for name in ("plain", "bn"))
    one, other = (experiment.network(config, 64, seed=3) for config in (plain, bn))
    one, other = one.hidden[0].linear, other.hidden[0].linear
    assert torch.equal(one.weight, other.weight) and one.bias is not None and other.bias is None
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


def test_with_companions_the_mini_batch_is_the_same():
    """It comes first, with its labels, followed by others that are not its own once more."""
    data = Split(torch.arange(300.0)[:, None], torch.arange(300))
    batches = Batches(data, 60, seed=3)
    company = experiment.WithCompanions(batches, 240)
    for step in (0, 7):
        (x, y), (images, labels) = batches[step], company[step]
        assert torch.equal(images[:60], x) and torch.equal(labels, y) and len(images) == 240
        assert len(set(images[60:].flatten().tolist())) == 180  # all different
        assert not torch.equal(images[60:120], x)


def test_with_companions_the_loss_is_that_of_the_mini_batch_and_the_gradient_knows_of_the_others():
    """By finite differences in the first layer: the others move mean and variance, and with them the loss."""
    torch.manual_seed(0)
    model = MLP(5, 4, 1, 3, functools.partial(GhostBatchNorm, group=12)).double()
    x, y = values(12, 5).double(), torch.tensor([0, 1, 2])
    experiment.loss(model(x), y).backward()
    weight, step = model.hidden[0].linear.weight, 1e-6
    sides = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[1, 2] += sign * step
            sides.append(nn.functional.cross_entropy(model(x)[:3], y).item())
            weight[1, 2] -= sign * step
    assert weight.grad[1, 2].item() == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=1e-5)


def test_a_company_trains_as_it_is_said_to():
    """The first loss is that of the mini-batch, normalized with 180 others."""
    config = dataclasses.replace(CONFIGS["statistics", str(SMOKE.larger_group), LR], steps=3)
    measured = experiment.train_run(config, 0, None)
    training = experiment.subset("digits", 300, 0)
    x, y = experiment.WithCompanions(Batches(training, 60, 0), 240)[0]
    logits = experiment.network(config, 64, 0)(x)
    expected = nn.functional.cross_entropy(logits[:60], y).item()
    assert measured.progress.first_losses[0] == pytest.approx(expected, rel=1e-5)
    assert measured.final["test_accuracy"] > 0


def test_dropout_raises_the_variance_that_it_is_not_there_for():
    """Of ReLUs' outputs, a share p dropped and the rest scaled up: the mean of squares grows 1 / (1 - p)
    times, so the variance of what sums them grows; the population's statistics stay as they are."""
    config = dataclasses.replace(CONFIGS["dropout", "bn", "0.3", LR], dropout=0.5, population_batches=20)
    training = experiment.subset("digits", 300, 0)
    model = experiment.network(config, 64, seed=0)
    experiment.use_population_statistics(model, training, config, 0)
    before = model.hidden[-1].norm.running_var.clone()
    found = experiment.shifted(model, training, config, 0)
    assert found["shift"] > 1.1 and 0 <= found["test_accuracy_shifted"] <= 1
    assert torch.equal(model.hidden[-1].norm.running_var, before)


def test_larger_company_less_noise():
    final = experiment.train_run(dataclasses.replace(CONFIGS["noise", "bn"], steps=20), 0, None).final
    for layer in (1, 2, 3):
        noise = [final[f"noise_{m}_layer_{layer}"] for m in SMOKE.sizes]
        assert noise == sorted(noise, reverse=True)
    assert 0 <= final["changed_60"] <= 1


# Measures


def test_the_learning_rate_is_the_best_on_validation(synthetic):
    """The synthetic networks lose at the high one."""
    for record in measures.with_dropout(synthetic, "bn", 0.3):
        assert record.config["lr"] == 0.3 and record.config["dropout"] == 0.3


def test_a_run_that_diverged_counts_as_chance_when_choosing(synthetic):
    record = measures.noisy(synthetic)[0]
    diverged = dataclasses.replace(record, final={"chance_accuracy": 0.1}, outcome={"status": "diverged"})
    assert protocol.validation([diverged]) == pytest.approx(10)
    assert measures.train_accuracies([diverged]) == pytest.approx(10)


def test_measures_tell_the_truth(synthetic):
    changed = measures.company_changes_answers(synthetic)
    assert changed.interval.estimate == pytest.approx(100 * CHANGED / SMOKE.batch_size)
    assert f"{SPREAD / np.sqrt(60):.2f}" in changed.detail["en"]
    gain = measures.noise_gain(synthetic).interval
    assert (gain.estimate, gain.n) == (pytest.approx(100 * COMPANY_LOSS), SMOKE.new_seeds_company)
    assert measures.more_noise(synthetic).estimate == pytest.approx(100 * GROUP_GAIN)
    kept = measures.without_dropout(synthetic)
    assert (kept.interval.estimate, kept.interval.n) == (
        pytest.approx(-100 * DROPOUT_GAIN["bn"]),
        SMOKE.new_seeds,
    )
    assert f"{100 * DROPOUT_GAIN['plain']:+.2f} points" in kept.detail["en"]


def test_what_is_judged_ran_by_seeds_that_chose_nothing(synthetic):
    """Each at what the others chose: the lower rate, and the only rate of Dropout above 0."""
    for name in ("alone", "dropout", "company"):
        found = measures.new(synthetic, name)
        assert [record.seed for record in found] == [100, 101, 102][: 2 if name == "company" else 3]
        (config,) = {record.run_id: record.config for record in found}.values()
        assert config["lr"] == 0.3 and config["dropout"] == 0.3 * (name == "dropout")
        assert config["group"] > 0
    assert measures.new(synthetic, "company")[0].config["group"] == SMOKE.larger_group


def test_the_grid_runs_first(synthetic, tmp_path):
    """What it chose is known only then; by seed, each as many times as it says, and no seed twice."""
    with pytest.raises(records.MissingRecord):
        list(protocol.plan("main", SMOKE, [tmp_path]))
    choice = protocol.select(synthetic)
    first, then = list(protocol.plan("grid", SMOKE, [])), protocol.jobs(SMOKE, choice)
    assert then[: len(first)] == first
    confirming = then[len(first) :]
    assert [seed for _, seed in confirming] == [100] * 3 + [101] * 3 + [102] * 2
    assert len(set(then)) == len(then)


def test_no_more_company_than_there_are_images():
    few = dataclasses.replace(SMOKE, images=100)
    assert protocol.larger_group(few) == 100
    assert ("statistics", "100", LR) in protocol.main(few)


def test_the_rules_say_what_is_measured():
    cpu = protocol.PROFILES["cpu"]
    dropout, noise = (
        claims.paper.claims()[f"c-3.4-{name}"]["rule"]["en"] for name in ("dropout", "generalization")
    )
    assert f"{cpu.new_seeds} new seeds" in dropout
    assert f"{cpu.new_seeds_company} new seeds" in noise and f"{cpu.larger_group:,} images" in noise
    assert f"mini-batch of {cpu.batch_size}" in noise


def test_the_exponent_of_the_law(synthetic):
    assert measures.exponent(synthetic, 2).estimate == pytest.approx(-0.5)


def test_board(synthetic):
    board = {claim.id: claim for claim in claims.board({protocol.EXPERIMENT: synthetic})}
    names = ("noise", "generalization", "dropout")
    # A test image of the digits is worth 0.28 points: the tenth of a point that is lost here could be 0.24.
    assert [board[f"c-3.4-{name}"].verdict for name in names] == ["holds", "reproduced", "inconclusive"]


def test_numbers(synthetic):
    numbers = measures.numbers(synthetic)
    assert numbers["dropout.bn.30.accuracy"] - numbers["dropout.bn.0.accuracy"] == pytest.approx(0.1)
    assert numbers["dropout.plain.0.gap"] == pytest.approx(100 - numbers["dropout.plain.0.accuracy"])
    assert numbers["gain.plain.rate"] == 30 and numbers["gain.plain.points"] == pytest.approx(2)
    assert numbers["statistics.60.accuracy"] == numbers["dropout.bn.0.accuracy"]
    lowest = [numbers[f"lowest.{name}"] for name in ("small", "whole", "company")]
    assert np.diff(lowest) == pytest.approx([-100 * GROUP_GAIN, -100 * COMPANY_LOSS])
    assert (numbers["lowest.lr"], numbers["lowest.points"]) == (0.3, pytest.approx(100 * GROUP_GAIN))
    choice = protocol.select(synthetic)
    assert numbers["runs"] == len(set(protocol.jobs(SMOKE, choice)))
    assert numbers["dropout_spared"] == pytest.approx(100 * (DROPOUT_GAIN["plain"] - DROPOUT_GAIN["bn"]))
    assert numbers["shift.variance"] == VARIANCE_SHIFT and numbers["shift.rate"] == 30
    assert numbers["shift.cost"] == pytest.approx(100 * SHIFT_COST)
