import math

import torch


# Student's t: `share` lies between -t and t
def t_value(n, share=0.95):
    x = torch.linspace(0, 100, 1_000_001, dtype=torch.float64)
    factor = math.gamma(n / 2) / math.gamma((n - 1) / 2) / math.sqrt((n - 1) * math.pi)
    density = factor * (1 + x**2 / (n - 1)) ** (-n / 2)
    inside = 2 * torch.cumulative_trapezoid(density, x)
    return x[1:][inside >= share][0].item()

# the 95% confidence interval of their mean
def interval(values):
    half = t_value(len(values)) * values.std() / len(values) ** 0.5
    return values.mean() - half, values.mean() + half

for n in (2, 3, 5, 8, 20, 100):
    t = t_value(n)
    print(f"n = {n:>3}: t = {t:4.1f}, half the width {t / n**0.5:4.2f} s")

# three seeds' differences, in points
gaps = torch.tensor([0.52, 0.31, 0.67])
print("from these three: {:+.2f} to {:+.2f}".format(*interval(gaps)))
