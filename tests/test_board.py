"""What readers are told of the claims: what each number is, why something was not reproduced, and the pages
that show it, on books of a page and in the built one."""

import re

import pytest
from bs4 import BeautifulSoup

from bnbook import certificates, claims, paper, paths
from bnbook.certificates import Machines
from bnbook.sphinxext import numbers
from bnbook.sphinxext.board import KINDS
from bnbook.sphinxext.claims import VERDICTS, anchor
from tests.markup import markup
from tests.test_book import EDITIONS, PHONE, facts
from tests.test_sphinxext import (
    PAGE,
    Book,
    FakeClaim,
    made_up,  # noqa: F401  (its numbers and claims are made up for the books of a page)
    words,
)

UNCLEAR = ("not reproduced", "inconclusive")
# For readers; the rest of a claim's fields is its rule.
FIELDS = {
    "section",
    "source",
    "chapter",
    "figure",
    "class",
    "constants",
    "note",
    "statement",
    "paper",
    "measures",
    "why",
}


# The texts in paper.yml


@pytest.fixture
def committed(request):
    """The claims as the committed records judge them."""
    request.getfixturevalue("monkeypatch").undo()
    return claims.board(claims.results())


def test_every_claim_that_was_measured_says_what_its_number_is(committed):
    for name, entry in paper.claims().items():
        assert set(entry) <= {*claims.RULE_FIELDS, *FIELDS}, name
        assert ("measures" in entry) == ("statistic" in entry), name
        assert set(entry.get("measures", {"ko": "", "en": ""})) == {"ko", "en"}, name
    told = [claim for claim in committed if claim.estimate is not None]
    assert len(told) > 40 and all(claim.measures["ko"] and claim.measures["en"] for claim in told)
    assert not FIELDS & set(claims.RULE_FIELDS)  # none of them is part of a rule


def test_what_was_not_reproduced_says_why_and_nothing_else_does(committed):
    unclear = [claim.id for claim in committed if claim.verdict in UNCLEAR]
    assert [claim.id for claim in committed if claim.why] == unclear


WIDE = 4  # times from the low end of an interval to the high one


def test_a_ratio_that_is_hardly_known_says_why(committed):
    decided = [claim for claim in committed if claim.found]
    ratios = [claim for claim in decided if claim.unit == "times"]
    wide = [claim for claim in ratios if claim.found.interval.high > WIDE * claim.found.interval.low]
    assert ratios and [claim.id for claim in wide if not (claim.found.caveat or claim.why)] == []


def test_reasons_type_no_number_that_was_measured(committed):
    for claim in committed:
        for text in (claim.why or {}).values():
            assert "[[" not in numbers.fill(text)
            bare = re.sub(r"\[\[.*?\]\]|\{ref\}`.*?`", "", text)
            assert not re.search(r"\d[.,]\d", bare), claim.id


def test_sections_are_the_papers_in_its_order():
    *sections, last = paper.sections()
    assert last == "after"
    order = [[int(part) for part in section.split(".")] for section in sections]
    assert order == sorted(order)
    assert {entry["section"] for entry in paper.claims().values()} - {last} == set(sections)


# The board and the tally, on a page of their own


@pytest.fixture
def four(monkeypatch):
    made = [
        FakeClaim("c-4.1-x", "reproduced", section="4.1"),
        FakeClaim("c-3.1-y", "not reproduced", section="3.1"),
        FakeClaim("c-3.1-z", "holds", section="3.1", kind="definition"),
        FakeClaim("c-4.1-w", "inconclusive", section="4.1"),
        FakeClaim("c-after-v", "reproduced", section="after", kind="after"),
    ]
    monkeypatch.setattr(claims, "board", lambda results: made)
    return made


def built(tmp_path, text, edition="en") -> tuple[Book, BeautifulSoup]:
    book = Book(tmp_path, {"book/index.md": f"{PAGE}\n{text}"}, edition)
    return book, BeautifulSoup(book.page(), "html.parser")


BOARD = "```{board}\n```\n"


