import torch

# percent of singular values within 1/2 and 2
def near(J):
    sigma = torch.linalg.svdvals(J)
    return 100 * ((sigma > 0.5) & (sigma < 2)).double().mean()

torch.manual_seed(0)
m, n = 5000, 100
# Gaussian, variance 1, uncorrelated
x = torch.randn(m, n, dtype=torch.double)
W = torch.randn(n, n, dtype=torch.double)
y = x @ W.T
values, vectors = torch.linalg.eigh(torch.cov(y.T))
# whitened output
J_white = vectors @ torch.diag(values ** -0.5) @ vectors.T @ W
# BN: the deviations alone
J_bn = W / y.std(0)[:, None]
# rows of length 1
J_random = W / W.norm(dim=1, keepdim=True)
for name, J in {"whitening": J_white, "BN": J_bn, "random": J_random}.items():
    mean_square = torch.linalg.svdvals(J).square().mean()
    print(f"{name:>9}: mean square {mean_square:.1f}, {near(J):.0f}% near 1")
