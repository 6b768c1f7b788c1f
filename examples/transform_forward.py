import torch

def batch_norm(x, gamma, beta, eps=1e-5):      # x: (m, C), a mini-batch of m
    mean = x.mean(0)                           # Algorithm 1, line 1
    variance = ((x - mean) ** 2).mean(0)       # line 2: divided by m
    x_hat = (x - mean) / (variance + eps) ** 0.5
    return gamma * x_hat + beta                # line 4

torch.manual_seed(0)
x = 3 + 2 * torch.randn(60, 4)
y = batch_norm(x, gamma=torch.ones(4), beta=torch.zeros(4))
print("before:", x.mean(0).round(decimals=2), x.std(0, correction=0).round(decimals=2))
print("after: ", y.mean(0).abs().round(decimals=2), y.std(0, correction=0).round(decimals=2))
