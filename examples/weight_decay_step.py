import torch
from torch.nn.functional import cosine_similarity, cross_entropy

# no eps, so that it is exact
def batch_norm(x):
    return (x - x.mean(0)) / x.std(0, correction=0)

def gradient(W, bn):
    W = W.clone().requires_grad_()
    x = u @ W.T
    loss = cross_entropy(batch_norm(x) if bn else x, labels)
    return torch.autograd.grad(loss, W)[0]

torch.manual_seed(0)
u, labels = torch.randn(60, 20, dtype=torch.double), torch.randint(10, (60,))
W = torch.randn(10, 20, dtype=torch.double)
lr, decay = 1.0, 0.2
for bn in (True, False):
    G = gradient(W, bn)
    decayed = (1 - lr * decay) * W - lr * G
    faster = W - lr / (1 - lr * decay) * G
    cosine = cosine_similarity(decayed.flatten(), faster.flatten(), dim=0)
    print(f"BN {bn!s:<5}: the same direction, cosine {cosine:.6f}")
    # and what the next gradient makes of it
    a, b = gradient(decayed, bn), gradient(faster, bn)
    cosine = cosine_similarity(a.flatten(), b.flatten(), dim=0)
    print(f"          next gradients, cosine     {cosine:.6f}")
