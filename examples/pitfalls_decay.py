import torch
from torch import nn

def gamma(groups):
    bn = nn.BatchNorm1d(1)
    adam = torch.optim.AdamW(groups(bn), lr=0.01, weight_decay=0.1)
    for _ in range(1000):
        # a loss that asks nothing of gamma
        (0 * bn(torch.tensor([[0.0], [2.0]]))).sum().backward()
        adam.step()
    return bn.weight.item()

def no_decay(bn):
    return [{"params": bn.parameters(), "weight_decay": 0}]

print("gamma after 1,000 steps without a gradient")
print("expected: 1.00")
print(f"found:    {gamma(nn.Module.parameters):.2f}")
print(f"mended:   {gamma(no_decay):.2f}")
