import torch

torch.manual_seed(0)
c, steps = 1.0, 3000
for lr in 0.1, 1, 10, 100:
    # |w| = 1
    w = torch.ones(100, dtype=torch.double) / 10
    for _ in range(steps):
        # a mini-batch's pull,
        g = torch.randn(100, dtype=torch.double)
        # at a right angle to w,
        g -= (g @ w) / (w @ w) * w
        # of size c / |w|
        g *= c / (w.norm() * g.norm())
        w = w - lr * g
    print(f"rate {lr}: effective {lr / (w @ w).item():.4f}")
print(f"1 / (c sqrt(2 t)):   {1 / (c * (2 * steps) ** 0.5):.4f}")
