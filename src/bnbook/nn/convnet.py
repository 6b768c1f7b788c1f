"""A small convolutional network for 28x28 images: what a comparison of many runs on CIFAR-10 can afford."""

from collections.abc import Sequence

from torch import Tensor, nn

from bnbook.nn.inception import Conv, Norm


class ConvNet(nn.Module):
    """(N, 3, 28, 28) -> (N, classes) logits.

    3x3 convolutions of `widths` maps, every other one, from the first on, of stride 2; each followed by the
    layer that `norm(maps)` makes, None for none, and a ReLU. Then the mean over places and one linear layer,
    which is not normalized. `bnbook.nn.inception.initialise` draws its weights.
    """

    def __init__(self, widths: Sequence[int], classes: int = 10, norm: Norm | None = None):
        super().__init__()
        inputs = (3, *widths)
        self.convs = nn.Sequential(
            *(
                Conv(inputs[k], maps, 3, norm, "relu", stride=2 if k % 2 == 0 else 1)
                for k, maps in enumerate(widths)
            )
        )
        self.output = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.convs(x).mean(dim=(2, 3)))
