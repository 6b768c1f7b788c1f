"""Careless initialization: networks whose weights are too small or too large, and over how many decades they
train."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from bnbook import claims
from bnbook.data.batches import Batches
from bnbook.data.datasets import Split
from bnbook.experiments.careless_initialization import figures as drawn
from bnbook.experiments.careless_initialization import measures, protocol
from bnbook.experiments.careless_initialization import training as experiment
from tests.experiments.careless_initialization.synthetic import GRADIENT_GROWTH, WORKING_SCALES

SMOKE = protocol.PROFILES["smoke"]
CONFIGS = protocol.main(SMOKE)
PLAIN, BN = CONFIGS["relu", "plain", "5"], CONFIGS["relu", "bn", "5"]
INPUTS = 64
DECADES_A_SCALE = SMOKE.decades / (SMOKE.decades * SMOKE.per_decade + 1)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As the runs have it: for networks this small a second thread only waits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def batch():
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(60, INPUTS, generator=generator) > 0.5).float()
    return x, torch.randint(10, (60,), generator=generator)


@pytest.mark.parametrize("profile", protocol.PROFILES)
def test_scales(profile):
    """Evenly spaced powers of ten, as many below 1 as above, 1 among them."""
    sizes = protocol.PROFILES[profile]
    scales = next(iter(protocol.main(sizes).values())).scales
    np.testing.assert_allclose(np.diff(np.log10(scales)), 1 / sizes.per_decade)
    assert scales[len(scales) // 2] == 1 and scales[0] == pytest.approx(1 / scales[-1])
    assert np.log10(scales[-1] / scales[0]) == pytest.approx(sizes.decades)


def test_the_scale_is_the_only_difference():
    """Of one seed, all weights, those of the output layer too, are the scale times those of scale 1; with BN
    and without they are the same."""
    one, large, normalized = (
        [module for module in model.modules() if isinstance(module, nn.Linear)]
        for model in (
            experiment.network(PLAIN, 1.0, INPUTS, 3),
            experiment.network(PLAIN, 100.0, INPUTS, 3),
            experiment.network(BN, 1.0, INPUTS, 3),
        )
    )
    assert len(one) == len(large) == len(normalized) == 6
    for a, b, c in zip(one, large, normalized, strict=True):
        torch.testing.assert_close(b.weight, 100 * a.weight)
        assert torch.equal(a.weight, c.weight)
    assert one[0].weight.std().item() == pytest.approx((2 / INPUTS) ** 0.5, rel=0.1)
    assert one[0].bias is not None and normalized[0].bias is None


def test_the_controls():
    """They differ from one row of the map in what they are named after alone; the output layer's weights are
    then those of scale 1, all others as before."""
    base = CONFIGS["relu", "bn", str(SMOKE.depths[-2])].to_dict()
    changed = {
        name: {key for key, value in CONFIGS["control", name].to_dict().items() if value != base[key]}
        for name in protocol.CONTROLS
    }
    assert changed["epsilon"] == {"variant", "norm_eps"} and changed["output"] == {"variant", "scale_output"}
    assert changed["both"] == changed["epsilon"] | changed["output"]
    config = CONFIGS["control", "output"]
    small, one = (experiment.network(config, scale, INPUTS, 0) for scale in (0.01, 1.0))
    assert torch.equal(small.output.weight, one.output.weight)
    torch.testing.assert_close(small.hidden[0].linear.weight, 0.01 * one.hidden[0].linear.weight)


def test_without_bn_the_scale_multiplies_in_every_layer(batch):
    """ReLUs pass a factor on: after k layers the signal is scale^k as large, exactly."""
    (one, _), (large, _) = (experiment.at_start(PLAIN, scale, 0, batch) for scale in (1.0, 100.0))
    np.testing.assert_allclose(large / one, 100.0 ** np.arange(1, 6), rtol=1e-5)


def test_with_bn_the_scale_does_not_show(batch):
    """The signal is the same; the gradient carries the scale of the output layer alone, once, in every
    layer but for the difference that it makes to the softmax."""
    config = dataclasses.replace(BN, norm_eps=1e-30)
    (one, grad_one), (small, grad_small) = (
        experiment.at_start(config, scale, 0, batch) for scale in (0.1, 0.001)
    )
    np.testing.assert_allclose(small, one, rtol=1e-5)
    np.testing.assert_allclose(grad_small / grad_one, 0.01, rtol=0.2)


def test_epsilon_ends_the_freedom(batch):
    """Where the variance is below epsilon, dividing by its root no longer brings the signal back."""
    small = experiment.at_start(BN, 1e-4, 0, batch)[0]
    assert small[0] < 0.1 * experiment.at_start(BN, 1.0, 0, batch)[0][0]
    assert (np.diff(small) < 0).all()


def test_the_gradient_at_the_start_is_the_losss(batch):
    """By finite differences: moving all outputs of the last hidden layer by t changes the summed loss by t
    times the sum of the derivatives."""
    model = experiment.network(PLAIN, 1.0, INPUTS, 0).double()
    x, y = batch[0].double(), batch[1]
    with torch.no_grad():
        hidden = x
        for layer in model.hidden:
            hidden = layer(hidden)
        numeric = torch.zeros_like(hidden)
        for unit in range(hidden.shape[1]):
            step = torch.zeros(hidden.shape[1], dtype=torch.float64)
            step[unit] = 1e-6
            up, down = (
                nn.functional.cross_entropy(model.output(hidden + s), y, reduction="none")
                for s in (step, -step)
            )
            numeric[:, unit] = (up - down) / 2e-6
    gradient = experiment.at_start(PLAIN, 1.0, 0, batch)[1]
    assert gradient[-1] == pytest.approx(numeric.square().mean().sqrt().item(), rel=1e-5)


def test_a_cell_that_diverges_counts_as_chance(batch, monkeypatch):
    """A scale of 100 in five layers of ReLUs: the loss is soon not finite, and the row goes on."""
    data = Split(255 * batch[0].view(-1, 8, 8), batch[1])
    monkeypatch.setattr(
        experiment.datasets, "load", lambda _: experiment.datasets.Dataset("digits", data, data, data)
    )
    config = dataclasses.replace(PLAIN, batch_size=20, steps=8, population_batches=2, lrs=(1.0,))
    measured = experiment.train_run(config, 0, None)
    arrays = measured.arrays
    assert arrays["steps"][-1] < 8 and arrays["accuracy"][-1] == np.float32(experiment.CHANCE)
    assert arrays["steps"][2] == 8 == measured.progress.step
    assert not measured.progress.diverged


def test_bn_is_judged_by_population_statistics(batch):
    """After a training of no step the moving averages know nothing; Algorithm 2's statistics do."""
    data = Split(*batch)
    batches = Batches(data, 20, seed=0)
    config = dataclasses.replace(BN, population_batches=3)
    model = experiment.network(config, 1.0, INPUTS, 0)
    experiment.judge(model, config, batches, data)
    first = model.hidden[0]
    assert (first.norm.running_mean != 0).all()
    expected = first.linear(data.x).mean(0)
    torch.testing.assert_close(first.norm.running_mean, expected, rtol=1e-4, atol=1e-5)


