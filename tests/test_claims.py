"""Claims and numbers on synthetic records whose truth is known (tests/conftest.py)."""

import dataclasses
import json
import math

import numpy as np
import pytest
from conftest import FINAL, INITIALISATION_COST, TRAVEL, WU_TRAVEL

from bnbook import claims, measures, paper
from bnbook.measures import Estimate
from bnbook.measures import mnist_activation_shift as mnist
from bnbook.protocols import EXPERIMENTS
from bnbook.protocols.mnist_activation_shift import MARGIN, Results
from bnbook.records import MissingRecord
from bnbook.stats import Interval

NO_DETAIL = {"ko": "", "en": ""}


@pytest.fixture(scope="module")
def numbers(synthetic):
    return mnist.numbers(synthetic)


@pytest.fixture(scope="module")
def results(synthetic):
    """Only the first experiment has records."""
    return {"mnist_activation_shift": synthetic}


@pytest.fixture(scope="module")
def board(results):
    return {claim.id: claim for claim in claims.board(results)}


def shortened(results: Results, variant: str, steps: int) -> Results:
    """`results` with the curves of `variant` cut off at `steps`."""

    def cut(record):
        columns = record.curves["evaluation"]
        kept = sum(step <= steps for step in columns["step"])
        short = {name: column[:kept] for name, column in columns.items()}
        return dataclasses.replace(record, curves={"evaluation": short})

    main = {key: [cut(r) for r in rs] if key[1] == variant else rs for key, rs in results.main.items()}
    return dataclasses.replace(results, main=main)


def test_numbers_tell_the_truth(numbers):
    # The main runs' seeds are 2, 3 and 4, after the pilot's; a seed adds 0.2 points.
    assert numbers["main.tuned.bn.accuracy"] == pytest.approx(100 * FINAL["bn"] + 0.6)
    assert numbers["gap.tuned.points"] == pytest.approx(100 * (FINAL["bn"] - FINAL["plain"]))
    assert numbers["drift.tuned.ratio"] == pytest.approx(TRAVEL["plain"] / TRAVEL["bn"])
    assert numbers["drift.tuned.wu_ratio"] == pytest.approx(TRAVEL["plain"] / WU_TRAVEL)
    assert numbers["initialisation.bn.spread"] == pytest.approx(100 * INITIALISATION_COST["bn"])
    assert numbers["initialisation.points"] == pytest.approx(
        100 * (INITIALISATION_COST["plain"] - INITIALISATION_COST["bn"])
    )
    assert numbers["main.tuned.bn.lr"] == 1.0
    assert numbers["typical.plain.drift"] == pytest.approx(TRAVEL["plain"] / 4, rel=0.05)


def test_numbers_of_the_multiverse(numbers):
    assert numbers["multiverse.binarised.higher"] == numbers["multiverse.cells"]
    assert numbers["multiverse.grey.lower"] == 0
    assert numbers["multiverse.binarised.plain.best_lr"] == 1.0
    assert numbers["multiverse.binarised.plain.worst_init_std"] == 0.01


def test_numbers_are_plain_values(all_synthetic):
    found = claims.numbers(all_synthetic)
    assert {type(value) for value in found.values()} <= {int, float, str, list}
    json.dumps(found)
    assert {key.split(".")[0] for key in found} == {EXPERIMENTS[name].short for name in all_synthetic}


def test_runs_shared_by_two_settings_count_once(numbers, synthetic):
    distinct = {record.run_id for records in synthetic.main.values() for record in records}
    expected = len(distinct) * synthetic.profile.seeds + len(synthetic.multiverse)
    expected += 2 * synthetic.profile.pilot_seeds
    assert numbers["runs"] == expected
    assert numbers["hours"] == pytest.approx(expected * 36 / 3600)


def test_the_target_is_the_pilots(synthetic):
    """Its plain networks' final accuracy (of seeds 0 and 1) less the margin; the main runs have no say."""
    goal = mnist.target(synthetic)
    assert goal == pytest.approx(100 * FINAL["plain"] + 0.1 - MARGIN)
    others = {key: found[:1] for key, found in synthetic.main.items()}
    assert mnist.target(dataclasses.replace(synthetic, main=others)) == goal
    assert all(measures.crossing(r, goal).reached for r in synthetic.main["tuned", "plain"])
    assert mnist.speedup(synthetic).bound is None


