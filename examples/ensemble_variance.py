import torch

torch.manual_seed(0)
images = 100_000
# the share that all networks have in common
for rho in (0.0, 0.5, 0.9):
    for k in (1, 6):
        common = rho**0.5 * torch.randn(images, 1)
        own = (1 - rho) ** 0.5 * torch.randn(images, k)
        margin = (common + own).mean(1)
        print(f"rho {rho}, k {k}: variance {margin.var():.2f}, "
              f"formula {rho + (1 - rho) / k:.2f}")
