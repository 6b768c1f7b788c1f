import torch

def participation_ratio(x):  # x: (images, units)
    R = torch.corrcoef(x.T)  # (units, units)
    eigenvalues = torch.linalg.eigvalsh(R)
    return eigenvalues.sum() ** 2 / eigenvalues.square().sum()

torch.manual_seed(0)
free = torch.randn(100_000, 100)  # no correlation
# ten groups, each moves as one
ten = torch.randn(100_000, 10).repeat(1, 10)
# all units move as one
one = torch.randn(100_000, 1).repeat(1, 100)
for name, x in {"uncorrelated": free, "ten groups": ten, "one group": one}.items():
    print(f"{name:>12}: {participation_ratio(x):.0f} of 100")
