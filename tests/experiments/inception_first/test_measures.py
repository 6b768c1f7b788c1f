"""What is measured in the records of Section 4.2, on synthetic ones whose truth is known."""

import dataclasses

import numpy as np
import pytest

from bnbook import claims, figures
from bnbook.experiments.inception_first import measures, protocol
from tests.experiments.inception_first.synthetic import FLOAT32_LOSS, HIGHEST_USABLE, SPEEDS, write_record

SMOKE = protocol.PROFILES["smoke"]
STEPS = {name: config.steps for name, config in protocol.main(SMOKE, protocol.Choice(0.1, 0.5, 1e-4)).items()}


@pytest.fixture(scope="module")
def results(synthetic):
    return synthetic


@pytest.fixture(scope="module")
def numbers(results):
    return measures.numbers(results)


def true_crossing(variant: str, seed: int, goal: float) -> int:
    """The first measured step above `goal` (percent), by the formula of the synthetic curves."""
    end, half = SPEEDS[variant]
    end, total = end + 0.002 * seed, STEPS[variant]
    steps = np.unique(np.geomspace(1, total, 60).round().astype(int))
    rise = 0.1 + (end - 0.1) * steps / (steps + half) * (total + half) / total
    return int(steps[rise > goal / 100][0])


def test_the_goal_is_the_baselines_best_averaged_over_seeds(results):
    assert measures.goal(results) == pytest.approx(np.mean([70.0, 70.2]))


@pytest.mark.parametrize("variant", ["bn_baseline", "bn_x5", "bn_x30"])
def test_crossings_and_speedups(results, variant):
    goal = measures.goal(results)
    found = measures.crossings(results, variant)
    assert [c.step for c in found] == [true_crossing(variant, seed, goal) for seed in range(SMOKE.seeds)]
    assert all(c.reached for c in found)
    # One baseline ends below the mean of both; the other passes it too late for three evaluations above it.
    slow = [c.step for c in measures.crossings(results, "inception")]
    assert slow == [STEPS["inception"]] * SMOKE.seeds
    speedup = measures.speedup(results, "inception", variant)
    ratios = np.array(slow) / [c.step for c in found]
    assert speedup.interval.estimate == pytest.approx(np.exp(np.log(ratios).mean()))
    assert speedup.bound == "lower" and "2 of 2 runs of Inception never reach it" in speedup.detail["en"]


def test_a_network_that_never_arrives_gives_an_upper_bound(results):
    speedup = measures.speedup(results, "bn_x5", "bn_x5_sigmoid")
    assert speedup.bound == "upper"
    assert "2 of 2 runs of BN-x5-Sigmoid never reach it" in speedup.detail["en"]


def test_gains_are_of_the_maximum(results):
    gain = measures.gain(results, "bn_x30", "bn_x5")
    assert gain.interval.estimate == pytest.approx(100 * (SPEEDS["bn_x30"][0] - SPEEDS["bn_x5"][0]))
    assert "79.10% against 76.10%" in gain.detail["en"]


def test_a_diverged_run_is_at_chance(results):
    row = next(row for row in measures.table(results) if row.variant == "inception_x5")
    assert row.diverged == SMOKE.seeds
    assert row.best.tolist() == [10.0] * SMOKE.seeds and not any(c.reached for c in row.crossings)


def test_the_maximum_of_one_curve_is_not_chosen_by_the_test_set():
    """`best` is the paper's measure; `accuracy_at_chosen_step` takes its step from the validation curve."""
    record = protocol.records.Record(
        schema=1, run_id="", config={"steps": 4}, seed=0, outcome={"status": "done", "step": 4},
        curves={
            "evaluation": {"step": [1, 2, 3, 4], "test_accuracy": [0.2, 0.9, 0.5, 0.6]},
            "validation": {"step": [2, 4], "validation_accuracy": [0.3, 0.7]},
        },
        final={"chance_accuracy": 0.1}, first_losses=[], provenance={}, arrays_sha256=None, path=None,
    )  # fmt: skip
    assert measures.best(record) == 90 and measures.best_step(record) == 2
    assert measures.accuracy_at_chosen_step(record) == 60


def test_usable_rates(results):
    """The highest rate at which each network learns; the grid ends before batch normalization gives up."""
    usable = measures.usable_rates(results)
    assert usable.interval.estimate == pytest.approx(HIGHEST_USABLE["rate_bn"] / HIGHEST_USABLE["rate_plain"])
    assert usable.bound == "lower"
    assert usable.interval.n == 1  # of which nothing more is known
    twice = {key: [found[0], found[0]] for key, found in results.rates.items()}
    again = measures.usable_rates(dataclasses.replace(results, rates=twice)).interval
    step = max(SMOKE.lrs) / min(SMOKE.lrs)  # the seeds agree, yet the grid hides as much as a step
    assert (again.low, again.high) == pytest.approx((again.estimate / step, again.estimate * step))
    assert "2 of 2 seeds end at chance, 2 of them by diverging" in usable.detail["en"]


