import torch

losses = {
    "wide valley": lambda w: 0.5 * w**2,
    "narrow valley": lambda w: 5 * w**2,
    "cliff": lambda w: torch.sigmoid(20 * (w - 0.5)) + w,
}

def slope(loss, w):
    w = torch.tensor(w, requires_grad=True)
    return torch.autograd.grad(loss(w), w)[0].item()

lr, w = 0.1, 1.0
for name, loss in losses.items():
    g = slope(loss, w)
    found = []
    # times the step
    for factor in (0.5, 1, 2, 4):
        distance = factor * lr * g
        found.append(abs(slope(loss, w - distance) - g) / abs(distance))
    each = " ".join(f"{value:5.1f}" for value in found)
    print(f"{name:>13}: {each}; the largest {max(found):.1f}")
