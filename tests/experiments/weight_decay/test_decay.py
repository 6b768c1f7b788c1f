"""Weight decay: a rate in its place, with BN the same run in exact arithmetic and without BN not; and what
the records say of it."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bnbook import claims
from bnbook.data.datasets import Dataset, Split
from bnbook.experiments.weight_decay import figures as drawn
from bnbook.experiments.weight_decay import measures, protocol
from bnbook.experiments.weight_decay import training as experiment
from bnbook.experiments.weight_decay.networks import between
from bnbook.stats import Interval
from bnbook.train.loop import train
from bnbook.train.schedules import exponential
from tests.experiments.weight_decay.synthetic import COST, MATCHED, NONE, SHRUNK, STEEP, TILT

SMOKE = dataclasses.replace(protocol.PROFILES["smoke"], steps=20, batch_size=20)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As the runs have it: for networks this small a second thread only waits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def data(monkeypatch):
    """A few images of random pixels in the place of every data set."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(256, (120, 32, 32, 3), generator=generator).to(torch.uint8)
    split = Split(x, torch.randint(10, (120,), generator=generator))
    monkeypatch.setattr(experiment.datasets, "load_colour", lambda name: Dataset(name, split, split, split))
    return split


def images(config):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(config.batch_size, 3, 28, 28, generator=generator).double()
    return x, torch.randint(10, (config.batch_size,), generator=generator)


def trained(config, norms_of=None):
    """A network after the run's steps in float64, the squared norms of its convolutions before every step,
    and its mini-batch; at rates matched to those of `norms_of`, where that is given."""
    model = experiment.network(config, 0).double()
    x, y = images(config)
    if norms_of is not None:
        ratios = np.array(norms_of) / norms_of[0]
        config = dataclasses.replace(
            config,
            weight_decay=0.0,
            mimicked=config.weight_decay,
            shrinking=tuple(ratios.T.ravel().tolist()),
        )
    optimizer = experiment.optimizer(model, config)
    norms = []

    def loss(logits, labels):
        norms.append([weight.detach().square().sum().item() for weight in model.weights])
        return F.cross_entropy(logits, labels)

    rate = exponential(1.0, config.decay, config.steps)
    train(model, loss, optimizer, [(x, y)] * config.steps, config.steps, learning_rate=rate)
    norms.append([weight.detach().square().sum().item() for weight in model.weights])
    return model, norms, x


def directions(model):
    return torch.cat([(weight / weight.norm()).flatten() for weight in model.weights])


def test_with_bn_matched_rates_do_what_decay_does():
    """To rounding, but for epsilon: the weights' directions, and what the network answers; and not without
    the match."""
    config = protocol.run(SMOKE, "bn", 0.5, 0.2)
    decayed, norms, x = trained(config)
    matched, held, _ = trained(config, norms_of=norms)
    alone = trained(dataclasses.replace(config, weight_decay=0.0))[0]
    np.testing.assert_allclose(held, [held[0]] * len(held))
    assert norms[-1][0] < 0.5 * norms[0][0]
    torch.testing.assert_close(directions(matched), directions(decayed), atol=1e-3, rtol=0)
    assert (directions(alone) - directions(decayed)).norm() > 0.05
    answers = [model.train()(x) for model in (decayed, matched, alone)]
    assert (answers[1] - answers[0]).abs().max() < 0.02 < (answers[2] - answers[0]).abs().max()


def test_without_bn_they_do_not():
    config = protocol.run(SMOKE, "plain", 0.1, 1.0)
    decayed, norms, x = trained(config)
    matched = trained(config, norms_of=norms)[0]
    assert (directions(matched) - directions(decayed)).norm() > 0.05
    assert (matched(x) - decayed(x)).abs().max() > 0.1


def test_to_hold_the_norms_of_decay_would_show_nothing():
    """What is left out of the design: shrinking the weights to the norms under decay is decay, without BN
    too."""
    config = protocol.run(SMOKE, "plain", 0.1, 1.0)
    decayed, norms, x = trained(config)
    held = experiment.network(config, 0).double()
    y = images(config)[1]
    for step in range(config.steps):
        falls = config.decay ** (step / config.steps)
        gradients = torch.autograd.grad(F.cross_entropy(held(x), y), list(held.parameters()))
        own = {id(weight): squared for weight, squared in zip(held.weights, norms[step + 1], strict=True)}
        with torch.no_grad():
            for parameter, gradient in zip(held.parameters(), gradients, strict=True):
                if id(parameter) in own:
                    parameter -= config.lr * falls / (1 - config.lr * falls * config.weight_decay) * gradient
                    parameter *= own[id(parameter)] ** 0.5 / parameter.norm()
                else:
                    parameter -= config.rest_lr * falls * gradient
    torch.testing.assert_close(held(x), decayed(x))


