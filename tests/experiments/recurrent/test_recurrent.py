"""Recurrent networks: what is normalized and over what, the gradient through time, and what is measured."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bnbook import claims
from bnbook.experiments.recurrent import figures as drawn
from bnbook.experiments.recurrent import measures, protocol, training
from bnbook.experiments.recurrent.networks import LSTM, AllSteps, PerStep
from bnbook.nn.batchnorm import population_statistics
from tests.experiments.recurrent.synthetic import ARRIVES, ENDS, FALLS, STEPS

SMOKE = protocol.PROFILES["smoke"]
CONFIGS = protocol.main(SMOKE)
FAST = f"{max(SMOKE.lrs):g}"
IMAGE = (8, 8)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As the runs have it: for networks this small a second thread only waits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def config(arm: str, **changes) -> protocol.Config:
    return dataclasses.replace(CONFIGS["pilot", arm, FAST], **changes)


def network(arm: str, seed: int = 0, **changes) -> LSTM:
    own = config(arm, **changes)
    return training.network(own, IMAGE, own.gammas[0], seed)


def images(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, *IMAGE, generator=torch.Generator().manual_seed(seed))


def test_networks_start_from_the_same_weights():
    """And first states; they differ in what normalizes alone. The recurrent weights are orthogonal gate by
    gate."""
    models = [network(arm) for arm in protocol.ARMS]
    for name in ("from_input", "from_state", "bias", "start"):
        assert all(torch.equal(getattr(models[0], name), getattr(model, name)) for model in models)
    for gate in models[0].from_state.detach().chunk(4):
        torch.testing.assert_close(gate @ gate.T, torch.eye(SMOKE.hidden), atol=1e-5, rtol=0)


def test_without_normalization_it_is_torchs_lstm():
    """With the gates in torch's order, and the same first state."""
    model = network("plain")
    reference = torch.nn.LSTM(8, SMOKE.hidden, batch_first=True)
    with torch.no_grad():
        for own, theirs in (
            (model.from_input, reference.weight_ih_l0),
            (model.from_state, reference.weight_hh_l0),
            (model.bias, reference.bias_ih_l0),
        ):
            f, i, o, g = own.chunk(4)
            theirs.copy_(torch.cat([i, f, g, o]))
        reference.bias_hh_l0.zero_()
        x = images(5)
        h = model.start[None, :5]
        expected, _ = reference(x, (h, torch.zeros_like(h)))
        found = torch.stack(model.states(x), dim=1)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_on_the_input_statistics_are_those_of_all_steps():
    """The mean over steps and examples is 0 and the variance 1; no step by itself need be so."""
    norm = AllSteps(3)
    x = torch.randn(4, 50, 3) + torch.arange(4.0)[:, None, None]
    y = norm(x)
    torch.testing.assert_close(y.mean((0, 1)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.var((0, 1), unbiased=False), torch.ones(3), atol=1e-3, rtol=0)
    assert y[0].mean() < -0.5 < 0.5 < y[3].mean()


def test_within_each_step_has_statistics_of_its_own_and_gamma_is_shared():
    norm = PerStep(3, 2, gamma=0.1, eps=1e-5)
    first, second = torch.randn(50, 3), 5 + 4 * torch.randn(50, 3)
    for step, x in enumerate((first, second)):
        y = norm(x, step)
        torch.testing.assert_close(y.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
        torch.testing.assert_close(y.std(0, unbiased=False), torch.full((3,), 0.1), atol=1e-4, rtol=0)
    assert norm.steps[1].running_mean.mean() > 0.3 > abs(norm.steps[0].running_mean.mean())
    assert [tuple(p.shape) for p in norm.parameters()] == [(3,)]


@pytest.mark.parametrize("arm", [arm for arm in protocol.ARMS if arm != "plain"])
def test_a_normalization_does_something(arm):
    """The same weights give other states, and do not where what is normalized is merely as large."""
    x = images(60)
    plain, own = (network(one).train().states(x)[-1] for one in ("plain", arm))
    assert (plain - own).abs().max() > 0.01
    scaled = network(arm).train()
    with torch.no_grad():
        scaled.from_input.mul_(3)
    changed = (scaled.states(x)[-1] - own).abs().max()
    assert changed < 0.01  # but for epsilon


def test_without_normalization_the_size_of_the_weights_shows():
    x = images(60)
    scaled = network("plain")
    with torch.no_grad():
        scaled.from_input.mul_(3)
    assert (scaled.states(x)[-1] - network("plain").states(x)[-1]).abs().max() > 0.01


def test_gamma_sets_the_spread_of_what_the_gates_receive():
    small, one = (network(arm).norm_state for arm in ("within", "within_one"))
    x = torch.randn(60, 4 * SMOKE.hidden)
    torch.testing.assert_close(10 * small(x, 3), one(x, 3), atol=1e-4, rtol=1e-4)


def test_layer_normalization_knows_of_no_other_example():
    model = network("layer").train()
    x = images(60)
    torch.testing.assert_close(model.states(x)[-1][:5], model.states(x[:5])[-1], atol=1e-6, rtol=1e-5)


def test_the_first_state_tells_examples_apart_where_rows_are_black():
    """Else the variance at the first steps would be 0, and a gradient through it some hundred times as
    large at every step."""
    black = torch.zeros(60, *IMAGE)
    with_noise = network("within").train().states(black)[0]
    without = network("within", noise=0.0).train().states(black)[0]
    assert with_noise.std(0).min() > 0.001 > without.std(0).max()
    # What is evaluated in one go may be more than a mini-batch: the first states are taken in turn.
    assert len(network("plain").states(images(150))[-1]) == 150


def test_inference_is_by_the_statistics_of_each_step():
    """Algorithm 2: a step's mean is that of its own values."""
    model = network("within")
    batches = [images(60, seed) for seed in range(4)]
    population_statistics(model, batches)
    layers = model.norm_input.steps
    for step in (0, 7):
        values = torch.cat([x[:, step] @ model.from_input.T for x in batches])
        torch.testing.assert_close(layers[step].running_mean, values.mean(0), atol=1e-5, rtol=1e-4)
    model.eval()
    x = images(30, 9)
    torch.testing.assert_close(model(x)[:7], model(x[:7]), atol=1e-5, rtol=1e-4)


def test_the_optimizer_cuts_the_gradient_of_all_parameters_together():
    parameters = [torch.nn.Parameter(torch.zeros(3)), torch.nn.Parameter(torch.zeros(4))]
    optimizer = training.ClippedRMSprop(parameters, lr=0.1, alpha=0.9, clip=1.0)
    for parameter in parameters:
        parameter.grad = torch.full_like(parameter, 10.0)
    optimizer.step()
    assert sum(p.grad.square().sum() for p in parameters).sqrt().item() == pytest.approx(1.0, rel=1e-4)
    for parameter in parameters:
        parameter.grad = torch.full_like(parameter, 0.01)
    optimizer.step()
    assert parameters[0].grad[0].item() == pytest.approx(0.01)


@pytest.mark.parametrize("arm", protocol.ARMS)
def test_every_network_trains_and_repeats_itself(arm):
    own = config(arm, steps=20, population_batches=4, curve_images=100)
    found, again = (training.train_run(own, 1, None) for _ in range(2))
    losses = found.progress.first_losses
    assert found.final == again.final and losses == again.progress.first_losses
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    columns = found.curves["evaluation"]
    assert columns["step"] == [10, 20]
    by_statistics = "validation_accuracy_population" in columns
    assert by_statistics == (own.norm in ("input", "within")) != ("validation_accuracy" in columns)


def test_to_be_measured_does_not_change_training():
    own = config("within", steps=20, population_batches=4, curve_images=100)
    measured, only = (training.train_run(own, 0, None, measure=measure) for measure in (True, False))
    assert measured.progress.first_losses == only.progress.first_losses


# The gradient


def test_the_gradient_by_a_state_is_the_losss():
    """By finite differences in the first state after the last step but one."""
    own = CONFIGS["gradient", "orthogonal"]
    model = training.network(own, IMAGE, None, 0).double()
    x = images(6).double().flatten(1)[..., None]
    y = torch.arange(6)
    found = training.gradient(model, x, y)
    with torch.no_grad():
        h, step, squares = model.states(x)[-2], 1e-6, []
        from_input = x[:, -1] @ model.from_input.T

        def loss(state):
            last = (state @ model.from_state.T + from_input).tanh()
            return F.cross_entropy(model.output(last), y, reduction="sum").item()

        for place in np.ndindex(*h.shape):
            up, down = h.clone(), h.clone()
            up[place] += step
            down[place] -= step
            squares.append(((loss(up) - loss(down)) / (2 * step)) ** 2)
    assert found[-2] == pytest.approx(np.mean(squares) ** 0.5, rel=1e-4)


def test_what_gamma_does_hangs_on_the_recurrent_weights():
    """With the identity the gradient vanishes at gamma 1, with orthogonal weights it grows; a small gamma
    keeps it nearer to what it was in both."""
    changes = {}
    for name in ("identity", "orthogonal"):
        rows = training.train_run(CONFIGS["gradient", name], 0, None).arrays["gradient"]
        assert rows.shape == (1 + len(SMOKE.gammas), 64) and np.isfinite(rows).all()
        changes[name] = rows[:, 0] - rows[:, -1]
    small, one = 1, len(SMOKE.gammas)
    assert changes["identity"][one] < changes["identity"][small] - 1
    assert changes["orthogonal"][one] > changes["orthogonal"][small] + 1


def test_the_factor_of_a_step_foretells_the_growth():
    """With orthogonal weights, over the 784 pixels: a tenth or so of what is measured is left to the input
    and to epsilon."""
    own = dataclasses.replace(CONFIGS["gradient", "orthogonal"], hidden=50, batch_size=60)
    model = training.network(own, IMAGE, 1.0, 0).double().train()
    x = 0.1 * torch.rand(60, 200, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = training.gradient(model, x, torch.arange(60) % 10)
    grown = np.log10(found[0] / found[-1])
    assert grown == pytest.approx(-measures.predicted(1.0, 199), rel=0.15)
    assert measures.predicted(0.01, 1) == pytest.approx(0, abs=1e-6)


def test_the_lstm_is_followed_as_it_is_trained():
    rows = training.train_run(CONFIGS["gradient", "lstm"], 0, None).arrays["gradient"]
    assert rows.shape == (1 + len(SMOKE.gammas), IMAGE[0])
    own, trained = CONFIGS["gradient", "lstm"], config("within")
    for field in ("cell", "initial", "norm", "hidden", "noise", "eps", "batch_size"):
        assert getattr(own, field) == getattr(trained, field), field


# Protocol


def test_the_best_rate_of_the_pilot_is_run_by_other_seeds(synthetic):
    assert protocol.select(synthetic) == dict.fromkeys(protocol.ARMS, max(SMOKE.lrs))
    for arm in protocol.ARMS:
        records = measures.new(synthetic, arm)
        assert [record.seed for record in records] == [100, 101]
        assert all(record.config["lr"] == max(SMOKE.lrs) for record in records)


def test_a_run_that_diverged_counts_as_chance(synthetic):
    record = measures.new(synthetic, "plain")[0]
    lost = dataclasses.replace(record, final={"chance_accuracy": 0.1}, outcome={"status": "diverged"})
    assert protocol.validation([lost]) == pytest.approx(10)


def test_another_rate_alone_is_taken_as_it_is():
    other = dataclasses.replace(SMOKE, lrs=(0.5,))
    found = protocol.confirm(other, dict.fromkeys(protocol.ARMS, max(SMOKE.lrs)))
    assert {run.lr for run, _ in found.values()} == {0.5}


def test_the_plain_network_stands_at_the_others_rate_too():
    """Where that is its own there is nothing to add."""
    rates = dict.fromkeys(protocol.ARMS, max(SMOKE.lrs)) | {"plain": min(SMOKE.lrs)}
    config, seeds = protocol.confirm(SMOKE, rates)["held", "plain"]
    assert (config.lr, config.norm, seeds) == (max(SMOKE.lrs), "none", SMOKE.new_seeds)
    assert ("held", "plain") not in protocol.confirm(SMOKE, dict.fromkeys(protocol.ARMS, 0.01))


# Measures


def test_the_target_is_the_pilots(synthetic):
    """Not that of the new seeds, which end 0.05 points higher."""
    assert measures.target(synthetic) == pytest.approx(100 * ENDS["plain"] - protocol.MARGIN)


def test_steps_to_the_target(synthetic):
    """The first of three evaluations above it; a network that ends below it counts with all its steps."""
    for arm, reached in {"plain": True, "input": True, "within": True, "within_one": False}.items():
        found = measures.crossings(synthetic, arm)
        assert [one.reached for one in found] == [reached] * 2
        assert [one.step for one in found] == [ARRIVES[arm] if reached else SMOKE.steps] * 2


def test_speedups(synthetic):
    found = measures.STATISTICS["input_speedup"](synthetic)
    assert found.interval.estimate == pytest.approx(2) and found.bound is None
    assert "88.0%" in found.detail["en"] and "88.0%" in found.detail["ko"]
    assert measures.STATISTICS["within_speedup"](synthetic).interval.estimate == pytest.approx(4)
    assert measures.faster(synthetic, "within_one").bound == "upper"
    assert measures.faster(synthetic, "layer").interval.estimate == pytest.approx(1)


def test_the_speedup_at_the_same_rate(synthetic):
    """Where the plain network's own rate is the others' it is the same; else that of the runs beside them."""
    assert measures.faster_than_held(synthetic, "input") == measures.faster(synthetic, "input")
    main = synthetic.main | {("held", "plain"): measures.new(synthetic, "within")}
    beside = dataclasses.replace(synthetic, main=main)
    assert measures.faster_than_held(beside, "input").interval.estimate == pytest.approx(0.5)
    assert measures.numbers(beside)["held.steps"] == pytest.approx(ARRIVES["within"])


def test_gains(synthetic):
    gain = measures.gained(synthetic, "input")
    assert gain.estimate == pytest.approx(2) and gain.high > gain.estimate  # for what an image is worth


def test_vanishing(synthetic):
    found = measures.STATISTICS["vanishing"](synthetic).interval
    expected = (STEPS - 1) * (FALLS[0.1] - FALLS[1.0])
    assert found.estimate == pytest.approx(expected, rel=1e-5)
    assert measures.lost(synthetic, "lstm", None) == pytest.approx([0.2] * SMOKE.gradient_seeds, rel=1e-4)


def test_board(synthetic):
    board = {claim.id: claim for claim in claims.board({protocol.EXPERIMENT: synthetic})}
    names = ("input", "within", "gamma")
    # Evaluations 10 steps apart: of 40 to 20 steps no more is known than a factor of 2 either way.
    assert [board[f"c-after-recurrent-{name}"].verdict for name in names] == [
        "inconclusive",
        "inconclusive",
        "reproduced",
    ]


def test_the_rules_say_what_is_measured():
    cpu, found = protocol.PROFILES["cpu"], claims.paper.claims()
    for name in ("input", "within"):
        rule = found[f"c-after-recurrent-{name}"]["rule"]["en"]
        assert f"less {protocol.MARGIN:g} point" in rule
        assert cpu.new_seeds == 5 and "Five new seeds" in rule
        assert len(cpu.lrs) == 4 and "four rates" in rule
    assert cpu.gradient_seeds == 5 and protocol.SMALL_GAMMA in cpu.gammas


def test_numbers(synthetic):
    numbers = measures.numbers(synthetic)
    assert numbers["arm.input.steps"] == pytest.approx(20) and numbers["arm.within_one.reached"] == 0
    assert numbers["arm.plain.accuracy"] == pytest.approx(80.05)
    assert numbers["faster.within_than_input"] == pytest.approx(2)
    assert numbers["gradient.identity.0_5"] == pytest.approx(1, rel=1e-4)
    assert numbers["gradient.lstm.1"] == pytest.approx(2, rel=1e-4)
    assert numbers["runs"] == len(set(protocol.jobs(SMOKE, protocol.select(synthetic))))


# Figures


def test_the_curves_have_every_seed_and_the_target(synthetic):
    table = drawn.curves(synthetic)[1]
    assert table.query("kind == 'run'").groupby("network")["seed"].nunique().tolist() == [2] * 5
    assert table.query("kind == 'target'")["error_percent"].item() == pytest.approx(12)


def test_the_arms_show_where_training_ends(synthetic):
    table = drawn.arms(synthetic)[1].query("kind == 'mean'").set_index("network")
    assert table.loc["BN on the input", "steps_to_target"] == pytest.approx(20)
    assert table.loc["BN on the input", "test_accuracy_percent"] == pytest.approx(82.05)


def test_the_arms_show_the_plain_network_at_the_others_rate(synthetic):
    """Only where that is not its own."""
    assert drawn.arms(synthetic)[1]["network"].nunique() == len(protocol.ARMS)
    main = synthetic.main | {("held", "plain"): measures.new(synthetic, "within")}
    canvas, table = drawn.arms(dataclasses.replace(synthetic, main=main))
    beside = table.query("kind == 'mean' and network.str.contains('η=')")
    assert beside["steps_to_target"].item() == pytest.approx(ARRIVES["within"])
    assert len(canvas.axes[0].get_yticklabels()) == len(protocol.ARMS) + 1


def test_the_gradient_begins_at_the_last_step(synthetic):
    table = drawn.gradient(synthetic)[1].query("kind == 'mean'")
    ends = table[table["time_step"] == STEPS]
    assert (ends["gradient_decades"] == 0).all() and len(ends) == 3 * (1 + len(SMOKE.gammas))


def test_unrolled_within_has_a_statistic_a_step():
    table = drawn.unrolled()[1]
    within = table.query("panel == 'Within'")
    assert len(within) == 2 * drawn.UNROLLED and (within["first_step"] == within["last_step"]).all()
    whole = table.query("panel == 'On the input'")
    assert whole[["first_step", "last_step"]].values.tolist() == [[1, drawn.UNROLLED]]
