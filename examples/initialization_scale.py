import torch

def batch_norm(y, eps):
    mean, variance = y.mean(0), y.var(0, correction=0)
    return (y - mean) / (variance + eps) ** 0.5

torch.manual_seed(0)
u, target = torch.randn(60, 100), torch.randn(60, 100)
W = torch.randn(100, 100) / 10
for s in (1, 1000, 0.001):
    for eps in (0, 1e-5):
        weights = (s * W).requires_grad_()
        output = batch_norm(u @ weights.T, eps)
        loss = (output - target).square().mean()
        (gradient,) = torch.autograd.grad(loss, weights)
        if (s, eps) == (1, 0):
            first = gradient.norm()
        factor = gradient.norm() / first
        print(f"s = {s:<5} eps = {eps:<5}: output {output.std():.1f}, "
              f"gradient x {factor:.0e}, relative x {factor / s:.0e}")