def test_crossings_are_by_algorithm_2(synthetic, numbers):
    """The moving averages of the synthetic networks never show the target."""
    record, goal = synthetic.main["tuned", "bn"][0], mnist.target(synthetic)
    columns = record.curves["evaluation"]
    above = np.array(columns["test_accuracy_population"]) > goal / 100
    assert measures.crossing(record, goal).step == columns["step"][int(np.argmax(above))]
    assert max(columns["test_accuracy"]) < goal / 100 and numbers["speed.tuned.moving"] > 2


def test_speed_counts_what_never_arrives(synthetic):
    found = mnist.speedup(shortened(synthetic, "plain", steps=3))
    assert found.bound == "lower"
    assert "3 of 3" in found.detail["en"]


def test_the_profile_holds_the_ratio_at_every_accuracy(synthetic):
    points = dict(mnist.speedup_profile(synthetic))
    assert min(points) == 50 and np.diff([goal for goal in points if goal >= 90]) == pytest.approx(0.1)
    goal, ratio = next((goal, ratio) for goal, ratio in points.items() if goal > 91)
    pairs = zip(*(synthetic.main["tuned", variant] for variant in ("plain", "bn")), strict=True)
    steps = [[measures.crossing(record, goal).step for record in pair] for pair in pairs]
    assert ratio.interval.estimate == pytest.approx(math.prod(a / b for a, b in steps) ** (1 / 3))
    # Where some plain networks do not get the ratio is a bound; it ends where none does.
    last = max(points)
    plain = synthetic.main["tuned", "plain"]
    assert points[last].bound == "lower" and sum(measures.crossing(r, last).reached for r in plain) > 0
    assert not any(measures.crossing(r, last + 0.1).reached for r in plain)


def test_what_the_first_registration_found(synthetic, numbers):
    """By moving averages, with the mean of the plain networks' maxima as the target: few reach it."""
    assert numbers["first.target"] == pytest.approx(100 * FINAL["plain"] + 0.1)
    assert numbers["first.seeds"] == 2 and numbers["first.plain_reached"] < 2
    assert numbers["first.points"] == pytest.approx(100 * (FINAL["bn"] - FINAL["plain"]))


def test_the_initialisation_is_judged_by_all_seeds(synthetic):
    assert mnist.initialisation_freedom(synthetic).interval.n == synthetic.profile.binarised_seeds
    assert len(mnist.gaps(synthetic, False)[1.0, 0.1]) == synthetic.profile.multiverse_seeds


def test_speed_where_bn_never_arrives(synthetic):
    found = mnist.speedup(shortened(synthetic, "bn", steps=3))
    assert found.bound == "upper" and claims.verdict(found, 1.2) != "reproduced"
    found = mnist.speedup(shortened(shortened(synthetic, "bn", steps=3), "plain", steps=3))
    assert found.bound == "both"
    assert claims.verdict(found, 1.2) == "inconclusive"


@pytest.mark.parametrize(
    ("low", "high", "bound", "expected"),
    [
        (1.3, 2.0, None, "reproduced"),
        (1.3, 2.0, "lower", "reproduced"),
        (1.3, 2.0, "upper", "inconclusive"),
        (1.1, 2.0, None, "inconclusive"),
        (0.5, 1.1, None, "not reproduced"),
        (0.5, 1.1, "upper", "not reproduced"),
        (0.5, 1.1, "lower", "inconclusive"),
        (0.5, 1.1, "both", "inconclusive"),
        (math.nan, math.nan, None, "inconclusive"),
        (-math.inf, math.inf, None, "inconclusive"),
    ],
)
def test_verdict(low, high, bound, expected):
    assert claims.verdict(Estimate(Interval(1.0, low, high, 3), NO_DETAIL, bound), 1.2) == expected


