import torch
import torch.distributed as dist
from torch import nn

def says(mend):
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    try:
        if mend:  # raises where there is none
            dist.get_world_size()
        model(torch.randn(60, 4))
        return "nothing"
    except ValueError:
        return "an error"

print("SyncBatchNorm with nobody to sync with says")
print("expected: an error")
print("found:   ", says(mend=False))
print("mended:  ", says(mend=True))
