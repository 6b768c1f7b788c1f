"""The pages of the claims: what stands on them, and that judge.js judges as the book does."""

import dataclasses
import json
import math

import numpy as np
import pytest
from bs4 import BeautifulSoup
from scipy import stats as distributions

from bnbook import claims, paths, stats
from bnbook.sphinxext import judging, metadata
from bnbook.sphinxext.claims import VERDICTS, anchor, page
from bnbook.sphinxext.html import script
from bnbook.stats import Arrivals, Compared, Interval
from tests.markup import markup
from tests.test_book import EDITIONS, PHONE, facts

SCRIPT = paths.BOOK / "_static" / "judge.js"
LEVELS = (0.5, 0.8, 0.95, 0.99, 0.999)
STEPS = (-60, -7, -1, 0, 1, 13, 80)  # on the slider of effects


@pytest.fixture(scope="module")
def committed():
    return claims.board(claims.results())


@pytest.fixture(scope="module")
def measured(committed):
    return [claim for claim in committed if claim.found and claim.found.interval.sample]


def test_claims_of_equality_alone_have_no_values_to_judge(committed):
    """Two intervals decide them together."""
    without = {one.id for one in committed if one.found and not one.found.interval.sample}
    assert without == {"c-after-decay-rate", "c-after-decay-plain"}


@pytest.fixture(scope="module")
def judge(browser):
    """A page with judge.js and nothing else."""
    tab = browser.new_page()
    tab.add_script_tag(path=str(SCRIPT))
    yield tab
    tab.close()


# The same judgements


def again(found, confidence):
    """The interval of an estimate at another level, by stats.py."""
    sample = found.interval.sample
    within = 1 - (1 - confidence) * (1 - sample.confidence) / (1 - stats.CONFIDENCE)
    if sample.values is None:
        pair = [Arrivals(term, [True] * len(term)) for term in sample.terms]
        budget = int(max(map(max, sample.terms)))
        return stats.restricted_mean_ratio(*pair, budget, within, math.exp(sample.resolution))
    interval = stats.mean_interval(sample.values, within, sample.resolution)
    return stats.exponential(interval) if sample.logs else interval


def rejudged(claim, effect, confidence):
    """The verdict on a claim at another effect and level, by stats.py and `claims.verdict`."""
    found = claim.found
    if claim.kind == "definition":
        return "holds" if found.interval.estimate > effect else "fails"
    family = None
    if found.family:
        sample = found.interval.sample
        threshold = math.log(effect) if sample.logs else effect
        own = (
            stats.p_greater(sample.values, threshold, sample.resolution),
            stats.p_greater(-sample.values, -threshold, sample.resolution),
        )
        up, down = (stats.holm(p)[0] for p in zip(own, *found.family.others, strict=True))
        family = Compared(found.interval, float(up), float(down))
    judged = dataclasses.replace(found, interval=again(found, confidence), family=family)
    return claims.verdict(judged, effect, confidence)


def asked(known, step):
    return (
        known["effect"] * known["step"] ** step if known["ratio"] else known["effect"] + step * known["step"]
    )


def test_the_registered_verdict_is_that_of_the_values(measured):
    for claim in measured:
        outcome = rejudged(claim, claim.effect, stats.CONFIDENCE)
        if claim.kind != "shown":
            assert outcome == claim.verdict, claim.id
        assert claim.found.interval.sample, claim.id
        if claim.kind != "definition":
            interval = again(claim.found, stats.CONFIDENCE)
            assert (interval.low, interval.high) == pytest.approx((claim.low, claim.high), rel=1e-12), (
                claim.id
            )


def test_the_page_judges_every_claim_as_the_book_does(judge, measured):
    cases, expected = [], []
    for claim in measured:
        known = judging.data(claim, "en")
        for level in LEVELS:
            interval = again(claim.found, level)
            for step in STEPS:
                effect = asked(known, step)
                cases.append([known, effect, level])
                ends = (interval.estimate, interval.low, interval.high)
                expected.append((ends, rejudged(claim, effect, level)))
    found = judge.evaluate(
        """(cases) => cases.map(([known, effect, level]) =>
             [bnJudge.interval(known, level).map(String), bnJudge.verdict(known, effect, level)])""",
        cases,
    )
    assert len(found) > 1500
    for (known, effect, level), (ends, verdict), (theirs, said) in zip(cases, expected, found, strict=True):
        assert [float(end.replace("Infinity", "inf")) for end in theirs] == pytest.approx(
            ends, rel=1e-6, abs=1e-9
        )
        assert said == verdict, (known["interval"], effect, level)
    assert {said for _, said in found} == set(judging.OUTCOMES)


def fake(measured, found, *, unit="times", effect=1.2):
    one = next(claim for claim in measured if claim.id == "c-4.1-speed")
    return dataclasses.replace(one, found=found, unit=unit, effect=effect, kind="measured")


