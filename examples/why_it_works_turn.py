import torch
from torch.nn import functional as F

torch.manual_seed(0)
x, y = torch.randn(256, 20), torch.randint(10, (256,))
start, out = torch.randn(50, 20), torch.randn(10, 50) / 7
for lr in (10, 100, 1000):
    w, angles = start, []
    for step in range(20):
        w.requires_grad_()
        wu = x @ w.T
        h = F.relu((wu - wu.mean(0)) / wu.std(0))
        loss = F.cross_entropy(h @ out.T, y)
        (g,) = torch.autograd.grad(loss, w)
        turned = (w - lr * g).detach()
        cosine = F.cosine_similarity(w.detach(), turned)
        angles.append(cosine.clamp(-1, 1).acos().rad2deg().mean())
        w = turned
    longer = (w.norm(dim=1) / start.norm(dim=1)).mean()
    print(f"rate {lr:4}: turns {angles[0]:4.1f} degrees at first, "
          f"{angles[-1]:.1f} at step 20; weights x {longer:.1f}")
