"""Speed and memory of the runs of Section 4.1: many small steps."""

import itertools
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from bnbook.bench.timing import (
    CORES,
    MATRIX,
    ROUNDS,
    Pictures,
    endless,
    medians,
    one_thread,
    peak_memory_mb,
    products_rate,
    rate,
)
from bnbook.data import datasets, sources
from bnbook.data.batches import Batches
from bnbook.experiments.mnist_activation_shift import training as experiment
from bnbook.experiments.mnist_activation_shift.protocol import PROFILES, Config
from bnbook.train.loop import train

STEPS = 2000  # of our loop in a round, by each process
TUTORIAL_STEPS = 300
WARM_UP = 50  # steps before the clock starts


def measure() -> dict[str, Any]:
    """Measure, print and return the speeds and the memory."""
    data = sources.resolve("auto")
    found: dict[str, Any] = {"data": data, "data_sha256": sources.SOURCES[data].checksum}
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
    return found


def config(data: str) -> Config:
    """The network with BN at the paper's sizes; what it learns does not matter here."""
    sizes = PROFILES["cpu"]
    return Config(
        variant="bn",
        recipe=2,
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
    """Peak memory in MB (1e6 bytes) of a process that makes one run."""
    one_thread()
    experiment.train_run(config(data), seed=0, checkpoint=None)
    return peak_memory_mb()


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
    return medians(("ours", "tutorial", "gigaflops", "times_tutorial", "times_products"), rounds)


def our_rate(data: str) -> float:
    """Model-steps a second of this book's training loop, in one process of one thread."""
    one_thread()
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

    return rate(step, TUTORIAL_STEPS, WARM_UP)


def tutorial_images(data: str) -> torch.utils.data.Dataset:
    """The training images as torchvision's data sets give them: pictures, transformed one by one."""
    from torchvision import transforms
    from torchvision.datasets import MNIST

    transform = transforms.Compose([transforms.ToTensor(), transforms.Lambda(lambda x: (x > 0.5).float())])
    folder = sources.ensure(data)
    if data == "mnist" and (folder / "MNIST" / "raw").is_dir():  # as torchvision keeps it
        return MNIST(folder, train=True, transform=transform)
    split = datasets.load(data).train_and_validation
    return Pictures(split, transform)


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
