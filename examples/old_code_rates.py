import math
import torch
from torch.optim.lr_scheduler import LambdaLR, MultiStepLR

def rates(lr, epochs, schedule):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr)
    schedule, seen = schedule(optimizer), []
    for epoch in range(epochs):  # no training
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return seen

def test_first_and_last(seen, first, last):
    assert math.isclose(seen[0], first), f"begins at {seen[0]:.3g}, not {first}"
    assert seen[-1] < last + 1e-5, f"ends at {seen[-1]:.3g}, not {last}"

cosine = lambda e: (1 + math.cos(math.pi * e / 1800)) / 2
twice = lambda e: 0.2 * cosine(e)

for name, seen, meant in (
    ("0.2 f", rates(0.2, 1800, lambda o: LambdaLR(o, twice)), (0.2, 0)),
    ("f", rates(0.2, 1800, lambda o: LambdaLR(o, cosine)), (0.2, 0)),
    ("200", rates(0.1, 200, lambda o: MultiStepLR(o, [150, 225])), (0.1, 0.001)),
    ("300", rates(0.1, 300, lambda o: MultiStepLR(o, [150, 225])), (0.1, 0.001))):
    try:
        print(f"{name}:", test_first_and_last(seen, *meant) or "passes")
    except AssertionError as error:
        print(f"{name}, the test: {error}")
