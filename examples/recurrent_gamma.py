import torch
from torch import nn

def batch_norm(a, gamma):
    sd = a.std(0, correction=0)
    return gamma * (a - a.mean(0)) / (sd**2 + 1e-5) ** 0.5

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
units, steps, m = 100, 200, 100
pixels = (torch.rand(steps, m, 1) > 0.8).double()
W_x, start = torch.randn(1, units) / 10, torch.randn(m, units) / 10
target = torch.randn(m, units)
mixed = nn.init.orthogonal_(torch.empty(units, units))

for name, W_h in (("identity", torch.eye(units)), ("orthogonal", mixed)):
    for gamma in (0.1, 1.0):
        h, states = start.requires_grad_(), []
        for pixel in pixels:
            h = torch.tanh(batch_norm(h @ W_h + pixel @ W_x, gamma))
            h.retain_grad()
            states.append(h)
        (h * target).sum().backward()
        left = states[0].grad.norm() / states[-1].grad.norm()
        print(f"{name:10} gamma {gamma}: comes back times {left:.0e}")