def test_the_board_is_folded_by_section_and_by_kind_within(tmp_path, four):
    book, page = built(tmp_path, BOARD)
    assert book.warnings == ""
    folds = page.select("details.bn-fold")
    assert ["3.1" in folds[0].summary.get_text(), "4.1" in folds[1].summary.get_text()] == [True, True]
    assert "not reproduced 1" in words(str(folds[0].summary)) and "holds by definition 1" in words(
        str(folds[0])
    )
    assert words(str(folds[2].summary)).startswith("After the paper reproduced 1")
    headings = [one.get_text(" ", strip=True) for one in folds[0].select(".bn-claims-kind")]
    assert headings == [KINDS["measured"]["en"], KINDS["definition"]["en"]]
    assert [row["id"] for row in folds[0].select("tr.bn-claim")] == ["claim-3-1-y", "claim-3-1-z"]
    row = folds[0].select_one("#claim-3-1-y")
    assert row.select_one(".bn-claim-id")["href"] == "claims/c-3.1-y.html" and row.find(id="c-3.1-y")
    assert "en measures" in row.select_one(".bn-claim-ours").get_text()
    assert "en rule" not in words(book.page())


def test_a_later_papers_claim_names_its_source(tmp_path, four):
    four[-1].source = "later2018"
    book, _ = built(tmp_path, BOARD)
    assert 'could not find bibtex key "later2018"' in book.warnings


def test_a_board_has_a_button_for_each_kind_and_verdict(tmp_path, four):
    _, page = built(tmp_path, BOARD)
    buttons = {one.parent["id"]: one for one in page.select(".bn-choices button")}
    assert [*buttons] == [
        *(
            "claims-all",
            "claims-measured",
            "claims-reproduced",
            "claims-not-reproduced",
            "claims-inconclusive",
        ),
        *("claims-after", "claims-definition"),
    ]
    for name, one in buttons.items():
        count = int(one.b.get_text())
        rows = page.select(f"tr.bn-claim{one['data-chosen'].replace('*', '')}")
        assert len(rows) == count, name
    assert buttons["claims-all"]["aria-pressed"] == "true" and all(
        "hidden" in one.attrs for one in buttons.values()
    )


def test_the_tally_counts_the_measured_and_leads_to_them(tmp_path, four):
    _, page = built(tmp_path, f"```{{tally}}\n```\n\n{BOARD}")
    entries = {one.a["href"]: int(one.b.get_text()) for one in page.select(".bn-tally li")}
    assert entries == {"#claims-reproduced": 1, "#claims-not-reproduced": 1, "#claims-inconclusive": 1}
    assert all(page.find(id=target[1:]) for target in entries)
    assert page.select_one(".bn-tally-bar")["aria-hidden"] == "true"


@pytest.mark.parametrize("edition", EDITIONS)
def test_the_board_has_the_same_addresses_in_every_edition(tmp_path, four, edition):
    _, page = built(tmp_path, BOARD, edition)
    found = [node["id"] for node in page.select(".bn-board [id]")]
    assert len(found) == len(set(found)) == 7 + 2 * len(four)


REASONS = "```{claims}\n:verdicts: not reproduced, inconclusive\n```\n"


def test_reasons_are_those_of_the_verdicts_of_today(tmp_path, four):
    book, page = built(tmp_path, REASONS)
    assert book.warnings == ""
    assert [row["id"] for row in page.select("tr.bn-claim")] == ["claim-3-1-y", "claim-4-1-w"]
    assert "en why" in page.select_one("#claim-3-1-y .bn-claim-why").get_text()


def test_where_no_claim_has_the_verdict_the_page_says_so(tmp_path, four):
    book, page = built(tmp_path, REASONS.replace("not reproduced, inconclusive", "fails"))
    assert book.warnings == "" and "None at present." in page.get_text()


@pytest.mark.parametrize(
    ("verdicts", "why", "message"),
    [
        ("not reproduced", None, "c-3.1-y is not reproduced: paper.yml says no `why`"),
        ("not reproduced", {"ko": "[[result:gone]]", "en": "x"}, "c-3.1-y, why: no number [[result:gone]]"),
        ("not reprodused", {"ko": "x", "en": "x"}, "no verdict 'not reprodused'"),
    ],
)
def test_a_page_of_reasons_that_lacks_one_is_a_warning(tmp_path, four, verdicts, why, message):
    four[1].why = why
    book, _ = built(tmp_path, f"```{{claims}}\n:verdicts: {verdicts}\n```\n")
    assert message in book.warnings and "index.md:12" in book.warnings


