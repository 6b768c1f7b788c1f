"""The committed records belong to today's training code."""

import pytest

from bnbook.experiments import replay
from bnbook.protocols import EXPERIMENTS


def test_todays_code_trains_as_the_records_did():
    assert replay.check() == []


def test_a_change_shows(tmp_path, monkeypatch):
    """One number altered by a thousandth is found, and named."""
    monkeypatch.setattr(replay, "TRACES", tmp_path / "replay.json")
    name = "mnist_activation_shift"  # the quickest
    monkeypatch.setattr(replay, "EXPERIMENTS", {name: EXPERIMENTS[name]})
    assert "no stored traces" in replay.check()[0]
    replay.store()
    monkeypatch.setattr(replay, "at_hand", lambda experiment: [])
    assert replay.check() == []
    original = replay.trace
    monkeypatch.setattr(replay, "trace", lambda *run: [number * 1.001 for number in original(*run)])
    problems = replay.check()
    assert len(problems) == 2 and f"{name} bn: the trace on digits differs" in problems[0]


@pytest.mark.parametrize(
    ("before", "now", "difference"),
    [
        ([1.0, 2.0], [1.0, 2.0 + 1e-6], ""),
        ([1.0, 2.0], [1.0, 2.1], "number 2 was 2 and is 2.1"),
        ([1.0], [1.0, 2.0], "1 numbers then, 2 now"),
    ],
)
def test_differs(before, now, difference):
    assert replay.differs(before, now) == difference
