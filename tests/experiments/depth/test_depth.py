"""After the paper: what is run of deep networks, and what is measured of them."""

import dataclasses
import math

import numpy as np
import pytest

from bnbook import claims, records
from bnbook.experiments.depth import figures, measures, protocol
from tests.experiments.depth.synthetic import (
    A_LAYER,
    ENDS,
    GROWTH,
    LOST,
    STEPS_TO_TARGET,
    TRAIN_GAIN,
    WIDE_ERROR,
)

SMOKE = protocol.PROFILES["smoke"]


def test_every_network_is_run_at_every_rate_and_then_by_new_seeds(synthetic):
    grid = list(protocol.plan("grid", SMOKE, []))
    assert len(grid) == len(protocol.ARMS) * len(SMOKE.depths) * 2 * SMOKE.seeds
    assert not any(config.tested for config, _ in grid)
    rest = protocol.jobs(SMOKE, protocol.select(synthetic))[len(grid) :]
    assert {seed for _, seed in rest} == {100, 101}
    assert all(config.tested for config, _ in rest if config.part == "net")
    wide = {config.variant for config, _ in rest if config.part == "wide"}
    assert len(wide) == len(SMOKE.widths) * len(SMOKE.batches) + 1


def test_the_rate_is_the_best_on_validation_images_and_ties_go_to_the_smaller(synthetic):
    choice = protocol.select(synthetic)
    assert set(choice.values()) == {0.05}  # the synthetic networks lose at the higher one
    one = synthetic.main["rate", "plain", "8", "0.05"]
    even = dataclasses.replace(synthetic, main=synthetic.main | {("rate", "plain", "8", "0.1"): one})
    assert protocol.select(even)["plain", 8] == 0.05
    better = {("rate", "plain", "8", "0.05"): synthetic.main["rate", "plain", "8", "0.1"]}
    swapped = dataclasses.replace(even, main=even.main | better)
    assert protocol.select(swapped)["plain", 8] == 0.1 and LOST > 0


def test_a_rate_that_diverged_counts_as_chance(synthetic):
    (record,) = synthetic.main["rate", "plain", "8", "0.05"]
    lost = dataclasses.replace(record, final={"chance_accuracy": 0.1}, outcome={"status": "diverged"})
    assert protocol.validation([lost]) == pytest.approx(0.1)


def test_depths_that_decide_a_claim_have_more_seeds():
    cpu = protocol.PROFILES["cpu"]
    choice = {(arm, depth): cpu.lrs[0] for arm in protocol.ARMS for depth in cpu.depths}
    seeds = {key[2]: number for key, (_, number) in protocol.confirm(cpu, choice).items() if key[0] == "net"}
    assert seeds == {"8": 3, "20": 5, "32": 3, "56": 5}


def test_the_deepest_skipinit_is_run_at_the_rate_below_its_own_too():
    cpu = protocol.PROFILES["cpu"]
    choice = {(arm, depth): cpu.lrs[-1] for arm in protocol.ARMS for depth in cpu.depths}
    key = ("below", "skipinit", str(cpu.deep))
    config, seeds = protocol.confirm(cpu, choice)[key]
    assert (config.lr, seeds) == (cpu.lrs[-2], cpu.new_seeds)
    assert key not in protocol.confirm(cpu, choice | {("skipinit", cpu.deep): cpu.lrs[0]})


def test_the_grid_comes_first(tmp_path):
    with pytest.raises(records.MissingRecord):
        list(protocol.plan("main", SMOKE, [tmp_path]))


def test_the_profiles_can_be_run():
    for profile in protocol.PROFILES.values():
        assert {profile.shallow, profile.deep} <= set(profile.depths) and profile.shallow < profile.deep
        assert profile.wide_depth > 2 * measures.EDGE + 1
        assert sorted(profile.widths) == list(profile.widths)
        assert sorted({*profile.lrs}) == list(profile.lrs)


# Measures


def test_the_theory_is_computed():
    """Its two moments of a ReLU, by numbers drawn from the normal distribution."""
    x = np.random.default_rng(0).standard_normal(2_000_000)
    relu = np.maximum(x, 0)
    assert measures.theory() == pytest.approx(math.sqrt((x > 0).mean() / relu.var()), rel=2e-3)


