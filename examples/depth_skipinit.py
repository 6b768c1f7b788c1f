import torch
from torch import nn

class Branch(nn.Module):
    def __init__(self, units, alpha):
        super().__init__()
        self.linear = nn.Linear(units, units, bias=False)
        nn.init.kaiming_normal_(self.linear.weight)
        self.alpha = nn.Parameter(torch.tensor(alpha))

    def forward(self, x):
        return x + self.alpha * self.linear(x.relu())

torch.manual_seed(0)
x = torch.randn(200, 128)
for alpha in (1.0, 0.0):  # usual, SkipInit
    net = nn.Sequential(*[Branch(128, alpha) for _ in range(27)])
    y = net(x)
    y.square().mean().backward()
    times = (y.var() / x.var()).item()
    moved = net[0].alpha.grad.abs().item() > 0
    print(f"alpha {alpha}: variance x {times:.0e}, learns: {moved}")
