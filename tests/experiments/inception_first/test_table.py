"""The cells of the table of Section 4.2.2: ours as measured on synthetic records, the paper's as stated."""

import dataclasses
import re

import pytest

from bnbook import paper
from bnbook.experiments.inception_first import measures
from bnbook.experiments.inception_first.protocol import VARIANTS
from bnbook.sphinxext import speedups


@pytest.fixture(scope="module")
def ours(synthetic):
    rows = measures.table(synthetic)
    return {row.variant: speedups.our_cells(synthetic, row) for row in rows}


def test_every_network_fills_every_column_in_both_languages(ours):
    assert list(ours) == list(VARIANTS)
    for variant, cells in ours.items():
        theirs = speedups.paper_cells(variant)
        assert len(cells) == len(theirs) == len(speedups.COLUMNS) - 1
        assert all(cell[lang] for cell in [*cells, *theirs] for lang in paper.LANGUAGES)


def test_the_baseline_is_what_others_are_compared_with(ours):
    """Neither of its two seeds, as they are made up, stays above the mean of their own maxima."""
    rate, steps, speedup, accuracy, _ = (cell["en"] for cell in ours["inception"])
    assert (rate, steps, speedup, accuracy) == ("0.05", "never", "1", "70.1% (70.0–70.2)")


def test_steps_are_listed_by_seed(synthetic):
    """A seed that did not arrive is marked among those that did."""
    found = next(row for row in measures.table(synthetic) if row.variant == "bn_x5")
    late = dataclasses.replace(found, crossings=[found.crossings[0], measures.Crossing(4000, False)])
    steps = speedups.our_cells(synthetic, late)[1]["en"]
    assert steps == f"{found.crossings[0].step} · >\N{NO-BREAK SPACE}4,000"


def test_a_ratio_to_runs_that_never_arrived_is_a_bound(ours):
    """And stands alone: the estimate and the upper end say nothing there."""
    assert re.fullmatch(r"≥\s\d+\.\d", ours["bn_x5"][2]["en"])
    assert ours["bn_x5"][2] == {lang: ours["bn_x5"][2]["en"] for lang in paper.LANGUAGES}


def test_divergence_and_never_arriving_are_said_in_words(ours):
    assert ours["inception_x5"][1] == {"ko": "2/2 발산", "en": "2 of 2 diverged"}
    assert ours["inception_sigmoid"][1]["en"] == "never" and ours["inception_sigmoid"][2]["en"] == "–"


def test_the_papers_row():
    """Its own numbers, and words for what it does not state."""
    known = paper.numbers()
    cells = [cell["en"] for cell in speedups.paper_cells("bn_x5")]
    steps = known["inception.bn_x5.steps_to_72_2"]
    ratio = known["inception.baseline.steps_to_72_2"] / steps
    assert cells[1:3] == [f"{steps:,}", f"{ratio:.1f}"] and cells[4] == "not stated"
    assert speedups.paper_cells("bn_x5_sigmoid")[1]["en"] == "never"
    assert speedups.paper_cells("inception_x5")[1]["en"] == "diverges"
