import torch
from torch import nn

def running_mean(statistics):
    bn = nn.BatchNorm1d(1, momentum=0.01).bfloat16()
    bn.to(statistics)
    x = torch.tensor([[0.0], [2.0]], dtype=torch.bfloat16)
    for _ in range(1000):
        bn(x)
    return bn.running_mean.item()

print("running_mean after 1,000 batches of mean 1")
print("expected: 1.00")
print(f"found:    {running_mean(torch.bfloat16):.2f}")
print(f"mended:   {running_mean(torch.float32):.2f}")
