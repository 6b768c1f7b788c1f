"""Section 3.4: the noise that an example gets from its mini-batch, and whether it does the work of Dropout.

Run it: `bnbook run bn_regularizer --profile cpu --jobs 2`.
Expected: an example's normalized values spread as one over the root of the batch size; noisier statistics
generalize better; Dropout gains less where there is BN than where there is none.
"""

import copy
import functools
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from bnbook.data import datasets
from bnbook.data.batches import Batches
from bnbook.data.datasets import Split, binarised
from bnbook.experiments.bn_regularizer.networks import GhostBatchNorm, forward_batches
from bnbook.experiments.bn_regularizer.protocol import Config
from bnbook.nn.batchnorm import population_statistics
from bnbook.nn.mlp import MLP, initialise
from bnbook.train.checkpoint import Checkpoint
from bnbook.train.loop import train
from bnbook.train.measured import Measured
from bnbook.train.probes import evaluate


def train_run(
    config: Config,
    seed: int,
    checkpoint: Checkpoint | None,
    report: Callable[[int], None] = lambda step: None,
    measure: bool = True,
) -> Measured:
    """Train one network and measure it. A run takes seconds, so that there is no checkpoint."""
    training = subset(config.data, config.images, seed)
    model = network(config, training.x.shape[1], seed)
    torch.manual_seed(seed)  # what Dropout drops
    batches = Batches(training, config.batch_size, seed)
    progress = train(
        model=model,
        loss_function=loss,
        optimizer=torch.optim.SGD(model.parameters(), lr=config.lr),
        batches=WithCompanions(batches, config.group) if config.group > config.batch_size else batches,
        steps=config.steps,
        report=report,
    )
    if not measure:
        return Measured(progress, {}, {}, {})
    final = {"chance_accuracy": 1 / datasets.CLASSES}
    if not progress.diverged:
        if config.group:
            use_population_statistics(model, training, config, seed)
            if config.dropout:
                final |= shifted(model, training, config, seed)
        for name, split in ({"train": training} | held_out(config.data)).items():
            final[f"{name}_loss"], final[f"{name}_accuracy"] = evaluate(model, split)
        if config.part == "noise":
            final |= noise(model, training.x, config, seed)
    return Measured(progress, {}, final, {})


load = functools.cache(datasets.load)  # a process makes many short runs


@functools.cache
def held_out(data: str) -> dict[str, Split]:
    return {"validation": binarised(load(data).validation), "test": binarised(load(data).test)}


def subset(data: str, images: int, seed: int) -> Split:
    """That many training images, drawn by the seed; all for 0."""
    train = load(data).train
    if not images:
        return binarised(train)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    return binarised(train[order[:images]])


class WithCompanions:
    """The stream of `batches`, each followed by other images, without labels, up to `total` in all.

    BN takes its statistics over all of them, and the loss is that of the mini-batch alone. Its gradient goes
    through the others as well: they are part of the mean and the variance, and a gradient that did not know
    would be that of Section 2.
    """

    def __init__(self, batches: Batches, total: int):
        self.batches = batches
        # A seed of their own, or they would begin with the mini-batch's own images. Some may still meet it.
        self.others = Batches(batches.data, total - batches.batch_size, batches.seed + 1_000)

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs (total, ...), labels (batch_size,)."""
        x, y = self.batches[step]
        return torch.cat([x, self.others[step][0]]), y


def loss(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of the examples that have a label, the first ones."""
    return F.cross_entropy(logits[: len(y)], y)


def network(config: Config, inputs: int, seed: int) -> MLP:
    """The initialised network, with BN over groups of `group` examples, without for 0; both draw the same
    weights from the same seed."""
    norm = functools.partial(GhostBatchNorm, group=config.group) if config.group else None
    model = MLP(
        inputs,
        config.hidden,
        config.depth,
        datasets.CLASSES,
        norm,
        config.activation,
        dropout=config.dropout,
    )
    initialise(model, config.init_std, torch.Generator().manual_seed(seed))
    return model


def use_population_statistics(model: MLP, training: Split, config: Config, seed: int) -> None:
    """Population statistics (Algorithm 2), over mini-batches of the size that BN normalized in training."""
    batches = Batches(training, config.group, seed)
    population_statistics(model, (batches[step][0] for step in range(config.population_batches)))


@torch.no_grad()
def shifted(model: MLP, training: Split, config: Config, seed: int) -> dict[str, float]:
    """What Dropout does to the statistics (Li et al. 2018), of a copy of the model: "shift", the variance of
    the last hidden layer's Wu while Dropout drops over that while it does not, which `model` has from before,
    the median over units; and "test_accuracy_shifted", by statistics taken while it drops, as moving averages
    are."""
    dropping = copy.deepcopy(model).train()
    norms, population = ([layer.norm for layer in one.hidden] for one in (dropping, model))
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain average
    batches = Batches(training, config.group, seed)
    for step in range(config.population_batches):
        dropping(batches[step][0])
    ratio = norms[-1].running_var / population[-1].running_var
    return {
        "shift": ratio.median().item(),
        "test_accuracy_shifted": evaluate(dropping, held_out(config.data)["test"])[1],
    }


# The noise that companions make


@torch.no_grad()
def noise(model: MLP, x: Tensor, config: Config, seed: int) -> dict[str, float]:
    """By batch size m and hidden layer: "noise_<m>_layer_<k>", the spread of an example's x_hat over random
    mini-batches (standard deviation: root of its mean square over examples and units), "kurtosis_layer_<k>"
    of x_hat over all training images; and "changed_<m>", how often (0 to 1) another class is predicted
    than by the population statistics.

    `x` is (N, pixels), the training images; examples and companions are drawn from it.
    """
    generator = torch.Generator().manual_seed(seed)
    model.eval()
    chosen = torch.randperm(len(x), generator=generator)[: config.examples]
    by_population = model(x[chosen]).argmax(1)
    first = torch.cat(
        [model.hidden[0].linear(part) for part in x.split(5000)]
    )  # Wu of the first layer, once for all
    found = {}
    x_hats, _ = forward_batches(model, first[:, None], config.eps)
    for layer, x_hat in enumerate(x_hats, start=1):
        found[f"kurtosis_layer_{layer}"] = kurtosis(x_hat)
    for m in config.sizes:
        x_hats, classes = among_companions(model, first, chosen, m, config, generator)
        for layer, values in enumerate(x_hats, start=1):
            found[f"noise_{m}_layer_{layer}"] = values.var(dim=0).mean().sqrt().item()
        found[f"changed_{m}"] = (classes != by_population).float().mean().item()
    return found


def among_companions(
    model: MLP, first: Tensor, chosen: Tensor, m: int, config: Config, generator: torch.Generator
) -> tuple[list[Tensor], Tensor]:
    """x_hat of the `chosen` examples, by layer (companies, examples, units), and the classes predicted
    (companies, examples), each time in mini-batches of `m` with other companions."""
    x_hats, classes = [], []
    for _ in range(config.companies):
        others = torch.randint(len(first), (m - 1, len(chosen)), generator=generator)
        index = torch.cat([chosen[None], others])
        wu = first.index_select(0, index.flatten()).view(*index.shape, -1)
        layers, logits = forward_batches(model, wu, config.eps)
        x_hats.append([x_hat[0] for x_hat in layers])
        classes.append(logits[0].argmax(1))
    return [torch.stack(layer) for layer in zip(*x_hats, strict=True)], torch.stack(classes)


def kurtosis(x_hat: Tensor) -> float:
    """Mean over units of the fourth moment of normalized values (N, 1, units); 3 where they are normal."""
    return x_hat.pow(4).mean().item()
