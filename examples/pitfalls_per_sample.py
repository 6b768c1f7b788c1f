import torch
from torch import nn
from torch.func import functional_call, grad, vmap

def gradients(norm):
    model = nn.Sequential(nn.Linear(3, 4), norm, nn.Linear(4, 1))
    parameters = dict(model.named_parameters())

    def loss(parameters, x):  # of one sample
        return functional_call(model, parameters, x[None]).sum()

    try:
        each = vmap(grad(loss), (None, 0))
        return len(each(parameters, torch.randn(60, 3))["0.weight"])
    except (RuntimeError, ValueError) as error:
        return type(error).__name__

print("gradients of a batch of 60, one a sample")
print("expected: 60")
print("found:   ", gradients(nn.BatchNorm1d(4)))
print("mended:  ", gradients(nn.GroupNorm(2, 4)))
