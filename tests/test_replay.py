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
    original = replay.trace

    def altered(*run):
        found = original(*run)
        return found | {"losses": [1.001 * loss for loss in found["losses"]]}

    monkeypatch.setattr(replay, "trace", altered)
    problems = replay.check()
    assert len(problems) == 2 and f"{name} bn: the trace on digits differs" in problems[0]


def trace(*losses: float, **ends: float) -> replay.Trace:
    return {"losses": list(losses), "ends": ends}


@pytest.mark.parametrize(
    ("before", "now", "steady", "difference"),
    [
        (trace(1.0, 2.0), trace(1.0, 2.0 + 1e-6), 20, ""),
        (trace(1.0, 2.0), trace(1.0, 2.01), 20, "loss 2 was 2 and is 2.01"),
        (trace(1.0, 2.0), trace(1.0, 2.01), 1, ""),  # rounding has grown by then
        (trace(1.0, 2.0), trace(1.0, 3.0), 1, "loss 2 was 2 and is 3"),
        (trace(1.0), trace(1.0, 2.0), 20, "1 numbers then, 2 now"),
        (trace(1.0, bias=2.0), trace(1.0, bias=2.01), 20, "bias was 2 and is 2.01"),
        (trace(1.0, accuracy=0.5), trace(1.0, accuracy=0.51), 20, ""),  # an image more
        (trace(1.0, accuracy=0.5), trace(1.0, accuracy=0.8), 20, "accuracy was 0.5 and is 0.8"),
    ],
)
def test_differs(before, now, steady, difference):
    assert replay.differs(before, now, steady) == difference


def test_bfloat16_is_held_loosely():
    before, now = trace(2.0), trace(2.01)
    assert replay.differs(before, now, 1, replay.TOLERANCES["bfloat16"]) == ""
    assert replay.differs(before, now, 1, replay.TOLERANCES["float32"])
