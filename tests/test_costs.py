"""What runs cost on other machines: the arithmetic, and that real workers are as quick as it says."""

import dataclasses
import time

import pytest

from bnbook import costs, durations
from bnbook.experiments.mnist_activation_shift import protocol
from bnbook.records import Record
from bnbook.runs import plans


def test_a_run_goes_to_the_worker_that_is_free_first():
    seconds = [1.0, 2.0, 3.0, 4.0, 6.0]
    assert [costs.makespan(seconds, workers) for workers in (1, 2, 5, 9)] == [16.0, 10.0, 6.0, 6.0]
    assert costs.makespan(seconds, 2, longest_first=True) == 8.0
    assert costs.sweep([seconds, [5.0]], 2) == 15.0  # the second stage waits for the first


def test_more_workers_are_never_slower_than_one_nor_quicker_than_the_longest_run():
    numbers = costs.numbers()
    hours = [numbers[f"costs.workers.{workers}.hours"] for workers in costs.WORKERS]
    assert hours[0] == pytest.approx(durations.numbers()["durations.hours"])
    assert hours == sorted(hours, reverse=True) and hours[-1] >= numbers["costs.longest_run_hours"]


def test_multiply_adds_are_those_of_the_network():
    """Counted where PyTorch has it compute: a multiply-add is two operations."""
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    from bnbook.nn.inception import Inception

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        Inception(width=0.25)(torch.zeros(1, 3, 28, 28))
    assert costs.multiply_adds(0.25) == counter.get_total_flops() / 2


def test_the_throughput_of_a_device_is_that_of_all_its_runs_together():
    def record(finished: str, seconds: float) -> Record:
        provenance = {"finished": f"2026-01-01T00:{finished}+00:00", "seconds": seconds}
        made = {name: None for name in ("schema", "run_id", "seed", "curves", "final", "first_losses")}
        made |= {"arrays_sha256": None, "path": None, "provenance": provenance}
        return Record(**made, config={"batch_size": 8}, outcome={"status": "done", "step": 100})

    # Two side by side for 10 seconds, a pause, and one alone for 10.
    found = costs._throughput("a GPU", [record("00:10", 10), record("00:10", 10), record("05:00", 10)])
    assert found == costs.Throughput("a GPU", 3, 1.5, 15.0, 8, 120.0)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_real_workers_take_as_long_as_their_runs_do_in_the_simulation(workers, tmp_path, monkeypatch):
    """From the first record to the last, by the durations in these very records, so that a busy machine does
    not matter; a machine that stops a process for a while between its runs does, hence the room."""
    monkeypatch.setenv("BNBOOK_CACHE", str(tmp_path / "cache"))
    sizes = dataclasses.replace(protocol.PROFILES["smoke"], multiverse_steps=400)
    jobs = list(protocol.plan("multiverse", sizes, []))[:8]
    ended, seconds = [], []
    for _, record in plans.make(jobs, tmp_path, processes=workers):
        ended.append(time.monotonic())
        seconds.append(record.provenance["seconds"])
    simulated = costs.makespan(seconds, workers) - min(seconds[:workers])
    real = ended[-1] - ended[0]
    assert 0.5 * simulated - 1 < real < 2 * simulated + 5, (real, seconds)
    print(f"{workers} workers: {real:.2f} s from the first record to the last, {simulated:.2f} s simulated")
