"""After the paper: one network, five normalizations, mini-batches that are small or sorted by class.

Run it: `bnbook run small_batches --profile cpu --jobs 2`.
Expected: with two images batch normalization falls behind group normalization, which does not ask how many
there are; with 32 and more it does not. In mini-batches of one class each, whose mean says nothing of the
class any more, it learns nothing, and the others do.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bnbook.data import datasets
from bnbook.data.augment import AugmentedBatches, centre_crop
from bnbook.data.batches import Batches
from bnbook.data.datasets import Split
from bnbook.experiments.small_batches.networks import BatchRenorm, network
from bnbook.experiments.small_batches.protocol import Config
from bnbook.nn.batchnorm import LAYERS, inference_statistics
from bnbook.train.checkpoint import Checkpoint
from bnbook.train.loop import train
from bnbook.train.measured import Measured
from bnbook.train.probes import evaluate
from bnbook.train.schedules import exponential

CHUNK = 250  # images at a time: their activations stay in the processor's cache
TRACKING = (LAYERS, BatchRenorm)  # that have moving averages


def train_run(
    config: Config,
    seed: int,
    checkpoint: Checkpoint | None,
    report: Callable[[int], None] = lambda step: None,
    measure: bool = True,
) -> Measured:
    """Train one network and ask it in every way (`answers`). A run takes seconds to a minute, and
    renormalization counts its steps, so that there is no checkpoint."""
    data = datasets.load_colour(config.data)
    batches = stream(data.train, config, config.order, seed)
    model = network(config, seed)
    progress = train(
        model=model,
        loss_function=F.cross_entropy,
        optimizer=torch.optim.SGD(model.parameters(), lr=config.lr, momentum=config.momentum),
        batches=batches,
        steps=config.steps,
        report=report,
        learning_rate=exponential(config.lr, config.lr_fall, config.steps),
    )
    if not measure:
        return Measured(progress, {}, {}, {})
    final = {"chance_accuracy": 1 / datasets.CLASSES}
    if not progress.diverged:
        name, split = ("test", data.test) if config.tested else ("validation", data.validation)
        found = answers(model, config, data.train, split, seed)
        final |= {f"{name}_accuracy{way}": value for way, value in found.items()}
    return Measured(progress, {}, final, {})


# Mini-batches


class Sorted(Batches):
    """The stream of mini-batches of one class each. An epoch shuffles within the classes, and then the
    mini-batches; what a class leaves over is dropped."""

    def __init__(self, data: Split, batch_size: int, seed: int):
        super().__init__(data, batch_size, seed)
        self.classes = [(data.y == label).nonzero().flatten() for label in data.y.unique()]
        self.per_epoch = sum(len(members) // batch_size for members in self.classes)

    def _permutation(self, epoch: int) -> Tensor:
        order = self._shuffled(len(self.data), epoch)
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(order))
        cut = []
        for members in self.classes:
            members = members[rank[members].argsort()]
            kept = len(members) // self.batch_size * self.batch_size
            cut.append(members[:kept].view(-1, self.batch_size))
        whole = torch.cat(cut)
        return whole[self._shuffled(len(whole), epoch + 1_000_000)].flatten()  # no run has so many epochs


ORDERS = {"shuffled": Batches, "sorted": Sorted}


def stream(split: Split, config: Config, order: str, seed: int) -> AugmentedBatches:
    """Cropped and flipped mini-batches of training."""
    return AugmentedBatches(ORDERS[order](split, config.batch_size, seed), "none", seed)


# Answers by other statistics


def answers(model: nn.Module, config: Config, training: Split, asked: Split, seed: int) -> dict[str, float]:
    """Accuracy (0 to 1) on `asked`:

    - "": in evaluation mode, as a library has it; with running statistics, by these moving averages;
    - "_batch", where it looks at other images in training: as it is then, in mini-batches of the same size
      and order, nothing being updated;
    - "_population", of BN and ghost BN: by Algorithm 2's statistics, over mini-batches as in training;
    - "_shuffled", of these if mini-batches were sorted: the same over shuffled ones.
    """
    prepared = Split(centre_crop(asked.x).contiguous(memory_format=torch.channels_last), asked.y)
    found = {"": evaluate(model, prepared, CHUNK)[1]}
    if any(isinstance(layer, TRACKING) for layer in model.modules()):
        found["_batch"] = as_in_training(model, prepared, config, seed)
    if any(isinstance(layer, LAYERS) for layer in model.modules()):
        orders = {"_population": config.order}
        if config.order == "sorted":
            orders["_shuffled"] = "shuffled"
        for way, order in orders.items():
            batches = stream(training, config, order, seed)
            following = range(config.steps, config.steps + config.population_images // config.batch_size)
            with inference_statistics(model, (batches[step][0] for step in following)):
                found[way] = evaluate(model, prepared, CHUNK)[1]
    return found


@torch.no_grad()
def as_in_training(model: nn.Module, asked: Split, config: Config, seed: int) -> float:
    """Accuracy in training mode over one epoch of mini-batches of `asked`, cut as those of training; `model`
    stays as it is."""
    frozen = copy.deepcopy(model).train()
    for layer in frozen.modules():
        if isinstance(layer, TRACKING):
            layer.momentum = 0.0
    batches = ORDERS[config.order](asked, config.batch_size, seed)
    right = 0
    for step in range(batches.per_epoch):
        x, y = batches[step]
        right += (frozen(x).argmax(1) == y).sum().item()
    return right / (batches.per_epoch * config.batch_size)
