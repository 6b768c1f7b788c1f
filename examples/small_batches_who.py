import torch
from torch import nn

torch.manual_seed(0)
maps = 8
layers = {
    "batch": nn.BatchNorm2d(maps),
    "group, of 4 maps": nn.GroupNorm(2, maps),
    "layer": nn.GroupNorm(1, maps),  # one group
}
image = torch.randn(1, maps, 6, 6)
print("scatter         of 2, of 128 images")
for name, norm in layers.items():
    answers = []
    for others in (1, 127):
        spread = []
        for _ in range(100):
            company = torch.randn(others, maps, 6, 6)
            x = torch.cat([image, company])
            spread.append(norm(x)[0])
        answers.append(torch.stack(spread).std(0).mean())
    small, large = answers
    print(f"{name:17} {small:.3f}     {large:.3f}")