def test_traces_are_runs_on_digits():
    configs = protocol.traces(steps=7)
    assert {c.variant for c in configs} == {c.variant for c in CONFIGS.values()}
    assert all(c.steps == 7 and c.data == "digits" for c in configs)


# Measures


def decades_of(activation: str, variant: str, depth: int) -> float:
    return WORKING_SCALES[activation, variant, depth] * DECADES_A_SCALE


def test_decades(synthetic):
    found = measures.decades(synthetic, "relu", "plain")
    np.testing.assert_allclose(found, [[decades_of("relu", "plain", depth) for depth in (1, 5)]] * 2)
    # The whole map is all decades, and the seed that lost a scale shows.
    bn = measures.decades(synthetic, "relu", "bn")
    np.testing.assert_allclose(bn[:, 0], SMOKE.decades)
    np.testing.assert_allclose(bn[:, 1], [3 * DECADES_A_SCALE, 4 * DECADES_A_SCALE])


def test_only_the_best_rate_counts(synthetic):
    first, last = (measures.decades(synthetic, "relu", "bn", rate=rate) for rate in (0, 1))
    assert (first == 0).all()
    np.testing.assert_array_equal(last, measures.decades(synthetic, "relu", "bn"))


def test_thresholds(synthetic):
    assert (measures.decades(synthetic, "relu", "bn", threshold=0.8) == 0).all()
    assert (measures.decades(synthetic, "relu", "bn", threshold=0.1) == SMOKE.decades).all()


