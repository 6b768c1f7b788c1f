"""Section 4.2: the first epoch of BN-x30, with and without its full rate for what is not normalized.

Run it: `bnbook run unprotected_parameters --profile cpu --jobs 2` (what it shares with `inception_speedups`
is made only where it is missing).
Expected: with the output layer, gamma and beta at the baseline's rate, the thirtyfold rate for all the rest
is borne well.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from bnbook.data import datasets
from bnbook.experiments.inception_speedups.training import network, prepare, train_inception
from bnbook.experiments.unprotected_parameters.protocol import Config
from bnbook.nn.batchnorm import batch_statistics
from bnbook.nn.inception import Conv, Inception
from bnbook.train.checkpoint import Checkpoint
from bnbook.train.measured import Measured
from bnbook.train.probes import StepSummary
from bnbook.train.schedules import DENSEST


def train_run(
    config: Config,
    seed: int,
    checkpoint: Checkpoint | None,
    report: Callable[[int], None] = lambda step: None,
    measure: bool = True,
) -> Measured:
    """Train one network for an epoch and watch which of its channels die."""
    torch.manual_seed(seed)  # Dropout draws from torch's own generator
    model = network(config, seed)

    def watch(data: datasets.Dataset, computing: AbstractContextManager) -> DeadChannels:
        images = prepare(data.validation.spread(config.watched)).x
        return DeadChannels(images, DENSEST(config.steps), computing)

    return train_inception(config, seed, model, checkpoint, report, measure, watch=watch)


class DeadChannels:
    """Probe: how many of the network's channels no image moves any more.

    A channel is dead where it is zero at every place of every watched image: no gradient passes a ReLU there,
    so what lies below learns nothing through it. Batch normalization uses the statistics of the watched
    images, as in training. One row a call: "step"; "train_loss", the mean since the last row; "silent_last"
    and "silent", the dead among the last module's channels and among all (0 to 1); "beta", mean |beta| of the
    last module; "output_norm", the norm of the output layer's weights.
    """

    def __init__(self, images: Tensor, steps: list[int], computing: AbstractContextManager):
        self.images = images
        self.steps = frozenset(steps)
        self.computing = computing
        self.rows: list[dict[str, float]] = []

    def __call__(self, summary: StepSummary, model: Inception) -> None:
        dead = self.dead(model)
        last = model.blocks[-1]
        of_last = torch.cat([dead[last.narrow], dead[last.wide]])
        beta = torch.cat([last.narrow.norm.bias, last.wide.norm.bias])
        self.rows.append(
            {
                "step": summary.step,
                "train_loss": summary.train_loss,
                "silent_last": of_last.float().mean().item(),
                "silent": torch.cat(list(dead.values())).float().mean().item(),
                "beta": beta.detach().abs().mean().item(),
                "output_norm": model.output.weight.detach().norm().item(),
            }
        )

    @torch.no_grad()
    def dead(self, model: Inception) -> dict[Conv, Tensor]:
        """Of each convolution, which of its channels are dead: (channels,) bool."""
        found: dict[Conv, Tensor] = {}

        def note(layer: Conv, inputs: tuple[Tensor], output: Tensor) -> None:
            found[layer] = output.amax((0, 2, 3)) <= 0

        layers = [module for module in model.modules() if isinstance(module, Conv)]
        hooks = [layer.register_forward_hook(note) for layer in layers]
        try:
            with self.computing, batch_statistics(model):
                model(self.images)
        finally:
            for hook in hooks:
                hook.remove()
        return found

    def columns(self) -> dict[str, list]:
        return {key: [row[key] for row in self.rows] for key in self.rows[0]} if self.rows else {"step": []}
