import torch

for start in (0.0, 2.0, 6.0):
    x = torch.tensor(start, requires_grad=True)
    z, slopes = x, []
    # sigmoid after sigmoid, weights of 1
    for _ in range(3):
        z = torch.sigmoid(z)
        slopes.append(torch.autograd.grad(z, x, retain_graph=True)[0].item())
    print(f"x = {start:.0f}: after 1, 2, 3 sigmoids the slope is",
          ", ".join(f"{slope:.4f}" for slope in slopes))
