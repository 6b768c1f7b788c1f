import torch
from torch.nn import functional as F

# u: (images, maps, height, width)
def local_response_norm(u, alpha, n=5, beta=0.75):
    maps = torch.arange(u.shape[1])
    # each map's n neighbours
    near = (maps[:, None] - maps).abs() <= n // 2
    band = near[:, :, None, None].to(u.dtype)
    return u * (1 + alpha / n * F.conv2d(u * u, band)) ** -beta

torch.manual_seed(0)
# as after batch norm and ReLU
x = torch.randn(32, 24, 28, 28).relu()
for precision in torch.float32, torch.bfloat16:
    for alpha in (1e-4, 0.3):
        u = x.to(precision)
        changed = (local_response_norm(u, alpha) != u).any().item()
        print(f"{str(precision):>14}, alpha {alpha:<6}: any value changed {changed}")
