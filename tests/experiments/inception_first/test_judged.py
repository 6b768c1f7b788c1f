"""What the first registration's rules made of its records, once paper.yml has the second's."""

import dataclasses

import pytest

from bnbook import paper
from bnbook.experiments.inception_first import measures


@pytest.fixture(scope="module")
def results(synthetic):
    return synthetic


def test_estimates_intervals_and_verdicts(results):
    found = measures.judged(results)
    gain = measures.gain(results, "bn_x30", "bn_x5").interval
    name = "claim.c-4.2-accuracy"
    assert (found[name], found[f"{name}_low"], found[f"{name}_high"]) == (gain.estimate, gain.low, gain.high)
    verdicts = {claim: found[f"verdict.{claim}"] for claim in measures.RULES}
    assert verdicts["c-4.2-changes"] == verdicts["c-4.2-accuracy"] == "reproduced"
    # BN-Baseline is there between the second and the third step: known to half as much again.
    assert verdicts["c-4.2-same-rate"] == "inconclusive"
    assert verdicts["c-4.2-speedup"] == "not judged"
    assert found.items() <= measures.numbers(results).items()


def test_the_rules_can_refute(results):
    swapped = dataclasses.replace(results, main=results.main | {"bn_x30": results.main["bn_x5"]})
    assert measures.judged(swapped)["verdict.c-4.2-accuracy"] == "not reproduced"


def test_what_needs_the_control_waits_for_it(results):
    rates = {(norm, lr): found for (norm, lr), found in results.rates.items() if not norm}
    found = measures.judged(dataclasses.replace(results, rates=rates))
    assert "verdict.c-3.3-learning-rate" not in found and "verdict.c-4.2-changes" in found


def test_they_are_the_rules_of_claims_that_were_registered_again():
    """Whose words alone differ."""
    for claim, (statistic, effect) in measures.RULES.items():
        entry = paper.claims()[claim]
        assert (entry["statistic"], entry["effect"]) == (statistic, effect), claim
        assert (entry["type"] == "magnitude") == (claim in measures.SHOWN)
