import torch

# x: (m, d), a mini-batch of m
def whiten(x, eps=1e-5):
    centred = x - x.mean(0)
    values, vectors = torch.linalg.eigh(covariance(x) + eps * torch.eye(x.shape[1]))
    # Cov^(-1/2)
    return centred @ (vectors / values.sqrt()) @ vectors.T

def covariance(x):  # (d, d)
    centred = x - x.mean(0)
    return centred.T @ centred / len(x)

def report(name, x):
    c = covariance(x)
    # what is off the diagonal
    apart = c - torch.diag(c.diag())
    print(f"{name:>16}: variance {c.diag().mean():.2f}, "
          f"largest covariance of two units {apart.abs().max():.2f}")

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
# eight units that go together
x = torch.randn(500, 1) + torch.randn(500, 8)
report("as they are", x)
report("unit by unit", (x - x.mean(0)) / x.std(0, correction=0))
report("whitened", whiten(x))
print("rank with 60 samples of 100 units:",
      torch.linalg.matrix_rank(covariance(torch.randn(60, 100))).item())
