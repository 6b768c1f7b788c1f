import torch
from torch import nn

torch.manual_seed(0)
# four features, "training data"
images = 3 + 2 * torch.randn(1000, 4)
bn = nn.BatchNorm1d(4)
# train(): the mode a layer starts in
for batch in images.split(50):
    # also updates its running statistics
    bn(batch)

image = images[:1]
with torch.no_grad():
    # the same image in other company
    for name in "first", "second", "third":
        company = torch.randn(7, 4) * 2 + 3
        answer = bn(torch.cat([image, company]))[0, 0]
        print(f"train(), {name} company: {answer:+.2f}")
    try:
        # alone: (x - x) / sqrt(0 + eps) = 0
        bn(image)
    except ValueError:
        print("train(), alone: refused")
    bn.eval()  # from now on, running statistics
    for name, batch in {"in company": images[:8], "alone": image}.items():
        print(f"eval(), {name}: {bn(batch)[0, 0]:+.2f}")