def test_a_schedule_is_straight_in_the_logarithm():
    schedule = between([1.0, 0.01, 0.0001], 20)
    assert [schedule(step) for step in (0, 5, 10, 20)] == pytest.approx([1, 0.1, 0.01, 0.0001])


def test_decay_reaches_the_convolutions_alone():
    """Biases, gamma, beta and the output layer have a rate of their own and no decay."""
    config = protocol.run(SMOKE, "bn", 0.5, 0.2)
    model = experiment.network(config, 0)
    decayed, rest = experiment.optimizer(model, config).param_groups
    assert [id(p) for p in decayed["params"]] == [id(p) for p in model.weights]
    assert (decayed["lr_factor"], decayed["weight_decay"]) == (0.5, 0.2)
    assert (rest["lr_factor"], rest["weight_decay"]) == (SMOKE.rest_lr, 0)
    assert len(decayed["params"]) + len(rest["params"]) == len(list(model.parameters()))


def test_both_networks_begin_alike():
    plain, bn = (experiment.network(protocol.run(SMOKE, name, 0.1, 0.0), 3) for name in ("plain", "bn"))
    for a, b in zip(plain.weights, bn.weights, strict=True):
        assert torch.equal(a, b)
    assert plain.layers[0].conv.bias is not None and bn.layers[0].conv.bias is None
    assert plain(torch.zeros(2, 3, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize("config", protocol.traces(20), ids=lambda config: config.variant)
def test_runs(data, config):
    """They are the same each time, and the norms are held where they are to be."""
    config = dataclasses.replace(config, batch_size=20, curve_images=60)
    one, other = (experiment.train_run(config, 1, None, measure=measure) for measure in (True, False))
    assert one.progress.first_losses == other.progress.first_losses
    norms = np.array(one.curves["norms"]["layer_1"])
    assert len(norms) == protocol.NORM_POINTS + 1
    if config.mimicked:
        np.testing.assert_allclose(norms, norms[0], rtol=1e-5)
    else:
        assert norms[-1] < norms[0]
    assert len(one.curves["evaluation"]["step"]) == protocol.NORM_POINTS // 2
    assert 0 <= one.final["test_accuracy"] <= 1


def test_a_cell_of_the_grid_never_sees_a_test_image(data):
    config = dataclasses.replace(protocol.run(SMOKE, "bn", 0.1, 0.2), steps=4)
    measured = experiment.train_run(config, 0, None)
    assert "evaluation" not in measured.curves and "test_accuracy" not in measured.final
    assert 0 <= measured.final["validation_accuracy"] <= 1


# Choice and measures


def test_the_choice(synthetic):
    """With BN the cell where decay gains most: at the product BEST; without BN where it changes most."""
    choice = protocol.select(synthetic)
    assert choice["bn"].lr * choice["bn"].weight_decay == pytest.approx(0.08)  # no cell has BEST itself
    assert choice["plain"].weight_decay == 0.8
    np.testing.assert_allclose(choice["plain"].shrinking[0][-1], SHRUNK[0.8], rtol=1e-4)
    assert choice["bn"].shrinking.shape == (2, protocol.NORM_POINTS + 1)
    matched = synthetic.main["new", "bn", "matched"][0].config
    np.testing.assert_allclose(matched["shrinking"], choice["bn"].shrinking.ravel(), rtol=1e-4)
    assert matched["weight_decay"] == 0 and matched["mimicked"] == choice["bn"].weight_decay


def test_pairs_share_their_beginning(synthetic):
    assert measures.pairs(synthetic) == [((0.1, 0.8), (0.4, 0.2), (0.4, 0.8))]


def test_the_product(synthetic):
    """From product 0.08 on: a quarter of the decay at four times the rate gains the tilt, the same decay
    loses two doublings."""
    across, along = abs(2 * STEEP - 2 * TILT), 2 * TILT
    found = measures.STATISTICS["product"](synthetic).interval
    assert found.estimate == pytest.approx(across / along) and found.n == 2
    assert measures.spread(synthetic, [0, 1], along=True) == pytest.approx(100 * along)


def test_the_effective_rate_of_the_doubled_rate(synthetic):
    """Of the one pair, whose rate is four times as large: half of the logarithm of what is left of that."""
    expected = (4 * SHRUNK[0.8] / SHRUNK[0.2]) ** 0.5
    found = measures.protocol.shrinking(measures.cells(synthetic)[0.1, 0.8])
    assert found[:, -1] == pytest.approx(SHRUNK[0.8]) and found[:, 0] == pytest.approx(1)
    flat = {
        key: [
            dataclasses.replace(one, curves=one.curves | {"norms": ends(one.curves["norms"])})
            for one in group
        ]
        for key, group in synthetic.main.items()
        if key[0] == "bn"
    }
    even = dataclasses.replace(synthetic, main=synthetic.main | flat)
    assert measures.quickened(even, 0.08) == pytest.approx(expected, rel=1e-3)


def ends(columns):
    """Norms that are at once what they are at the end."""
    return {
        name: values if name == "step" else [values[0]] + [values[-1]] * (len(values) - 1)
        for name, values in columns.items()
    }


def test_what_decay_alone_would_have_done(synthetic):
    """Rates fall tenfold: the mean of them is 0.9 / ln 10 of the first."""
    expected = 0.08 * synthetic.profile.steps * 0.9 / np.log(10)
    assert measures.decayed(synthetic, 0.08) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.2, 0.1, "reproduced"),
        (0.1, 0.2, "reproduced"),
        (-0.2, 0.4, "inconclusive"),
        (0.1, 0.4, "inconclusive"),
        (0.4, 0.6, "not reproduced"),
        (-0.9, -0.4, "not reproduced"),
        (-0.5, 0.5, "inconclusive"),
    ],
)
def test_equivalence_is_an_interval_within_the_margin(low, high, expected):
    difference = Interval((low + high) / 2, low, high, 5)
    found = measures.Estimate(measures.within(difference), {"ko": "", "en": ""})
    assert claims.verdict(found, 0) == expected
    other = measures.Estimate(measures.beyond(difference), {"ko": "", "en": ""})
    opposite = {"reproduced": "not reproduced", "not reproduced": "reproduced"}
    assert claims.verdict(other, measures.MARGIN) == opposite.get(expected, expected)


