import torch
from sklearn.datasets import load_digits
from torch import nn

torch.manual_seed(0)
x, y = map(torch.as_tensor, load_digits(return_X_y=True))
x = x.float().reshape(-1, 1, 8, 8) / 16
net = nn.Sequential(
    nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(),
    nn.Flatten(), nn.Linear(576, 10))
steps = torch.optim.SGD(net.parameters(), lr=0.1)
for _ in range(200):
    at = torch.randint(1000, (64,))
    loss = nn.functional.cross_entropy(net(x[at]), y[at])
    steps.zero_grad()
    loss.backward()
    steps.step()

def accuracy(images):
    found = net.eval()(images[1400:]).argmax(1)
    return (found == y[1400:]).float().mean()

pale = 0.5 + 0.1 * x  # every image loses contrast
print(f"as in training  {accuracy(x):.1%}")
print(f"pale            {accuracy(pale):.1%}")
bn = net[1].train()  # the layer of BN alone
bn.reset_running_stats()
bn.momentum = None  # a plain mean
net(pale[1000:1400])  # no label is used
print(f"pale, adapted   {accuracy(pale):.1%}")
