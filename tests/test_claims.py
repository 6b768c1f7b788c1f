"""Claims and numbers on synthetic records whose truth is known (tests/experiments)."""

import ast
import dataclasses
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from bnbook import claims, measures, paper, paths
from bnbook.experiments import EXPERIMENTS
from bnbook.experiments.mnist_activation_shift import measures as mnist
from bnbook.experiments.mnist_activation_shift.protocol import MARGIN, Results
from bnbook.measures import Estimate
from bnbook.records import MissingRecord
from bnbook.stats import Compared, Interval
from tests.experiments.mnist_activation_shift.synthetic import FINAL, INITIALISATION_COST, TRAVEL, WU_TRAVEL

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
    names = {key.split(".")[0] for key in found}
    assert names == {"board", "claim", *all_synthetic}


def test_runs_shared_by_two_settings_count_once(numbers, synthetic):
    distinct = {record.run_id for records in synthetic.main.values() for record in records}
    expected = len(distinct) * synthetic.profile.seeds + len(synthetic.multiverse)
    expected += 2 * synthetic.profile.pilot_seeds
    assert numbers["runs"] == expected


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
        assert (claim.unit in measures.UNITS) == (claim.estimate is not None), claim.id


def test_every_claim_is_of_a_kind_and_has_a_verdict_of_that_kind(all_synthetic):
    board = claims.board(all_synthetic)
    for claim in board:
        assert claim.verdict in claims.VERDICTS[claim.kind], claim.id
    kinds = {kind: [claim.id for claim in board if claim.kind == kind] for kind in claims.KINDS}
    assert len(kinds["definition"]) == 12
    assert {"c-4.2-speedup", "c-4.2.3-imagenet"} == set(kinds["shown"])
    assert kinds["after"] == [claim.id for claim in board if claim.section == "after"]
    assert kinds["after"] == [claim.id for claim in board if claim.id.startswith("c-after-")]
    # The kind is not part of the rule, so that no rule changes with it.
    assert "class" not in claims.RULE_FIELDS


def test_what_holds_by_definition_shows_what_was_checked_and_no_interval(all_synthetic):
    for claim in claims.board(all_synthetic):
        if claim.kind == "definition":
            assert claim.text["en"].startswith("Checked: ") and "interval" not in claim.text["en"], claim.id
            assert "구간" not in claim.text["ko"] and claim.text["ko"].startswith("확인한 값은"), claim.id


def test_a_definition_fails_where_the_implementation_falls_short(all_synthetic, monkeypatch):
    module = EXPERIMENTS["outside_the_gradient"].measures
    for found, expected in ((1.4, "fails"), (1.6, "holds")):
        one = Estimate(Interval(found, found, found, 2), NO_DETAIL)
        monkeypatch.setitem(module.STATISTICS, "bias_growth", lambda results, one=one: one)
        board = {claim.id: claim for claim in claims.board(all_synthetic)}
        assert board["c-2-outside-the-gradient"].verdict == expected


def test_the_tally_and_its_sentence(all_synthetic):
    board = claims.board(all_synthetic)
    n = claims.tally(board)
    assert n["claims"] == len(board) == n["measured"] + n["after"] + n["definition"] + n["shown"]
    assert n["measured"] == sum(
        n[key] for key in ("reproduced", "not_reproduced", "inconclusive", "not_run_yet")
    )
    assert claims.numbers(all_synthetic)["board.reproduced"] == n["reproduced"]
    words = claims.headline(board)
    assert words["en"].startswith(f"**Of {n['measured']} measured claims {n['reproduced']} are reproduced")
    assert (
        f"{n['measured']}개 가운데 {n['reproduced']}개가" in words["ko"] and "not run yet" not in words["en"]
    )
    assert "are not run yet" in claims.headline(claims.board({}))["en"]


