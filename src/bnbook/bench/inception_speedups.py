"""Speed and memory of the runs of Section 4.2: few large steps, augmentation included.

Ours computes as the runs do: in bfloat16 where the processor multiplies it natively, else in float32.
"""

import copy
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

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
from bnbook.data import augment, datasets, sources
from bnbook.data.augment import AugmentedBatches
from bnbook.data.batches import Batches
from bnbook.experiments.inception_first import protocol
from bnbook.experiments.inception_first.protocol import PROFILES, Config
from bnbook.experiments.inception_speedups import training as experiment
from bnbook.nn.inception import Conv, Inception
from bnbook.photometric import STRENGTHS
from bnbook.train.loop import train
from bnbook.train.precision import autocast, device, resolve

SIZES = PROFILES["cpu"]
WIDTHS = (0.25, 0.5, 1.0)
BATCHES = (32, 64, 128, 256)  # at the width of the committed runs
RACE_WIDTHS = (0.5, 1.0)  # against the tutorial
STEPS = {0.25: 12, 0.5: 8, 1.0: 4}  # in a round, by each process
WARM_UP = 2
EVALUATED = 1000  # images, to measure what fusing saves


def measure() -> dict[str, Any]:
    """Measure, print and return the speeds and the memory."""
    data = sources.resolve("auto", protocol.DATA)
    found: dict[str, Any] = {
        "data": data,
        "data_sha256": sources.SOURCES[data].checksum,
        "precision": resolve(SIZES.precision, device()),
    }
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        found["peak_memory_mb"] = pool.submit(peak_memory, data).result()
        print(f"memory: a run on {data} takes {found['peak_memory_mb']} MB at most", flush=True)
        found["costs"] = pool.submit(costs, data).result()
        found["fused"] = pool.submit(fused, data).result()
    print(f"speed: an evaluation with batch normalization fused takes {found['fused']:.2f} times as long")
    with ProcessPoolExecutor(CORES, context) as pool:
        found["race"] = {str(width): race(pool, data, width) for width in RACE_WIDTHS}
    return found


def config(
    data: str, width: float, batch_size: int = PROFILES["cpu"].batch_size, norm: bool = True
) -> Config:
    """BN-x5's configuration, or the same without batch normalization; what it learns does not matter."""
    return Config(
        variant="bench",
        data=data,
        batch_size=batch_size,
        steps=STEPS[width],
        width=width,
        norm=norm,
        activation="relu",
        lr=0.01,
        lr_decay=0.9,
        weight_decay=1e-4,
        dropout=0.0,
        lrn=False,
        fixed_membership=False,
        photometric="weak",
        precision=SIZES.precision,
        population_batches=2,
        evaluate_from=SIZES.steps_per_epoch,
        evaluate_every=SIZES.steps_per_epoch,
    )


def peak_memory(data: str) -> int:
    """Peak memory in MB (1e6 bytes) of a process that makes a short run at the committed width."""
    one_thread()
    experiment.train_run(config(data, SIZES.width), seed=0, checkpoint=None)
    return peak_memory_mb()


def our_rate(data: str, width: float, batch_size: int = SIZES.batch_size, norm: bool = True) -> float:
    """Images a second of this book's training loop, augmentation included, in one process of one thread."""
    one_thread()
    ours = config(data, width, batch_size, norm)
    model = experiment.network(ours, seed=0).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(experiment.parameter_groups(model, ours), lr=ours.lr, momentum=ours.momentum)
    cut = Batches(datasets.load_colour(data).train, batch_size, seed=0)
    batches = AugmentedBatches(cut, ours.photometric, seed=0)
    computing = autocast(resolve(ours.precision, device()), device())

    def seconds(steps: int) -> float:
        return train(model, F.cross_entropy, optimizer, batches, steps, computing=computing).seconds

    seconds(WARM_UP)
    return ours.steps * batch_size / seconds(ours.steps)


