import torch
from torch import nn

def mean(left, right):  # BN of either path
    for _ in range(100):
        left(torch.tensor([[-1.0], [1.0]]))
        right(torch.tensor([[3.0], [5.0]]))
    # the left path, as in use
    return left.eval()(torch.tensor([[-1.0], [1.0]])).mean().abs()

shared = nn.BatchNorm1d(1)
print("mean of the left path's output in eval()")
print("expected: 0.0")
print(f"found:    {mean(shared, shared):.1f}")
print(f"mended:   {mean(nn.BatchNorm1d(1), nn.BatchNorm1d(1)):.1f}")
