import torch
from torch import nn

torch.manual_seed(0)
u, target = torch.randn(4, 3, 14, 14), torch.randn(4, 8, 12, 12)
conv, bn = nn.Conv2d(3, 8, 3, bias=True), nn.BatchNorm2d(8)
with torch.no_grad():
    conv.bias.copy_(torch.randn(8))  # far from 0
    without = nn.functional.conv2d(u, conv.weight)
    print("same output without the bias:",
          torch.allclose(bn(conv(u)), bn(without), atol=1e-4))

((bn(conv(u)) - target) ** 2).mean().backward()
for name, p in {"W": conv.weight, "b": conv.bias, "beta": bn.bias}.items():
    zero = bool(p.grad.abs().max() < 1e-6)
    print(f"gradient of {name}: {'0' if zero else 'not 0'}")
