import torch
from torch.nn.functional import cosine_similarity, cross_entropy

torch.manual_seed(0)
u, labels = torch.randn(60, 20, dtype=torch.double), torch.randint(10, (60,))
# ten units
W = torch.randn(10, 20, dtype=torch.double)
lr = 1.0
# the same layer, twice as large
for factor in 1, 2:
    w = (factor * W).requires_grad_()
    x = u @ w.T
    loss = cross_entropy((x - x.mean(0)) / x.std(0, correction=0), labels)
    (g,) = torch.autograd.grad(loss, w)
    stepped = w - lr * g
    cosine = cosine_similarity(w, g).abs().max()
    longer = bool((stepped.norm(dim=1) > w.norm(dim=1)).all())
    angle = cosine_similarity(w, stepped).acos().rad2deg().mean()
    print(f"{factor}W: cosine {cosine:.3f}, longer: {longer}, turned {angle:.2f} deg")
