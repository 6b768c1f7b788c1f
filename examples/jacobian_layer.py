import torch
from torch import nn
from torch.func import jacrev

torch.manual_seed(0)
# normalized inputs of layer l
x = torch.randn(1000, 100)
# layer l + 1, not trained yet
linear = nn.Linear(100, 100, bias=False)
gamma = torch.ones(100)  # with BN: its scale
# without: how widely the values spread
sigma_l = 0.2 * torch.ones(100)

# from one normalized input to the next
def layer(x, s, deviation):
    return linear(torch.sigmoid(s * x)) / deviation

for name, s in {"BN": gamma, "plain": sigma_l}.items():
    # constants
    deviation = linear(torch.sigmoid(s * x)).std(0).detach()
    J = jacrev(layer)(x[0], s, deviation)
    # the same by the formula: g' = g (1 - g)
    g = torch.sigmoid(s * x[0])
    formula = linear.weight * (g * (1 - g) * s) / deviation[:, None]
    sigma = torch.linalg.svdvals(J.detach())
    share = 100 * ((sigma > 0.5) & (sigma < 2)).float().mean()
    same = torch.allclose(J, formula, atol=1e-5)
    print(f"{name:>5}: {share:.0f}% near 1, the formula gives the same: {same}")
