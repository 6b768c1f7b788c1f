"""The training loop: forward, backward, step; measure on schedule; stop where the loss is not finite."""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from bnbook.data.batches import Batches
from bnbook.train.checkpoint import Checkpoint
from bnbook.train.probes import Probe

FIRST_LOSSES = 20  # kept in every record, for replay


@dataclasses.dataclass
class Progress:
    """How far a run is: all of its state that is not in the model, the optimizer or the probes."""

    step: int = 0
    seconds: float = 0.0  # of training and measuring, over all interruptions
    first_losses: list[float] = dataclasses.field(default_factory=list)
    loss_sum: float = 0.0  # since a probe last asked
    loss_count: int = 0
    diverged: bool = False


def train(
    model: nn.Module,
    loss_function: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    batches: Batches,
    steps: int,
    probes: Sequence[Probe] = (),
    checkpoint: Checkpoint | None = None,
    report: Callable[[int], None] = lambda step: None,
) -> Progress:
    """Train `model` for `steps` mini-batches, resuming from `checkpoint` where there is one.

    `loss_function(logits, labels)` gives a scalar. A NaN or infinite loss ends the run there, with
    `diverged` set: that is a result, not an error. `report(step)` is called now and then, for progress.
    """
    progress = Progress()
    if checkpoint:
        checkpoint.restore(model, optimizer, probes, progress)
    model.train()
    began = time.perf_counter() - progress.seconds
    due = frozenset().union(*(probe.steps for probe in probes))
    while progress.step < steps and not progress.diverged:
        x, y = batches[progress.step]
        loss = loss_function(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        progress.step += 1
        _account(progress, loss.item())
        if progress.step in due and not progress.diverged:
            _measure(progress, model, probes)
        if progress.step % 500 == 0:
            progress.seconds = time.perf_counter() - began
            report(progress.step)
            if checkpoint and checkpoint.due():
                checkpoint.save(model, optimizer, probes, progress)
    progress.seconds = time.perf_counter() - began
    return progress


def _account(progress: Progress, loss: float) -> None:
    if not math.isfinite(loss):
        progress.diverged = True
        return
    progress.loss_sum += loss
    progress.loss_count += 1
    if progress.step <= FIRST_LOSSES:
        progress.first_losses.append(loss)


def _measure(progress: Progress, model: nn.Module, probes: Sequence[Probe]) -> None:
    mean_loss = progress.loss_sum / max(progress.loss_count, 1)
    for probe in probes:
        if progress.step in probe.steps:
            probe(progress.step, model, mean_loss)
    progress.loss_sum, progress.loss_count = 0.0, 0
