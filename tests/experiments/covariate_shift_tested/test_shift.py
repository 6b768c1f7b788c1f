"""Santurkar 2018: noise that never settles, what a step does to the layers above, what the records say."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bnbook import claims
from bnbook.data.batches import Batches
from bnbook.data.datasets import Dataset, Split
from bnbook.experiments.covariate_shift_tested import figures as drawn
from bnbook.experiments.covariate_shift_tested import measures, protocol
from bnbook.experiments.covariate_shift_tested import training as experiment
from bnbook.experiments.covariate_shift_tested.networks import DriftingNoise, Step
from bnbook.nn.batchnorm import population_statistics
from bnbook.train.loop import train
from bnbook.train.probes import StepSummary
from tests.experiments.covariate_shift_tested.synthetic import (
    BETA,
    COSINE,
    DRIFT,
    RANGE,
    SHARE,
    SHIFT,
    SPEEDUP,
    TARGET,
)

SMOKE = dataclasses.replace(protocol.PROFILES["smoke"], steps=12)
CONFIGS = {key[0]: config for key, config in protocol.networks(SMOKE, protocol.VARIANTS).items()}
INPUTS = 64


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
    x = (255 * torch.rand(240, 8, 8, generator=generator)).to(torch.uint8)
    split = Split(x, torch.randint(10, (240,), generator=generator))
    monkeypatch.setattr(experiment.datasets, "load", lambda name: Dataset(name, split, split, split))
    return split


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = (torch.rand(60, INPUTS, generator=generator) > 0.5).float()
    return x, torch.randint(10, (60,), generator=generator)


# The noise


def test_the_noise_is_another_at_every_step_and_the_same_within_a_units_examples():
    """Each unit's mean and scale lie where they were drawn from, and move from pass to pass; its examples
    scatter around them by the spread."""
    noise = DriftingNoise(mean=1.0, scale=1.5, spread=0.1)
    torch.manual_seed(0)
    shifts = torch.stack([noise(torch.zeros(400, 50)).mean(0) for _ in range(40)])
    assert shifts.abs().max() < 1.05 and shifts.std(0).min() > 0.4  # U(-1, 1) has 0.58
    assert shifts.mean().abs() < 0.05
    one = noise(torch.zeros(4000, 50))
    assert (one - one.mean(0)).abs().max() <= 0.11
    y = torch.randn(4000, 50)
    scales = torch.stack([(noise(y) / y.std(0)).std(0) for _ in range(40)])
    assert 0.97 < scales.min() < 1.1 < 1.4 < scales.max() < 1.55 and scales.std(0).min() > 0.1


def test_in_evaluation_the_noise_is_its_mean():
    noise = DriftingNoise(mean=1.0, scale=1.5, spread=0.1).eval()
    y = torch.randn(20, 5)
    torch.testing.assert_close(noise(y), 1.25 * y)
    torch.manual_seed(0)
    trained = noise.train()(torch.ones(1, 20_000))
    assert trained.mean().item() == pytest.approx(1.25, abs=0.02)


def test_the_networks_differ_in_what_they_are_named_after_alone():
    """Of one seed the same weights; where there is BN no bias; where there is noise BN before it."""
    plain, bn, noisy = (experiment.network(CONFIGS[name], INPUTS, 3) for name in ("plain", "bn", "noisy"))
    for a, b, c in zip(plain.hidden, bn.hidden, noisy.hidden, strict=True):
        assert torch.equal(a.linear.weight, b.linear.weight) and torch.equal(a.linear.weight, c.linear.weight)
        assert a.linear.bias is not None and b.linear.bias is None and c.linear.bias is None
    x, _ = batch()
    population_statistics(bn, [x])
    population_statistics(noisy, [x])
    first, other = bn.eval().hidden[0], noisy.eval().hidden[0]
    torch.testing.assert_close(other.preactivation(x), 1.25 * first.preactivation(x))
    assert not torch.equal(noisy.train()(x), noisy(x)) and torch.equal(bn.train()(x), bn(x))


# What lies along a step


def redraw(number: int) -> None:
    torch.manual_seed(number)


def test_the_shift_is_that_of_the_definition():
    """By hand: move the layers below by one step, leave the layer itself and all above where they are."""
    model = experiment.network(CONFIGS["bn"], INPUTS, 0)
    x, y = batch()
    step = Step(model, x, y, 0.5, redraw)
    found = step.shifts()
    assert len(found) == CONFIGS["bn"].depth  # the lowest layer has none below
    moved = experiment.network(CONFIGS["bn"], INPUTS, 0)
    F.cross_entropy(moved(x), y).backward()
    third = moved.hidden[2].linear.weight
    torch.testing.assert_close(found[1][0], third.grad)
    with torch.no_grad():
        for layer in moved.hidden[:2]:
            for parameter in layer.parameters():
                parameter -= 0.5 * parameter.grad
    moved.zero_grad()
    F.cross_entropy(moved(x), y).backward()
    torch.testing.assert_close(found[1][1], third.grad)


def test_along_the_step_lies_what_training_would_meet():
    """At once the step the loss is that after a step of gradient descent; and at a small one the gradient's
    change over the distance is the curvature along it."""
    model = experiment.network(CONFIGS["plain"], INPUTS, 0).double()
    x, y = batch()
    step = Step(model, x.double(), y, 0.5, redraw)
    (loss, _), (_, change) = step.along((1.0, 1e-4))
    direction = torch.cat([g.flatten() for g in step.gradient])
    after = experiment.network(CONFIGS["plain"], INPUTS, 0).double()
    train(after, F.cross_entropy, torch.optim.SGD(after.parameters(), lr=0.5), [(x.double(), y)], 1)
    assert loss == pytest.approx(F.cross_entropy(after(x.double()), y).item())
    parameters = list(model.parameters())
    gradient = torch.autograd.grad(F.cross_entropy(model(x.double()), y), parameters, create_graph=True)
    along = sum((g * v).sum() for g, v in zip(gradient, step.gradient, strict=True))
    curved = torch.cat([h.flatten() for h in torch.autograd.grad(along, parameters)])
    torch.testing.assert_close(-change / (0.5 * 1e-4), curved, rtol=1e-3, atol=1e-5)
    assert direction.norm() > 0


def test_the_network_is_put_back():
    model = experiment.network(CONFIGS["noisy"], INPUTS, 0)
    before = [one.clone() for one in model.parameters()]
    step = Step(model, *batch(), 0.5, redraw)
    step.shifts(), step.along(protocol.FACTORS)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_noise_is_held_along_the_step_and_drawn_anew_below_a_layer():
    """With no step at all nothing changes along it, while the shift below a layer is the noise's."""
    still = Step(experiment.network(CONFIGS["noisy"], INPUTS, 0), *batch(), 0.0, redraw)
    assert all(change.norm() == 0 for _, change in still.along((1.0,)))
    assert all((after - before).norm() > 0 for before, after in still.shifts())
    quiet = Step(experiment.network(CONFIGS["bn"], INPUTS, 0), *batch(), 0.0, redraw)
    assert all(torch.equal(before, after) for before, after in quiet.shifts())


