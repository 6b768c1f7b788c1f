import torch
from torch import nn

torch.manual_seed(0)
x = 3 + torch.randn(500, 20)
y = ((x - 3) @ torch.randn(20, 5)).argmax(1)
bn = nn.BatchNorm1d(50)
model = nn.Sequential(nn.Linear(20, 50), bn, nn.ReLU(), nn.Linear(50, 5))
sgd = torch.optim.SGD(model.parameters(), lr=1)
for _ in range(10):
    sgd.zero_grad()
    nn.functional.cross_entropy(model(x), y).backward()
    sgd.step()

def accuracy():
    return f"{(model(x).argmax(1) == y).float().mean():.0%}"

print("accuracy on the training data")
print("expected:", accuracy())  # in train()
model.eval()
print("found:   ", accuracy())
# the mend: Algorithm 2
bn.reset_running_stats()
bn.momentum = None
model.train()(x)
model.eval()
print("mended:  ", accuracy())
