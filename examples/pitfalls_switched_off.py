import torch
from torch import nn

def mean(mend):
    torch.manual_seed(0)
    bn = nn.BatchNorm1d(4)
    bn.track_running_stats = False
    if mend:  # without them, the batch's own
        bn.running_mean = bn.running_var = None
    return bn.eval()(3 + torch.randn(60, 4)).mean().abs()

print("mean of what eval() puts out")
print("expected: 0.0")
print(f"found:    {mean(mend=False):.1f}")
print(f"mended:   {mean(mend=True):.1f}")
