"""Clocks and contenders that both benchmarks share."""

import os
import resource
import statistics
import time
from collections.abc import Callable, Iterable, Iterator

import torch

from bnbook.data.datasets import Split
from bnbook.runs import obtain as runs

ROUNDS = 5
MATRIX = 1024  # side of the square product that stands for the ceiling
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def rate(step: Callable[[int], object], steps: int, warm_up: int) -> float:
    """Calls of `step(number)` a second, after a warm-up that does not count."""
    for number in range(warm_up):
        step(number)
    began = time.perf_counter()
    for number in range(steps):
        step(number)
    return steps / (time.perf_counter() - began)


def products_rate(side: int, precision: str = "float32") -> float:
    """Floating-point operations a second of a large matrix product on one thread: the ceiling."""
    one_thread()
    a, b = (torch.rand(side, side).to(getattr(torch, precision)) for _ in range(2))
    return 2 * side**3 * rate(lambda number: a @ b, steps=20, warm_up=5)


def one_thread() -> None:
    """As the runs are made."""
    torch.set_num_threads(runs.THREADS)
    torch.set_flush_denormal(True)


def peak_memory_mb() -> int:
    """The most memory that this process has taken, in MB (1e6 bytes), as Linux counts it."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6)


def medians(names: Iterable[str], rounds: list[tuple[float, ...]]) -> dict[str, float]:
    """The median of each column of `rounds`."""
    columns = zip(*rounds, strict=True)
    return {name: round(statistics.median(values), 3) for name, values in zip(names, columns, strict=True)}


def endless(loader: torch.utils.data.DataLoader) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    while True:
        yield from loader


class Pictures(torch.utils.data.Dataset):
    """torchvision's manner for data that it does not have: pictures, transformed one by one."""

    def __init__(self, split: Split, transform: Callable):
        self.split, self.transform = split, transform

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.split.x[index].numpy())), int(self.split.y[index])
