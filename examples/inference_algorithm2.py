import torch
from torch import nn

# Algorithm 2, in PyTorch
@torch.no_grad()
def population_statistics(model, batches):
    model.eval()  # so that Dropout drops nothing
    for layer in model.modules():
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            layer.reset_running_stats()
            # every mini-batch weighs the same
            layer.momentum = None
            # batch statistics, averaged
            layer.train()
    # 50 or so, of the size used in training
    for x in batches:
        model(x)
    model.eval()

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(9, 5, bias=False), nn.BatchNorm1d(5), nn.Sigmoid())
batches = torch.randn(50, 60, 9)
population_statistics(model, batches)

x = model[0](batches)  # 50 mini-batches of 60
mean = x.mean(1).mean(0)  # E[x]
variance = 60 / 59 * x.var(1, correction=0).mean(0)
print("E[x]  :", torch.allclose(model[1].running_mean, mean, atol=1e-5))
print("Var[x]:", torch.allclose(model[1].running_var, variance, atol=1e-5))
