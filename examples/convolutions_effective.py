import torch
from torch.nn.functional import avg_pool2d

# (N, maps, p, q): of one image, by map
def effective_sample_size(x):
    # how the values vary
    of_values = x.var((0, 2, 3))
    # how the means of images vary
    of_means = x.mean((2, 3)).var(0)
    return of_values / of_means

torch.manual_seed(0)
maps = {
    "independent": torch.randn(10_000, 1, 14, 14),
    "smooth": avg_pool2d(torch.randn(10_000, 1, 16, 16), 3, stride=1),
    "all alike": torch.randn(10_000, 1, 1, 1).expand(-1, -1, 14, 14),
}
print("positions:", 14 * 14)
for name, x in maps.items():
    print(f"{name}: worth {effective_sample_size(x).item():.0f}")
