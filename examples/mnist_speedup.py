import torch

# the first of three in a row above it
def steps_to(target, steps, accuracy):
    above = accuracy >= target
    in_a_row = above[:-2] & above[1:-1] & above[2:]
    return steps[:-2][in_a_row][0] if in_a_row.any() else None

torch.manual_seed(0)
steps = torch.arange(100, 10_001, 100)
ratios = []
for seed in range(8):  # made-up learning curves
    plain = 97.5 - 3000 / steps + 0.2 * torch.randn(100)
    bn = 97.8 - 2000 / steps + 0.2 * torch.randn(100)
    ratios.append(steps_to(97, steps, plain) / steps_to(97, steps, bn))
logs = torch.stack(ratios).log()
# t for n = 8
mean, half = logs.mean(), 2.36 * logs.std() / 8 ** 0.5
low, high = (mean - half).exp(), (mean + half).exp()
print(f"{mean.exp():.1f} times as fast (95%: {low:.1f} to {high:.1f})")
