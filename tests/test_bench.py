"""The benchmark measures what it says: the same work on both sides, counted right."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bnbook import bench
from bnbook.bench import growth
from bnbook.bench import inception_speedups as inception
from bnbook.bench import mnist_activation_shift as mnist
from bnbook.bench.timing import Pictures, medians, rate
from bnbook.benchmarks import flat, numbers
from bnbook.book import BookError
from bnbook.data.datasets import Split
from bnbook.nn.inception import Inception


@pytest.mark.parametrize("width", [0.25, 1.0])
def test_operations_are_those_that_torch_counts(width):
    """Forward and backward of one image, without the gradient for the image itself."""
    model = Inception(width)
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, 28, 28)).sum().backward()
    assert inception.operations(width) == counter.get_total_flops()


def test_operations_of_the_small_network():
    with FlopCounterMode(display=False) as counter:
        config = mnist.config("digits")
        model = mnist.experiment.network(config, 64, classes=10, seed=0)
        model(torch.zeros(config.batch_size, 64)).sum().backward()
    assert mnist.operations("digits") == counter.get_total_flops()


def test_rate_leaves_the_warm_up_out():
    calls = []
    assert rate(calls.append, steps=3, warm_up=2) > 0
    assert calls == [0, 1, 0, 1, 2]


def test_what_was_measured_can_be_named_in_the_text():
    """Nested names become one key; the committed file has what the book's tables ask for."""
    assert flat("bench", {"a": {"b": 1}, "rows": [{"c": 2.5}, {"c": 3}]}) == {
        "bench.a.b": 1,
        "bench.rows.0.c": 2.5,
        "bench.rows.1.c": 3,
    }
    found = numbers()
    assert found["bench.mnist_activation_shift.times_tutorial"] > 4
    assert found["bench.inception_speedups.race.1.0.times_tutorial"] > 2.5
    assert found["bench.inception_speedups.race.0.5.times_tutorial"] > 2
    assert found["bench.inception_speedups.peak_memory_mb"] < 4000


@pytest.mark.slow
def test_one_of_many_records_costs_no_more_than_one_of_few():
    """To plan, to judge and to make a page of: five times as many records take five times as long, with room
    for what else the machine does. Pages that listed all seeds took twice as long each."""
    few, many = growth.measure((6, 30))["rows"]
    assert many["records"] > 4.5 * few["records"]
    for name in ("plan_ms", "judge_ms", "pages_ms"):
        assert many[name] < 1.7 * few[name], (name, few, many)


@pytest.fixture
def results(tmp_path, monkeypatch):
    """What is known, the book's time among it, and a bench that measures next to nothing."""
    monkeypatch.setattr(bench.paths, "RESULTS", tmp_path)
    monkeypatch.setattr(bench, "MEASURED", {"speed": SimpleNamespace(measure=lambda: {"ours": 2})})
    (tmp_path / "bench.json").write_text('{"speed": {"ours": 1}, "book_seconds": {"in all": 80.0}}')
    return tmp_path


def test_the_book_is_timed_with_the_new_numbers_and_its_own_old_ones(results, monkeypatch):
    """Its text names them: without, it could not be built."""
    seen = []
    monkeypatch.setattr(bench, "book_seconds", lambda: seen.append(bench.committed()) or {"in all": 25.0})
    bench.main(commit=True)
    assert seen[0]["speed"] == {"ours": 2} and seen[0]["book_seconds"] == {"in all": 80.0}
    assert bench.committed()["book_seconds"] == {"in all": 25.0}


def test_a_book_that_cannot_be_built_is_no_time(results, monkeypatch):
    failed = SimpleNamespace(returncode=1, stdout="")
    monkeypatch.setattr(bench.subprocess, "run", lambda *_, **__: failed)
    monkeypatch.setattr(bench.runs, "code_commit", lambda: "")
    monkeypatch.setattr(bench.shutil, "rmtree", lambda *_, **__: None)
    with pytest.raises(BookError, match="could not be built"):
        bench.main(commit=True)
    assert bench.committed()["book_seconds"] == {"in all": 80.0}


def test_medians_of_columns():
    assert medians(("a", "b"), [(1.0, 9.0), (3.0, 7.0), (2.0, 8.0)]) == {"a": 2.0, "b": 8.0}


def test_the_tutorials_augmentation_is_ours_image_by_image():
    """Crops of 28x28 normalized alike: a grey picture, which distortions of colour hardly change."""
    torch.manual_seed(0)
    grey = torch.full((4, 32, 32, 3), 120, dtype=torch.uint8)
    picture, label = Pictures(Split(grey, torch.arange(4)), inception.tutorial_transform())[2]
    assert picture.shape == (3, 28, 28) and label == 2
    plain = (120 / 255 - inception.augment.MEAN) / inception.augment.STD
    np.testing.assert_allclose(picture.mean((1, 2)), plain, atol=0.3)


def test_fusing_changes_no_answer():
    model = inception.experiment.network(inception.config("digits", 0.25), seed=0).eval()
    images = torch.randn(4, 3, 28, 28)
    with torch.no_grad():
        np.testing.assert_allclose(inception.folded(model)(images), model(images), atol=1e-4)
