import torch
from torch import nn

class Block(nn.Module):
    def forward(self, x):
        if self.training:
            return self.shake(x)
        # only eval() comes here
        return self.shuffle(x)

    def shake(self, x):
        return 2 * torch.rand(len(x), 1) * x

def test_both_modes(model, x):
    for training in (True, False):
        model.train(training)(x)

print("train():", Block()(torch.randn(8, 4)).shape)
try:
    test_both_modes(Block(), torch.randn(8, 4))
except AttributeError as error:
    print(error)