def test_board(board):
    assert board["c-4.1-accuracy"].verdict == "reproduced"
    assert board["c-4.1-drift"].verdict == "reproduced"
    assert board["c-4.1-drift"].estimate == pytest.approx(4)
    assert board["c-4.2-speedup"].verdict == "not run yet"
    assert board["c-4.2-speedup"].estimate is None
    assert board["c-4.2.3-imagenet"].verdict == "not testable here"
    assert "50,000" in board["c-4.1-accuracy"].paper["en"]
    assert "+3.00 points" in board["c-4.1-accuracy"].text["en"]
    assert "+3.00%p" in board["c-4.1-accuracy"].text["ko"]


def test_a_contradiction_is_shown(synthetic):
    swapped = {
        (setting, variant): synthetic.main[setting, "bn" if variant == "plain" else "plain"]
        for setting, variant in synthetic.main
    }
    found = mnist.accuracy_gap(dataclasses.replace(synthetic, main=swapped))
    assert found.interval.estimate == pytest.approx(-3)
    assert claims.verdict(found, 0.2) == "not reproduced"


def test_every_claim_is_whole(all_synthetic):
    for claim in claims.board(all_synthetic):
        for text in (claim.statement, claim.paper, claim.text):
            assert set(text) == {"ko", "en"} and all(text.values()), claim.id
            assert "[[" not in text["ko"] + text["en"], claim.id
        assert (claim.unit in claims.UNITS) == (claim.estimate is not None), claim.id


def test_a_rule_changed_after_registration_shows(tmp_path, results, monkeypatch):
    monkeypatch.setattr(claims.paths, "RESULTS", tmp_path)
    claims.register()
    assert not any(claim.rule_changed for claim in claims.board(results))
    registered = json.loads((tmp_path / "rules.json").read_text())
    registered["c-4.1-speed"] = ["000000000000"]
    (tmp_path / "rules.json").write_text(json.dumps(registered))
    claims.register()  # must not overwrite
    changed = [claim.id for claim in claims.board(results) if claim.rule_changed]
    assert changed == ["c-4.1-speed"]
    claims.register(again=["c-4.1-speed", "c-4.1-accuracy"])  # the second's rule is what it was
    claims.register(again=["c-4.1-speed"])  # once is enough
    assert json.loads((tmp_path / "rules.json").read_text())["c-4.1-speed"] == [
        "000000000000",
        claims.rule_hash("c-4.1-speed"),
    ]
    board = {claim.id: claim for claim in claims.board(results)}
    assert not any(claim.rule_changed for claim in board.values())
    assert [name for name, claim in board.items() if claim.registrations > 1] == ["c-4.1-speed"]


def test_paper_numbers():
    numbers = paper.numbers()
    assert numbers["mnist.steps"] == 50_000 and numbers["mnist.batch_size"] == 60
    assert numbers["inception.bn_x5.steps_to_72_2"] == 2_100_000
    assert numbers["ensemble.bn_ensemble.top5_test"] == 4.82


def test_fill():
    sources = {"": {"a.b": 0.98341, "n": 50_000}, "paper": {"l": [15, 50]}}
    assert paper.fill("[[a.b]] [[a.b|.1f]] [[n]] [[paper:l]]", sources) == "0.9834 1.0 50,000 15, 50"
    with pytest.raises(KeyError, match=r"\[\[nowhere\]\]"):
        paper.fill("[[nowhere]]", sources)


def test_agreement(board):
    claim = board["c-4.1-accuracy"]
    same = [dataclasses.replace(claim, low=0.01, high=9.0)]
    other = [dataclasses.replace(claim, low=-2.0, high=-1.0)]
    unsure = [dataclasses.replace(claim, low=-1.0, high=1.0)]
    words = [claims.agreement([claim], fresh)[0].agreement for fresh in (same, other, unsure)]
    assert words == ["direction agrees", "differs", "too small to say"]
    assert claims.agreement([board["c-4.2-speedup"]], [board["c-4.2-speedup"]]) == []


def test_an_experiment_without_all_its_records_is_not_run_yet(tmp_path, synthetic):
    with pytest.raises(MissingRecord, match="not made yet"):
        claims.results("smoke", [tmp_path])
    folder = synthetic.multiverse[0].path.parents[3]
    assert list(claims.results("smoke", [folder])) == ["mnist_activation_shift"]
