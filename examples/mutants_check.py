import torch
from torch import nn
from bnbook.nn.checks import check

class MyBatchNorm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean = x.mean((0, 2, 3))
            var = x.var((0, 2, 3), unbiased=False)
            with torch.no_grad():
                self.running_mean.lerp_(mean, 0.1)
                self.running_var.lerp_(var, 0.1)
        each = (1, -1, 1, 1)
        x = (x - mean.view(each)) / (var.view(each) + 1e-5).sqrt()
        return self.weight.view(each) * x + self.bias.view(each)

for answer in check(MyBatchNorm):
    print(answer)
