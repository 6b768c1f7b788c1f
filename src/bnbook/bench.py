"""How fast training is, in ratios within one run; how much memory a run takes; how long the book takes.

Absolute times differ between machines and with what else runs there. So each round measures the contenders
one after the other, its ratios count, and the median over the rounds is reported.
"""

import itertools
import json
import multiprocessing
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor

import torch
from torch import nn
from torch.nn import functional as F

from bnbook import paths
from bnbook.data import datasets, sources
from bnbook.data.batches import Batches
from bnbook.experiments import mnist_activation_shift as experiment
from bnbook.experiments import runs
from bnbook.protocols.mnist_activation_shift import PROFILES, Config
from bnbook.train.loop import train

ROUNDS = 5
STEPS = 2000  # of our loop in a round, by each process
TUTORIAL_STEPS = 300
WARM_UP = 50  # steps before the clock starts
MATRIX = 1024  # side of the square product that stands for the ceiling
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def main(commit: bool = False) -> None:
    """Measure everything and print it; with `commit` keep it in results/bench.json."""
    began = time.perf_counter()
    data = sources.resolve("auto")
    found = {"data": data, "cores": CORES, "rounds": ROUNDS}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        found["peak_memory_mb"] = pool.submit(peak_memory, data).result()
    print(f"memory: a run on {data} takes {found['peak_memory_mb']} MB at most", flush=True)
    with ProcessPoolExecutor(CORES, context) as pool:
        found |= speed(pool, data)
    print(
        f"speed: {found['ours']:,.0f} steps a second on {CORES} cores, {found['tutorial']:,.0f} by the loop"
        f" of a usual tutorial: {found['times_tutorial']:.1f} times as fast\n"
        f"speed: {found['times_products']:.1f} times as long as the bare matrix products would take"
        f" at the measured {found['gigaflops']:.0f} GFLOP/s",
        flush=True,
    )
    found["book_seconds"] = book_seconds()
    found["provenance"] = runs.provenance(
        runs.code_commit(), sources.SOURCES[data].checksum, time.perf_counter() - began
    )
    if commit:
        file = paths.RESULTS / "bench.json"
        file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(f"bench: written to {file}")


def config(data: str) -> Config:
    """The network with BN at the paper's sizes; what it learns does not matter here."""
    sizes = PROFILES["cpu"]
    return Config(
        variant="bn",
        data=data,
        train_on="train+validation",
        batch_size=sizes.batch_size,
        steps=STEPS,
        init_std=0.1,
        lr=0.1,
        evaluate_growth=sizes.evaluate_growth,
        evaluate_every=sizes.evaluate_every,
        probe_growth=sizes.evaluate_growth,
        probe_every=sizes.evaluate_every,
    )


def peak_memory(data: str) -> int:
    """Peak memory in MB (1e6 bytes) of a process that makes one run, as Linux counts it."""
    torch.set_num_threads(runs.THREADS)
    experiment.train_run(config(data), seed=0, checkpoint=None)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6)


def speed(pool: ProcessPoolExecutor, data: str) -> dict[str, float]:
    """Medians over rounds: model-steps a second of our loop and the tutorial's, GFLOP/s, and the two ratios.

    Ours runs as the workflow runs it, one process of one thread a core; the tutorial's has all cores for its
    threads and loader's workers.
    """
    rounds = []
    for number in range(1, ROUNDS + 1):
        ours = sum(pool.map(our_rate, [data] * CORES))
        tutorial = tutorial_rate(data)
        ceiling = sum(pool.map(products_rate, [MATRIX] * CORES))
        products = ceiling / operations(data)
        rounds.append((ours, tutorial, ceiling / 1e9, ours / tutorial, products / ours))
        print(f"speed: round {number} of {ROUNDS}: {ours / tutorial:.1f} times the tutorial's", flush=True)
    names = ("ours", "tutorial", "gigaflops", "times_tutorial", "times_products")
    return {
        name: round(statistics.median(values), 3)
        for name, values in zip(names, zip(*rounds, strict=True), strict=True)
    }


