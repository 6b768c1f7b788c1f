"""The cells of the table of Section 4.2.2: ours as measured on made-up records, the paper's as stated."""

import dataclasses
import re

import pytest

from bnbook import paper
from bnbook.experiments.inception_speedups import measures
from bnbook.sphinxext import speedups
from tests.experiments.inception_speedups.test_inception import ended  # noqa: F401


@pytest.fixture(scope="module")
def ours(ended):  # noqa: F811
    return {
        known: speedups.our_cells(ended, arm or measures.sigmoid_rate(ended))
        for known, arm in speedups.NETWORKS.items()
    }


def test_every_network_fills_every_column_in_both_languages(ours):
    for known, cells in ours.items():
        theirs = speedups.paper_cells(known)
        assert len(cells) == len(theirs) == len(speedups.COLUMNS) - 1
        assert all(cell[lang] for cell in [*cells, *theirs] for lang in paper.LANGUAGES)


def test_the_baseline_is_what_others_are_compared_with(ours):
    rate, steps, ratio, accuracy = (cell["en"] for cell in ours["baseline"])
    assert (rate, ratio, accuracy) == ("0.1", "1", "76.0% (76.0–76.0)")
    assert re.fullmatch(r"1,\d{3} \(8/8\)", steps)


def test_a_ratio_has_the_interval_of_its_claim(ours, ended):  # noqa: F811
    claimed = measures.STATISTICS["bundle_speedup"](ended).interval
    assert ours["bn_x5"][2]["ko"] == f"{claimed.estimate:.1f} ({claimed.low:.1f}–{claimed.high:.1f})"


def test_seeds_that_do_not_learn_are_counted_and_not_averaged(ours):
    """Nor do they have a part in the steps to the target."""
    _, steps, ratio, accuracy = ours["bn_x30"]
    assert accuracy == {
        "ko": "82.0% (82.0–82.0), 1/5 무작위 수준",
        "en": "82.0% (82.0–82.0), 1 of 5 at chance",
    }
    assert steps["en"].endswith(" (4/5)") and ratio["en"].count("–") == 1
    assert ours["x5"][3] == {"ko": "3/3 무작위 수준", "en": "3 of 3 at chance"}


def test_divergence_and_never_arriving_are_said_in_words(ended, ours):  # noqa: F811
    assert ours["sigmoid"][1]["en"] == "never" and ours["sigmoid"][2]["en"] == "–"
    stopped = [
        dataclasses.replace(one, outcome={"status": "diverged", "step": 3}) if one.seed == 20 else one
        for one in ended.main["inception_x5"]
    ]
    stages = {"main": ended.main | {"inception_x5": stopped}}
    cells = speedups.our_cells(dataclasses.replace(ended, stages=stages), "inception_x5")
    assert cells[1] == {"ko": "1/3 발산", "en": "1 of 3 diverged"}


def test_the_papers_row():
    """Its own numbers, and words for what it does not state."""
    known = paper.numbers()
    cells = [cell["en"] for cell in speedups.paper_cells("bn_x5")]
    steps = known["inception.bn_x5.steps_to_72_2"]
    ratio = known["inception.baseline.steps_to_72_2"] / steps
    assert cells[1:3] == [f"{steps:,}", f"{ratio:.1f}"]
    assert speedups.paper_cells("baseline")[2]["en"] == "1"
    assert speedups.paper_cells("bn_x5_sigmoid")[1]["en"] == "never"
    assert speedups.paper_cells("x5")[1]["en"] == "diverges"
