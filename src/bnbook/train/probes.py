"""Callbacks that measure a network while it trains. A probe changes nothing that training can notice."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bnbook.data.datasets import Split
from bnbook.nn.batchnorm import batch_statistics, inference_statistics
from bnbook.nn.mlp import MLP, HiddenLayer


@dataclasses.dataclass(frozen=True)
class StepSummary:
    """Training as a probe meets it: after which step, with what mean training loss (nats) since the last call
    of any probe, after how many seconds of training alone."""

    step: int
    train_loss: float
    train_seconds: float


class Probe(Protocol):
    """Called after each step in `steps`."""

    steps: frozenset[int]
    rows: list[Any]  # what it measured; saved in checkpoints

    def __call__(self, summary: StepSummary, model: nn.Module) -> None: ...


class Evaluation:
    """Loss and accuracy on whole splits, in evaluation mode.

    One row a call: {"step", "train_loss", "train_seconds", "<split>_accuracy" (0 to 1), "<split>_loss"
    (nats)}. With batch normalization these are by its moving averages. Where `population` holds training
    mini-batches (tensors of inputs), "<split>_accuracy_population" and "<split>_loss_population" are beside
    them: by Algorithm 2's statistics over these, the parameters as they are. They are the ones to judge by,
    since moving averages lag behind a network that learns fast; without `moving` these are left out. `chunk`
    and `computing` as for `evaluate`.
    """

    def __init__(
        self,
        splits: dict[str, Split],
        steps: Iterable[int],
        chunk: int = 2000,
        computing: AbstractContextManager = nullcontext(),  # noqa: B008 - it holds nothing
        population: Sequence[Tensor] = (),
        moving: bool = True,
    ):
        self.splits = splits
        self.steps = frozenset(steps)
        self.chunk = chunk
        self.computing = computing
        self.population = population
        self.moving = moving
        self.rows: list[dict[str, float | None]] = []

    def __call__(self, summary: StepSummary, model: nn.Module) -> None:
        row = dataclasses.asdict(summary)
        if self.moving:
            row |= self._measured(model)
        if self.population:
            with inference_statistics(model, self.population, self.computing):
                row |= {f"{name}_population": value for name, value in self._measured(model).items()}
        self.rows.append(row)

    def _measured(self, model: nn.Module) -> dict[str, float | None]:
        found = {}
        for name, split in self.splits.items():
            found[f"{name}_loss"], found[f"{name}_accuracy"] = evaluate(
                model, split, self.chunk, self.computing
            )
        return found

    def columns(self) -> dict[str, list]:
        return {key: [row[key] for row in self.rows] for key in self.rows[0]} if self.rows else {"step": []}


class SigmoidInputs:
    """Percentiles of the input of every sigmoid of the last hidden layer, over a fixed batch (Figure 1b, 1c).

    With BN the layers use the batch's own statistics, as they do while training: it is the distribution that
    the sigmoids see. Beside it Wu, before BN. One row a call: (names, percentiles, units).
    """

    def __init__(self, x: Tensor, percentiles: tuple[int, ...], steps: Iterable[int]):
        self.x = x
        self.levels = torch.tensor(percentiles) / 100
        self.steps = frozenset(steps)
        self.rows: list[tuple[int, dict[str, np.ndarray]]] = []

    def __call__(self, summary: StepSummary, model: MLP) -> None:
        layer = cast(HiddenLayer, model.hidden[-1])
        with torch.no_grad(), batch_statistics(model):
            u = model.below_last(self.x)
            measured = {"input_percentiles": layer.preactivation(u)}
            if not isinstance(layer.norm, nn.Identity):
                measured["wu_percentiles"] = layer.linear(u)
        quantiles = {
            name: torch.quantile(value, self.levels, dim=0).numpy() for name, value in measured.items()
        }
        self.rows.append((summary.step, quantiles))

    def arrays(self) -> dict[str, np.ndarray]:
        """ "percentile_step" (T,), "input_percentiles" (T, 3, units), with BN "wu_percentiles" likewise."""
        if not self.rows:
            return {}
        names = self.rows[0][1]
        steps = np.array([step for step, _ in self.rows])
        return {"percentile_step": steps} | {
            name: np.stack([row[name] for _, row in self.rows]) for name in names
        }


@torch.no_grad()
def evaluate(
    model: nn.Module,
    split: Split,
    chunk: int = 2000,
    computing: AbstractContextManager = nullcontext(),  # noqa: B008 - it holds nothing
) -> tuple[float | None, float]:
    """Mean cross-entropy (nats) and accuracy (0 to 1) of `model` in evaluation mode on all of `split`.

    A loss that is not finite, as of a network that has just diverged, is None. The model's mode is restored.
    In chunks, so that activations stay in the processor's cache; the forward pass in the context `computing`.
    """
    was_training = model.training
    model.eval()
    loss = correct = 0.0
    for x, y in zip(split.x.split(chunk), split.y.split(chunk), strict=True):
        with computing:
            logits = model(x)
        loss += F.cross_entropy(logits.float(), y, reduction="sum").item()
        correct += (logits.argmax(1) == y).sum().item()
    model.train(was_training)
    return loss / len(split) if math.isfinite(loss) else None, correct / len(split)
