import torch

torch.manual_seed(0)
m, repeats = 60, 20_000
# mean 0, variance 1: x is x_hat
for x_hat in (0.0, 1.0, 2.0):
    others = torch.randn(repeats, m - 1)
    batches = torch.cat([torch.full((repeats, 1), x_hat), others], dim=1)
    mean = batches.mean(1)
    deviation = batches.std(1, correction=0)
    normalized = (x_hat - mean) / deviation
    formula = (1 + x_hat ** 2 / 2) / m
    variance = normalized.var()
    print(f"x_hat = {x_hat:.0f}: variance {variance:.3f}, by the formula {formula:.3f}")
