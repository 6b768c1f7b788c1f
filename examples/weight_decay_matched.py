import torch
from torch.nn.functional import cosine_similarity, cross_entropy

def gradient(W, step, bn):
    W = W.clone().requires_grad_()
    x = u[step] @ W.T
    if bn:
        x = (x - x.mean(0)) / x.std(0, correction=0)
    return torch.autograd.grad(cross_entropy(x, labels[step]), W)[0]

torch.manual_seed(0)
steps, lr, decay = 200, 0.5, 0.05
u = torch.randn(steps, 60, 20, dtype=torch.double)
labels = u[:, :, :10].argmax(2)
start = torch.randn(10, 20, dtype=torch.double)
for bn in (True, False):
    decayed, held, plain = start, start, start
    for t in range(steps):
        # the squared norm that decay has made
        ratio = (decayed.norm() / start.norm()) ** 2
        matched = lr / (1 - lr * decay) / ratio
        decayed = (1 - lr * decay) * decayed - lr * gradient(decayed, t, bn)
        held = held - matched * gradient(held, t, bn)
        held = held * start.norm() / held.norm()
        plain = plain - lr * gradient(plain, t, bn)
    for name, W in (("matched rates", held), ("no decay", plain)):
        cosine = cosine_similarity(W.flatten(), decayed.flatten(), dim=0)
        print(f"BN {bn!s:<5}, {name:>13}: cosine to decay {cosine:.6f}")
