import torch
from torch import nn

torch.manual_seed(0)
# (m, maps, p, q)
x = torch.relu(torch.randn(4, 8, 28, 28))
# over images and positions
per_map = x.mean((0, 2, 3))
per_activation = x.mean(0)  # over images alone
print("per map:       ", tuple(per_map.shape), "means of", x[:, 0].numel(), "values")
print("per activation:", tuple(per_activation.shape), "means of", len(x), "values")

# (1, maps, 1, 1)
mean = x.mean((0, 2, 3), keepdim=True)
variance = x.var((0, 2, 3), correction=0, keepdim=True)
by_hand = (x - mean) / (variance + 1e-5) ** 0.5

# the same, with gamma and beta
bn = nn.BatchNorm2d(8)
print("as nn.BatchNorm2d:", torch.allclose(bn(x), by_hand, atol=1e-5))
print("gamma, beta:", tuple(bn.weight.shape), tuple(bn.bias.shape))
