import torch

torch.manual_seed(0)
c, steps = 1.0, 4000
for lr, decay in (0.1, 0.04), (0.4, 0.01), (0.8, 0.005), (0.8, 0.02):
    # |w| = 1
    w = torch.ones(100, dtype=torch.double) / 10
    for _ in range(steps):
        # a mini-batch's pull,
        g = torch.randn(100, dtype=torch.double)
        # at a right angle to w,
        g -= (g @ w) / (w @ w) * w
        # of size c / |w|
        g *= c / (w.norm() * g.norm())
        w = (1 - lr * decay) * w - lr * g
    effective, formula = lr / (w @ w).item(), (2 * lr * decay) ** 0.5 / c
    found = f"effective {effective:.4f}, formula {formula:.4f}"
    print(f"rate {lr}, decay {decay:<5}: |w| {w.norm():.2f}, {found}")
