"""Section 4.2.1: one change undone at a time, and what it is worth; truth as in synthetic."""

import dataclasses
import runpy

import pytest

from bnbook import claims, examples, paper, paths, stats
from bnbook import experiments as protocols
from bnbook.experiments.ablation_first import protocol as first
from bnbook.experiments.accelerating_ablation import figures, measures, protocol
from bnbook.experiments.accelerating_ablation.protocol import CHANGES, FULL, NOTHING, RATE, SLOW
from bnbook.experiments.inception_speedups import protocol as inception
from bnbook.experiments.inception_speedups.protocol import PROFILES
from bnbook.records import MissingRecord
from tests.experiments.accelerating_ablation.synthetic import CHOICE, LOST, SLOWER

CPU = PROFILES["cpu"]
CONFIGS = protocol.main(CPU, CHOICE)
ARMS = inception.main(CPU, CHOICE)
FIELDS = {
    "dropout": "dropout",
    "l2": "weight_decay",
    "decay": "lr_decay",
    "lrn": "lrn",
    "shuffling": "fixed_membership",
    "photometric": "photometric",
}


@pytest.fixture(scope="module")
def results(synthetic):
    return synthetic


def differing(one, other):
    return {key for key, value in one.to_dict().items() if other.to_dict()[key] != value}


# The plan


@pytest.mark.parametrize("change", FIELDS)
def test_each_undoes_one_change_and_gives_back_the_baselines_value(change):
    one, field = CONFIGS[change], FIELDS[change]
    assert differing(ARMS[FULL], one) == {"experiment", "variant", field}
    assert getattr(one, field) == getattr(ARMS["bn_baseline"], field)


def test_the_full_network_is_made_once_more_where_the_others_are():
    """The same but for the name of its record."""
    assert differing(ARMS[FULL], CONFIGS[NOTHING]) == {"experiment", "variant"}


def test_the_full_network_and_the_one_with_the_lower_rate_are_arms_of_section_4_2():
    assert {name: CONFIGS[name].run_id for name in (FULL, SLOW)} == {
        name: ARMS[name].run_id for name in (FULL, SLOW)
    }
    assert set(CONFIGS) - {FULL, SLOW, NOTHING} == set(FIELDS) == set(CHANGES) - {RATE}
    assert protocol.group(CONFIGS[SLOW]) == RATE and protocol.group(CONFIGS[FULL]) == FULL


def test_all_pair_by_seed():
    """At least six seeds, every one of them also an arm's; each configuration trains by the experiment that
    its record names."""
    seeds = [seed for _, seed in protocol.jobs(CPU, CHOICE)]
    assert seeds == sorted(seeds) and len(seeds) == 9 * 6
    assert set(seeds) == set(inception.arm_seeds(CPU, protocol.SEEDS))
    row = protocols.EXPERIMENTS["accelerating_ablation"]
    own = CONFIGS["lrn"]
    assert own.experiment == row.name and row.config(own.to_dict()) == own


def test_what_a_reader_asks_for_is_undone_too():
    """A decay goes back to that of the length which was asked for."""
    long = protocol.main(dataclasses.replace(CPU, main_epochs=12, lr=0.2), CHOICE)
    baseline = inception.main(dataclasses.replace(CPU, main_epochs=12), CHOICE)["bn_baseline"]
    assert long["decay"].lr_decay == baseline.lr_decay != CONFIGS["decay"].lr_decay
    assert long["dropout"].lr == pytest.approx(1.0)


def test_the_plan_waits_for_what_section_4_2_chooses(tmp_path):
    with pytest.raises(MissingRecord):
        list(protocol.plan("main", CPU, [tmp_path]))
    assert list(protocol.plan("initial", CPU, [])) == list(inception.plan("initial", CPU, []))


