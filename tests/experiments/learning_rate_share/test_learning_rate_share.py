"""After the paper: the same small rates, each network's own, and the first steps at large ones."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bnbook import claims
from bnbook.data import datasets
from bnbook.data.datasets import Split
from bnbook.experiments.learning_rate_share import figures, measures, protocol, training
from bnbook.nn.inception import Conv
from bnbook.train.probes import StepSummary
from tests.experiments.learning_rate_share.synthetic import BY_BN, BY_RATE, GROWN, LAYERS, PLAIN

SMOKE = protocol.PROFILES["smoke"]
NETS = {network: protocol.net(SMOKE, network, 0.01, tested=True) for network in protocol.NETWORKS}
STARTS = {network: protocol.start(SMOKE, network, 3.0) for network in protocol.NETWORKS}


def test_both_networks_start_from_the_same_weights_and_see_the_same_images():
    models = [training.network(config, seed=3) for config in NETS.values()]
    weights = [[m.weight for m in model.modules() if isinstance(m, nn.Conv2d)] for model in models]
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))
    data = datasets.load_colour("digits").train
    first, again, other = (training.subset(data, 64, seed) for seed in (3, 3, 4))
    assert len(first) == 64 and torch.equal(first.x, again.x) and not torch.equal(first.y, other.y)
    assert len(training.subset(data, 0, 3)) == len(data)


def test_each_network_trains_and_repeats_itself():
    losses = {}
    for network, config in NETS.items():
        short = dataclasses.replace(config, steps=4, population_batches=2)
        first, again = (training.train_run(short, 0, None) for _ in range(2))
        assert first.final == again.final and not first.progress.diverged
        assert {"train_accuracy", "validation_accuracy", "test_accuracy"} <= set(first.final)
        losses[network] = first.progress.first_losses
        unmeasured = training.train_run(short, 0, None, measure=False).progress.first_losses
        assert losses[network] == unmeasured
    assert losses["plain"] != losses["bn"]


def test_the_rate_drops_once_and_not_in_the_first_steps():
    rates = [training.schedule(dataclasses.replace(NETS["bn"], steps=10))(step) for step in range(10)]
    assert rates == pytest.approx([0.01] * 7 + [0.001] * 3)
    assert {training.schedule(STARTS["bn"])(step) for step in range(STARTS["bn"].steps)} == {3.0}


def test_the_test_set_has_no_say_in_the_rate():
    config = dataclasses.replace(NETS["bn"], steps=2, tested=False, population_batches=2)
    final = training.train_run(config, 0, None).final
    assert "validation_accuracy" in final and not any("test" in name for name in final)


def test_the_first_steps_are_measured_before_and_after_each():
    """And looking changes nothing: the losses are those of a run that is not looked at."""
    for config in STARTS.values():
        found = training.train_run(config, 0, None)
        arrays, step = found.arrays, found.progress.step
        assert arrays["size_step"].tolist() == list(range(len(arrays["size_step"])))
        assert len(arrays["size_step"]) == step + (not found.progress.diverged)
        assert arrays["activation"].shape == arrays["gradient"].shape
        unmeasured = training.train_run(config, 0, None, measure=False).progress
        assert unmeasured.first_losses == found.progress.first_losses


def test_sizes_are_those_of_outputs_and_gradients():
    model = training.network(NETS["plain"], 0)
    batch = Split(torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(6))
    probe = training.Sizes(batch, range(1, 3))
    probe(StepSummary(step=1, train_loss=0.0, train_seconds=0.0), model)
    arrays = probe.arrays()
    layers = [module for module in model.modules() if isinstance(module, Conv)]
    F.cross_entropy(model(batch.x), batch.y).backward()
    expected = [layer.conv.weight.grad.square().mean().sqrt().item() for layer in layers]
    np.testing.assert_allclose(arrays["gradient"][0], expected, rtol=1e-5)
    stem = model.stem(batch.x).square().mean().sqrt().item()
    assert arrays["activation"][0, 0] == pytest.approx(stem, rel=1e-5)
    assert all(not layer._forward_hooks for layer in layers)


def test_what_is_no_number_is_infinite():
    found = training.rms([torch.tensor([3.0, 4.0]), torch.tensor([1.0, float("nan")])])
    assert found[0] == pytest.approx(12.5**0.5) and np.isposinf(found[1])


def test_without_bn_a_large_rate_makes_outputs_grow_and_with_it_the_last_layers_cannot():
    """The first step at rate 30: the intervention does something, and the measure sees it."""
    grown = {}
    for network, config in STARTS.items():
        arrays = training.train_run(dataclasses.replace(config, lr=30.0, steps=3), 0, None).arrays
        grown[network] = np.log10(arrays["activation"].max(0)[-1] / arrays["activation"][0, -1])
    assert grown["plain"] > 2 + grown["bn"]


# Protocol and measures


def test_new_seeds_run_both_networks_at_matched_rates_and_their_own(synthetic):
    choice = protocol.select(synthetic)
    assert choice == {"bn": 0.3, "plain": 0.03}
    confirmed = protocol.confirm(SMOKE, choice)
    nets = [key[1:] for key in confirmed if key[0] == "net"]
    assert nets == [
        ("plain", "0.01", ""),
        ("plain", "0.03", "own"),
        ("bn", "0.01", ""),
        ("bn", "0.03", ""),
        ("bn", "0.3", "own"),
    ]
    jobs = protocol.jobs(SMOKE, choice)
    assert len(jobs) == len(set(jobs))
    rest = jobs[len(list(protocol.plan("grid", SMOKE, []))) :]
    assert {seed for _, seed in rest} == {100, 101}
    assert not any(config.tested for config, seed in jobs if seed < 100)
    starts = {(config.norm, config.lr) for config, _ in rest if config.part == "start"}
    assert starts == {(norm, lr) for norm in (False, True) for lr in SMOKE.start_lrs}


def test_a_rate_that_was_not_planned_for_gets_its_first_steps_too():
    confirmed = protocol.confirm(SMOKE, {"bn": 0.01, "plain": 0.01})
    assert ("start", "plain", "0.01", "own") in confirmed and ("net", "bn", "0.01", "own") in confirmed


def test_measures_tell_the_truth(synthetic):
    matched = np.mean([BY_RATE[lr] for lr in SMOKE.matched])
    gap = measures.matched_gap(synthetic)
    assert gap.interval.estimate == pytest.approx(-100 * BY_BN) and gap.caveat is None
    share = measures.rate_share(synthetic)
    by_rate = BY_RATE[0.3] - matched
    assert share.interval.estimate == pytest.approx(100 * (by_rate - BY_BN))
    assert f"({100 * by_rate / (by_rate + BY_BN):.0f}% of all)" in share.detail["en"]
    assert measures.divergence(synthetic).interval.estimate == pytest.approx(GROWN)


def test_what_has_not_converged_is_said(synthetic):
    key = ("net", "plain", "0.01", "")
    (first, *rest) = synthetic.main[key]
    short = dataclasses.replace(first, final=first.final | {"train_accuracy": 0.9})
    found = measures.matched_gap(dataclasses.replace(synthetic, main=synthetic.main | {key: [short, *rest]}))
    assert found.caveat["en"] == "1 of the runs have not converged."


def test_growth_ends_where_numbers_do(synthetic):
    record = measures.started(synthetic, "plain")[0]
    sizes = np.ones((3, LAYERS))
    sizes[2, -1] = np.inf
    broken = dataclasses.replace(record, arrays_sha256=None)
    object.__setattr__(broken, "arrays", {"activation": sizes, "gradient": sizes})
    assert measures.decades_grown(broken) == pytest.approx(np.log10(np.finfo(np.float32).max))
    assert measures.decades_grown(broken, "gradient") == 0


def test_a_share_is_given_only_where_both_parts_are_gains(synthetic):
    key = ("net", "bn", "0.01", "")
    lower = [
        dataclasses.replace(one, final=one.final | {"test_accuracy": 0.1}) for one in synthetic.main[key]
    ]
    found = measures.rate_share(dataclasses.replace(synthetic, main=synthetic.main | {key: lower}))
    assert "of all" not in found.detail["en"] and "전체의" not in found.detail["ko"]


def test_an_output_that_is_gone_has_died_and_one_without_a_number_has_not(synthetic):
    record = dataclasses.replace(measures.started(synthetic, "plain")[0], arrays_sha256=None)
    for last, ended in ((0.5, False), (0.009, True), (0.0, True)):
        sizes = np.ones((3, LAYERS))
        sizes[2, -1] = last
        object.__setattr__(record, "arrays", {"activation": sizes, "gradient": sizes})
        assert measures.died(record) is ended
    exploded = dataclasses.replace(record, outcome=record.outcome | {"status": "diverged"})
    object.__setattr__(exploded, "arrays", {"activation": sizes, "gradient": sizes})
    assert measures.lost(exploded) and not measures.died(exploded)


def test_numbers(synthetic):
    numbers = measures.numbers(synthetic)
    assert numbers["plain.0.01.accuracy"] == pytest.approx(100 * PLAIN + 0.5)
    assert (numbers["bn.own.lr"], numbers["plain.own.lr"]) == (0.3, 0.03)
    assert numbers["unconverged"] == 0 and numbers["bn.0.03.converged"] == SMOKE.new_seeds
    assert numbers["start.plain.own.activation_decades"] == pytest.approx(GROWN)
    assert numbers["start.bn.own.gradient_decades"] == pytest.approx(0)


def test_board(synthetic):
    board = {claim.id: claim.verdict for claim in claims.board({protocol.EXPERIMENT: synthetic})}
    found = {name.removeprefix("c-after-rate-"): one for name, one in board.items() if "after-rate-" in name}
    assert found == {"matched": "reproduced", "share": "reproduced", "divergence": "reproduced"}


def test_the_rules_say_what_is_measured():
    cpu = protocol.PROFILES["cpu"]
    rules = {
        name: claims.paper.claims()[f"c-after-rate-{name}"]["rule"]["en"]
        for name in ("matched", "share", "divergence")
    }
    both = " and ".join(f"{lr:g}" for lr in cpu.matched)
    assert both in rules["matched"] and both in rules["share"]
    assert f"{cpu.images:,} training images" in rules["matched"]
    assert f"{cpu.start_steps} steps" in rules["divergence"]
    assert all(f"{cpu.new_seeds} new seeds" in rule for rule in rules.values())


def test_figures_show_every_seed_and_layer(synthetic):
    _, table = figures.accuracy(synthetic)
    assert (table["kind"] == "run").sum() == 5 * SMOKE.new_seeds
    _, table = figures.first_steps(synthetic)
    # None has exploded or died, so that no seed is shown layer by layer.
    assert len(table) == 2 * SMOKE.new_seeds * (SMOKE.start_steps + 1) and set(table["ending"]) == {"kept"}


def test_a_seed_that_explodes_and_one_that_dies_are_shown_layer_by_layer(synthetic):
    key = next(key for key in synthetic.main if key[0] == "start" and key[1] == "plain" and key[3] == "own")
    first, second = (dataclasses.replace(one, arrays_sha256=None) for one in synthetic.main[key])
    sizes, steps = np.ones((SMOKE.start_steps + 1, LAYERS)), np.arange(SMOKE.start_steps + 1)
    exploded = dataclasses.replace(first, outcome={"status": "diverged", "step": 4})
    object.__setattr__(exploded, "arrays", {"activation": np.cumprod(1e12 * sizes, 0), "size_step": steps})
    object.__setattr__(second, "arrays", {"activation": np.cumprod(1e-4 * sizes, 0), "size_step": steps})
    found = dataclasses.replace(synthetic, main=synthetic.main | {key: [exploded, second]})
    _, table = figures.first_steps(found)
    layers = table[table["layer"].notna()]
    assert set(layers["ending"]) == {"exploded", "died"} and layers["layer"].max() == LAYERS
    at_the_end = layers[layers["ending"] == "exploded"]["step"]
    assert sorted(set(at_the_end)) == [1, 2, 3, 4]
