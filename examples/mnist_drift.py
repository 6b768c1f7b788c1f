import torch
from sklearn.datasets import load_digits
from torch import nn

digits = load_digits()
x, y = (torch.tensor(digits.data) > 8).float(), torch.tensor(digits.target)

def layer(inputs, bn):
    linear = nn.Linear(inputs, 100, bias=not bn)
    nn.init.normal_(linear.weight, std=0.1)
    return [linear, nn.BatchNorm1d(100) if bn else nn.Identity(), nn.Sigmoid()]

def drift(p):  # p: (times, 3, units)
    path = p.diff(dim=0).abs().sum(0).mean(0)
    return path / (p[:, 2] - p[:, 0]).mean(0)

for bn in (False, True):
    torch.manual_seed(0)
    layers = layer(64, bn) + layer(100, bn) + layer(100, bn)
    model = nn.Sequential(*layers, nn.Linear(100, 10))
    optimizer, lines = torch.optim.SGD(model.parameters(), lr=1.0), []
    for step in range(1500):
        batch = torch.randint(1500, (60,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()
        if step % 25 == 0:
            last = model[:-2](x[1500:]).detach()
            lines.append(torch.quantile(last, torch.tensor([0.15, 0.50, 0.85]), dim=0))
    print(f"BN {bn!s:<5}: median drift {drift(torch.stack(lines)).median():.1f}")
