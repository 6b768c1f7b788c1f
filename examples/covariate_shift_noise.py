import torch
from torch import nn

# (N, units): another distribution at every step
def noise(y, mean=1.0, scale=1.5, spread=0.1):
    units = y.shape[1]
    # of each unit, at this step
    mu = mean * (2 * torch.rand(units) - 1)
    sigma = 1 + (scale - 1) * torch.rand(units)
    # of each example
    m = mu + spread * (2 * torch.rand_like(y) - 1)
    s = sigma + spread * torch.randn_like(y)
    return s * y + m

torch.manual_seed(0)
bn = nn.BatchNorm1d(100)
for step in range(3):
    y = bn(torch.randn(60, 100))
    z = noise(y)
    before = f"{y[:, 0].mean():+.2f}, {y[:, 0].std(correction=0):.2f}"
    after = f"{z[:, 0].mean():+.2f}, {z[:, 0].std(correction=0):.2f}"
    print(f"step {step}: mean, deviation after BN {before}; with noise {after}")