def test_claims_of_later_papers_are_counted_apart(all_synthetic):
    board = claims.board(all_synthetic)
    one = next(claim for claim in board if claim.verdict == "reproduced")
    later = [dataclasses.replace(one, kind="after", source="santurkar2018how") for _ in range(3)]
    before, n = claims.tally(board), claims.tally([*board, *later])
    assert n["after.reproduced"] == before["after.reproduced"] + 3
    assert n["reproduced"] == before["reproduced"] and n["measured"] == before["measured"]
    words = claims.headline([one, *later])
    assert (
        words["en"].endswith("Of 3 claims of later papers 3 are reproduced.")
        and "3개 가운데서는 3개가" in words["ko"]
    )
    waiting = dataclasses.replace(later[0], verdict="not run yet")
    told = claims.headline([one, waiting])["en"]
    assert (
        told.endswith("1 claims of later papers are registered, and not run yet.")
        and "Of 1" not in told[-80:]
    )
    assert "later papers" not in claims.headline([one])["en"]


def test_a_later_papers_claim_names_it_among_the_references():
    known = re.findall(
        r"^@\w+\{(\S+),", (paths.BOOK / "references.bib").read_text(encoding="utf-8"), re.MULTILINE
    )
    for name, entry in paper.claims().items():
        assert (entry.get("class") == "after") == ("source" in entry), name
        assert entry.get("source", known[0]) in known, name


def test_the_readme_has_a_table_for_each_kind(all_synthetic):
    board = claims.board(all_synthetic)
    page = "before\n<!-- claims: held by a test -->\nof yesterday\n<!-- /claims -->\nafter"
    text = claims.readme(board, page, {})
    assert claims.readme(board, text, {}) == text and "of yesterday" not in text
    head, *tables = text.split("### ")
    assert "measured claims" in head
    counts = [claims.tally(board)[kind] for kind in claims.KINDS]
    assert [table.count("| **") for table in tables] == [count for count in counts if count]


# "At least 7.17 times (95% interval 0.59 to 87.14)": a bound beside an interval that undoes it.
UNDONE = re.compile(r"(at least|at most|적어도|많아야) [−+]?[\d.,]+[^.()]*\([^)]*\d[\d.]* ?(to|~)")


def test_no_bound_stands_beside_an_interval_that_undoes_it(all_synthetic):
    assert UNDONE.search("at least 7.17 times (95% interval 0.59 to 87.14)")
    assert UNDONE.search("적어도 7.17배 (95% 신뢰 구간 0.59~87.14)")
    boards = [claims.board(all_synthetic), claims.board(claims.results())]
    assert any(claim.bound for board in boards for claim in board)
    for board in boards:
        texts = [t for claim in board for t in (claim.text, claim.detail) if t]
        for row in claims.agreement(board, board):
            texts.append({"ko": row.committed, "en": row.fresh})
        assert not [text for text in texts for words in text.values() if UNDONE.search(words)]
        assert not UNDONE.search(claims.readme(board, "held by a test -->\n<!-- /claims -->", {}))


# The same with its numbers yet to be filled in: "at least {result}`x.ratio` (... `x.ratio_low`".
TO_BE_UNDONE = re.compile(
    r"(at least|at most|적어도|많아야) \S*?([\w.]+)(\\?\|[^`\]]*)?[`\]]+[^.]{0,40}\2_low"
)


def test_no_chapter_writes_a_bound_beside_its_interval():
    assert TO_BE_UNDONE.search("at least {result}`a.ratio|.1f` times ({result}`a.ratio_low|.1f` to")
    assert TO_BE_UNDONE.search("적어도 [[a.ratio|.1f]]배([[a.ratio_low|.1f]]~")
    assert not TO_BE_UNDONE.search(
        "at least {result}`a.ratio_low|.1f` times. Others {result}`b.ratio_low|.1f`"
    )
    pages = [
        *paths.ROOT.glob("book/*.md"),
        *paths.ROOT.glob("book/*.yml"),
        *paths.ROOT.glob("notebooks/*.ipynb"),
    ]
    assert len(pages) > 20
    assert not [page.name for page in pages if TO_BE_UNDONE.search(page.read_text(encoding="utf-8"))]


