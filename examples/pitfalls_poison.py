import torch
from torch import nn

def running_var(mend):
    torch.manual_seed(0)
    bn = nn.BatchNorm1d(1)
    for step in range(500):
        x = torch.randn(60, 1)
        if step == 0:
            x[0] = torch.inf
        y = bn(x)
        if mend and not bn.running_var.isfinite().all():
            bn.reset_running_stats()
    assert y.isfinite().all()  # training is well
    return bn.running_var.item()

print("running_var, 499 good batches after a bad one")
print("expected: 1.0")
print(f"found:    {running_var(mend=False):.1f}")
print(f"mended:   {running_var(mend=True):.1f}")
