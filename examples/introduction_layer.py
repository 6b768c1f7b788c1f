import torch
from torch import nn

torch.manual_seed(0)
# a mini-batch of 60 samples
u = 3 + 2 * torch.randn(60, 784)
# no bias: beta takes its place
W = nn.Linear(784, 100, bias=False)
# gamma and beta: bn.weight, bn.bias
bn = nn.BatchNorm1d(100)
# z = g(BN(Wu))
layer = nn.Sequential(W, bn, nn.Sigmoid())

for name, x in {"Wu": W(u), "BN(Wu)": bn(W(u))}.items():
    z = torch.sigmoid(x)
    print(f"{name:>6}: mean of a unit {x.mean(0).abs().mean():.2f}, standard deviation "
          f"{x.std(0, correction=0).mean():.2f}, slope {(z * (1 - z)).mean():.2f}")

# moving averages, no mini-batch needed
layer.eval()
print("one sample in, out come", tuple(layer(u[:1]).shape))
