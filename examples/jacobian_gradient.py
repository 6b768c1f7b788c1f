import torch
from torch.func import jacrev

torch.manual_seed(0)
n = 100
W = torch.randn(n, n) / n ** 0.5

def layer(x):                             # from one layer's input to the next
    return W @ torch.sigmoid(x)

x = torch.randn(n)
J = jacrev(layer)(x)                      # (n, n): d layer(x)[i] / d x[k]
sigma = torch.linalg.svdvals(J)           # the largest first
after = torch.randn(n)                    # the gradient by the layer's output
before = J.T @ after                      # the gradient by its input
print(f"largest singular value {sigma[0]:.2f}, smallest {sigma[-1]:.2f}")
print(f"the gradient becomes {before.norm() / after.norm():.2f} times as long")
