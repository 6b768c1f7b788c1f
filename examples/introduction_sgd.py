import torch

torch.manual_seed(0)
x = torch.randn(1000, 3)  # N = 1000 samples
target = x @ torch.tensor([1.0, -2.0, 0.5])
# the parameters
theta = torch.zeros(3, requires_grad=True)
alpha, m = 0.1, 60  # learning rate, batch size

def loss(some):  # mean over the samples in `some`
    return ((x[some] @ theta - target[some]) ** 2).mean()

for step in range(1, 101):
    # m of them, at random
    batch = torch.randperm(1000)[:m]
    # the gradient, into theta.grad
    loss(batch).backward()
    with torch.no_grad():
        theta -= alpha * theta.grad  # the step
    theta.grad = None
    if step in (1, 10, 100):
        print(f"step {step:>3}: loss over all samples {loss(range(1000)).item():.2f}")
print("theta:", [round(value, 2) for value in theta.tolist()])
