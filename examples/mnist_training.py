import torch
from sklearn.datasets import load_digits
from torch import nn

x, y = map(torch.tensor, load_digits(return_X_y=True))
x = (x > 8).float()  # 0 or 1, as in the paper

def network(bn):
    modules, sizes = [], (64, 100, 100, 100)
    for inputs, units in zip(sizes, sizes[1:]):
        linear = nn.Linear(inputs, units, bias=not bn)
        nn.init.normal_(linear.weight, std=0.1)
        norm = [nn.BatchNorm1d(units)] if bn else []
        modules += [linear, *norm, nn.Sigmoid()]
    return nn.Sequential(*modules, nn.Linear(units, 10))

for bn in (False, True):
    torch.manual_seed(0)
    model = network(bn)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    for step in range(1, 1601):
        batch = torch.randint(1500, (60,))
        loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step in (100, 400, 800, 1600):
            right = model.eval()(x[1500:]).argmax(1) == y[1500:]
            print(f"BN {bn!s:<5} step {step:>4}: {100 * right.float().mean():.0f}%")
            model.train()