def test_a_verdict_in_a_sentence_leads_to_the_claims_row_in_its_chapter(tmp_path, four):
    four[0].chapter = "book/other"
    files = {
        "book/index.md": PAGE + "\nHere {verdict}`c-4.1-x` and {verdict}`c-3.1-y`.\n\n```{claims} c-3\n```\n"
        "\n```{toctree}\nother\n```\n",
        "book/other.md": PAGE + "\n```{claims} c-4.1-x\n```\n",
    }
    book = Book(tmp_path, files, "ko-en")
    assert book.warnings == ""
    page = BeautifulSoup(book.page(), "html.parser")
    links = {one["href"]: one.get_text() for one in page.select("p .bn-verdict a")}
    assert set(links) == {"other.html#claim-4-1-x", "#claim-3-1-y"}
    assert links["#claim-3-1-y"] == "재현되지 않음 · not reproduced"


def test_a_verdict_of_an_earlier_day_is_a_result_by_its_key(tmp_path, four, made_up):  # noqa: F811
    """It has no row of its own to lead to."""
    made_up["first.verdict"] = "inconclusive"
    page = "\nOnce {verdict}`first.verdict`, {verdict}`steps`.\n"
    book = Book(tmp_path, {"book/index.md": PAGE + page}, "ko-en")
    (earlier,) = BeautifulSoup(book.page(), "html.parser").select("p .bn-verdict-inconclusive")
    assert earlier.get_text() == "결론 없음 · inconclusive" and not earlier.select("a")
    assert "no claim 'steps'" in book.warnings


def test_a_claim_says_on_how_many_machines_it_was_computed_again(tmp_path, four, monkeypatch):
    said = {"c-4.1-x": Machines(1, 0), "c-3.1-y": Machines(3, 1)}
    monkeypatch.setattr(certificates, "machines", lambda claim: said.get(claim, Machines(0, 0)))
    book, page = built(tmp_path, BOARD)
    rows = {
        row.select_one("code, .bn-claim-id").get_text(): row.get_text() for row in page.select("tr.bn-claim")
    }
    assert "Recomputed on 1 machine." in rows["c-4.1-x"]
    assert "Recomputed on 3 machines. On 1 of them the verdict was another." in rows["c-3.1-y"]
    assert sum("Recomputed" in text for text in rows.values()) == 2 and book.warnings == ""


# The built book


def test_every_claim_has_its_row_where_its_links_lead(html, committed):
    for claim in committed:
        page = html / "ko" / f"{claim.chapter.removeprefix('book/')}.html"
        assert {anchor(claim.id), claim.id} <= facts(page).ids, claim.id
        assert "." not in anchor(claim.id)
    assert len({anchor(claim.id) for claim in committed}) == len(committed)


def test_details_lead_to_the_row(html):
    for edition in EDITIONS:
        for name in ("index", "not-reproduced"):
            rows = markup(html / edition / f"{name}.html").css("tr.bn-claim")
            links = [(row, link) for row in rows for link in row.css(".bn-claim-verdict a[href*='#claim-']")]
            assert len(links) > 8
            for row, link in links:
                target, fragment = link.attributes["href"].split("#")
                assert row.id == fragment and fragment in facts(html / edition / target).ids


def test_the_page_of_reasons_has_every_claim_that_needs_one(html, committed):
    unclear = {anchor(claim.id) for claim in committed if claim.verdict in UNCLEAR}
    for edition in EDITIONS:
        page = markup(html / edition / "not-reproduced.html")
        assert {row.id for row in page.css("tr.bn-claim")} == unclear
        assert "[[" not in page.root.text()
    assert markup(html / "ko/index.html").css("article a[href='not-reproduced.html']")


@pytest.mark.parametrize("edition", ["ko", "en"])
def test_on_a_phone_tally_and_ways_in_are_on_the_first_two_screens(open_page, edition):
    page = open_page(f"{edition}/index.html", viewport=PHONE)
    ends = page.evaluate(
        """() => [".bn-tally", "#how-to-read ~ ul"].map(
             (place) => document.querySelector(place).getBoundingClientRect().bottom)"""
    )
    assert max(ends) <= 2 * PHONE["height"]


def open_rows(page) -> list[str]:
    rows = "[...document.querySelectorAll('.bn-board .bn-claim')]"
    return page.evaluate(f"{rows}.filter((row) => row.checkVisibility()).map((row) => row.id)")


def test_buttons_choose_by_verdict_and_kind_and_open_the_folds(open_page, committed):
    """Those of a verdict choose among the measured claims, which they count."""
    page = open_page("ko/index.html")
    assert open_rows(page) == []
    for name, fits in (
        ("not-reproduced", lambda claim: (claim.kind, claim.verdict) == ("measured", "not reproduced")),
        ("definition", lambda claim: claim.kind == "definition"),
    ):
        button = page.locator(f"#claims-{name} button")
        button.focus()
        page.keyboard.press("Enter")
        assert set(open_rows(page)) == {anchor(claim.id) for claim in committed if fits(claim)}
        pressed = page.locator(".bn-choices button[aria-pressed=true]")
        assert pressed.count() == 1 and button.get_attribute("aria-pressed") == "true"
    page.locator("#claims-all button").click()
    own = {claim.section for claim in committed}
    assert open_rows(page) == [] and page.locator(".bn-fold:visible").count() == len(own)