def test_matched_rates(results):
    gaps = measures.matched_gaps(results)
    assert set(gaps) == set(SMOKE.lrs)
    assert gaps[0.05] == pytest.approx(0.0) and gaps[0.1] > 40
    assert measures.best_rate(results, norm=False) == 0.05


def test_what_needs_the_control_waits_for_it(results):
    """All else is drawn without it."""
    rates = {(norm, lr): found for (norm, lr), found in results.rates.items() if not norm}
    found = {"inception_first": dataclasses.replace(results, rates=rates)}
    assert "fig2-matched-rates" in figures.available({"inception_first": results})
    available = figures.available(found)
    assert "fig2-matched-rates" not in available and "first-test-accuracy" in available
    numbers = measures.numbers(found["inception_first"])
    assert "rates.bn.best" not in numbers and numbers["rates.seeds"] == SMOKE.rates_seeds


def test_results_without_the_control(tmp_path, results):
    for stage in protocol.STAGES[:-1]:
        for config, seed in protocol.plan(stage, SMOKE, [tmp_path]):
            if not protocol.records.path(tmp_path, config, seed).exists():
                write_record(tmp_path, config, seed)
    found = protocol.results(SMOKE, [tmp_path])
    assert not found.controlled and found.records("control") == [] and results.controlled
    assert len(found.records("main")) == len(results.records("main"))


def test_a_step_is_timed_where_nothing_disturbs_it(results):
    """Half of the stretches take ten times as long; the short ones, a step each, take no time at all."""
    record = results.main["bn_x5"][0]
    steps = np.cumsum([1, 1, 1, *[20] * 10])
    each = np.array([0, 0, 0, *[0.25, 2.5] * 5])
    seconds = np.cumsum(np.diff(steps, prepend=0) * each)
    columns = {"step": steps.tolist(), "train_seconds": seconds.tolist()}
    disturbed = dataclasses.replace(record, curves={"evaluation": columns})
    assert measures.undisturbed([disturbed, disturbed]) == pytest.approx(0.25)
    assert np.isnan(measures.undisturbed([]))


def test_a_baseline_seed_at_chance_can_be_left_out(results):
    """It lowers the goal of all; without it the goal is that of the other."""
    down = dataclasses.replace(
        results.main["inception"][0],
        curves={"evaluation": {"step": [1, 2], "test_accuracy": [0.1, 0.1]}, "validation": {"step": []}},
    )
    main = results.main | {"inception": [down, results.main["inception"][1]]}
    failed = dataclasses.replace(results, main=main)
    assert measures.goal(failed) == pytest.approx((10 + 70.2) / 2)
    learned = measures.where_the_baseline_learned(failed)
    assert {len(found) for found in learned.main.values()} == {1}
    numbers = measures.numbers(failed)
    assert numbers["learned.seeds"] == 1 and numbers["learned.goal"] == pytest.approx(70.2)
    slow, fast = (measures.crossings(learned, name)[0].step for name in ("inception", "bn_x5"))
    assert numbers["learned.bn_x5.ratio"] == pytest.approx(slow / fast)
    assert measures.numbers(results)["learned.goal"] == pytest.approx(measures.goal(results))


def test_seeds_at_chance(results, numbers):
    assert numbers["inception_x5.at_chance"] == SMOKE.seeds and numbers["bn_x5.at_chance"] == 0
    assert numbers["bn_x5.best_min"] == pytest.approx(76.0) and numbers["bn_x5.best_max"] == pytest.approx(
        76.2
    )


def test_numbers(numbers):
    assert numbers["bn_x5.best"] == pytest.approx(76.1) and numbers["inception_x5.diverged"] == SMOKE.seeds
    assert numbers["bn_x5.milliseconds"] == pytest.approx(250)
    assert numbers["inception.milliseconds"] == pytest.approx(200)
    assert numbers["speedup.bn_x5.ratio"] > numbers["speedup.bn_baseline.ratio"] > 1
    assert (numbers["lr"], numbers["lr_decay"], numbers["weight_decay"]) == (0.05, 0.5, 1e-4)
    assert numbers["rates.gap_at_plain_best"] == pytest.approx(0.0)
    own = numbers["rates.bn.best"] - numbers["rates.plain.best"]
    assert numbers["rates.gain_of_own_rate"] == pytest.approx(own - numbers["rates.gap_at_plain_best"])
    assert numbers["float32.bn_x5.gap"] == pytest.approx(100 * FLOAT32_LOSS)
    distinct = 2 * len(STEPS) + 2 * len(SMOKE.lrs) * SMOKE.rates_seeds + 1 + 2
    assert numbers["runs"] == distinct


def test_sizes_are_known_before_any_run():
    sizes = measures.sizes(protocol.PROFILES["cpu"])
    assert (
        sizes["full_parameters.plain"] == 1_649_402 and sizes["parameters.bn"] < sizes["full_parameters.bn"]
    )
    assert sizes["epochs"] == 3 * sizes["changed_epochs"]
    assert claims.numbers({})["inception_first.epochs"] == sizes["epochs"]
