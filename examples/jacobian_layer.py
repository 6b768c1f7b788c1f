import torch
from torch import nn
from torch.func import jacrev

torch.manual_seed(0)
x = torch.randn(1000, 100)                # normalized inputs of layer l
linear = nn.Linear(100, 100, bias=False)  # layer l + 1, not trained yet
gamma = torch.ones(100)                   # with BN: its scale
sigma_l = 0.2 * torch.ones(100)           # without: how widely the values spread

def layer(x, s, deviation):               # from one normalized input to the next
    return linear(torch.sigmoid(s * x)) / deviation

for name, s in {"BN": gamma, "plain": sigma_l}.items():
    deviation = linear(torch.sigmoid(s * x)).std(0).detach()  # constants
    J = jacrev(layer)(x[0], s, deviation)
    g = torch.sigmoid(s * x[0])           # the same by the formula: g' = g (1 - g)
    formula = linear.weight * (g * (1 - g) * s) / deviation[:, None]
    sigma = torch.linalg.svdvals(J.detach())
    share = 100 * ((sigma > 0.5) & (sigma < 2)).float().mean()
    same = torch.allclose(J, formula, atol=1e-5)
    print(f"{name:>5}: {share:.0f}% near 1, the formula gives the same: {same}")
