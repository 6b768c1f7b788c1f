import torch
from torch import nn

def batches(sort):  # two of 50; one tells little
    y = torch.tensor([-1.0, 1.0]).repeat_interleave(50)
    y = y if sort else y[torch.randperm(100)]
    x = 0.1 * y[:, None, None] + torch.randn(100, 1, 20)
    return zip(x.split(50), y.split(50))

def trained(sort, seed):
    torch.manual_seed(seed)
    model = nn.Sequential(  # a margin of zeros
        nn.ZeroPad1d(6), nn.Conv1d(1, 8, 3, bias=False), nn.BatchNorm1d(8), nn.ReLU(),
        nn.Conv1d(8, 8, 3), nn.ReLU(), nn.Conv1d(8, 1, 28), nn.Flatten(0))
    adam = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(100):
        for x, y in batches(sort):
            nn.functional.soft_margin_loss(model(x), y).backward()
        adam.step()
        adam.zero_grad()
    def accuracy():  # on new signals
        hits = [model(x) * y > 0 for _ in range(20) for x, y in batches(sort)]
        return round(100 * torch.cat(hits).float().mean().item())
    return accuracy(), model.eval() and accuracy()

print("accuracy (%) in train() less that in eval(), by seed\nexpected: 0 +- 10")
for name, sort in ("found", True), ("mended", False):
    seen, used = torch.tensor([trained(sort, seed) for seed in range(5)]).T
    for fact, values in ("", seen - used), (", train()", seen), (", eval()", used):
        print(f"{name}{fact}:", *values.tolist())
