import torch

formulas = {
    "paper": lambda b, alpha: b + alpha - b * alpha,
    "code": lambda b, alpha: b + alpha + alpha * (1 - b),
}

def test_kept_or_scaled(factor, alpha):
    # kept: as it is; else: times alpha
    one = torch.ones_like(alpha)
    assert torch.allclose(factor(1, alpha), one), "kept, yet changed"
    assert torch.allclose(factor(0, alpha), alpha), "not alpha"

torch.manual_seed(0)
alpha = torch.rand(100_000) * 2 - 1
for name, factor in formulas.items():
    # the first of 54 blocks, and the last
    for p in (1 - 0.5 / 54, 0.5):
        f = factor(torch.bernoulli(torch.full_like(alpha, p)), alpha)
        print(f"{name}, p = {p:.2f}: mean {f.mean():.2f}, deviation {f.std():.2f}")
    try:
        test_kept_or_scaled(factor, alpha)
    except AssertionError as error:
        print("the test:", error)
