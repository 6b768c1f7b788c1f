import torch
from sklearn.datasets import load_digits
from torch import nn

x, y = map(torch.tensor, load_digits(return_X_y=True))
x = x.float() / 16

def gradient(model, rows, m):  # accumulated
    model.zero_grad()
    for part in rows.split(m):
        nn.functional.cross_entropy(model(x[part]), y[part], reduction="sum").backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])

def cosine(norm, m, seed):
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Linear(64, 64), norm(64), nn.ReLU(),
        nn.Linear(64, 64), norm(64), nn.ReLU(), nn.Linear(64, 10))
    rows = torch.randperm(len(x))[:32]
    whole, parts = gradient(model, rows, 32), gradient(model, rows, m)
    return torch.cosine_similarity(whole, parts, 0)

def report(name, norm, m):
    print(f"{name}:", *(f"{cosine(norm, m, seed):.2f}" for seed in range(5)))

print("cosine to the gradient of 32 at once, by seed\nexpected: 1.00")
report("found", nn.BatchNorm1d, 8)
report("mended", lambda width: nn.GroupNorm(8, width), 8)
for m in 16, 8, 4, 2:
    report(f"{32 // m} x {m}", nn.BatchNorm1d, m)
