"""The committed records belong to today's training code."""

import os
import shutil
import subprocess
import sys

import pytest

from bnbook import paths
from bnbook.experiments import EXPERIMENTS
from bnbook.runs import replay
from bnbook.train import loop


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_todays_code_trains_as_the_records_did(name):
    assert replay.check([name]) == []


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

    def altered(*run):
        found = original(*run)
        return found | {"losses": [1.001 * loss for loss in found["losses"]]}

    monkeypatch.setattr(replay, "trace", altered)
    problems = replay.check()
    assert len(problems) == 2 and f"{name} bn: the trace on digits differs" in problems[0]


def trace(*losses: float, **ends: float) -> replay.Trace:
    return {"losses": list(losses), "ends": ends}


@pytest.mark.parametrize(
    ("before", "now", "difference"),
    [
        (trace(1.0, 2.0), trace(1.0, 2.0 + 1e-6), ""),
        (trace(1.0, 2.0), trace(1.0, 2.01), "loss 2 was 2 and is 2.01"),
        (trace(1.0), trace(1.0, 2.0), "1 numbers then, 2 now"),
        (trace(1.0, bias=2.0), trace(1.0, bias=2.01), ""),  # a ReLU that switched
        (trace(1.0, bias=2.0), trace(1.0, bias=2.1), "bias was 2 and is 2.1"),
        (trace(digits=2.0), trace(digits=2.01), "digits was 2 and is 2.01"),  # nothing was trained
        (trace(1.0, accuracy=0.5), trace(1.0, accuracy=0.51), ""),  # an image more
        (trace(1.0, accuracy=0.5), trace(1.0, accuracy=0.8), "accuracy was 0.5 and is 0.8"),
        (trace(1.0, 2.0), trace(1.0, float("nan")), "loss 2 was 2 and is nan"),
    ],
)
def test_differs(before, now, difference):
    assert replay.differs(before, lambda: now) == difference


def nudging(now: replay.Trace, moved: replay.Trace):
    """A run that gives `now`, and `moved` where it is nudged by one unit or by more."""
    return lambda: moved if loop._nudge.get() else now


def test_what_rounding_alone_does_is_allowed_from_there_on():
    """The run nudged by a unit has parted by 1e-4 at the second loss: a hundred times that passes, there and
    later."""
    run = nudging(trace(1.0, 2.0, 3.0), moved=trace(1.0, 2.0001, 3.0))
    assert not replay.differs(trace(1.0, 2.01, 3.01), run)
    assert "loss 1" in replay.differs(trace(1.01, 2.0, 3.0), run)
    assert "loss 2" in replay.differs(trace(1.0, 2.1, 3.0), run)


def test_it_is_nudged_no_more_than_it_takes_to_explain_the_difference():
    made = []

    def run() -> replay.Trace:
        made.append(loop._nudge.get())
        return trace(1.0, 2.0001 if loop._nudge.get() else 2.0)

    assert not replay.differs(trace(1.0, 2.0), run) and len(made) == 1
    assert not replay.differs(trace(1.0, 2.01), run) and len(made) == 1 + 2
    assert replay.differs(trace(1.0, 2.1), run) and len(made) == 3 + 1 + len(replay.NUDGES)


def test_a_leap_that_small_nudges_do_not_make_is_allowed():
    """Rounding made a loss leap by 0.1, and so does a nudge of a hundred units; smaller ones stay close. As
    far as that one leaps and no further."""

    def leaping() -> replay.Trace:
        return trace(1.0, 2.1 if loop._nudge.get() == replay.ALLOWED else 2.0)

    assert not replay.differs(trace(1.0, 2.09), leaping)
    assert "loss 2" in replay.differs(trace(1.0, 2.21), leaping)


def test_bfloat16_is_held_loosely():
    before, now = trace(2.0), trace(2.01)
    assert replay.differs(before, lambda: now, replay.TOLERANCES["bfloat16"]) == ""
    assert replay.differs(before, lambda: now, replay.TOLERANCES["float32"])


NARROWER = {
    "ATEN_CPU_CAPABILITY": "avx2",  # what torch's own kernels may use
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}
# All but the experiments with convolutions of many layers, for time: the test above has them.
CHECK = """
from bnbook.runs import replay
known = replay.EXPERIMENTS.items()
print(*replay.check([name for name, one in known if "cifar10" not in one.protocol.DATA]), sep="\\n")
"""


def test_another_processor_trains_the_same():
    """Narrower vectors sum in another order. The replay holds there too; it once failed on every processor
    but the one that had stored it."""
    answer = subprocess.run(
        [sys.executable, "-c", CHECK], env=os.environ | NARROWER, capture_output=True, text=True
    )
    assert answer.returncode == 0 and not answer.stdout.strip(), answer.stdout + answer.stderr


def test_a_folder_that_a_run_left_empty_is_passed_over(tmp_path, monkeypatch):
    """A lock is taken in a run's folder before there is a record."""
    name = "outside_the_gradient"
    known = replay.at_hand(EXPERIMENTS[name])
    shutil.copytree(paths.runs(paths.RESULTS) / name, tmp_path / "runs" / name)
    (tmp_path / "runs" / name / "a_variant" / "000000000000").mkdir(parents=True)
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    assert replay.at_hand(EXPERIMENTS[name]) == known and known
