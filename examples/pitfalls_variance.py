import torch
from torch import nn

m = 4
torch.manual_seed(0)
x = torch.randn(m, 1)
# momentum 1: running_var is this batch's
bn = nn.BatchNorm1d(1, momentum=1.0)

def deviation():
    return f"{bn(x).std(correction=0):.3f}"

print("deviation of the same batch's output")
print("expected:", deviation())  # in train()
bn.eval()
print("found:   ", deviation())
bn.running_var *= (m - 1) / m
print("mended:  ", deviation())