def test_a_section_is_chosen_beside_kind_and_verdict(open_page, committed):
    page = open_page("en/index.html")
    sections = page.locator(".bn-choice-section")
    sections.select_option("3-3")
    own = [claim for claim in committed if claim.section == "3.3"]
    assert set(open_rows(page)) == {anchor(claim.id) for claim in own}
    page.locator("#claims-reproduced button").click()
    reproduced = {anchor(claim.id) for claim in own if claim.verdict == "reproduced"}
    assert 0 < len(reproduced) < len(own) and set(open_rows(page)) == reproduced
    page.locator("#claims-definition button").click()
    assert set(open_rows(page)) == {anchor(claim.id) for claim in own if claim.kind == "definition"}
    sections.select_option("")
    assert len(open_rows(page)) == sum(claim.kind == "definition" for claim in committed)
    page.locator("#claims-all button").click()
    assert open_rows(page) == []


def test_an_entry_of_the_tally_chooses(open_page, committed):
    page = open_page("en/index.html", reduced_motion="reduce")
    page.locator(".bn-tally a[href='#claims-inconclusive']").click()
    page.locator("#claims-inconclusive button[aria-pressed=true]").wait_for()
    unclear = [one for one in committed if (one.kind, one.verdict) == ("measured", "inconclusive")]
    assert set(open_rows(page)) == {anchor(claim.id) for claim in unclear}
    assert page.locator("#claims-inconclusive").bounding_box()["y"] < 200


@pytest.mark.parametrize("address", ["claim-3-3-jacobian", "c-3.3-jacobian"])
def test_an_address_of_a_claim_opens_its_fold(open_page, address):
    page = open_page(f"ko/index.html#{address}", reduced_motion="reduce")
    row = page.locator("#claim-3-3-jacobian")
    row.wait_for()
    assert 0 < row.bounding_box()["y"] < 300
    # One that a choice has hidden, too.
    page.locator("#claims-reproduced button").click()
    assert not row.is_visible()
    page.evaluate("location.hash = '#claim-3-3-growth'")
    page.locator("#claim-3-3-growth").wait_for()


def test_without_javascript_every_claim_is_there_and_no_button(open_page, committed):
    page = open_page("ko/index.html", java_script_enabled=False)
    assert page.locator(".bn-choices :is(button, select):visible").count() == 0
    for summary in page.locator(".bn-fold > summary").all():
        summary.click()
    assert page.locator(".bn-board .bn-claim:visible").count() == len(committed)


@pytest.mark.parametrize("edition", EDITIONS)
@pytest.mark.parametrize(
    ("name", "ours", "papers"),
    [
        ("mnist", "#claim-4-1-speed .bn-claim-ours", "#claim-4-1-speed .bn-claim-paper"),
        (
            "classification",
            ".bn-speedups tr:first-child td:nth-child(3)",
            ".bn-speedups tr:last-child td:nth-child(3)",
        ),
    ],
)
def test_on_a_phone_ours_and_the_papers_value_stand_side_by_side(open_page, edition, name, ours, papers):
    page = open_page(f"{edition}/{name}.html", viewport=PHONE)
    left, right = sorted(
        (page.locator(cell).first.bounding_box() for cell in (ours, papers)), key=lambda box: box["x"]
    )
    assert abs(left["y"] - right["y"]) < 1 and left["x"] + left["width"] <= right["x"]
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_verdicts_are_all_named():
    today = {verdict for verdicts in claims.VERDICTS.values() for verdict in verdicts}
    assert set(VERDICTS) == today | {"measured again"}  # which the ledger has


def test_a_reason_refers_to_places_that_are_there(committed):
    labels = set()
    for page in paths.BOOK.glob("*.md"):
        labels |= set(re.findall(r"^\(([\w-]+)\)=$", page.read_text(encoding="utf-8"), re.MULTILINE))
    for claim in committed:
        for text in (claim.why or {}).values():
            assert set(re.findall(r"\{ref\}`[^`]*<([\w-]+)>`", text)) <= labels, claim.id
