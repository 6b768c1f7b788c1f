import torch
from sklearn.datasets import load_digits
from torch import nn

x, y = map(torch.tensor, load_digits(return_X_y=True))
x, lr = (x > 8).float(), 1.0

def layer(inputs, bn):
    norm = [nn.BatchNorm1d(50)] if bn else []
    return nn.Sequential(nn.Linear(inputs, 50), *norm, nn.Sigmoid())

def gradients(model, batch):
    loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
    return torch.autograd.grad(loss, list(model.parameters()))

for bn in (False, True):
    torch.manual_seed(0)
    model = nn.Sequential(layer(64, bn), layer(50, bn), nn.Linear(50, 10))
    *below, W, b = model.parameters()
    for step in range(401):
        batch = torch.randint(1797, (60,))
        *moves, G, to_b = gradients(model, batch)
        # the layers below make their step
        with torch.no_grad():
            torch._foreach_sub_(below, moves, alpha=lr)
        *_, changed, _ = gradients(model, batch)
        with torch.no_grad():
            torch._foreach_sub_([W, b], [G, to_b], alpha=lr)
        if step in (200, 400):
            print(f"BN {bn!s:<5} step {step}: {(changed - G).norm() / G.norm():.2f}")