def test_gains(synthetic):
    relu = measures.STATISTICS["relu_freedom"](synthetic)
    # (5 + 3) - (3 + 1) scales over two depths for the first seed, (5 + 4) - (3 + 1) for the second
    assert relu.interval.estimate == pytest.approx(np.mean([4 / 2, 5 / 2]) * DECADES_A_SCALE)
    assert relu.interval.low < relu.interval.estimate and relu.interval.n == 2
    assert "depth 5, 2.8 against 0.8" in relu.detail["en"] and "5층 2.8 대 0.8" in relu.detail["ko"]
    sigmoid = measures.STATISTICS["sigmoid_freedom"](synthetic).interval
    assert (sigmoid.estimate, sigmoid.low, sigmoid.high) == (0, 0, 0)


def test_growth(synthetic):
    assert measures.growth(synthetic, "relu", "bn") == pytest.approx(GRADIENT_GROWTH)


def test_board(synthetic):
    board = {claim.id: claim for claim in claims.board({protocol.EXPERIMENT: synthetic})}
    assert board["c-3.3-initialization"].verdict == "inconclusive"  # two seeds that differ
    sigmoid = board["c-3.3-initialization-sigmoid"]
    assert sigmoid.verdict == "not reproduced"
    assert "0 decades" in sigmoid.text["en"] and "0자릿수" in sigmoid.text["ko"]
    # A rerun in decades can be compared with the committed one.
    assert claims.agreement([sigmoid], [sigmoid])[0].agreement == "too small at this scale"


def test_the_rule_says_what_is_measured():
    """The threshold, the decades and the rates of the rule are those of the committed runs."""
    rule, cpu = claims.paper.claims()["c-3.3-initialization"]["rule"]["en"], protocol.PROFILES["cpu"]
    assert f"above {100 * protocol.WORKS:.0f}%" in rule and f"times {cpu.decades} decades" in rule
    assert len(cpu.lrs) == 3 and "one of three learning rates" in rule


def test_numbers(synthetic):
    numbers = measures.numbers(synthetic)
    assert numbers["relu.plain.deepest.decades"] == pytest.approx(decades_of("relu", "plain", 5))
    assert numbers["relu.plain.deepest.best"] == pytest.approx(75)
    assert numbers["relu.plain.deepest.at_one"] == pytest.approx(20)
    assert numbers["relu.bn.growth"] == pytest.approx(GRADIENT_GROWTH)
    assert numbers["relu.bn.growth_in_all"] == pytest.approx(GRADIENT_GROWTH**4)  # of five layers
    assert numbers["relu.gain_at_80"] == 0 and numbers["relu.gain_at_30"] == numbers["relu.gain"]
    assert numbers["relu.gain_one_rate_low"] == 0 < numbers["relu.gain_one_rate_high"]
    assert numbers["trainings"] == (8 + len(protocol.CONTROLS)) * 2 * 5 * 2
    assert numbers["control.output.decades"] == SMOKE.decades == numbers["control.none.decades"]
    assert numbers["control.both.at_largest"] == pytest.approx(75)


# Figures


def test_the_toys_signal():
    """Without BN the width of what a layer receives shrinks, stays or grows; with BN it is the same
    whatever the weights."""
    table = drawn.signal_bands()[1]
    table["width"] = table["percentile_95"] - table["percentile_5"]
    width = table.pivot_table("width", ["network", "scale"], "layer")
    ends = width[12] / width[1]
    plain, bn = ends["without BN"], ends["with BN"]
    assert plain[0.6] < 0.01 < 0.5 < plain[1.0] < 2 < 100 < plain[1.7]
    np.testing.assert_allclose(bn, bn[1.0])


def test_the_map_shows_every_cell(synthetic):
    table = drawn.accuracy_map(synthetic)[1].query("kind == 'run'")
    assert len(table) == 2 * 2 * 2 * 2 * 5
    learned = table.query("validation_accuracy_percent > 50")
    works = learned.groupby(["activation", "network", "depth"]).size() / 2
    assert works["relu", "without BN", 1] == 3 and works["relu", "with BN", 5] == 3.5


def test_the_gaps_show_every_row(synthetic):
    table = drawn.gaps(synthetic)[1].query("kind == 'run'")
    assert table.groupby("control").size().to_dict() == {
        "as in the map": 10,
        "smaller epsilon": 10,
        "output layer standard": 10,
        "both": 10,
    }
