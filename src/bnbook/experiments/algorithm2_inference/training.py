"""Section 3.1, Algorithm 2: population statistics, moving averages and test-batch statistics.

Run it: `bnbook run algorithm2_inference --profile cpu --jobs 2`.
Expected: moving averages answer much as the population statistics do; test batches answer worse the smaller
they are, and a batch of one not at all; the factor m / (m - 1) matters for small m only; folded into the
layer before it, batch normalization gives the same answers in less time; moving averages lag behind a network
that learns fast.
"""

import copy
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bnbook.data import datasets
from bnbook.data.batches import Batches
from bnbook.data.datasets import Split, binarised
from bnbook.experiments.algorithm2_inference.networks import (
    AveragedBatchNorm,
    alone,
    biased,
    folded,
    mean_gain,
)
from bnbook.experiments.algorithm2_inference.protocol import (
    COUNT_EVERY,
    COUNT_GROWTH,
    COUNTS,
    FEW,
    LAG_GROWTH,
    LAGGING,
    MOVING,
    TEST_BATCHES,
    Config,
)
from bnbook.nn.batchnorm import batch_statistics, inference_statistics, population_statistics
from bnbook.nn.mlp import MLP, initialise
from bnbook.train.checkpoint import Checkpoint
from bnbook.train.loop import Progress, train
from bnbook.train.measured import Measured
from bnbook.train.probes import StepSummary, evaluate
from bnbook.train.schedules import SPARSE, log_then_even

CHUNK = 2000  # images at once where the statistics are fixed
INPUTS = 784  # of the fold's random images
REPEATS = 10  # forward passes that a timing lasts


def train_run(
    config: Config,
    seed: int,
    checkpoint: Checkpoint | None,
    report: Callable[[int], None] = lambda step: None,
    measure: bool = True,
) -> Measured:
    """One run of the configuration's part; the fold has nothing to checkpoint."""
    if config.part == "fold":
        return fold(config, seed)
    dataset = datasets.load(config.data)
    training, test = binarised(dataset.train_and_validation), binarised(dataset.test)
    del dataset
    model = network(config, training.x.shape[1], seed)
    batches = Batches(training, config.batch_size, seed)
    asked = probe(test, batches, config)
    progress = train(
        model=model,
        loss_function=F.cross_entropy,
        optimizer=torch.optim.SGD(model.parameters(), lr=config.lr),
        batches=batches,
        steps=config.steps,
        probes=[asked] if measure else [],
        checkpoint=checkpoint,
        report=report,
    )
    if not measure:
        return Measured(progress, {}, {}, {})
    final = {"chance_accuracy": 1 / datasets.CLASSES}
    if not progress.diverged:
        final |= end_point(model, asked, training, config)
    return Measured(progress, {"answers": asked.columns()} if asked.steps else {}, final, {})


def network(config: Config, inputs: int, seed: int) -> MLP:
    """The network of Section 4.1, its layers keeping all the moving averages."""

    momenta = LAGGING if config.part == "lag" else MOVING

    def norm(units: int) -> nn.Module:
        return AveragedBatchNorm(units, list(momenta.values()), config.eps)

    model = MLP(inputs, config.hidden, config.depth, datasets.CLASSES, norm)
    initialise(model, config.init_std, torch.Generator().manual_seed(seed))
    return model


# One network, several statistics


def probe(test: Split, batches: Batches, config: Config) -> "Predictions | AccuracyCurves":
    """What asks the network along the way, as its part has it; "small" is asked at the end alone."""
    match config.part:
        case "lag":
            steps = log_then_even(config.steps, LAG_GROWTH, config.steps)
            return AccuracyCurves(test, batches, config, steps, [config.population_batches], LAGGING)
        case "count":
            steps = log_then_even(config.steps, COUNT_GROWTH, COUNT_EVERY)
            return AccuracyCurves(test, batches, config, steps, COUNTS)
        case "net":
            steps = SPARSE(config.steps)
            return Predictions(test, batches, config, steps)
    return Predictions(test, batches, config, [])


