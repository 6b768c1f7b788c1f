import torch
from torch import nn

def network(bn, units=64, depth=10):
    layers = []
    for _ in range(depth):
        linear = nn.Linear(units, units, bias=False)
        nn.init.kaiming_normal_(linear.weight)
        layers += [linear]
        layers += [nn.BatchNorm1d(units)] if bn else []
        layers += [nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(units, 10))

x = torch.randn(128, 64, generator=torch.Generator().manual_seed(1))
y = torch.arange(128) % 10
for bn in (False, True):
    torch.manual_seed(0)
    net, sizes = network(bn), []
    sgd = torch.optim.SGD(net.parameters(), lr=3.0)
    for step in range(6):
        out = net(x)
        sizes.append(f"{out.square().mean().sqrt():.0e}")
        sgd.zero_grad()
        nn.functional.cross_entropy(out, y).backward()
        sgd.step()
    print("with BN:" if bn else "plain:  ", *sizes)
