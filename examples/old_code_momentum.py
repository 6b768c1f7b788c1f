import torch
from torch import nn

def test_statistics_look_back(model, batches=5):
    for layer in model.modules():
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            assert 1 / layer.momentum >= batches, f"1 / {layer.momentum} mini-batches"

torch.manual_seed(0)
x = torch.randn(2000, 128, 1)  # mean 0
for a in (0.1, 0.9):
    bn, off = nn.BatchNorm1d(1, momentum=a), []
    for batch in x:
        bn(batch)
        off.append(bn.running_mean.item() ** 2)
    # once it has forgotten its start
    error = (sum(off[100:]) / len(off[100:])) ** 0.5
    formula = (a / (2 - a) / 128) ** 0.5
    print(f"momentum {a}: off by {error:.3f} (formula {formula:.3f})")
    try:
        test_statistics_look_back(bn)
    except AssertionError as error:
        print("the test:", error)