def test_two_groups_of_runs_and_a_family_are_judged_alike_too(judge, measured):
    """Of kinds that the committed claims may lack: Welch's interval, a family, equal values, a single one."""
    rng = np.random.default_rng(0)
    slow, fast = (Arrivals(rng.integers(1000, high, 6).tolist(), [True] * 6) for high in (9000, 3000))
    template = measured[0].found
    found = [
        dataclasses.replace(template, interval=stats.restricted_mean_ratio(slow, fast, 8000, resolution=1.1)),
        dataclasses.replace(template, interval=stats.mean_interval([2.0, 2.0, 2.0], resolution=0.5)),
        dataclasses.replace(template, interval=stats.mean_interval([2.0, 2.0])),
        dataclasses.replace(template, interval=stats.mean_interval([3.0])),
    ]
    families = stats.compared(
        rng.normal(1, 0.4, (4, 7)).tolist(), [0.5, 0.9, 1.0, 1.3], resolutions=[0.01, 0.0, 0.1, 0.0]
    )
    found += [dataclasses.replace(template, interval=one.interval, family=one) for one in families]
    for number, one in enumerate(found):
        ratio = number == 0
        claim = fake(measured, one, unit="times" if ratio else "points", effect=1.2 if ratio else 0.9)
        known = judging.data(claim, "en")
        for level in LEVELS:
            for effect in (0.3, 0.8, 0.9, 1.1, 2.0, 5.0):
                interval, verdict = judge.evaluate(
                    "([k, e, l]) => [bnJudge.interval(k, l).map(String), bnJudge.verdict(k, e, l)]",
                    [known, effect, level],
                )
                ends = again(one, level)
                theirs = [float(end.replace("Infinity", "inf")) for end in interval]
                assert theirs == pytest.approx((ends.estimate, ends.low, ends.high), rel=1e-6)
                assert verdict == rejudged(claim, effect, level), (number, effect, level)


def test_without_a_sample_the_effect_alone_is_asked_for(measured, judge):
    """As of an interval by another method than Student's."""
    bare = dataclasses.replace(measured[0].found, interval=Interval(0.5, 0.3, 0.7, 9))
    claim = fake(measured, bare, unit="points", effect=0.2)
    form = BeautifulSoup(judging.form(claim, "en"), "html.parser")
    assert [one["name"] for one in form.select("input")] == ["effect"]
    assert judging.WORDS["fixed"] in judging.remarks(claim)
    known = judging.data(claim, "en")
    assert judge.evaluate("(k) => [0.2, 0.5, 0.9].map((e) => bnJudge.verdict(k, e, 0.5))", known) == [
        "reproduced",
        "inconclusive",
        "not reproduced",
    ]


def test_students_t_is_scipys(judge):
    for freedom in (1, 2, 2.7, 4, 7, 39, 99, 9999):
        points = [-40, -3, -0.2, 0, 0.5, 1, 4, 60]
        tails = judge.evaluate("([xs, f]) => xs.map((x) => bnJudge.tail(x, f))", [points, freedom])
        assert tails == pytest.approx(distributions.t.sf(points, freedom), rel=1e-8, abs=1e-14)
        levels = [0.4, 0.1, 0.025, 1e-3, 1e-5]
        found = judge.evaluate("([ps, f]) => ps.map((p) => bnJudge.quantile(p, f))", [levels, freedom])
        assert found == pytest.approx(distributions.t.isf(levels, freedom), rel=1e-8)


def test_numbers_are_written_as_in_the_book(judge):
    from bnbook.measures import UNITS, amount

    for name, unit in UNITS.items():
        for value in (0, 0.004, 0.5, -0.2, 1.2, 9.996, 12.34, 131.9977, 1234.6, -44.106, math.inf):
            known = {"decimals": unit.decimals, "signed": unit.signed}
            found = judge.evaluate(
                "([v, u]) => bnJudge.amount(v === null ? Infinity : v, u)",
                [None if value == math.inf else value, known],
            )
            assert found.lstrip("+") == amount(value, name).lstrip("+"), (name, value)


def test_no_text_ends_its_script():
    made = script("application/json", {"x": "</script><!-- & -->"})
    assert made.count("</script>") == 1 and "<!--" not in made
    assert json.loads(made.partition(">")[2].removesuffix("</script>")) == {"x": "</script><!-- & -->"}


# The built pages


