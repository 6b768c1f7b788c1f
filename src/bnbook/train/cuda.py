"""A GPU's way through a small network: launch it whole. Told kernel by kernel, it waits for the CPU most of a
step; recorded once as CUDA graphs, forward and backward are one launch each."""

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn


def recorded(
    layers: nn.Sequential, x: Tensor, computing: AbstractContextManager
) -> Callable[[Tensor], Tensor]:
    """`layers` in training mode, for inputs of the shape of `x`, as CUDA graphs of the forward and the
    backward pass; the numbers are those that `layers` gives. Recording makes passes of its own, after which
    buffers (the running statistics of batch normalization) are as before. Nothing in `layers` may draw random
    numbers."""
    before = copy.deepcopy(dict(layers.named_buffers()))
    with computing:
        graphed = torch.cuda.make_graphed_callables(layers, (x.clone(),))
    for name, buffer in layers.named_buffers():
        buffer.copy_(before[name])
    return graphed
