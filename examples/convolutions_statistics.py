import torch
from torch import nn

torch.manual_seed(0)
x = torch.relu(torch.randn(4, 8, 28, 28))     # (m, maps, p, q)
per_map = x.mean((0, 2, 3))                   # over images and positions
per_activation = x.mean(0)                    # over images alone
print("per map:       ", tuple(per_map.shape), "means of", x[:, 0].numel(), "values")
print("per activation:", tuple(per_activation.shape), "means of", len(x), "values")

mean = x.mean((0, 2, 3), keepdim=True)        # (1, maps, 1, 1)
variance = x.var((0, 2, 3), correction=0, keepdim=True)
by_hand = (x - mean) / (variance + 1e-5) ** 0.5

bn = nn.BatchNorm2d(8)                        # the same, with gamma and beta
print("as nn.BatchNorm2d:", torch.allclose(bn(x), by_hand, atol=1e-5))
print("gamma, beta:", tuple(bn.weight.shape), tuple(bn.bias.shape))