def rate(step: Callable[[int], None], steps: int) -> float:
    """Calls of `step(number)` a second, after a warm-up that does not count."""
    for number in range(WARM_UP):
        step(number)
    began = time.perf_counter()
    for number in range(steps):
        step(number)
    return steps / (time.perf_counter() - began)


def our_rate(data: str) -> float:
    """Model-steps a second of this book's training loop, in one process of one thread."""
    torch.set_num_threads(runs.THREADS)
    torch.set_flush_denormal(True)
    ours = config(data)
    split = experiment.prepare(datasets.load(data).train_and_validation, ours)
    model = experiment.network(ours, split.x.shape[1], classes=10, seed=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=ours.lr)
    batches = Batches(split, ours.batch_size, seed=0)
    train(model, F.cross_entropy, optimizer, batches, WARM_UP)
    return STEPS / train(model, F.cross_entropy, optimizer, batches, STEPS).seconds


def tutorial_rate(data: str) -> float:
    """Model-steps a second of the loop that most tutorials have: transforms behind a DataLoader."""
    sizes = config(data)
    images = tutorial_images(data)
    loader = torch.utils.data.DataLoader(images, sizes.batch_size, shuffle=True, num_workers=CORES)
    pixels, widths = images[0][0].numel(), [sizes.hidden] * sizes.depth
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in zip([pixels, *widths], widths, strict=False):
        layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.Sigmoid()]
    model = nn.Sequential(*layers, nn.Linear(sizes.hidden, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=sizes.lr)
    batches = endless(loader)

    def step(number: int) -> None:
        x, y = next(batches)
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    return rate(step, TUTORIAL_STEPS)


def endless(loader: torch.utils.data.DataLoader) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    while True:
        yield from loader


def tutorial_images(data: str) -> torch.utils.data.Dataset:
    """The training images as torchvision's data sets give them: pictures, transformed one by one."""
    from torchvision import transforms
    from torchvision.datasets import MNIST

    transform = transforms.Compose([transforms.ToTensor(), transforms.Lambda(lambda x: (x > 0.5).float())])
    if data == "mnist":
        return MNIST(sources.ensure(data), train=True, transform=transform)
    split = datasets.load(data).train_and_validation
    return Pictures(split, transform)


class Pictures(torch.utils.data.Dataset):
    """torchvision's manner for a data set that it does not have."""

    def __init__(self, split: datasets.Split, transform: Callable):
        self.split, self.transform = split, transform

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.split.x[index].numpy())), int(self.split.y[index])


def products_rate(side: int) -> float:
    """Floating-point operations a second of a large matrix product on one thread: the ceiling."""
    torch.set_num_threads(runs.THREADS)
    a, b = torch.rand(side, side), torch.rand(side, side)
    return 2 * side**3 * rate(lambda number: a @ b, steps=20)


def operations(data: str) -> int:
    """Floating-point operations of the matrix products of one training step.

    Each layer multiplies three times: forward, for the gradient of its weights and, but for the first, for
    that of its inputs.
    """
    sizes = config(data)
    pixels = datasets.load(data).test.x[0].numel()
    widths = [pixels] + [sizes.hidden] * sizes.depth + [10]
    products = [a * b for a, b in itertools.pairwise(widths)]
    return 2 * sizes.batch_size * (3 * sum(products) - products[0])


def book_seconds() -> dict[str, float]:
    """Seconds of each phase of building the book anew from the committed records, as it prints them."""
    for name in ("notebooks", "figures", "doctrees", "book", "html"):
        shutil.rmtree(paths.BUILD / name, ignore_errors=True)
    began = time.perf_counter()
    process = subprocess.run([sys.executable, "-m", "bnbook", "book"], stdout=subprocess.PIPE, text=True)
    if process.returncode:
        return {}
    phases = {
        name: float(seconds)
        for name, seconds in re.findall(r"^book: (.*): ([\d.]+) s$", process.stdout, re.M)
    }
    phases["in all"] = round(time.perf_counter() - began, 1)
    for name, seconds in phases.items():
        print(f"book: {name}: {seconds} s", flush=True)
    return phases
