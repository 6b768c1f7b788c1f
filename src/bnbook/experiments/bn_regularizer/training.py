"""Section 3.4: the noise that an example gets from its mini-batch, and whether it does the work of Dropout.

Run it: `bnbook run bn_regularizer --profile cpu --jobs 2`.
Expected: an example's normalized values spread as one over the root of the batch size; noisier statistics
generalize better; Dropout gains less where there is BN than where there is none.
Takes: about twenty minutes of one core at PROFILE=cpu, seconds at PROFILE=smoke.
"""

import copy
import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bnbook.data import datasets
from bnbook.data.batches import Batches
from bnbook.data.datasets import Split
from bnbook.experiments.bn_regularizer import networks as ghost
from bnbook.experiments.bn_regularizer.protocol import Config
from bnbook.nn.batchnorm import population_statistics
from bnbook.nn.mlp import initialise
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
        batches=InCompany(batches, config.group) if config.group > config.batch_size else batches,
        steps=config.steps,
        report=report,
    )
    if not measure:
        return Measured(progress, {}, {}, {})
    final = {"chance_accuracy": 1 / datasets.CLASSES}
    if not progress.diverged:
        if config.group:
            settle(model, training, config, seed)
            if config.dropout:
                final |= shifted(model, training, config, seed)
        for name, split in ({"train": training} | held_out(config.data)).items():
            final[f"{name}_loss"], final[f"{name}_accuracy"] = evaluate(model, split)
        if config.part == "noise":
            final |= noise(model, training.x, config, seed)
    return Measured(progress, {}, final, {})


def prepare(split: Split) -> Split:
    """Flat images, binarised at half brightness, as in Section 4.1."""
    return Split((split.x.flatten(1) > 127).float(), split.y)


load = functools.cache(datasets.load)  # a process makes many short runs


@functools.cache
def held_out(data: str) -> dict[str, Split]:
    return {"validation": prepare(load(data).validation), "test": prepare(load(data).test)}


def subset(data: str, images: int, seed: int) -> Split:
    """That many training images, drawn by the seed; all for 0."""
    train = load(data).train
    if not images:
        return prepare(train)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    return prepare(train[order[:images]])


class InCompany:
    """The stream of `batches`, each followed by other images, without labels, up to `company` in all.

    BN takes its statistics over all of them, and the loss is that of the mini-batch alone. Its gradient goes
    through the others as well: they are part of the mean and the variance, and a gradient that did not know
    would be that of Section 2.
    """

    def __init__(self, batches: Batches, company: int):
        self.batches = batches
        # A seed of their own, or they would begin with the mini-batch's own images. Some may still meet it.
        self.others = Batches(batches.data, company - batches.batch_size, batches.seed + 1_000)

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs (company, ...), labels (batch_size,)."""
        x, y = self.batches[step]
        return torch.cat([x, self.others[step][0]]), y


def loss(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of the examples that have a label, the first ones."""
    return F.cross_entropy(logits[: len(y)], y)


def network(config: Config, inputs: int, seed: int) -> nn.Sequential:
    """The initialised network; networks with and without BN draw the same weights from the same seed."""
    model = ghost.network(
        inputs,
        config.hidden,
        config.depth,
        datasets.CLASSES,
        config.activation,
        config.group,
        config.dropout,
    )
    initialise(model, config.init_std, torch.Generator().manual_seed(seed))
    return model


def settle(model: nn.Sequential, training: Split, config: Config, seed: int) -> None:
    """Population statistics (Algorithm 2), over mini-batches of the size that BN normalized in training."""
    batches = Batches(training, config.group, seed)
    population_statistics(model, (batches[step][0] for step in range(config.population_batches)))


@torch.no_grad()
def shifted(model: nn.Sequential, training: Split, config: Config, seed: int) -> dict[str, float]:
    """What Dropout does to the statistics (Li et al. 2018), of a copy of the model: "shift", the variance of
    the last hidden layer's Wu while Dropout drops over that while it does not, which `model` is settled with,
    the median over units; and "test_accuracy_shifted", by statistics taken while it drops, as moving averages
    are."""
    dropping = copy.deepcopy(model).train()
    norms, settled = (
        [module for module in one if isinstance(module, nn.BatchNorm1d)] for one in (dropping, model)
    )
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain average
    batches = Batches(training, config.group, seed)
    for step in range(config.population_batches):
        dropping(batches[step][0])
    ratio = norms[-1].running_var / settled[-1].running_var
    return {
        "shift": ratio.median().item(),
        "test_accuracy_shifted": evaluate(dropping, held_out(config.data)["test"])[1],
    }


# The noise of the company


@torch.no_grad()
def noise(model: nn.Sequential, x: Tensor, config: Config, seed: int) -> dict[str, float]:
    """By batch size m and hidden layer: "noise_<m>_layer_<k>", the spread of an example's x_hat over random
    mini-batches (standard deviation: root of its mean square over examples and units), "kurtosis_layer_<k>"
    of x_hat over all training images; and "changed_<m>", how often (0 to 1) the answer is another than that
    by the population statistics.

    `x` is (N, pixels), the training images; examples and companions are drawn from it.
    """
    generator = torch.Generator().manual_seed(seed)
    model.eval()
    chosen = torch.randperm(len(x), generator=generator)[: config.examples]
    settled = model(x[chosen]).argmax(1)
    first = torch.cat([model[0](part) for part in x.split(5000)])  # Wu of the first layer, once for all
    found = {}
    x_hats, _ = ghost.in_company(model, first[:, None], config.eps)
    for layer, x_hat in enumerate(x_hats, start=1):
        found[f"kurtosis_layer_{layer}"] = kurtosis(x_hat)
    for m in config.sizes:
        x_hats, answers = companies(model, first, chosen, m, config, generator)
        for layer, values in enumerate(x_hats, start=1):
            found[f"noise_{m}_layer_{layer}"] = values.var(dim=0).mean().sqrt().item()
        found[f"changed_{m}"] = (answers != settled).float().mean().item()
    return found


def companies(
    model: nn.Sequential, first: Tensor, chosen: Tensor, m: int, config: Config, generator: torch.Generator
) -> tuple[list[Tensor], Tensor]:
    """x_hat of the `chosen` examples, by layer (companies, examples, units), and their answers (companies,
    examples), each time in mini-batches of `m` with other companions."""
    x_hats, answers = [], []
    for _ in range(config.companies):
        others = torch.randint(len(first), (m - 1, len(chosen)), generator=generator)
        index = torch.cat([chosen[None], others])
        wu = first.index_select(0, index.flatten()).view(*index.shape, -1)
        layers, logits = ghost.in_company(model, wu, config.eps)
        x_hats.append([x_hat[0] for x_hat in layers])
        answers.append(logits[0].argmax(1))
    return [torch.stack(layer) for layer in zip(*x_hats, strict=True)], torch.stack(answers)


def kurtosis(x_hat: Tensor) -> float:
    """Mean over units of the fourth moment of normalized values (N, 1, units); 3 where they are normal."""
    return x_hat.pow(4).mean().item()
