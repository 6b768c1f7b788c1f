import torch

torch.manual_seed(0)
for m in 4, 60:
    # mini-batches; the true variance is 1
    x = torch.randn(100_000, m)
    variance = x.var(1, correction=0)
    # what training multiplied by
    training = (1 / variance.sqrt()).mean()
    without = 1 / variance.mean().sqrt()
    algorithm2 = 1 / (m / (m - 1) * variance.mean()).sqrt()
    print(f"m = {m}: in training {training:.2f}, without m/(m-1) {without:.2f}, "
          f"Algorithm 2 {algorithm2:.2f}")
