import torch
from torch.func import jacrev

torch.manual_seed(0)
n = 100
W = torch.randn(n, n) / n ** 0.5

# from one layer's input to the next
def layer(x):
    return W @ torch.sigmoid(x)

x = torch.randn(n)
# (n, n): d layer(x)[i] / d x[k]
J = jacrev(layer)(x)
# the largest first
sigma = torch.linalg.svdvals(J)
# the gradient by the layer's output
after = torch.randn(n)
before = J.T @ after  # the gradient by its input
print(f"largest singular value {sigma[0]:.2f}, smallest {sigma[-1]:.2f}")
print(f"the gradient becomes {before.norm() / after.norm():.2f} times as long")
