import torch

def whiten(x, eps=1e-5):                      # x: (m, d), a mini-batch of m
    centred = x - x.mean(0)
    values, vectors = torch.linalg.eigh(covariance(x) + eps * torch.eye(x.shape[1]))
    return centred @ (vectors / values.sqrt()) @ vectors.T     # Cov^(-1/2)

def covariance(x):                            # (d, d)
    centred = x - x.mean(0)
    return centred.T @ centred / len(x)

def report(name, x):
    c = covariance(x)
    apart = c - torch.diag(c.diag())          # what is off the diagonal
    print(f"{name:>16}: variance {c.diag().mean():.2f}, "
          f"largest covariance of two units {apart.abs().max():.2f}")

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
x = torch.randn(500, 1) + torch.randn(500, 8) # eight units that go together
report("as they are", x)
report("unit by unit", (x - x.mean(0)) / x.std(0, correction=0))
report("whitened", whiten(x))
print("rank with 60 samples of 100 units:",
      torch.linalg.matrix_rank(covariance(torch.randn(60, 100))).item())
