import torch
from torch import nn

# g(BN(W * u)): no bias, beta does its work
def conv(inputs, outputs, kernel):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )

class InceptionModule(nn.Module):
    def __init__(self, inputs, narrow, wide):
        super().__init__()
        self.narrow = conv(inputs, narrow, kernel=1)
        self.wide = conv(inputs, wide, kernel=3)

    # the same input to both, their maps stacked
    def forward(self, u):
        return torch.cat([self.narrow(u), self.wide(u)], dim=1)

def count(layer):
    return sum(p.numel() for p in layer.parameters())

module = InceptionModule(inputs=96, narrow=32, wide=32)
# images, maps, height, width
u = torch.zeros(128, 96, 28, 28)
print("shape:     ", tuple(u.shape), "->", tuple(module(u).shape))
print(f"parameters: {count(module):,} = {count(module.narrow):,} in 1x1"
      f" + {count(module.wide):,} in 3x3")