def costs(data: str) -> list[dict[str, float]]:
    """Milliseconds a step on one thread by width and by batch size, with and without batch normalization."""
    sizes = [(width, 128) for width in WIDTHS]
    sizes += [(SIZES.width, batch) for batch in BATCHES if (SIZES.width, batch) not in sizes]
    rows = []
    for width, batch in sizes:
        rounds = [
            tuple(1000 * batch / our_rate(data, width, batch, norm) for norm in (False, True))
            for _ in range(ROUNDS)
        ]
        overheads = [(*pair, pair[1] / pair[0]) for pair in rounds]
        rows.append(
            {"width": width, "batch_size": batch} | medians(("plain_ms", "bn_ms", "bn_over_plain"), overheads)
        )
        print(
            f"cost: width {width:g}, batch {batch}: {rows[-1]['plain_ms']:.0f} ms a step,"
            f" with BN {rows[-1]['bn_ms']:.0f} ms ({rows[-1]['bn_over_plain']:.2f} times)",
            flush=True,
        )
    return rows


def fused(data: str) -> float:
    """Time of an evaluation with batch normalization folded into the convolutions, over that without."""
    one_thread()
    model = experiment.network(config(data, SIZES.width), seed=0).eval()
    model = model.to(memory_format=torch.channels_last)
    images = experiment.prepare(datasets.load_colour(data).test[:EVALUATED]).x
    with torch.no_grad():
        rounds = [
            tuple(1 / rate(lambda number, net=net: net(images), 3, 1) for net in (model, folded(model)))
            for _ in range(ROUNDS)
        ]
    return medians(("fused",), [(after / before,) for before, after in rounds])["fused"]


def folded(model: Inception) -> Inception:
    """A copy for inference whose convolutions do the work of their batch normalization."""
    made = copy.deepcopy(model)
    for module in made.modules():
        if isinstance(module, Conv):
            module.conv, module.norm = fuse_conv_bn_eval(module.conv, module.norm), nn.Identity()
    return made


def race(pool: ProcessPoolExecutor, data: str, width: float) -> dict[str, float]:
    """Medians over rounds: images a second of our loop and the tutorial's, GFLOP/s of matrix products in the
    precision of ours, and the two ratios.

    Ours runs as the workflow runs it, one process of one thread a core; the tutorial's has all cores for its
    threads and loader's workers.
    """
    rounds = []
    precision = resolve(SIZES.precision, device())
    for number in range(1, ROUNDS + 1):
        ours = sum(pool.map(our_rate, [data] * CORES, [width] * CORES))
        tutorial = tutorial_rate(data, width)
        ceiling = sum(pool.map(products_rate, [MATRIX] * CORES, [precision] * CORES))
        share = ours * operations(width) / ceiling
        rounds.append((ours, tutorial, ceiling / 1e9, ours / tutorial, share))
        print(
            f"speed: width {width:g}, round {number} of {ROUNDS}: {ours:.0f} images a second,"
            f" {ours / tutorial:.2f} times the tutorial's, {share:.0%} of the ceiling",
            flush=True,
        )
    return medians(("ours", "tutorial", "gigaflops", "times_tutorial", "share_of_ceiling"), rounds)


def tutorial_rate(data: str, width: float) -> float:
    """Images a second of the loop that most tutorials have: transforms, a DataLoader, torch's defaults."""
    sizes = config(data, width)
    images = Pictures(datasets.load_colour(data).train, tutorial_transform())
    loader = torch.utils.data.DataLoader(images, sizes.batch_size, shuffle=True, num_workers=CORES)
    model = Inception(width, norm=nn.BatchNorm2d)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=sizes.lr, momentum=sizes.momentum, weight_decay=sizes.weight_decay
    )
    batches: Iterator = endless(loader)

    def step(number: int) -> None:
        x, y = next(batches)
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    return sizes.batch_size * rate(step, STEPS[width], WARM_UP)


def tutorial_transform():
    """The same augmentation, image by image."""
    from torchvision import transforms

    strength = STRENGTHS["weak"]
    jitter = transforms.ColorJitter(strength.brightness, strength.contrast, strength.saturation)
    return transforms.Compose(
        [
            transforms.RandomCrop(augment.CROP),
            transforms.RandomHorizontalFlip(),
            jitter,
            transforms.ToTensor(),
            transforms.Normalize(augment.MEAN.tolist(), augment.STD.tolist()),
        ]
    )


def operations(width: float) -> int:
    """Floating-point operations of the products that one training image takes.

    Each layer multiplies three times: forward, for the gradient of its weights and, but for the first, for
    that of its inputs.
    """
    counted: list[int] = []

    def count(layer: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        counted.append(2 * output.numel() * layer.weight[0].numel())

    model = Inception(width)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    with torch.no_grad():
        model(torch.zeros(1, 3, augment.CROP, augment.CROP))
    return 3 * sum(counted) - counted[0]