def test_no_measured_claim_has_an_interval_without_width():
    for claim in claims.board(claims.results()):
        if claim.kind == "measured":
            assert claim.low < claim.high, claim.id


def test_what_decides_nothing_says_what_it_rules_out():
    for claim in claims.board(claims.results()):
        told = any(
            word in claim.text["en"] for word in ("Not worse", "Better by", "Worse by", "are excluded")
        )
        assert told == (claim.verdict == "inconclusive" and not claim.bound), claim.id


def test_of_a_family_holms_p_values_decide_and_the_interval_is_explained(monkeypatch, all_synthetic):
    straddling = Interval(1.0, 0.4, 1.6, 5)
    for p, expected in ((0.01, "reproduced"), (0.03, "inconclusive")):
        one = Estimate(straddling, {"ko": "곁", "en": "Beside."}, family=Compared(straddling, p, 1.0))
        assert claims.verdict(one, 0.5) == expected
        module = EXPERIMENTS["accelerating_ablation"].measures
        monkeypatch.setitem(module.STATISTICS, "dropout_gain", lambda results, one=one: one)
        claim = {claim.id: claim for claim in claims.board(all_synthetic)}["c-4.2.1-dropout"]
        assert claim.verdict == expected
        assert ("Holm" in claim.detail["en"]) == (expected == "reproduced")
    opposite = Estimate(straddling, NO_DETAIL, family=Compared(straddling, 1.0, 0.01))
    assert claims.verdict(opposite, 0.5) == "not reproduced"
    assert claims.verdict(dataclasses.replace(opposite, bound="lower"), 0.5) == "inconclusive"


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


def test_a_constant_changed_in_code_is_a_changed_rule(tmp_path, results, monkeypatch):
    monkeypatch.setattr(claims.paths, "RESULTS", tmp_path)
    claims.register()

    def changed():
        return [claim.id for claim in claims.board(results) if claim.rule_changed]

    with monkeypatch.context() as patch:
        patch.setattr(EXPERIMENTS["scale_invariance"].measures, "WORKS", 80.0)
        assert changed() == ["c-3.3-usable-rates"]  # not those of another experiment's WORKS
    with monkeypatch.context() as patch:
        patch.setattr(EXPERIMENTS["inception_speedups"].measures, "GRID_STEP", 4.0)
        assert changed() == ["c-3.3-learning-rate"]
    with monkeypatch.context() as patch:
        patch.setattr(claims.stats, "IN_A_ROW", 1)
        assert "c-4.1-speed" in changed() and "c-4.1-accuracy" not in changed()
    with monkeypatch.context() as patch:
        patch.setattr(claims.stats, "CONFIDENCE", 0.9)
        assert len(changed()) == len(claims.registered())
    assert changed() == []


def test_a_constant_that_is_nowhere_is_refused(monkeypatch):
    monkeypatch.setitem(paper.claims()["c-4.1-accuracy"], "constants", ["NOWHERE"])
    with pytest.raises(KeyError, match="no constant NOWHERE in its measures"):
        claims.rule_hash("c-4.1-accuracy")


# Numbers in the modules of measures that decide no verdict.
UNDECIDING = {
    "algorithm1_line_by_line": set(),
    "bn_ensemble": {"BINS", "LEAST"},  # of the calibration's figure
    "bn_regularizer": {"SMALLEST_OF_LAW", "TENTH"},  # numbers of the chapter
    "careless_initialization": {"OTHER_THRESHOLDS"},  # shown beside the verdict
    "depth": {"GUESSING"},  # of a table
    "inception_speedups": {"SEED", "PROFILE_FROM"},  # of a table and of a figure
    "jacobian_conjecture": {"TINY", "EARLY", "MANY_LAYERS", "MATCHED"},  # numbers of the chapter
    "learning_rate_share": {"DIED"},  # of a table and a figure
    "mnist_activation_shift": {"PROFILE_FROM", "PROFILE_SHOWN"},  # of a figure
    "only_gamma_beta": {"OTHER_THRESHOLDS"},  # shown beside the verdict
    "scale_invariance": {"STRICT"},  # shown beside the verdict
}


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_numbers_that_decide_are_in_a_rule(experiment):
    """A new number in a module of measures has to be put into the rules it decides, or named above."""
    module = EXPERIMENTS[experiment].measures
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    own = {node.targets[0].id for node in tree.body if isinstance(node, ast.Assign) if _is_number(node.value)}
    entries = [entry for entry in paper.claims().values() if entry.get("experiment") == experiment]
    decide = {name for entry in entries for name in entry.get("constants", ())}
    assert own - UNDECIDING.get(experiment, set()) <= decide


