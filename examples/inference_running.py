import torch
from torch import nn

torch.manual_seed(0)
a, m = 0.1, 60  # the momentum and the batch size
bn = nn.BatchNorm1d(4, momentum=a)
# where running statistics start
mean, var = torch.zeros(4), torch.ones(4)

for step in range(1, 101):
    x = 3 + 2 * torch.randn(m, 4)
    bn(x)
    mean = (1 - a) * mean + a * x.mean(0)
    var = (1 - a) * var + a * m / (m - 1) * x.var(0, correction=0)
    if step in (1, 10, 100):
        print(f"step {step:>3}: mean {mean[0]:.1f}, variance {var[0]:.1f}")

print("as PyTorch has it:", torch.allclose(mean, bn.running_mean, atol=1e-4)
      and torch.allclose(var, bn.running_var, atol=1e-4))
