import torch
from torch.nn.functional import batch_norm

def through(s, normalized, depth=20, n=256):
    """The signal's size after `depth` layers, and the gradient's on its way back."""
    torch.manual_seed(0)
    first = x = torch.randn(64, n, requires_grad=True)
    for _ in range(depth):
        # s = 1: the standard
        W = s * (2 / n) ** 0.5 * torch.randn(n, n)
        y = x @ W.T
        if normalized:
            y = batch_norm(y, None, None, training=True)
        x = torch.relu(y)
    # a gradient from above
    after = torch.randn(x.shape)
    (before,) = torch.autograd.grad(x, first, after)
    return x.norm() / first.norm(), before.norm() / after.norm()

for normalized in (False, True):
    print("with BN" if normalized else "without")
    for s in (0.5, 1, 2):
        signal, gradient = through(s, normalized)
        print(f"  s = {s:<3}  signal x {signal:<8.1g} gradient x {gradient:.1g}")
