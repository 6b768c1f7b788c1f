import torch

# x: (m, C), a mini-batch of m
def batch_norm(x, gamma, beta, eps=1e-5):
    # Algorithm 1, line 1
    mean = x.mean(0)
    # line 2: divided by m
    variance = ((x - mean) ** 2).mean(0)
    # line 3
    x_hat = (x - mean) / (variance + eps) ** 0.5
    # line 4
    return gamma * x_hat + beta

torch.manual_seed(0)
x = 3 + 2 * torch.randn(60, 4)
y = batch_norm(x, gamma=torch.ones(4), beta=torch.zeros(4))
for name, values in {"before": x, "after": y}.items():
    print(f"{name:>6}: mean {values[:, 0].mean().abs():.2f}, "
          f"standard deviation {values[:, 0].std(correction=0):.2f}")
