import math
import torch
from torch import nn

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
units, depth, m = 256, 30, 256

def growth(normalize):
    h, outputs = torch.randn(m, units), []
    for _ in range(depth):
        W = torch.randn(units, units) * (2 / units) ** 0.5
        y = h @ W
        if normalize:
            y = (y - y.mean(0)) / y.std(0, correction=0)
        h = nn.functional.relu(y).requires_grad_()
        h.retain_grad()
        outputs.append(h)
    (h * torch.randn(m, units)).sum().backward()
    # away from both ends
    near, far = (outputs[i].grad.norm() for i in (4, -5))
    return (near / far) ** (1 / (depth - 9))

print(f"with normalization  {growth(True):.3f} a layer")
print(f"theory              {math.sqrt(math.pi / (math.pi - 1)):.3f}")
print(f"without             {growth(False):.3f}")
