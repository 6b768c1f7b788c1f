import torch
from torch import nn

def test_normalized_in_use(net, x):
    net.eval()
    off = abs(net(x).std() - 1)
    assert off < 0.02, f"deviation {net(x).std():.2f} instead of 1"

torch.manual_seed(0)
x = torch.randn(256, 100)
orders = {
    "dropout, BN": nn.Sequential(nn.Dropout(0.3), nn.BatchNorm1d(100)),
    "BN, dropout": nn.Sequential(nn.BatchNorm1d(100), nn.Dropout(0.3)),
}
with torch.no_grad():
    for name, net in orders.items():
        for step in range(300):
            net(x)  # in train(): dropout is on
        try:
            test_normalized_in_use(net, x)
            print(f"{name}: deviation {net(x).std():.2f} in eval()")
        except AssertionError as error:
            print(f"{name}: {error}")
