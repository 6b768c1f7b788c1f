"""What gradients written by hand have in common."""

import functools
from collections.abc import Callable

import torch


def once_differentiable(backward: Callable) -> Callable:
    """A `backward` that cannot itself be differentiated, and says so: RuntimeError under `create_graph=True`.

    torch's decorator of this name takes the second derivative for zero, without a word, where dl/dy is a
    constant.
    """

    @functools.wraps(backward)
    def once(ctx, *gradients):
        if torch.is_grad_enabled():
            raise RuntimeError(
                "this gradient is written by hand and can be differentiated only once: "
                "leave out create_graph=True, or use torch.nn's layer"
            )
        return backward(ctx, *gradients)

    return once