# Runs


@pytest.mark.parametrize("variant", protocol.VARIANTS)
def test_measuring_changes_nothing(data, variant):
    """Not the noise either: a run that is not measured has the same losses; another seed has others."""
    config = CONFIGS[variant]
    measured, alone = (experiment.train_run(config, 1, None, measure=one) for one in (True, False))
    assert measured.progress.first_losses == alone.progress.first_losses
    assert (
        measured.progress.first_losses
        != experiment.train_run(config, 2, None, measure=False).progress.first_losses
    )
    assert measured.curves["landscape"] == experiment.train_run(config, 1, None).curves["landscape"]
    rows = measured.curves["landscape"]
    assert rows["step"][-1] == config.steps and min(rows["beta"]) > 0
    assert min(rows["shift_2"]) > 0 and max(rows["cosine_2"]) <= 1.0001
    assert measured.final["drift"] > 0 and measured.arrays["percentiles"].shape[1] == 3
    name = "test_accuracy" if variant == "plain" else "test_accuracy_population"
    assert measured.final["test_accuracy"] == measured.curves["evaluation"][name][-1]


def test_the_noise_moves_what_the_last_sigmoids_receive(data):
    """That is what it is there for: several times as far as with BN alone, in a few steps."""
    bn, noisy = (experiment.train_run(CONFIGS[name], 0, None).final["drift"] for name in ("bn", "noisy"))
    assert noisy > 3 * bn


def test_the_probe_looks_at_the_batch_that_comes_next(data):
    config = CONFIGS["plain"]
    batches = Batches(Split((data.x.flatten(1) > 127).float(), data.y), 60, 0)
    model = experiment.network(config, INPUTS, 0)
    probe = experiment.Landscape(batches, config, [2])
    probe(StepSummary(2, 0.0, 0.0), model)
    x, y = batches[2]
    assert probe.rows[0]["loss"] == pytest.approx(F.cross_entropy(model(x), y).item())