def test_runs_of_the_first_registration_stay_its_own():
    """The room of a record is told by its recipe."""
    row = protocols.EXPERIMENTS[protocol.EXPERIMENT]
    assert protocols.room(row, CONFIGS["lrn"].recipe) is row
    assert protocols.room(row, first.Config.recipe).name == "ablation_first"


def test_records_are_found_by_seed(results, monkeypatch):
    made = {(one.run_id, one.seed): one for records in results.main.values() for one in records}
    monkeypatch.setattr(inception, "choose", lambda profile, folders: CHOICE)
    monkeypatch.setattr(
        protocols.protocol.records,
        "load",
        lambda folders, config, seeds: [made[config.run_id, seed] for seed in seeds],
    )
    found = protocol.results(CPU, [])
    assert found.main == results.main and next(iter(found.main)) == FULL
    assert found.choice == CHOICE


def test_traces_are_those_of_the_changes():
    traced = protocol.traces(5)
    assert [one.variant for one in traced] == [*FIELDS, NOTHING]
    assert {one.steps for one in traced} == {5} and {one.data for one in traced} == {"digits"}


# What is measured


def test_what_a_change_is_worth(results):
    found = {change: measures.gain(results, change) for change in measures.FAMILY}
    for change, lost in LOST.items():
        assert found[change].interval.estimate == pytest.approx(100 * lost, abs=1e-6)
        assert found[change].interval.low < 100 * lost < found[change].interval.high
    alone = stats.mean_interval(measures.gains(results)["dropout"], resolution=0.02)
    assert found["dropout"].interval.high > alone.high  # six intervals that hold together are wider
    assert found["dropout"].family.p_above < 0.025  # one point lies above the half that matters
    assert found["l2"].family.p_above > 0.5 and found["l2"].family.p_below < 0.025
    assert found["lrn"].family.p_above < 0.025  # of which less may be lost than the bound


def test_what_the_learning_rate_is_worth_is_counted_in_steps(results):
    found = measures.slowdown(results, RATE)
    assert found.interval.estimate == pytest.approx(SLOWER, rel=0.06) and found.family is None
    assert "6/6" in found.detail["en"]


def test_what_another_machine_does_shows_beside_the_changes(results):
    """BN-x5 once more ends where it did; did it end elsewhere, verdicts would change with it."""
    numbers = measures.numbers(results)
    assert numbers["nothing.gain_low"] < 0 < numbers["nothing.gain_high"] and numbers["once_more.kept"] == 6
    assert numbers["once_more.dropout.verdict"] == "reproduced"
    worse = [
        dataclasses.replace(one, final=one.final | {"test_accuracy_population": one.accuracy - 0.01})
        for one in results.main[NOTHING]
    ]
    elsewhere = dataclasses.replace(results, main=results.main | {NOTHING: worse})
    numbers = measures.numbers(elsewhere)
    assert numbers["nothing.gain"] == pytest.approx(1.0, abs=0.01) and numbers["once_more.kept"] < 6
    assert numbers["dropout.gain"] == pytest.approx(1.0)  # judged as the rule says
    assert numbers["once_more.dropout.gain"] == pytest.approx(0.0, abs=0.01)
    assert numbers["once_more.dropout.verdict"] == "not reproduced"


def test_how_the_losses_of_the_same_run_part(results):
    """Counted over the steps that all have."""
    first = [dataclasses.replace(one, first_losses=[2.0, 1.5, 1.0]) for one in results.main[FULL]]
    again = [dataclasses.replace(one, first_losses=[2.0, 1.5 + 0.01 * n]) for n, one in enumerate(first)]
    found = dataclasses.replace(results, main=results.main | {FULL: first, NOTHING: again})
    numbers = measures.numbers(found)
    assert numbers["once_more.apart.steps"] == 2 and numbers["once_more.apart.first"] == 0
    assert numbers["once_more.apart.last"] == pytest.approx(0.025)


