import torch
from torch import nn

def only_gamma_beta(model):
    model.requires_grad_(False)
    bns = [m for m in model.modules()
           if isinstance(m, nn.BatchNorm2d)]
    return [p.requires_grad_() for bn in bns
            for p in bn.parameters()]

torch.manual_seed(0)
layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()]
model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(288, 10))
free = only_gamma_beta(model)
before = {name: v.clone() for name, v in model.state_dict().items()}
sgd = torch.optim.SGD(free, 0.1, momentum=0.9)
x, y = torch.randn(64, 3, 8, 8), torch.randint(10, (64,))
for step in range(20):
    sgd.zero_grad()
    nn.functional.cross_entropy(model(x), y).backward()
    sgd.step()

total = sum(p.numel() for p in model.parameters())
print(sum(p.numel() for p in free), "of", total, "trained")
for name, v in model.state_dict().items():
    same = torch.equal(v, before[name])
    print(f"{name:21}", "as it was" if same else "has moved")
