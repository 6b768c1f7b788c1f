import torch
from torch.nn.functional import cross_entropy

# no eps: it comes further down
def batch_norm(x):
    return (x - x.mean(0)) / x.std(0, correction=0)

# output, gradients of u and of W
def run(W, u, labels):
    W, u = W.clone().requires_grad_(), u.clone().requires_grad_()
    output = batch_norm(u @ W.T)
    cross_entropy(output, labels).backward()
    return output.detach(), u.grad, W.grad

torch.manual_seed(0)
W, u = torch.randn(10, 20, dtype=torch.double), torch.randn(60, 20, dtype=torch.double)
labels = torch.randint(10, (60,))
usual = run(W, u, labels)
for a in 0.1, 10, 1000:
    scaled = run(a * W, u, labels)
    output, to_u, to_W = (float(x.norm() / y.norm()) for x, y in zip(scaled, usual))
    print(f"a = {a}: output x{output:.3f}, gradient of u x{to_u:.3f}, of W x{to_W:.3f}")
