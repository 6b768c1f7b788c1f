import tempfile
import torch
import torch.distributed as dist
from torch import multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

def train(rank, store, found):
    dist.init_process_group("gloo", f"file://{store}", rank=rank, world_size=2)
    model = DistributedDataParallel(nn.BatchNorm1d(1, momentum=1.0))
    # half the data, of mean 1 and of mean 3
    model(torch.tensor([[0.0], [2.0]]) + 2 * rank)
    mean = model.module.running_mean
    found[rank, 0] = mean
    dist.all_reduce(mean)  # the mend
    found[rank, 1] = mean / 2
    dist.destroy_process_group()

found = torch.zeros(2, 2).share_memory_()
with tempfile.TemporaryDirectory() as folder:
    multiprocessing.start_processes(
        train, (f"{folder}/store", found), 2, start_method="fork")
print("running_mean in the model that rank 0 saves")
print("expected: 2.0")
print(f"found:    {found[0, 0]:.1f}")
print(f"mended:   {found[0, 1]:.1f}")
