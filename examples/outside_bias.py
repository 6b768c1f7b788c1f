import torch

def descend(inside, lr=0.1):
    torch.manual_seed(0)
    u = torch.randn(60)  # a mini-batch
    target = 0.5 * u + 1
    b = torch.zeros((), requires_grad=True)
    for step in range(1001):
        x = u + b
        mean = x.mean() if inside else x.mean().detach()
        loss = 0.5 * ((x - mean - target) ** 2).mean()
        if step % 500 == 0:
            print(f"  step {step:>4}: b = {abs(b.item()):5.1f}, loss {loss.item():.3f}")
        loss.backward()
        with torch.no_grad():
            b -= lr * b.grad
        b.grad = None

print("the mean a constant, x.mean().detach():")
descend(inside=False)
print("the gradient through the mean, x.mean():")
descend(inside=True)
