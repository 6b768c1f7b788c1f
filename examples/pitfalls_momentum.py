import torch
from torch import nn

def weight(momentum):
    bn = nn.BatchNorm1d(1, momentum=momentum)
    # a batch of mean 1; running_mean was 0
    bn(torch.tensor([[0.0], [2.0]]))
    return bn.running_mean.item()

# of a TensorFlow model to be carried over
tensorflow = 0.99
print("weight of the newest batch")
print(f"expected: {1 - tensorflow:.2f}")
print(f"found:    {weight(tensorflow):.2f}")
print(f"mended:   {weight(1 - tensorflow):.2f}")