def test_the_same_curve(synthetic, monkeypatch):
    """An image of the digits' test set is worth too much; one of CIFAR-10's is not."""
    monkeypatch.setattr(measures, "one_image", lambda records: 0.01)
    found = measures.STATISTICS["same_curve"](synthetic)
    assert found.bound is None and claims.verdict(found, 0) == "reproduced"
    difference = 100 * (MATCHED["bn"] + 0.0002 / 3)  # one seed of three is odd
    assert found.interval.estimate == pytest.approx(measures.MARGIN - difference)
    gap = measures.gap(synthetic, "bn", "none").estimate
    assert gap == pytest.approx(100 * (NONE - (0.6 - STEEP)), abs=0.5)


def test_where_decay_does_nothing_nothing_is_decided(synthetic):
    same = synthetic.main["new", "bn", "decay"]
    idle = dataclasses.replace(synthetic, main=synthetic.main | {("new", "bn", "none"): same})
    assert measures.STATISTICS["same_curve"](idle).bound == "both"


def test_without_bn_it_is_another(synthetic):
    found = measures.STATISTICS["other_without"](synthetic)
    assert found.bound is None and found.interval.low > measures.MARGIN
    assert found.interval.estimate == pytest.approx(-100 * MATCHED["plain"], abs=0.05)
    assert measures.gap(synthetic, "plain", "none").estimate == pytest.approx(100 * COST)


def test_numbers(synthetic):
    numbers = measures.numbers(synthetic)
    assert numbers["bn.decay"] * numbers["bn.lr"] == pytest.approx(0.08)
    assert numbers["bn.faster_most"] == pytest.approx(1 / SHRUNK[numbers["bn.decay"]])
    assert numbers["grid.bn.worst"] == pytest.approx(100 * (NONE + 0.0005))
    assert numbers["runs"] == 18 + 15
    assert numbers["by_product.1.product"] == pytest.approx(0.08) and "by_product.2.product" not in numbers
    assert numbers["by_product.1.along"] == pytest.approx(numbers["along"])


def test_the_rules_say_what_is_measured():
    cpu, known = protocol.PROFILES["cpu"], claims.paper.claims()
    rate, plain = (known[f"c-after-decay-{name}"]["rule"]["en"] for name in ("rate", "plain"))
    assert f"{cpu.new_seeds['bn']} new seeds" in rate and cpu.new_seeds["plain"] == 10
    assert f"more than {measures.MATTERS} points" in rate and f"outside {measures.MARGIN} points" in plain
    assert f"{protocol.NORM_POINTS // 2} evaluations, {cpu.curve_images:,} images" in rate
    assert cpu.seeds["bn"] == 5 and "with five seeds" in known["c-after-decay-product"]["rule"]["en"]
    for values in (cpu.lrs["bn"], cpu.weight_decays[1:]):
        np.testing.assert_allclose(np.array(values[1:]) / values[:-1], 2)


# Figures


def test_the_figures_show_every_run(synthetic):
    table = drawn.product(synthetic)[1].query("kind == 'run'")
    assert (
        len(table) == 2 * 2 * 2 and (table["product"] == table["learning_rate"] * table["weight_decay"]).all()
    )
    ends = drawn.matched(synthetic)[1].query("kind == 'run'")
    assert len(ends) == 2 * (3 + 2)
    norms = drawn.norms(synthetic)[1].query("network == 'weight decay' and step > 0")
    at_end = norms[norms["step"] == norms["step"].max()]
    np.testing.assert_allclose(at_end["effective_rate_ratio"], protocol.DECAY / at_end["squared_norm_ratio"])