def test_traces_are_runs_on_digits():
    assert {c.variant for c in protocol.traces(7)} == set(protocol.VARIANTS)
    assert all(c.steps == 7 and c.data == "digits" for c in protocol.traces(7))


# Measures


def test_the_target_is_the_pilots(synthetic):
    """The highest whole percent that BN reaches, and at which it leads by LEAD; no main run has a say."""
    assert measures.target(synthetic) == TARGET
    alone = {key: found for key, found in synthetic.main.items() if key[0] == "pilot"}
    assert protocol.target(dataclasses.replace(synthetic, main=alone)) == TARGET
    even = {key: alone["pilot", "bn", key[2]] for key in alone}  # where BN leads nowhere
    assert protocol.target(dataclasses.replace(synthetic, main=even)) == protocol.LOWEST_TARGET


def test_the_share_kept(synthetic):
    found = measures.STATISTICS["kept_speed"](synthetic)
    assert found.bound is None
    assert found.interval.estimate == pytest.approx(SPEEDUP ** (SHARE - measures.KEPT), rel=0.1)
    assert found.interval.low < found.interval.estimate < found.interval.high
    numbers = measures.numbers(synthetic)
    assert numbers["bn.speedup"] == pytest.approx(SPEEDUP, rel=0.1)
    assert numbers["kept"] == pytest.approx(100 * SHARE, abs=5)
    assert numbers["noisy.drift_ratio"] == pytest.approx(DRIFT["noisy"] / DRIFT["plain"])
    assert numbers["noisy.over_bn"] == pytest.approx(numbers["noisy.speedup"] / numbers["bn.speedup"])
    assert numbers["at_3.bn.shift"] == pytest.approx(SHIFT["bn"])
    for key in ("shift_ratio", "shift_ratio_afterwards", "at_3.shift_ratio", "at_3.shift_ratio_afterwards"):
        place, _, name = key.rpartition(".")
        found = numbers[f"{place}.bn.{name}" if place else f"bn.{name}"]
        assert found == pytest.approx(SHIFT["bn"] / SHIFT["plain"]), key
    assert numbers["bn.shift_ratio_equal_steps"] > 1.5 * SHIFT["bn"] / SHIFT["plain"]  # the plateau


def test_how_far_an_input_moves_is_counted_up_to_a_step(synthetic):
    """All of the way in all steps; over a width of 2.3."""
    record = measures.runs(synthetic, "plain", 3.0)[0]
    steps = record.arrays["percentile_step"]
    whole = measures.moved(record, record.config["steps"])
    assert whole == pytest.approx((DRIFT["plain"], DRIFT["plain"] / 2.3))
    part, _ = measures.moved(record, int(steps[3]))
    assert part == pytest.approx(DRIFT["plain"] * 3 / (len(steps) - 1))


def changed(synthetic, variant, **final):
    """The results with other final measures of one network."""
    main = {
        key: [dataclasses.replace(r, final=r.final | final) for r in found] if key[0] == variant else found
        for key, found in synthetic.main.items()
    }
    return dataclasses.replace(synthetic, main=main)


def swapped(synthetic, variant, other):
    """The results with the runs of `other` in the place of those of `variant`."""
    main = {
        key: synthetic.main[other, key[1]] if key[0] == variant else found
        for key, found in synthetic.main.items()
    }
    return dataclasses.replace(synthetic, main=main)


def test_without_more_drift_or_without_a_speedup_nothing_is_decided(synthetic):
    statistic = measures.STATISTICS["kept_speed"]
    assert statistic(changed(synthetic, "noisy", drift=3.0)).bound == "both"
    assert statistic(swapped(synthetic, "bn", "plain")).bound == "both"


def test_noise_that_costs_all_speed_is_no_reproduction(synthetic):
    """Were covariate shift what counts, the noisy network would be as slow as the plain one."""
    slow = changed(swapped(synthetic, "noisy", "plain"), "noisy", drift=9.0)
    found = measures.STATISTICS["kept_speed"](slow)
    assert found.interval.estimate == pytest.approx(SPEEDUP**-measures.KEPT, rel=0.1)
    assert claims.verdict(found, 1.0) == "not reproduced"


