import torch
from torch import nn

torch.manual_seed(0)
x = 10 * torch.randn(2, 4)  # a batch of 2

def sizes(norm):
    rounded = norm(x).abs().mul(100).round()
    return rounded.unique().numel()

print("different sizes among the 8 outputs")
print("expected: 8")
print("found:   ", sizes(nn.BatchNorm1d(4)))
print("mended:  ", sizes(nn.LayerNorm(4)))
