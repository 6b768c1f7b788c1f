import torch
from torch.nn.functional import batch_norm

torch.manual_seed(0)
# Wu, of variance 1
x = torch.randn(1000, 1, dtype=torch.double)
x = (x - x.mean()) / x.std(correction=0)
eps = 1e-5
for a in 1, 0.1, 0.01, 0.001:
    out = batch_norm(a * x, None, None, training=True, eps=eps)
    formula = (a**2 / (a**2 + eps)) ** 0.5
    print(f"a = {a}: measured {out.std(correction=0):.3f}, formula {formula:.3f}")
