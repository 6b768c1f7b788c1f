import torch
from torch import nn

torch.manual_seed(0)
u, target = torch.randn(60, 10), torch.randn(60, 1)
F1 = nn.Sequential(nn.Linear(10, 20), nn.Sigmoid())
F2 = nn.Linear(20, 1)

# of the loss, for the weights of F2
def gradient(x):
    loss = ((F2(x) - target) ** 2).mean()
    return torch.autograd.grad(loss, F2.weight)[0]

# through the whole network
whole = gradient(F1(u))
# F2 alone, given x as data
alone = gradient(F1(u).detach())
print("the same step for F2:", torch.equal(whole, alone))

before = F1(u)
loss = ((F2(before) - target) ** 2).mean()
for p, g in zip(F1.parameters(), torch.autograd.grad(loss, F1.parameters())):
    p.data -= 1.0 * g  # a step for F1 ...
print("x is what it was:", torch.equal(F1(u), before))
