import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, update_bn

torch.manual_seed(0)
x = torch.randn(500, 20)
model = nn.Sequential(nn.Linear(20, 50), nn.BatchNorm1d(50))
averaged = AveragedModel(model)
for _ in range(20):  # steps of a training
    model(x)
    with torch.no_grad():
        model[0].weight += 0.1 * torch.randn(50, 20)
    averaged.update_parameters(model)

def spread():
    return f"{averaged.eval()(x).std():.2f}"

print("deviation of what the averaged BN puts out")
print("expected: 1.00")
print("found:   ", spread())
update_bn(x.split(100), averaged)
print("mended:  ", spread())
