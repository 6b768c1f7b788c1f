import torch

# probs: (images, classes)
def calibration_error(probs, labels, bins=15):
    confidence, answer = probs.max(1)
    right = (answer == labels).float()
    place = (confidence * bins).long().clamp(max=bins - 1)
    error = 0.0
    for b in place.unique():
        # the images of this bin
        here = place == b
        gap = (right[here].mean() - confidence[here].mean()).abs()
        error += here.float().mean() * gap
    return error

torch.manual_seed(0)
logits = 2 * torch.randn(100_000, 10)
# as often as the logits say
labels = torch.multinomial(logits.softmax(1), 1)[:, 0]
# too sure, as sure as right, not sure enough
for scale in (2.0, 1.0, 0.5):
    probs = (scale * logits).softmax(1)
    sure = probs.max(1).values.mean()
    right = (probs.argmax(1) == labels).float().mean()
    print(f"logits x {scale}: {right:.0%} right, {sure:.0%} sure, "
          f"calibration error {100 * calibration_error(probs, labels):.0f} points")
