import torch
from torch import nn

torch.manual_seed(0)
bn = nn.BatchNorm1d(1)
# one layer in two places, whose inputs differ
places = {"first": 0.0, "second": 4.0}
for mode in (True, False):
    bn.train(mode)
    for step in range(200):
        out = {name: bn(torch.randn(128, 1) + mean) for name, mean in places.items()}
    for name, y in out.items():
        print(f"{'train()' if mode else 'eval()'}, {name}: "
              f"mean {y.mean():+.1f}, deviation {y.std():.1f}")