def test_every_rule_has_its_statistic():
    rules = [rule for rule in paper.claims().values() if rule.get("experiment") == protocol.EXPERIMENT]
    asked = {rule["statistic"] for rule in rules}
    assert asked == set(measures.STATISTICS)


def test_numbers(results):
    numbers = measures.numbers(results)
    assert numbers["runs"] == 7 * 6 and numbers["epochs"] == 8
    assert numbers["dropout.gain"] == pytest.approx(1.0) and numbers["dropout.helped"] == 6
    assert (numbers["decay.helped"], numbers["decay.hurt"]) == (0, 6) and numbers[
        "regained"
    ] == pytest.approx(0.6)
    assert numbers["bn_x5.end"] - numbers["dropout.end"] == pytest.approx(numbers["dropout.gain"])
    assert numbers["dropout.gain_min"] < numbers["dropout.gain"] < numbers["dropout.gain_max"]
    assert numbers["learning_rate.ratio"] == pytest.approx(SLOWER, rel=0.06)
    assert numbers["l2.ratio"] == pytest.approx(1, rel=0.06)
    assert numbers["learning_rate.reached"] == numbers["learning_rate.seeds"] == 6


def test_sizes_are_known_before_any_run():
    sizes = measures.sizes(CPU)
    assert (sizes["seeds"], sizes["changes"], sizes["judged_together"]) == (6, 7, 6)
    assert sizes["lrn_change"] > 10  # percent: what is put back does something


def test_a_single_seed_has_a_figure_and_numbers(results):
    """What a reader gets who asks for one."""
    one = dataclasses.replace(results, main={name: found[:1] for name, found in results.main.items()})
    assert measures.numbers(one)["dropout.gain"] == pytest.approx(100 * LOST["dropout"], abs=0.2)
    assert len(figures.undo_one(one)[1].query("kind == 'run'")) == 8


def test_the_figure(results):
    canvas, table = figures.undo_one(results)
    runs = table[table["kind"] == "run"]
    assert len(runs) == 8 * 6
    assert runs.groupby("change")["difference_points"].mean()["no Dropout"] == pytest.approx(1.0)
    assert len(canvas.axes[0].get_yticklabels()) == 8


def test_board(results):
    board = {claim.id: claim for claim in claims.board({protocol.EXPERIMENT: results})}
    verdicts = {name: board[f"c-4.2.1-{name}"].verdict for name in ("learning-rate", "dropout", "l2", "lrn")}
    assert verdicts == {
        "learning-rate": "reproduced",
        "dropout": "reproduced",
        "l2": "not reproduced",
        "lrn": "reproduced",
    }


# The chapter's code


def test_the_chapters_code_has_what_was_tuned():
    """Its settings are plain numbers, for a reader to paste; the records have the last word."""
    profile = inception.PROFILES["cpu"]
    choice = inception.choose(profile, [paths.runs(paths.RESULTS)])
    shown = runpy.run_path(str(examples.source("accelerating_config")))
    assert (shown["lr"], shown["decay"], shown["l2"]) == (choice.lr, choice.lr_decay, profile.weight_decay)
    configs = inception.main(profile, choice)
    for name, config in (("bn_baseline", configs["bn_baseline"]), ("bn_x5", configs["bn_x5"])):
        settings = shown[name]
        assert settings["learning rate"] == config.lr and settings["dropout"] == config.dropout
        assert settings["L2"] == pytest.approx(config.weight_decay)
        assert settings["decay"] == pytest.approx(config.lr_decay, abs=1e-6)
        assert settings["local response norm"] == config.lrn
        assert settings["distortion"] == config.photometric
        assert (settings["mini-batches"] == "reshuffled") != config.fixed_membership
    rates = runpy.run_path(str(examples.source("accelerating_rates")))
    assert rates["r"] == choice.lr_decay
    assert rates["total"].__defaults__ == (profile.steps_per_epoch,)
    assert f"epochs={choice.epochs // 3})" in examples.source("accelerating_rates").read_text()
