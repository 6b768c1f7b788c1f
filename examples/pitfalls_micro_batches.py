import torch
from sklearn.datasets import load_digits
from torch import nn

x, y = map(torch.tensor, load_digits(return_X_y=True))
x = x.float() / 16

def accuracy(m, seed):
    torch.manual_seed(seed)
    train, test = torch.randperm(len(x)).split(1200)
    model = nn.Sequential(
        nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(),
        nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10))
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(60):
        batch = train[torch.randperm(1200)[:32]]
        for part in batch.split(m):
            loss = nn.functional.cross_entropy(model(x[part]), y[part])
            (loss * m / 32).backward()
        sgd.step()
        sgd.zero_grad()
    return 100 * (model.eval()(x[test]).argmax(1) == y[test]).float().mean()

right = {m: [accuracy(m, seed) for seed in range(5)] for m in (32, 16, 8, 4, 2)}
print("accuracy (%) lost against 32 at once, by seed\nexpected: 0 +- 2")
for name, m in ("found", 2), ("mended", 8):
    print(f"{name}:", *(f"{a - b:.1f}" for a, b in zip(right[32], right[m])))
for m in right:
    print(f"{32 // m} x {m}:", *(f"{value:.1f}" for value in right[m]))
