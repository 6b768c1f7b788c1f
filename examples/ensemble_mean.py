import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

images, labels = load_digits(return_X_y=True)
x, y = torch.tensor(images / 16).float(), torch.tensor(labels)
train, test = slice(0, 500), slice(500, None)

# of the test images, by a small network with BN
def probabilities(seed):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(64, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(),
                        nn.Linear(8, 10))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(200):
        batch = torch.randint(0, 500, (20,))
        optimizer.zero_grad()
        F.cross_entropy(net(x[train][batch]), y[train][batch]).backward()
        optimizer.step()
    net.eval()
    return net(x[test]).detach().softmax(1)

# (6, images, 10)
probs = torch.stack([probabilities(seed) for seed in range(6)])
# the ensemble's
answers = probs.mean(0).argmax(-1)
each = (probs.argmax(-1) != y[test]).float().mean(1)
print("each:     wrong on", " ".join(f"{100 * error:.0f}%" for error in each))
print(f"together: wrong on {100 * (answers != y[test]).float().mean():.0f}%")