class AccuracyCurves:
    """Probe: test accuracy (0 to 1) by Algorithm 2, with each of `counts` mini-batches, and by each of the
    moving averages `moving`, which the network keeps in that order.

    One row a call: {"step", "population_<count>_accuracy", "<moving>_accuracy"}. The mini-batches are those
    after the run's own, the same for each row, as in Section 4.1.
    """

    def __init__(
        self,
        test: Split,
        batches: Batches,
        config: Config,
        steps: Iterable[int],
        counts: Sequence[int],
        moving: Iterable[str] = (),
    ):
        self.test = test
        self.steps = frozenset(steps)
        self.counts = counts
        self.moving = tuple(moving)
        following = range(config.steps, config.steps + max(counts))
        self.population = [batches[number][0] for number in following]
        self.rows: list[dict[str, float]] = []

    def __call__(self, summary: StepSummary, model: MLP) -> None:
        row: dict[str, float] = {"step": summary.step}
        for count in self.counts:
            with inference_statistics(model, self.population[:count]):
                row[f"population_{count}_accuracy"] = evaluate(model, self.test)[1]
        for number, name in enumerate(self.moving):
            row[f"{name}_accuracy"] = evaluate(by_average(model, number), self.test)[1]
        self.rows.append(row)

    def columns(self) -> dict[str, list]:
        return columns(self.rows)


def columns(rows: Sequence[dict[str, float]]) -> dict[str, list]:
    return {key: [row[key] for row in rows] for key in rows[0]} if rows else {"step": []}


def by_average(model: MLP, number: int) -> MLP:
    """A copy with the `number`-th of its moving averages as its statistics of inference."""
    chosen = copy.deepcopy(model)
    for layer in chosen.hidden:
        layer.norm.use(number)
    return chosen


class Predictions:
    """Probe: what the network predicts on the test set in each inference mode of `MODES`, its parameters as
    they are.

    One row a call: {"step", and for each mode "<mode>_accuracy" (0 to 1) and "<mode>_disagreement", the share
    of test images of which it predicts another class than the population statistics do; for test batches
    "<mode>_company", the share for which other companions in the batch change the class}.
    """

    def __init__(self, test: Split, batches: Batches, config: Config, steps: Iterable[int]):
        self.test = test
        self.batches = batches
        self.population_batches = config.population_batches
        self.steps = frozenset(steps)
        self.rows: list[dict[str, float]] = []
        generator = torch.Generator().manual_seed(0)  # one order of the test images for all runs
        self.orders = [torch.randperm(len(test), generator=generator) for _ in range(2)]

    def __call__(self, summary: StepSummary, model: MLP) -> None:
        row: dict[str, float] = {"step": summary.step}
        predicted = dict(self.modes(model, summary.step))
        for name, own in predicted.items():
            row[f"{name}_accuracy"] = share(own == self.test.y)
            row[f"{name}_disagreement"] = share(own != predicted["population"])
        for name, size in TEST_BATCHES.items():
            elsewhere = in_batches(model, self.test.x, self.orders[1], size)
            row[f"{name}_company"] = share(predicted[name] != elsewhere)
        self.rows.append(row)

    def modes(self, model: MLP, step: int) -> Iterator[tuple[str, Tensor]]:
        """(name, (N,) classes) of each mode, in the order of `MODES`; `model` is left as it is."""
        for name, count in {"population": self.population_batches, **FEW}.items():
            yield name, by_fixed(self.population(model, step, count), self.test.x)
        for number, name in enumerate(MOVING):
            yield name, by_fixed(by_average(model, number), self.test.x)
        for name, size in TEST_BATCHES.items():
            yield name, in_batches(model, self.test.x, self.orders[0], size)
        yield "test_1", alone(model).argmax().expand(len(self.test))
        yield "test_sorted", in_batches(model, self.test.x, self.test.y.argsort(stable=True), 60)

    def population(self, model: MLP, step: int, count: int) -> MLP:
        """A copy with population statistics (Algorithm 2) from the `count` mini-batches after `step`."""
        frozen = copy.deepcopy(model)
        population_statistics(frozen, (self.batches[number][0] for number in range(step, step + count)))
        return frozen

    def columns(self) -> dict[str, list]:
        return columns(self.rows)


def share(which: Tensor) -> float:
    return which.sum().item() / len(which)


@torch.no_grad()
def by_fixed(model: MLP, x: Tensor) -> Tensor:
    """(N,) classes by the statistics that `model` holds, in evaluation mode from now on."""
    model.eval()
    return torch.cat([model(part).argmax(1) for part in x.split(CHUNK)])