def test_gradients_are_compared_while_both_learn(synthetic):
    """The plateau of the plain network, where all is a hundredth, does not count."""
    shift, smooth = (measures.STATISTICS[name](synthetic) for name in ("gradient_shift", "smoothness"))
    assert shift.interval.estimate == pytest.approx(SHIFT["bn"] / SHIFT["plain"])
    assert smooth.interval.estimate == pytest.approx(BETA["plain"] / BETA["bn"])
    equal = measures.ratio(
        *(measures.at_equal_steps(synthetic, name, measures.shift) for name in ("bn", "plain"))
    )
    assert equal.estimate > 1.5 * shift.interval.estimate
    assert f"{RANGE['plain'] / RANGE['bn']:.2f} times" in smooth.detail["en"]
    assert f"{100 * (1 - COSINE['bn']):.1f}%" in shift.detail["en"]


def test_a_gradient_that_turns_back_counts(synthetic):
    """Its cosine is negative, which has no logarithm."""

    def back(record):
        rows = record.curves["landscape"]
        turned = {name: [-0.5] * len(rows["step"]) for name in rows if name.startswith("cosine_")}
        return dataclasses.replace(record, curves=record.curves | {"landscape": rows | turned})

    main = {
        key: [back(r) if r.seed % 2 else r for r in found] if key[0] == "bn" else found
        for key, found in synthetic.main.items()
    }
    seeds = [r.seed for r in measures.runs(synthetic, "bn", 3.0)]
    odd = np.mean([seed % 2 for seed in seeds])
    expected = 100 * (odd * 1.5 + (1 - odd) * (1 - COSINE["bn"]))
    assert odd > 0 and measures.turned(dataclasses.replace(synthetic, main=main), "bn") == pytest.approx(
        expected
    )


def test_a_network_that_never_learns_is_not_compared(synthetic):
    """On its plateau nothing moves: that would be no finding about BN."""
    still = {
        key: [
            dataclasses.replace(
                r, curves=r.curves | {"evaluation": {"step": [1, 2, 3], "test_accuracy": [0.1] * 3}}
            )
            for r in found
        ]
        for key, found in synthetic.main.items()
        if key == ("plain", "3")
    }
    changed = dataclasses.replace(synthetic, main=synthetic.main | still)
    assert still and measures.STATISTICS["gradient_shift"](changed).bound == "both"
    assert measures.STATISTICS["smoothness"](changed).bound == "both"


def test_where_no_probe_falls_into_the_phase_the_next_one_counts(synthetic):
    record = measures.runs(synthetic, "bn", 3.0)[0]
    assert measures.phase(record, 99.9).sum() > 1  # never reached: to the end
    curve = record.curves["evaluation"] | {"test_accuracy_population": [0.1] * 149 + [0.95]}
    late = dataclasses.replace(record, curves=record.curves | {"evaluation": curve})
    assert measures.phase(late, 90).sum() == 1


def test_board(synthetic):
    board = {claim.id: claim for claim in claims.board({protocol.EXPERIMENT: synthetic})}
    assert board["c-after-shift-smooth"].verdict == "reproduced"  # 1.5 times, without any spread
    assert board["c-after-shift-gradients"].verdict == "not reproduced"  # 0.75 of it
    assert board["c-after-shift-speed"].kind == "after"


def test_the_rules_say_what_is_measured():
    rules = {
        name: claims.paper.claims()[f"c-after-shift-{name}"] for name in ("speed", "gradients", "smooth")
    }
    cpu, speed = protocol.PROFILES["cpu"], rules["speed"]["rule"]["en"]
    assert len(cpu.lrs) == 3 and cpu.seeds == 5 and protocol.LEAD == 2
    assert f"power {measures.KEPT}" in speed and f"not above {measures.CLEAR}" in speed
    assert all(
        f"from {protocol.PHASE_FROM}% test accuracy" in rules[n]["rule"]["en"]
        for n in ("gradients", "smooth")
    )
    assert protocol.FACTORS == (0.5, 1, 2, 4)
    assert rules["gradients"]["effect"] == pytest.approx(1 / 1.2, abs=0.005)


# Figures


def test_the_figure_of_speed_shows_every_run(synthetic):
    table = drawn.speed(synthetic)[1]
    run = table.query("kind == 'run'")
    assert len(run) == 3 * 2 * 2
    means = table.query("kind == 'mean'").set_index(["network", "learning_rate"])["drift_ratio"]
    assert means["with BN and noise", 3.0] == pytest.approx(DRIFT["noisy"])


def test_the_landscape_marks_what_is_judged(synthetic):
    table = drawn.landscape(synthetic)[1]
    own = table.query("quantity == 'gradient_change_ratio' and network == 'without BN'")
    np.testing.assert_allclose(own[own["judged"]]["value"], SHIFT["plain"])
    assert own[~own["judged"]]["value"].min() < 0.01
