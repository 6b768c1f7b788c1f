"""The training loop: forward, backward, step; measure on schedule; stop where the loss is not finite."""

import dataclasses
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Protocol

import torch
from torch import Tensor, nn

from bnbook.train.checkpoint import Checkpoint
from bnbook.train.probes import Probe, StepSummary

FIRST_LOSSES = 20  # kept in every record, for replay


@dataclasses.dataclass
class Progress:
    """How far a run is: all of its state that is not in the model, the optimizer or the probes."""

    step: int = 0
    seconds: float = 0.0  # of training and measuring, over all interruptions
    measuring_seconds: float = 0.0  # of them, spent in probes and checkpoints
    first_losses: list[float] = dataclasses.field(default_factory=list)
    loss_sum: float = 0.0  # since a probe last asked
    loss_count: int = 0
    diverged: bool = False


_most: ContextVar[int] = ContextVar("most", default=sys.maxsize)


@contextmanager
def at_most(steps: int) -> Iterator[None]:
    """Within it, training stops after `steps` steps. To ask for a shorter run would not do: where the rate
    falls over the length of the run, its first steps would be others."""
    token = _most.set(steps)
    try:
        yield
    finally:
        _most.reset(token)


_nudge: ContextVar[int] = ContextVar("nudge", default=0)


@contextmanager
def nudged(units: int) -> Iterator[None]:
    """Within it, training begins with every parameter moved by `units` units in its last place, up or down as
    a coin falls: what comes out otherwise shows how a rounding error grows in that run."""
    token = _nudge.set(units)
    try:
        yield
    finally:
        _nudge.reset(token)


@torch.no_grad()
def _move(model: nn.Module, units: int) -> None:
    generator = torch.Generator().manual_seed(units)
    for parameter in model.parameters():
        up = torch.randint(2, parameter.shape, generator=generator).bool().to(parameter.device)
        towards = torch.where(up, torch.inf, -torch.inf).to(parameter.dtype)
        moved = parameter.clone()
        for _ in range(units):
            moved = torch.nextafter(moved, towards)
        parameter.copy_(torch.where(parameter == 0, parameter, moved))


class Stream(Protocol):
    """Mini-batches addressed by step: `bnbook.data.batches.Batches`, or an augmentation of it."""

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]: ...


def train(
    model: nn.Module,
    loss_function: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    batches: Stream,
    steps: int,
    probes: Sequence[Probe] = (),
    checkpoint: Checkpoint | None = None,
    report: Callable[[int], None] = lambda step: None,
    learning_rate: Callable[[int], float] | None = None,
    computing: AbstractContextManager = nullcontext(),  # noqa: B008 - it holds nothing
) -> Progress:
    """Train `model` for `steps` mini-batches, resuming from `checkpoint` where there is one.

    `loss_function(logits, labels)` gives a scalar. A NaN or infinite loss ends the run there, with
    `diverged` set: that is a result, not an error. `report(step)` is called now and then, for progress.
    `learning_rate(step)`, steps from 0, is set before each step, times the "lr_factor" of the optimizer's
    group where that has one; without it the optimizer's own stays. The forward pass runs in the context
    `computing` (`bnbook.train.precision.autocast`).
    """
    progress = Progress()
    if checkpoint:
        checkpoint.restore(model, optimizer, probes, progress)
    if units := _nudge.get():
        _move(model, units)
    model.train()
    began = time.perf_counter() - progress.seconds
    due = frozenset().union(*(probe.steps for probe in probes))
    last = min(steps, _most.get())
    while progress.step < last and not progress.diverged:
        x, y = batches[progress.step]
        if learning_rate:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(progress.step) * group.get("lr_factor", 1.0)
        with computing:
            loss = loss_function(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        progress.step += 1
        _account(progress, loss.item())
        progress.seconds = time.perf_counter() - began
        if progress.step in due and not progress.diverged:
            _measure(progress, model, probes)
        if progress.step % 500 == 0:
            report(progress.step)
        if checkpoint and checkpoint.due():
            checkpoint.save(model, optimizer, probes, progress)
        progress.measuring_seconds += time.perf_counter() - began - progress.seconds
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
    summary = StepSummary(
        step=progress.step,
        train_loss=progress.loss_sum / max(progress.loss_count, 1),
        train_seconds=progress.seconds - progress.measuring_seconds,
    )
    for probe in probes:
        if progress.step in probe.steps:
            probe(summary, model)
    progress.loss_sum, progress.loss_count = 0.0, 0