@torch.no_grad()
def in_batches(model: MLP, x: Tensor, order: Tensor, size: int) -> Tensor:
    """(N,) classes of the images x (N, inputs), cut in the given order into test batches of `size` (the last
    may be smaller), each by its own statistics."""
    classes = torch.empty(len(x), dtype=torch.long)
    with batch_statistics(model):
        for members in order.split(size):
            classes[members] = model(x[members]).argmax(1)
    return classes


# End points


def end_point(
    model: MLP, asked: Predictions | AccuracyCurves, training: Split, config: Config
) -> dict[str, float]:
    """The end point's numbers of the configuration's part; where a curve was followed its last row, by the
    usual momentum "test_accuracy" and by Algorithm 2 "test_accuracy_population"."""
    if isinstance(asked, AccuracyCurves):
        last = asked.rows[-1]
        truth = last[f"population_{config.population_batches}_accuracy"]
        return {"test_accuracy": last.get("moving_10_accuracy", truth), "test_accuracy_population": truth}
    found = estimates(model, asked, training, config.steps)
    return found | folding(model, asked, config.steps) if config.part == "net" else found


def folding(model: MLP, asked: Predictions, step: int) -> dict[str, float]:
    """Accuracies of the last row, and what folding changes: the largest difference of a test image's logits
    over the largest logit, and the share of images that are then answered otherwise."""
    last = asked.rows[-1]
    frozen = asked.population(model, step, asked.population_batches).eval()
    with torch.no_grad():
        before, after = frozen(asked.test.x), folded(frozen)(asked.test.x)
    return {
        "test_accuracy": last["moving_10_accuracy"],
        "test_accuracy_population": last["population_accuracy"],
        "fold_difference": ((before - after).abs().max() / before.abs().max()).item(),
        "fold_otherwise": share(before.argmax(1) != after.argmax(1)),
    }


def estimates(model: MLP, asked: Predictions, training: Split, step: int) -> dict[str, float]:
    """Loss, test accuracy and variance by Algorithm 2 as it stands ("unbiased"), without the factor
    m / (m - 1) ("biased"), and with training's mean gain ("gain"); the variance is that of a unit of the
    first layer over its variance on all training images, the mean over units."""
    m = asked.batches.batch_size
    frozen = asked.population(model, step, asked.population_batches)
    first = frozen.hidden[0]
    with torch.no_grad():
        true = torch.cat([first.linear(x) for x in training.x.split(CHUNK)]).var(0)
    following = range(step, step + asked.population_batches)
    final = {}
    for name, change in {
        "unbiased": lambda: None,
        "biased": lambda: biased(frozen, m),
        "gain": lambda: mean_gain(frozen, (asked.batches[number][0] for number in following)),
    }.items():
        change()
        final[f"{name}_loss"], final[f"{name}_accuracy"] = evaluate(frozen, asked.test)
        final[f"{name}_variance"] = (first.norm.running_var / true).mean().item()
    return final | {"test_accuracy": final["unbiased_accuracy"]}


# What folding saves


def fold(config: Config, seed: int) -> Measured:
    """Microseconds of the processor for an answer to `batch_size` images at once, with torch's layer and with
    batch normalization folded away: medians of `steps` rounds that measure one after the other, and the
    median of their ratio."""
    began = time.perf_counter()
    generator = torch.Generator().manual_seed(seed)
    model = MLP(INPUTS, config.hidden, config.depth, datasets.CLASSES, nn.BatchNorm1d).eval()
    initialise(model, config.init_std, generator)
    x = torch.rand(config.batch_size, INPUTS, generator=generator)
    lean = folded(model)
    rounds = [(_microseconds(model, x), _microseconds(lean, x)) for _ in range(config.steps + 2)]
    rounds = rounds[2:]  # the first warm up
    final = {
        "microseconds": statistics.median(layer for layer, _ in rounds),
        "folded_microseconds": statistics.median(lean for _, lean in rounds),
        "times_folded": statistics.median(layer / lean for layer, lean in rounds),
    }
    progress = Progress(step=config.steps, seconds=time.perf_counter() - began)
    return Measured(progress, {}, final, {})


@torch.no_grad()
def _microseconds(model: MLP, x: Tensor) -> float:
    began = time.thread_time()  # other processes do not disturb it, as they do the clock on the wall
    for _ in range(REPEATS):
        model(x)
    return 1e6 * (time.thread_time() - began) / REPEATS