def test_measures_tell_the_truth(synthetic):
    between = SMOKE.deep - SMOKE.shallow
    expected = {
        "degradation": -100 * A_LAYER["plain_bn"] * between,
        "shortcut": 100 * A_LAYER["residual_bn"] * between,
        "normalized": 100
        * (ENDS["plain_bn"] - ENDS["plain"] + SMOKE.deep * (A_LAYER["plain_bn"] - A_LAYER["plain"])),
        "skipinit": 100 * (ENDS["skipinit"] - ENDS["residual_bn"] - SMOKE.deep * A_LAYER["residual_bn"]),
        "mean_field": -math.log10(WIDE_ERROR),
    }
    for name, value in expected.items():
        found = measures.STATISTICS[name](synthetic).interval
        assert (found.estimate, found.n) == (pytest.approx(value), SMOKE.new_seeds), name
    assert f"{measures.theory():.4f}" in measures.mean_field(synthetic).detail["en"]


def test_a_network_that_diverged_is_at_chance(synthetic):
    def lost(record):
        final = {"chance_accuracy": 0.1}
        return dataclasses.replace(record, final=final, outcome={"status": "diverged", "step": 3})

    key = ("net", "plain", str(SMOKE.deep))
    broken = dataclasses.replace(
        synthetic, main=synthetic.main | {key: [lost(one) for one in synthetic.main[key]]}
    )
    assert measures.ends(broken, "plain", SMOKE.deep) == pytest.approx([10, 10])
    assert measures.train_ends(broken, "plain", SMOKE.deep) == pytest.approx([10, 10])
    numbers = measures.numbers(broken)
    assert numbers["plain.deep.diverged"] == numbers["plain.deep.guessing"] == 2


def test_numbers(synthetic):
    numbers = measures.numbers(synthetic)
    for arm in protocol.ARMS:
        factor = GROWTH[arm]
        assert numbers[f"{arm}.deep.gradient_a_layer"] == pytest.approx(factor)
        assert numbers[f"{arm}.deep.gradient_in_all"] == pytest.approx(factor ** (SMOKE.deep - 2))
        ours = {key: numbers[f"{arm}.shallow.{key}"] for key in ("train", "accuracy", "steps_to_target")}
        assert ours["train"] - ours["accuracy"] == pytest.approx(100 * TRAIN_GAIN)
        assert ours["steps_to_target"] == STEPS_TO_TARGET and numbers[f"{arm}.shallow.reached"] == 2
    assert numbers["plain.deep.rank"] == pytest.approx(1) and numbers["plain_bn.deep.rank"] == pytest.approx(
        10
    )
    assert numbers["wide.growth"] == pytest.approx(measures.theory() * (1 + WIDE_ERROR))
    assert numbers["wide.plain_growth"] == pytest.approx(1)
    assert numbers["plain_bn.deep.guessing"] == 0
    ours = measures.ends(synthetic, "plain_bn", SMOKE.deep)
    assert numbers["plain_bn.deep.best"] == pytest.approx(ours.max())
    lower, higher = (numbers[f"rate.plain.{SMOKE.deep}.{lr:g}"] for lr in SMOKE.lrs)
    assert lower - higher == pytest.approx(100 * LOST)


def test_board(synthetic):
    """At this size a deep network is six layers deeper."""
    board = {claim.id: claim.verdict for claim in claims.board({protocol.EXPERIMENT: synthetic})}
    found = {name.removeprefix("c-after-depth-"): one for name, one in board.items() if "after-depth" in name}
    assert found == {
        "degradation": "reproduced",
        "shortcut": "reproduced",
        "normalized": "reproduced",
        "growth": "reproduced",
        "skipinit": "reproduced",
    }


def test_the_rules_say_what_is_measured():
    cpu = protocol.PROFILES["cpu"]
    rules = {
        name: claims.paper.claims()[f"c-after-depth-{name}"]["rule"]["en"]
        for name in ("degradation", "shortcut", "normalized", "growth", "skipinit")
    }
    for name in ("degradation", "shortcut"):
        assert f"{cpu.shallow}" in rules[name] and f"{cpu.deep}" in rules[name]
    assert f"{cpu.deep} layers" in rules["normalized"] and f"{cpu.deep} layers" in rules["skipinit"]
    assert f"{cpu.widths[-1]:,} units" in rules["growth"] and f"{cpu.batches[-1]:,} images" in rules["growth"]
    assert all(f"{cpu.new_seeds} new seeds" in rule for rule in rules.values())


def test_figures_show_every_network(synthetic):
    _, table = figures.accuracy(synthetic)
    runs = table[table["kind"] == "run"]
    assert len(runs) == len(protocol.ARMS) * len(SMOKE.depths) * SMOKE.new_seeds
    _, table = figures.gradient(synthetic)
    first = table[(table["network"] == "plain, BN") & (table["layer"] == 1)]["gradient_ratio"].item()
    assert first == pytest.approx(GROWTH["plain_bn"] ** (SMOKE.deep - 2))
    _, table = figures.rank(synthetic)
    assert set(table["network"]) == {arm.name for arm in protocol.ARMS.values()}
