"""Section 3.1: averages side by side, a mini-batch of one, the factor m / (m - 1), and folding."""

import copy
import dataclasses
import runpy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_linear_bn_eval

from bnbook import claims, paths
from bnbook.data.batches import Batches
from bnbook.data.datasets import Split
from bnbook.experiments.algorithm2_inference import measures, protocol
from bnbook.experiments.algorithm2_inference import training as experiment
from bnbook.experiments.algorithm2_inference.networks import (
    AveragedBatchNorm,
    alone,
    biased,
    fold,
    folded,
    mean_gain,
)
from bnbook.nn.batchnorm import BatchNorm, BatchNormFunction, batch_statistics, population_statistics
from bnbook.nn.mlp import MLP
from tests.experiments.algorithm2_inference.synthetic import (
    ANSWERS,
    FACTOR,
    LAG,
    LEARNED,
    SHIFTED,
    TIMES_FOLDED,
)

SMOKE = protocol.PROFILES["smoke"]
CONFIGS = protocol.main(SMOKE)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """As the runs are made: two threads wait for each other longer than such small networks compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def images(n, inputs=12, seed=0):
    return torch.rand(n, inputs, generator=torch.Generator().manual_seed(seed)).double()


@pytest.fixture
def model():
    """A network in float64 with gammas, betas and statistics of its own."""
    torch.manual_seed(1)
    net = MLP(12, 8, 3, 10, lambda units: AveragedBatchNorm(units, tuple(protocol.MOVING.values()))).double()
    for layer in net.hidden:
        nn.init.normal_(layer.norm.weight, 1, 0.5)
        nn.init.normal_(layer.norm.bias, 0, 0.5)
    population_statistics(net, images(90).split(30))
    return net.eval()


def test_averages_are_those_of_layers_with_one_each():
    """Side by side or apart: the same moving averages, by momentum and over all mini-batches."""
    momenta = (0.1, 0.01, None)
    together = AveragedBatchNorm(12, momenta)
    apart = [BatchNorm(12, momentum=momentum) for momentum in momenta]
    for number in range(7):
        x = images(6, seed=number).float() * number
        for layer in (together, *apart):
            layer(x)
    for number, layer in enumerate(apart):
        together.use(number)
        torch.testing.assert_close(together.running_mean, layer.running_mean)
        torch.testing.assert_close(together.running_var, layer.running_var)
    assert {"means", "variances"} <= together.state_dict().keys()  # a checkpoint has them


def test_a_moving_average_trails_by_its_momentum():
    """Behind statistics that rise by 1 a step, momentum a stays (1 - a) / a steps."""
    layer = AveragedBatchNorm(1, (0.1, 0.01))
    for number in range(3000):
        layer(torch.tensor([[number - 1.0], [number + 1.0]]))
    np.testing.assert_allclose(number - layer.means[:, 0], [9, 99], rtol=1e-3)


def test_a_batch_of_one_gets_beta_whatever_it_is(model):
    norm = model.hidden[-1].norm
    for seed in range(3):
        y, _, variance = BatchNormFunction.apply(images(1, 8, seed), norm.weight, norm.bias, norm.eps)
        torch.testing.assert_close(y[0], norm.bias)
        assert not variance.any()
    torch.testing.assert_close(alone(model), model.output(torch.sigmoid(norm.bias)))


@pytest.mark.parametrize("layer", [BatchNorm, nn.BatchNorm1d])
def test_layers_refuse_a_batch_of_one(layer):
    with pytest.raises(ValueError):
        layer(8)(torch.ones(1, 8))


def test_only_test_batches_depend_on_company(model):
    x = images(24)
    orders = [torch.randperm(24, generator=torch.Generator().manual_seed(seed)) for seed in range(2)]
    one, other = (experiment.in_batches(model, x, order, 4) for order in orders)
    assert (one != other).any()
    first, second = (experiment.by_fixed(model, x[order])[order.argsort()] for order in orders)
    assert torch.equal(first, second)


def test_test_batches_are_cut_in_order_and_answered_in_place(model):
    x, order = images(10), torch.arange(10).flip(0)
    found = experiment.in_batches(model, x, order, 4)
    with torch.no_grad(), batch_statistics(model):
        expected = [model(x[order[part]]).argmax(1) for part in (slice(4), slice(4, 8), slice(8, 10))]
    assert torch.equal(found, torch.cat(expected)[order.argsort()])


def test_the_factor_makes_the_mean_variance_that_of_the_population():
    """Over all mini-batches of 3 with replacement, E[sigma^2_B] is 2/3 of the variance, exactly."""
    values = torch.tensor([0.0, 1.0, 5.0], dtype=torch.float64)
    batches = torch.cartesian_prod(values, values, values)
    net = MLP(1, 1, 1, 2, lambda units: AveragedBatchNorm(units, (None,))).double()
    nn.init.ones_(net.hidden[0].linear.weight)
    population_statistics(net, [batch[:, None] for batch in batches])
    true = values.var(unbiased=False)
    torch.testing.assert_close(net.hidden[0].norm.running_var[0], true)
    biased(net, 3)
    torch.testing.assert_close(net.hidden[0].norm.running_var[0], true * 2 / 3)


def test_mean_gain_is_that_of_training(model):
    """1 / sqrt(Var + eps) becomes the mean over mini-batches of what they are multiplied by, and beats both
    estimates of the variance: the mean of a reciprocal is the larger."""
    batches = images(40).split(4)
    population_statistics(model, batches)
    layer = model.hidden[0]
    unbiased = layer.norm.running_var.clone()
    mean_gain(model, batches)
    gains = [1 / (layer.linear(x).var(0, unbiased=False) + layer.norm.eps).sqrt() for x in batches]
    expected = torch.stack(gains).mean(0).detach()
    torch.testing.assert_close(1 / (layer.norm.running_var + layer.norm.eps).sqrt(), expected)
    assert (layer.norm.running_var < unbiased * 3 / 4).all()


@pytest.mark.parametrize("bias", [True, False])
def test_folding_one_layer(bias):
    torch.manual_seed(0)
    linear, norm = nn.Linear(12, 8, bias=bias), nn.BatchNorm1d(8)
    nn.init.normal_(norm.weight)
    for seed in range(20):
        norm(linear(images(30, seed=seed).float()))
    norm.eval()
    made, theirs = fold(linear, norm), fuse_linear_bn_eval(linear.eval(), norm)
    torch.testing.assert_close(made.weight, theirs.weight)
    torch.testing.assert_close(made.bias, theirs.bias)
    x = images(50, seed=99).float()
    torch.testing.assert_close(made(x), norm(linear(x)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layer", [BatchNorm, nn.BatchNorm1d])
@pytest.mark.parametrize("gone", [(), ("bias",), ("weight", "bias")], ids=["both", "no beta", "neither"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_folding_with_gamma_and_beta_or_without_in_the_layers_own_dtype(layer, gone, dtype, tolerance):
    torch.manual_seed(0)
    linear, norm = nn.Linear(12, 8, dtype=dtype), layer(8, dtype=dtype)
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    for name in gone:
        setattr(norm, name, None)
    x = images(50).to(dtype)
    norm(linear(x))
    norm.eval()
    made = fold(linear, norm)
    assert made.weight.dtype == made.bias.dtype == dtype
    torch.testing.assert_close(made(x), norm(linear(x)), rtol=tolerance, atol=tolerance)


def test_a_layer_without_running_statistics_is_not_folded():
    with pytest.raises(ValueError, match=r"^fold needs running statistics, but the layer has none: .*$"):
        fold(nn.Linear(12, 8), BatchNorm(8, track_running_stats=False))


def test_folding_a_network(model):
    """Equal to rounding, in float32 to 1e-5; the network itself is left as it is."""
    before = copy.deepcopy(model.state_dict())
    small, x = copy.deepcopy(model).float(), images(50)
    torch.testing.assert_close(folded(small)(x.float()), small(x.float()), rtol=1e-5, atol=1e-5)
    assert not any(isinstance(module, BatchNorm) for module in folded(model).modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_asking_leaves_the_network_alone(model):
    """A probe changes nothing that training can notice."""
    split = Split(images(120).float(), torch.arange(120) % 10)
    net, config = model.float().train(), dataclasses.replace(CONFIGS["net", "bn"], population_batches=3)
    before = copy.deepcopy(net.state_dict())
    asked = experiment.Predictions(split, Batches(split, 12, seed=0), config, [1])
    asked(experiment.StepSummary(step=1, train_loss=0.0, train_seconds=0.0), net)
    assert net.training and all(module.training for module in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    (row,) = asked.rows
    assert {name.removesuffix("_accuracy") for name in row if name.endswith("_accuracy")} == set(
        protocol.MODES
    )
    assert row["population_disagreement"] == 0 and row["test_1_accuracy"] == pytest.approx(0.1)


@pytest.mark.parametrize(("part", "key"), [("lag", "10"), ("count", "bn")])
def test_following_a_curve(part, key):
    """Every mode is asked at every evaluation, and training goes on as if nobody had looked."""
    config = dataclasses.replace(CONFIGS[part, key], steps=12)
    measured = experiment.train_run(config, 0, None)
    columns = measured.curves["answers"]
    modes = (
        [f"population_{SMOKE.lag_batches}", *protocol.LAGGING]
        if part == "lag"
        else [f"population_{count}" for count in protocol.COUNTS]
    )
    assert set(columns) == {"step", *(f"{mode}_accuracy" for mode in modes)} and columns["step"][-1] == 12
    unseen = experiment.train_run(config, 0, None, measure=False)
    assert measured.progress.first_losses == unseen.progress.first_losses
    assert (
        measured.final["test_accuracy_population"]
        == columns[f"{modes[-1 if part == 'count' else 0]}_accuracy"][-1]
    )


def test_curves_by_algorithm_2_take_the_mini_batches_after_the_runs_own(model):
    """The same ones at every evaluation: with one count the accuracy is that of a copy so averaged."""
    split = Split(images(120).float(), torch.arange(120) % 10)
    net, batches = model.float().train(), Batches(split, 12, seed=0)
    config = dataclasses.replace(CONFIGS["count", "bn"], steps=5)
    asked = experiment.AccuracyCurves(split, batches, config, [2], [3])
    asked(experiment.StepSummary(step=2, train_loss=0.0, train_seconds=0.0), net)
    frozen = copy.deepcopy(net)
    population_statistics(frozen, [batches[number][0] for number in (5, 6, 7)])
    right = (experiment.by_fixed(frozen, split.x) == split.y).sum().item() / 120
    assert asked.rows == [{"step": 2, "population_3_accuracy": right}]


def test_seeds_by_part():
    """A part has as many as its claim needs; in the plan every configuration has one before any has two."""
    counted = {}
    for config, seed in protocol.plan("main", SMOKE, []):
        counted.setdefault(config.part, set()).add(seed)
    assert {part: len(seeds) for part, seeds in counted.items()} == {
        "net": SMOKE.net_seeds,
        "lag": SMOKE.lag_seeds,
        "small": 2,
        "count": 2,
        "fold": 2,
    }
    seeds = [seed for _, seed in protocol.plan("main", SMOKE, [])]
    assert seeds == sorted(seeds)


def test_a_run_of_each_part():
    net = dataclasses.replace(CONFIGS["net", "bn"], steps=8)
    measured = experiment.train_run(net, 0, None)
    assert measured.curves["answers"]["step"][-1] == 8
    assert measured.final["fold_difference"] < 1e-5 and measured.final["fold_otherwise"] == 0
    small = experiment.train_run(dataclasses.replace(CONFIGS["small", "4"], steps=8), 0, None).final
    assert small["biased_variance"] == pytest.approx(small["unbiased_variance"] * 3 / 4)
    timed = experiment.train_run(CONFIGS["fold", "1"], 0, None).final
    assert timed["microseconds"] > 0 and timed["times_folded"] > 0


def test_the_chapters_few_lines_are_algorithm_2():
    """What a reader may copy from book/inference.md does what `population_statistics` does."""
    shown = runpy.run_path(str(paths.ROOT / "examples" / "inference_algorithm2.py"))["population_statistics"]
    batches = list(images(30).float().split(10))
    torch.manual_seed(0)
    layers = nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 4), nn.BatchNorm1d(4)
    theirs = nn.Sequential(*layers)
    ours = copy.deepcopy(theirs)
    shown(theirs, batches)
    population_statistics(ours, batches)
    for number in (1, 4):
        torch.testing.assert_close(theirs[number].running_mean, ours[number].running_mean)
        torch.testing.assert_close(theirs[number].running_var, ours[number].running_var)
    assert not any(module.training for module in theirs.modules())


# Measures


def test_measures_tell_the_truth(synthetic):
    results = synthetic
    loss = measures.test_batch_loss(results).interval.estimate
    assert loss == pytest.approx(100 * (ANSWERS["population"] - ANSWERS["test_8"]))
    assert measures.nearer_variance(results).interval.estimate == pytest.approx(25 - 1)
    assert measures.factor_gain(results).interval.estimate == pytest.approx(100 * FACTOR)
    tracked = measures.tracking(results).interval.estimate
    assert tracked == pytest.approx(-100 * (ANSWERS["population"] - ANSWERS["moving_10"]))
    assert measures.folding(results).interval.estimate == 0


def test_tracking_forgets_the_beginning(synthetic):
    """The synthetic moving averages begin at chance: before the first tenth of the steps alone."""
    record = synthetic.main["net", "bn"][0]
    gap = measures.column(record, "population_accuracy") - measures.column(record, "moving_10_accuracy")
    assert gap[0] > 10 * measures.tracking_error(record, "moving_10")


def test_the_lag_is_judged_where_the_network_still_learns(synthetic):
    assert measures.highest_rate(synthetic) == LEARNED < max(protocol.LAG_LRS)
    found = measures.lag(synthetic)
    assert found.interval.estimate == pytest.approx(LAG["moving_10"])
    assert f"{LAG['moving_10'] / LEARNED:+.2f} points" in found.detail["en"]  # at Section 4.1's rate


def test_where_nothing_learns_the_lowest_rate_is_shown(synthetic, monkeypatch):
    """A reader may train for so few steps."""
    monkeypatch.setattr(measures, "LEARNS", 99)
    assert measures.highest_rate(synthetic) == min(protocol.LAG_LRS)


def test_the_lag_leaves_the_start_of_the_average_out(synthetic):
    record = measures.lagging(synthetic, LEARNED)[1]
    steps = record.curves["answers"]["step"]
    early = [0.5 if step >= measures.STARTED else 0.0 for step in steps]
    curves = {"answers": record.curves["answers"] | {"moving_10_accuracy": early}}
    changed = dataclasses.replace(record, curves=curves)
    truth = measures.column(record, f"population_{SMOKE.lag_batches}_accuracy")
    expected = truth[np.array(steps) >= measures.STARTED].mean() - 50
    assert measures.mean_missed(changed, "moving_10") == pytest.approx(expected)


def test_how_far_fewer_mini_batches_move_a_crossing(synthetic):
    record = synthetic.main["count", "bn"][0]
    steps, most = (measures.column(record, name) for name in ("step", "population_200_accuracy"))
    found = measures.shifts(synthetic, protocol.COUNTS[0])
    for goal, ratios in found.items():
        place = np.argmax(most > goal)
        assert ratios.tolist() == [steps[place + SHIFTED] / steps[place]] * SMOKE.seeds
    assert found and not any((r != 1).any() for r in measures.shifts(synthetic, 200).values())


def test_the_books_own_first_epoch():
    """The same runs, asked in both modes: what the first registration saw, and what was there."""
    found = measures.first_epoch()
    assert [record.seed for record in found] == [0, 1, 2]
    for record in found:
        columns = record.curves["evaluation"]
        assert record.outcome["step"] == columns["step"][-1] == 351
        assert record.final["test_accuracy_population"] - columns["test_accuracy"][-1] > 0.03


def test_board(synthetic):
    board = {claim.id: claim for claim in claims.board({protocol.EXPERIMENT: synthetic})}
    assert board["c-3.1-unbiased"].verdict == board["c-3.1-linear"].verdict == "holds"
    assert board["c-3.1-test-batch"].verdict == "reproduced"
    assert board["c-3.1-unbiased-accuracy"].verdict == "not reproduced"
    assert board["c-3.1-lag"].verdict == board["c-3.1-moving-average"].verdict == "reproduced"


def test_numbers(synthetic):
    numbers = measures.numbers(synthetic)
    assert numbers["net.test_8.gap"] == pytest.approx(100 * (ANSWERS["test_8"] - ANSWERS["population"]))
    assert numbers["net.population.disagreement"] == 0
    assert numbers["small.4.biased.variance"] == pytest.approx(0.75)
    assert numbers["small.4.biased.gap"] == pytest.approx(-100 * FACTOR)
    assert numbers[f"small.{SMOKE.batch_size}.unbiased.variance"] == pytest.approx(1.01)
    assert numbers["lag.judged.moving_10"] == numbers["lag.at_3.moving_10"] == pytest.approx(LAG["moving_10"])
    assert numbers["lag.at_0.3.moving_100"] == pytest.approx(LAG["moving_100"] * 0.3 / LEARNED)
    assert numbers["lag.highest"] == LEARNED
    assert (numbers["lag.at_3.learned"], numbers["lag.at_10.learned"]) == (SMOKE.lag_seeds, 0)
    assert numbers["count.5.moved"] == 100 and numbers["count.5.largest"] >= numbers["count.5.shift"] > 0
    assert len(numbers["cifar.moving"]) == numbers["cifar.seeds"]
    assert numbers["fold.1.times"] == pytest.approx(TIMES_FOLDED, rel=0.1)
    # Seven steps of the synthetic grid lie within a tenth of its steps.
    assert 1 < numbers["net.moving_10.first"] < SMOKE.steps and numbers["net.population_10.gap"] < 0