def _is_number(node: ast.expr) -> bool:
    """Whether it is one, or a tuple of them."""
    parts = node.elts if isinstance(node, ast.Tuple) else [node]
    return all(isinstance(one, ast.Constant) and isinstance(one.value, int | float) for one in parts)


def test_a_rule_from_before_constants_were_hashed_is_completed_not_registered_again(tmp_path, monkeypatch):
    monkeypatch.setattr(claims.paths, "RESULTS", tmp_path)
    today = claims.rule_hash("c-4.1-speed")
    bare = today.split("+")[0]
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"c-4.1-speed": [bare], "c-4.1-drift": ["000000000000"]}))
    claims.register()
    claims.register()
    known = claims.registered()
    assert known["c-4.1-speed"] == [bare, today]
    assert known["c-4.1-drift"] == ["000000000000"]  # another rule: only `again` registers that
    assert claims.registrations(known["c-4.1-speed"]) == 1
    # With its constants changed it is another rule.
    assert claims.registrations([bare, today, f"{bare}+000000000000"]) == 2


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
    assert words == ["direction agrees", "differs", "too small at this scale"]
    assert claims.agreement(unsure, same)[0].agreement == "open in the committed results"
    assert claims.agreement([board["c-4.2-speedup"]], [board["c-4.2-speedup"]]) == []


def test_agreement_on_a_bound_and_on_a_definition(board):
    claim = board["c-4.1-speed"]
    bound = dataclasses.replace(claim, estimate=7.2, low=0.6, high=87.1, bound="lower")
    row = claims.agreement([bound], [dataclasses.replace(bound, low=1.4)])[0]
    assert (row.committed, row.fresh) == ("at least 0.600 times", "at least 1.40 times")
    assert row.agreement == "open in the committed results"
    # "At most 0.9" points the other way; "at least 0.9" nowhere.
    upper = dataclasses.replace(bound, low=0.1, high=0.9, bound="upper")
    assert claims.agreement([upper], [upper])[0].agreement == "direction agrees"
    lower = dataclasses.replace(upper, bound="lower")
    assert claims.agreement([lower], [lower])[0].agreement == "too small at this scale"
    held = dataclasses.replace(claim, kind="definition", verdict="holds", estimate=2.0, low=2.0, high=2.0)
    failed = dataclasses.replace(held, verdict="fails")
    assert claims.agreement([held], [held])[0] == claims.Agreement(
        claim.id, claim.statement["en"], "2.00 times", "2.00 times", "direction agrees"
    )
    assert claims.agreement([held], [failed])[0].agreement == "differs"


def test_a_ratio_beside_a_rerun_has_three_digits(board):
    claim = dataclasses.replace(board["c-4.1-speed"], estimate=31622.78, low=1.234, high=713_021_077.4)
    row = claims.agreement([claim], [claim])[0]
    assert row.fresh == "31,600 times (1.23 to 713,000,000)"
    wide = dataclasses.replace(claim, estimate=123.4, low=0.5, high=math.inf)
    assert claims.agreement([wide], [wide])[0].fresh == "123 times (0.500 to ∞)"


def test_an_experiment_without_all_its_records_is_not_run_yet(tmp_path, synthetic):
    with pytest.raises(MissingRecord, match="not made yet"):
        claims.results("smoke", [tmp_path])
    folder = synthetic.multiverse[0].path.parents[3]
    assert list(claims.results("smoke", [folder])) == ["mnist_activation_shift"]
