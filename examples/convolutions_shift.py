import torch
from torch import nn

torch.manual_seed(0)
# blank borders, as in MNIST
images = torch.zeros(60, 1, 28, 28)
images[:, :, 8:20, 8:20] = torch.rand(60, 1, 12, 12)
# the same, 4 pixels to the right
shifted = images.roll(4, dims=3)
conv = nn.Conv2d(1, 8, 3, padding=1, bias=False)
x = conv(images)

for name, dims in {"per map": (0, 2, 3), "per activation": 0}.items():
    mean = x.mean(dims, keepdim=True)
    variance = x.var(dims, correction=0, keepdim=True)
    # by fixed statistics, as in inference
    def normalize(y):
        return (y - mean) / (variance + 1e-5) ** 0.5
    # shift, then normalize
    moved = normalize(conv(shifted))
    # normalize, then shift
    expected = normalize(x).roll(4, dims=3)
    print(f"{name}: equal {torch.allclose(moved, expected, atol=1e-4)}")
