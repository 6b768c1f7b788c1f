import torch

# x: (m, C), statistics over `group` images
def batch_norm(x, group, eps=1e-5):
    # (m / group, group, C)
    parts = x.view(-1, group, x.shape[1])
    mean = parts.mean(1, keepdim=True)
    variance = parts.var(1, keepdim=True, correction=0)
    return ((parts - mean) / (variance + eps) ** 0.5).view_as(x)

torch.manual_seed(0)
# mean 0, variance 1
population = torch.randn(60_000, 100)
for group in (60, 15, 6, 3):
    noise = []
    # mini-batches of 60
    for x in population.split(60):
        noise.append(batch_norm(x, group) - x)
    spread = torch.cat(noise).std()
    estimate = (1.5 / group) ** 0.5
    print(f"groups of {group:>2}: noise {spread:.2f}, estimate {estimate:.2f}")
