"""The pitfalls' probes: each can tell a surprise from its mend, and the chapter lists them all."""

import re

import pytest

from bnbook import examples, files, paths, probes
from bnbook.examples import ExampleError
from bnbook.probes import Probe
from bnbook.sphinxext import numbers
from bnbook.sphinxext.examples import IN_TORCH, pill

PAGE = (paths.BOOK / "pitfalls.md").read_text(encoding="utf-8")
CONSTRAINTS = paths.ROOT / "constraints.txt"
LISTED = re.compile(r"^\| \{ref\}`pitfalls-([\w-]+)`: .+ \((\[.+\))\) \| \{status\}`(\w+)` \|$", re.MULTILINE)
THREAD = re.compile(r"\[[\w.-]+#(\d+)\]\(https://github\.com/[\w.-]+/[\w.-]+/(?:issues|pull)/(\d+)\)")

each = pytest.mark.parametrize("name", probes.names())


def printed(found: str, expected: str = "0 +- 5") -> Probe:
    return Probe("one", {"expected": expected, "found": found, "mended": expected})


@pytest.mark.slow
@each
def test_with_the_mend_the_surprise_is_gone(name):
    """Measured as it was without: a probe that noticed nothing would say "still so" for ever."""
    probe = probes.read(name)
    assert probe.as_expected("mended"), probe.facts


def test_a_single_value_is_as_expected_where_it_is_printed_alike():
    assert printed("1.00", "1.00").still_so is False
    assert printed("1.01", "1.00").still_so and printed("nan", "1.0").still_so
    assert printed("ValueError", "none").still_so and not printed("none", "none").still_so


def test_of_seeds_the_whole_interval_has_to_be_where_it_is_expected():
    assert not printed("1 -1 0 2 -2").still_so
    assert printed("46 50 43 47 48").still_so
    # its mean is well within, but too few seeds say so
    assert printed("-9 9 0").still_so
    # unsaid, what rounding hides is allowed for
    assert not printed("1.00 1.00 1.00", "1.00").still_so and printed("0.99 0.99 0.99", "1.00").still_so


def test_a_status_says_which_torch(monkeypatch):
    monkeypatch.setattr(probes, "version", lambda package: "9.8.7+cpu")
    still, mended = pill(printed("7", "8"), IN_TORCH), pill(printed("8", "8"), IN_TORCH)
    assert "torch 9.8.7에서 그대로" in still.astext() and "still so in torch 9.8.7" in still.astext()
    assert "torch 9.8.7에서 해결됨" in mended.astext() and "mended in torch 9.8.7" in mended.astext()
    assert still["classes"] != mended["classes"]
    assert pill(printed("7", "8")).astext() == "그대로 still so"  # in the table


def test_what_is_printed_is_read(tmp_path):
    write(
        tmp_path, "one", "a title\nexpected: 0 +- 10\nfound:    46 50 44\nmended: 1 0 -1\nfound, later: 7 s"
    )
    probe = probes.read("one", tmp_path)
    assert probe.facts["found"] == "46 50 44" and probe.facts["found, later"] == "7 s"
    known = probes.numbers(tmp_path)
    assert known["one.found"] == "46 50 44" and known["one.found.seeds"] == 3
    assert known["one.found.mean"] == pytest.approx(140 / 3)
    assert known["one.found.low"] < 140 / 3 < known["one.found.high"]
    assert "one.found, later.mean" not in known and known["torch"] == probes.torch_version()


def test_one_that_says_too_little_is_refused(tmp_path):
    write(tmp_path, "one", "expected: 1\nfound: 2")
    with pytest.raises(ExampleError, match=r"^examples/pitfalls_one.py prints no line 'mended: ...'$"):
        probes.read("one", tmp_path)
    with pytest.raises(ExampleError, match="no example 'pitfalls_two'"):
        probes.read("two", tmp_path)


def test_the_numbers_are_those_of_probes_that_have_run(tmp_path):
    write(tmp_path, "one", "expected: 1\nfound: 2\nmended: 1")
    assert set(probes.numbers(tmp_path)) == {"torch"}
    examples.run(tmp_path)
    assert probes.numbers(tmp_path)["one.found"] == "2"


def test_what_is_recorded_counts_until_the_code_changes(tmp_path):
    """Another processor may print other digits; figures and texts keep those of the record."""
    (tmp_path / "results").mkdir()
    write(tmp_path, "one", "expected: 1\nfound: 2\nmended: 1")
    write(tmp_path, "two", "expected: 1\nfound: 3\nmended: 1")
    assert probes.record(tmp_path) == ["one", "two"] and probes.record(tmp_path) == []
    text = (tmp_path / probes.RECORD).read_text()
    (tmp_path / probes.RECORD).write_text(text.replace('"found": "2"', '"found": "2.5"'))
    assert probes.recorded("one", tmp_path).facts["found"] == "2.5"
    assert (
        probes.numbers(tmp_path)["one.found"] == "2.5" and probes.read("one", tmp_path).facts["found"] == "2"
    )
    write(tmp_path, "one", "expected: 1\nfound: 4\nmended: 1")
    assert probes.recorded("one", tmp_path).facts["found"] == "4"
    assert probes.record(tmp_path) == ["one"] and probes.numbers(tmp_path)["two.found"] == "3"


def test_all_are_recorded_as_they_stand_and_by_the_pinned_torch():
    kept = files.read_json(paths.ROOT / probes.RECORD)
    assert sorted(kept) == probes.names()
    pinned = re.search(r"^torch==([\d.]+) .*x86_64", CONSTRAINTS.read_text(), re.MULTILINE)[1]
    for name, one in kept.items():
        assert one["code"] == probes._code(name, paths.ROOT) and one["torch"] == pinned, name
        assert Probe(name, one["facts"]).as_expected("mended")


def test_the_book_fills_them_in(monkeypatch):
    known = {"probe": {"lag.found": "53%", "leak.found.mean": 51.4}, "result": {}}
    monkeypatch.setattr(numbers, "sources", lambda: known)
    assert numbers.number("probe", "lag.found", "", "이다") == "53%다"
    assert numbers.fill("[[probe:leak.found.mean|.0f]]") == "51"
    with pytest.raises(numbers.UnknownNumber, match=r"no number 'lag\.lost' among the probes that have run"):
        numbers.number("probe", "lag.lost")


def test_the_chapter_lists_each_with_its_thread():
    rows = LISTED.findall(PAGE)
    assert sorted(name for _, _, name in rows) == probes.names()
    for label, threads, name in rows:
        assert label == name.replace("_", "-") and f"(pitfalls-{label})=\n### " in PAGE
        found = THREAD.findall(threads)
        assert found and all(said == linked for said, linked in found), threads
    assert len(rows) >= 16


def test_no_measurement_is_typed():
    """In the chapter's prose a number with a sign of measuring stands in a role."""
    prose = re.sub(r"\{probe\}`[^`]+`|```.*?```|95%", "", PAGE, flags=re.DOTALL)
    assert not re.findall(r"\d[\d.]*\s*(?:%|points|%p)|\d+\.\d+", prose)


def write(root, name, text):
    """A probe that prints `text`."""
    file = root / examples.FOLDER / f"{probes.PREFIX}{name}.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"print({text!r})\n")
