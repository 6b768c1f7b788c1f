import torch
from torch import nn
from torch.utils.data import DataLoader

def epoch(mend):
    images = torch.randn(101, 4)
    loader = DataLoader(images, batch_size=10, drop_last=mend)
    bn, done = nn.BatchNorm1d(4), 0
    try:
        for x in loader:
            bn(x)
            done += len(x)
    except ValueError:
        return "ValueError"
    return "none"

print("error of an epoch on 101 samples")
print("expected: none")
print("found:   ", epoch(mend=False))
print("mended:  ", epoch(mend=True))
