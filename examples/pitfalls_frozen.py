import torch
from torch import nn

def drift(mend):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    model.requires_grad_(False)
    before = model[1].running_mean.clone()
    model.train()
    if mend:  # after every train()
        model[1].eval()
    with torch.no_grad():
        model(3 + torch.randn(60, 4))
    return (model[1].running_mean - before).abs().max()

print("how far running_mean moves while frozen")
print("expected: 0.00")
print(f"found:    {drift(mend=False):.2f}")
print(f"mended:   {drift(mend=True):.2f}")
