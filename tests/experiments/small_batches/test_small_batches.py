"""Small mini-batches: each normalization does what its paper says, mini-batches are sorted, and what is
measured."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bnbook import claims
from bnbook.data.datasets import Split, load_colour
from bnbook.experiments.small_batches import figures, measures, networks, protocol, training
from tests.experiments.small_batches import synthetic as truth

SMOKE = protocol.PROFILES["smoke"]
ONE_RATE = {(order, variant): 0.0 for order in protocol.ORDERS for variant in protocol.VARIANTS}
MAIN = protocol.confirm(SMOKE, ONE_RATE)  # at the only rate of the profile
EPS = 1e-5


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As the runs have it: for networks this small a second thread only waits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def config(variant: str, order: str = "shuffled", m: int = 32, **changes) -> protocol.Config:
    return dataclasses.replace(MAIN["main", order, variant, str(m)][0], **changes)


def values(*shape: int, seed: int = 0) -> torch.Tensor:
    return 2 + 3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def renorm(**changes) -> networks.BatchRenorm:
    layer = networks.BatchRenorm(5, config("renorm", **changes)).double()
    with torch.no_grad():
        layer.weight.copy_(torch.linspace(0.5, 1.5, 5))
        layer.bias.copy_(torch.linspace(-1, 1, 5))
        layer.running_mean.copy_(torch.linspace(1, 3, 5))
        layer.running_std.copy_(torch.linspace(2, 4, 5))
    return layer


# Normalizations


def test_renormalization_is_the_papers_formula():
    """r and d by hand, cut to their bounds, and no gradient through them."""
    x, per_map = values(4, 5, 3, 3), networks.per_map
    layer = renorm(r_max=1.2, d_max=0.15)
    layer.step = layer.config.steps
    mean, std = x.mean((0, 2, 3)), (x.var((0, 2, 3), correction=0) + EPS).sqrt()
    r = (std / layer.running_std).clamp(1 / 1.2, 1.2)
    d = ((mean - layer.running_mean) / layer.running_std).clamp(-0.15, 0.15)
    assert ((r == 1.2) | (r == 1 / 1.2)).any() and (d.abs() == 0.15).any() and (d.abs() < 0.15).any()

    def by_hand(x: torch.Tensor) -> torch.Tensor:
        mu, sigma = x.mean((0, 2, 3)), (x.var((0, 2, 3), correction=0) + EPS).sqrt()
        x_hat = (x - per_map(mu)) / per_map(sigma) * per_map(r) + per_map(d)
        return per_map(layer.weight) * x_hat + per_map(layer.bias)

    weights = values(4, 5, 3, 3, seed=1)
    mine, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    (by_hand(theirs) * weights).sum().backward()
    wanted = by_hand(x).detach()
    found = layer(mine)
    (found * weights).sum().backward()
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(mine.grad, theirs.grad)


def test_not_cut_renormalization_gives_in_training_what_it_gives_in_inference():
    """That is what it is for."""
    x, layer = values(4, 5, 3, 3), renorm(r_max=100.0, d_max=100.0)
    layer.step = layer.config.steps
    layer.momentum = 0.0
    torch.testing.assert_close(layer(x), layer.eval()(x), rtol=1e-5, atol=1e-5)


def test_renormalization_begins_as_batch_normalization_and_averages():
    x, layer = values(4, 5, 3, 3), renorm()
    mean, std = layer.running_mean.clone(), layer.running_std.clone()
    expected = F.batch_norm(x, None, None, layer.weight, layer.bias, training=True, eps=EPS)
    torch.testing.assert_close(layer(x), expected)
    share = layer.config.renorm_momentum
    torch.testing.assert_close(layer.running_mean, mean + share * (x.mean((0, 2, 3)) - mean))
    sigma = (x.var((0, 2, 3), correction=0) + EPS).sqrt()
    torch.testing.assert_close(layer.running_std, std + share * (sigma - std))
    assert layer.step == 1


def test_the_bounds_widen_as_the_paper_has_them():
    one = config("renorm", steps=1000)
    assert networks.bounds(one, 0) == networks.bounds(one, 30) == (1, 0)
    assert networks.bounds(one, 150)[1] == 5 == networks.bounds(one, 1000)[1]
    assert networks.bounds(one, 250)[0] == 3 > networks.bounds(one, 249)[0]
    assert networks.bounds(one, 140)[0] == pytest.approx(2) and networks.bounds(one, 90)[1] == pytest.approx(
        2.5
    )
    # Its averages reach back over as many images at every size.
    sizes = [MAIN["main", "shuffled", "renorm", str(m)][0] for m in SMOKE.sizes]
    assert len({one.renorm_momentum / one.batch_size for one in sizes}) == 1
    assert sizes[-1].batch_size == 32 and sizes[-1].renorm_momentum == 0.01


def test_ghost_batch_normalization_normalizes_each_group_by_itself():
    x = values(8, 5, 3, 3).float()
    ghost, plain = networks.GhostBatchNorm(5, 4, 0.1), nn.BatchNorm2d(5)
    found = ghost(x)
    torch.testing.assert_close(found, torch.cat([plain(x[:4]), plain(x[4:])]))
    assert not torch.allclose(found, nn.BatchNorm2d(5)(x), atol=1e-2)
    assert torch.equal(ghost.running_var, plain.running_var)  # of two mini-batches, one after the other
    torch.testing.assert_close(ghost.eval()(x), plain.eval()(x))
    with pytest.raises(ValueError, match="a mini-batch of 6 does not fall into groups of 4"):
        ghost.train()(x[:6])


def test_layer_and_group_normalization_look_at_one_image():
    """Layer normalization is over all maps and places; groups are over maps side by side."""
    x = values(4, 8, 3, 3).float()
    layer, group = (networks.norm(config(name, groups=4))(8) for name in ("ln", "gn"))
    torch.testing.assert_close(layer(x), F.layer_norm(x, (8, 3, 3), eps=EPS))
    torch.testing.assert_close(group(x)[:, 2:4], F.layer_norm(x[:, 2:4], (2, 3, 3), eps=EPS))
    torch.testing.assert_close(group(x)[:1], group(x[:1]))


def test_all_start_from_the_same_weights_and_differ_in_their_answers():
    models = [networks.network(config(name), 0) for name in protocol.VARIANTS]
    assert all(torch.equal(one.convs[0].conv.weight, models[0].convs[0].conv.weight) for one in models)
    x = torch.randn(32, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    models[2].convs[0].norm.step = models[2].convs[0].norm.config.steps  # its r and d at work
    answers = [one.train()(x) for one in models]
    assert all(not torch.allclose(a, b, atol=1e-3) for i, a in enumerate(answers) for b in answers[:i])


# Mini-batches


def labelled(*counts: int) -> Split:
    y = torch.cat([torch.full((count,), label) for label, count in enumerate(counts)])
    y = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(5))]
    return Split(torch.arange(len(y)), y)


def test_sorted_mini_batches_are_of_one_class_each():
    """Every image at most once an epoch, in another order in the next; the classes come up by chance."""
    data = labelled(10, 7, 12)
    batches = training.Sorted(data, 3, seed=0)
    assert batches.per_epoch == 3 + 2 + 4
    epochs = [[batches[step] for step in range(9 * epoch, 9 * epoch + 9)] for epoch in (0, 1)]
    for epoch in epochs:
        assert all(len(set(y.tolist())) == 1 for _, y in epoch)
        seen = torch.cat([x for x, _ in epoch]).tolist()
        assert len(set(seen)) == 27
        assert all(data.y[i] == label for x, y in epoch for i, label in zip(x, y, strict=True))
    orders = [[int(y[0]) for _, y in epoch] for epoch in epochs]
    assert orders[0] != orders[1] and orders[0] != sorted(orders[0])
    assert torch.equal(training.Sorted(data, 3, seed=0)[13][0], epochs[1][4][0])
    members = [frozenset(x.tolist()) for x, _ in epochs[0]]
    assert not set(members) >= {frozenset(x.tolist()) for x, _ in epochs[1]}


# Runs


@pytest.mark.parametrize("variant", protocol.VARIANTS)
def test_each_normalization_trains(variant):
    one = config(variant, steps=8, population_images=64)
    found = training.train_run(one, 0, None)
    names = {"chance_accuracy", "test_accuracy"}
    names |= {"test_accuracy_batch"} if variant in ("bn", "ghost", "renorm") else set()
    names |= {"test_accuracy_population"} if variant in ("bn", "ghost") else set()
    assert set(found.final) == names and not found.progress.diverged
    losses = found.progress.first_losses
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    assert found.final == training.train_run(one, 0, None).final


def test_sorted_mini_batches_are_another_training():
    shuffled, ordered = (
        training.train_run(config("bn", order, 8, steps=4, population_images=64), 0, None)
        for order in protocol.ORDERS
    )
    assert shuffled.progress.first_losses != ordered.progress.first_losses
    assert "test_accuracy_shuffled" in ordered.final


def test_as_in_training_changes_nothing_and_uses_the_mini_batch():
    one = config("bn")
    model = networks.network(one, 0).eval()
    data = load_colour("digits").test
    asked = Split(training.centre_crop(data.x), data.y)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    shuffled = training.as_in_training(model, asked, config("bn", m=8), 0)
    ordered = training.as_in_training(model, asked, config("bn", "sorted", 8), 0)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not model.training and 0 <= shuffled <= 1 and shuffled != ordered


# Protocol


def test_the_rate_goes_with_the_size_and_images_are_equal():
    for name in ("cpu", "paper"):
        profile = protocol.PROFILES[name]
        choice = {key: protocol.rates(profile, key[0])[1] for key in ONE_RATE}
        configs = [one for one, _ in protocol.confirm(profile, choice).values()]
        found = {(one.order, round(one.lr / one.batch_size * 128, 9)) for one in configs}
        assert found == {("shuffled", 0.05), ("sorted", 0.02)}
        assert all(abs(one.steps * one.batch_size - profile.images) < 128 for one in configs)
        assert {one.batch_size for one in configs if one.variant == "ghost"} <= {32, 64, 128}
    alone = protocol.KNOBS[1].turned(protocol.PROFILES["cpu"], 4)
    choice = {key: protocol.rates(alone, key[0])[1] for key in ONE_RATE}
    assert {one.lr for one, _ in protocol.confirm(alone, choice).values()} == {0.05 * 4 / 128, 0.02 * 4 / 128}


def test_more_seeds_where_a_claim_is_decided():
    cpu = protocol.PROFILES["cpu"]
    seeds = {key: number for key, (_, number) in protocol.confirm(cpu, ONE_RATE).items()}
    assert seeds["main", "shuffled", "bn", "2"] == seeds["main", "sorted", "renorm", "32"] == 5
    assert seeds["main", "shuffled", "gn", "8"] == seeds["main", "sorted", "gn", "32"] == 3


def test_the_rate_is_chosen_on_validation(tmp_path, monkeypatch):
    profile = dataclasses.replace(SMOKE, lrs=(0.05, 0.1, 0.2), lrs_sorted=(0.05, 0.2))
    monkeypatch.setitem(protocol.PROFILES, "smoke", profile)
    found = truth.results(tmp_path)
    wanted = {("shuffled", name): 0.1 for name in protocol.VARIANTS}
    wanted |= {("sorted", name): 0.2 for name in protocol.SORTABLE}  # 0.05 in mini-batches of 8
    assert protocol.choose(profile, [tmp_path]) == wanted
    by_key = {key: {record.seed for record in records} for key, records in found.main.items()}
    chosen = set().union(*(seeds for key, seeds in by_key.items() if key[0] != "main"))
    assert all(seeds.isdisjoint(chosen) for key, seeds in by_key.items() if key[0] == "main")


# Measures


def test_accuracy_is_by_the_statistics_asked_for(synthetic):
    def mean(*asked):
        return measures.accuracy(synthetic, *asked).mean() / 100 - truth.A_SEED / 2

    assert mean("shuffled", "bn", 8) == pytest.approx(truth.SHUFFLED["bn"][8])
    assert mean("shuffled", "bn", 8, measures.MOVING) == pytest.approx(0.5 + truth.BY_MOVING)
    assert mean("sorted", "bn", 8, measures.BATCH) == pytest.approx(0.2 + truth.BY_BATCH)
    assert mean("sorted", "renorm", 8) == pytest.approx(truth.SORTED["renorm"])


def test_statistics(synthetic):
    found = {name: statistic(synthetic) for name, statistic in measures.STATISTICS.items()}
    expected = {"smallest": 10, "dependence": 14, "of_usual_size": -4, "renormalization": 20}
    assert {name: one.interval.estimate for name, one in found.items()} == pytest.approx(expected)
    assert "group normalization 60.5%" in found["smallest"].detail["en"]
    assert "배치 정규화 20.5%" in found["renormalization"].detail["ko"]


def test_board(synthetic):
    board = {claim.id: claim for claim in claims.board({protocol.EXPERIMENT: synthetic})}
    assert board["c-after-small-batches"].verdict == "reproduced"
    assert board["c-after-usual-batches"].verdict == "not reproduced"


def test_the_rules_say_what_is_measured():
    cpu, known = protocol.PROFILES["cpu"], claims.paper.claims()
    assert f"mini-batches of {min(cpu.sizes)} " in known["c-after-small-batches"]["rule"]["en"]
    assert measures.usual(cpu) == [32, 128] and measures.USUAL == 32
    assert "of 32 and of 128 " in known["c-after-usual-batches"]["rule"]["en"]
    assert f"whose {cpu.sorted_size} images" in known["c-after-renormalization"]["rule"]["en"]
    assert protocol.Config.norm_momentum == 0.1 and cpu.largest == 128


def test_numbers(synthetic):
    numbers = measures.numbers(synthetic)
    assert numbers["shuffled.gn.smallest"] == pytest.approx(60.5) == numbers["shuffled.gn.8"]
    assert numbers["sorted.bn.again"] == pytest.approx(20.5 + 15)
    assert numbers["bn.lost"] == pytest.approx(20) and "ghost.lost" not in numbers
    assert numbers["smallest_gain"] == pytest.approx(10)
    assert "shuffled.ghost.smallest" not in numbers and "shuffled.ghost.largest" in numbers


# Figures


def test_the_figures_show_every_seed(synthetic):
    table = figures.by_size(synthetic)[1].query("kind == 'run'")
    assert len(table) == 2 * (2 * 5 - 1 + 4)
    table = figures.by_statistics(synthetic)[1].query("kind == 'run'")
    assert len(table) == 2 * (2 * 3 + 4)


def test_the_picture_colours_what_is_shared():
    shared = figures.shared()[1].query("in_the_mean").groupby("normalization")
    assert shared.size().to_dict() == {
        "batch normalization": 8,
        "ghost batch normalization": 4,
        "group normalization": 4,
        "layer normalization": 8,
    }
    assert shared["map"].nunique()["batch normalization"] == 1
    assert shared["example"].nunique()["group normalization"] == 1
