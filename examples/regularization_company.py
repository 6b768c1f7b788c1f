import torch
from sklearn.datasets import load_digits
from torch import nn

torch.manual_seed(0)
images = torch.tensor(load_digits().data, dtype=torch.float32) / 16
layer = nn.Sequential(nn.Linear(64, 100, bias=False), nn.BatchNorm1d(100))
for _ in range(100):  # fills the moving averages
    layer(images[torch.randperm(1797)[:60]])

# the same image in two mini-batches
one = images[:1]
first = torch.cat([one, images[100:159]])
second = torch.cat([one, images[200:259]])
for mode in (layer.train, layer.eval):
    mode()
    a, b = layer(first)[0], layer(second)[0]
    print(f"{mode.__name__:>5}: the image's values differ by {(a - b).std():.2f}")
