import torch
from torch import nn

u = torch.relu(torch.randn(4, 8, 14, 14))
layers = {
    "before": [nn.Conv2d(8, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU()],
    "after": [nn.Conv2d(8, 16, 3), nn.ReLU(), nn.BatchNorm2d(16)],
    "input": [nn.BatchNorm2d(8), nn.Conv2d(8, 16, 3), nn.ReLU()],
}
for name, parts in layers.items():
    layer = nn.Sequential(*parts)
    count = sum(p.numel() for p in layer.parameters())
    print(f"{name}: {tuple(layer(u).shape)}, {count} parameters")