def test_every_claim_has_its_page_in_every_edition_and_links_lead_to_it(html, committed):
    for edition in EDITIONS:
        for name in ("index", "mnist"):
            rows = markup(html / edition / f"{name}.html").css("tr.bn-claim")
            links = [row.css_first("a.bn-claim-id").attributes["href"] for row in rows]
            assert links and all((html / edition / link).exists() for link in links)
        for claim in committed:
            text = markup(html / edition / f"{page(claim.id)}.html")
            statement = claim.statement["ko" if edition == "ko" else "en"].replace("'", "’")
            assert statement in text.css_first("h1").text().replace("'", "’")
            assert claim.id in text.css_first(".bn-claim-head").text()
            (link,) = text.css(f"dd a[href$='#{anchor(claim.id)}']")
            chapter, fragment = link.attributes["href"].split("#")
            assert fragment in facts((html / edition / "claims" / chapter).resolve()).ids


def test_a_page_of_a_claim_says_all_of_it(html, committed):
    for claim in committed:
        text = markup(html / "en" / f"{page(claim.id)}.html")
        text.strip_tags(["script"])
        said = text.css_first("article").text()
        assert VERDICTS[claim.verdict][1]["en"] in said
        for hash_ in claim.hashes:
            assert hash_ in said
        assert "[[" not in said and "None" not in said
        sample = claim.found and claim.found.interval.sample
        if sample and sample.values is None:  # of two groups of runs
            rows = max(len(steps) for steps in sample.terms)
            assert len(text.css(".bn-claim-values tbody tr")) == rows
        elif sample:
            values = sample.values
            shown = text.css(".bn-claim-values tbody tr")
            assert len(shown) == (len(values) if len(values) < judging.COUNTED else len(np.unique(values)))
            assert len(text.css(".bn-plot-dots circle")) == len(values) * (len(values) < judging.COUNTED)
        elif not claim.found:
            assert not text.css(".bn-judge, .bn-claim-plot")
        entries = [pre.text() for pre in text.css(".bn-cite-text")]
        keys = {entry.partition("{")[2].partition(",")[0] for entry in entries if "@misc" in entry}
        assert keys == {f"bnbook-{claim.id}-ko", f"bnbook-{claim.id}-en"}


def test_machines_read_claim_and_verdict(html, committed):
    for claim in committed:
        written = markup(html / "en" / f"{page(claim.id)}.html").css("script[type='application/ld+json']")
        found = [json.loads(tag.text()) for tag in written]
        review = next(one for one in found if one["@type"] == "ClaimReview")
        assert review["claimReviewed"] == claim.statement["en"]
        paper = review["itemReviewed"]["appearance"]
        title = metadata.references()[claim.source or metadata.PAPER].fields["title"]
        assert review["itemReviewed"]["@type"] == "Claim" and paper["name"] == title
        assert paper["url"].startswith("https://") and paper["author"] and paper["datePublished"].isdigit()
        rating = review["reviewRating"]
        assert rating["alternateName"] == VERDICTS[claim.verdict][1]["en"]
        assert ("ratingValue" in rating) == (
            claim.verdict in ("reproduced", "not reproduced", "inconclusive")
        )
        assert "url" not in review  # the site's address is not known


@pytest.mark.parametrize("edition", EDITIONS)
def test_a_reader_judges_and_the_registered_verdict_stays(open_page, edition):
    tab = open_page(f"{edition}/claims/c-4.1-accuracy.html", viewport=PHONE)
    outcome, registered = (tab.locator(f".bn-judge-{name} .bn-verdict") for name in ("outcome", "registered"))
    before = registered.inner_text()
    assert outcome.inner_text() == before and "inconclusive" in outcome.get_attribute("class")
    effect = tab.locator(".bn-judge input[name=effect]")
    effect.focus()
    tab.keyboard.press("Home")
    assert outcome.get_attribute("class").split()[-1] == "bn-verdict-reproduced"
    tab.keyboard.press("End")
    assert outcome.get_attribute("class").split()[-1] == "bn-verdict-not-reproduced"
    assert effect.get_attribute("aria-valuetext") and registered.inner_text() == before
    tab.locator(".bn-judge-reset").click()
    tab.locator(".bn-judge-outcome .bn-verdict-inconclusive").wait_for()
    level = tab.locator(".bn-judge input[name=level]")
    level.focus()
    tab.keyboard.press("Home")
    assert outcome.get_attribute("class").split()[-1] == "bn-verdict-reproduced"
    assert level.get_attribute("aria-valuetext") == "50%"
    assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_without_javascript_there_is_no_form(open_page):
    tab = open_page("en/claims/c-4.1-accuracy.html", java_script_enabled=False)
    assert not tab.locator(".bn-judge").is_visible() and tab.locator(".bn-claim-plot svg").is_visible()


def test_the_search_finds_a_claims_page_below_its_chapter(html):
    text = (html / "en" / "searchindex.js").read_text(encoding="utf-8")
    pages = json.loads(text[text.index("(") + 1 : text.rindex(")")])["pages"]
    assert page("c-4.1-speed") in pages and pages[page("c-4.1-speed")][0][1]
    assert (
        "claims"
        in (paths.BOOK / "_static" / "search.js").read_text().partition("LESSER = ")[2].split("\n")[0]
    )
