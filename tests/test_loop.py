"""The training loop beside one written out by hand: each step of it leaves the weights that it should."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bnbook.data.datasets import Split
from bnbook.train.checkpoint import Checkpoint
from bnbook.train.loop import train
from bnbook.train.probes import Evaluation, evaluate

STEPS, MOMENTUM = 8, 0.9


def rate(step: int) -> float:
    return 0.5 * 0.7**step


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 3))


def batches(count: int = STEPS) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(10, 5, generator=generator) + 2, torch.randint(3, (10,), generator=generator))
        for _ in range(count)
    ]


def by_hand(steps: int) -> nn.Module:
    """Stochastic gradient descent with momentum, every line of it."""
    model = network()
    velocity = [torch.zeros_like(parameter) for parameter in model.parameters()]
    for step, (x, y) in enumerate(batches()[:steps]):
        gradients = torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))
        with torch.no_grad():
            for parameter, v, gradient in zip(model.parameters(), velocity, gradients, strict=True):
                v.mul_(MOMENTUM).add_(gradient)
                parameter.sub_(rate(step) * v)
    return model


def trained(model, steps=STEPS, stream=None, **options):
    optimizer = torch.optim.SGD(model.parameters(), lr=9.9, momentum=MOMENTUM)
    stream = stream or batches()
    return train(model, F.cross_entropy, optimizer, stream, steps, learning_rate=rate, **options)


def assert_alike(one: nn.Module, other: nn.Module) -> None:
    for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("steps", [1, 2, STEPS])
def test_it_is_the_loop_that_one_would_write(steps):
    """Momentum, the rate of each step, gradients of this mini-batch alone, batch statistics, Dropout."""
    model = network().eval()  # whatever mode it is handed over in
    trained(model, steps)
    assert_alike(model, by_hand(steps))


def test_a_look_in_between_is_in_evaluation_mode_and_changes_nothing():
    x, y = batches(1)[0]
    probe = Evaluation({"test": Split(x, y)}, [3, STEPS])
    model = network()
    trained(model, probes=[probe])
    early = copy.deepcopy(by_hand(3)).eval()
    loss = F.cross_entropy(early(x), y).item()
    assert probe.columns()["test_loss"][0] == pytest.approx(loss, rel=1e-4)
    assert_alike(model, by_hand(STEPS))
    assert model.training


def test_an_evaluation_restores_either_mode():
    for training in (True, False):
        model = network().train(training)
        evaluate(model, Split(*batches(1)[0]))
        assert model.training is training and model[1].training is training


def test_what_is_resumed_goes_on_with_its_momentum(tmp_path):
    class Stopped(list):
        """Ends a run when it asks for its sixth mini-batch."""

        def __getitem__(self, step):
            if step == 5:
                raise KeyboardInterrupt
            return super().__getitem__(step)

    checkpoint = Checkpoint(tmp_path / "c.pt")
    checkpoint.due = lambda: True
    with pytest.raises(KeyboardInterrupt):
        trained(network(), stream=Stopped(batches()), checkpoint=checkpoint)
    model = network()
    progress = trained(model, checkpoint=Checkpoint(tmp_path / "c.pt"))
    assert len(progress.first_losses) == STEPS
    assert_alike(model, by_hand(STEPS))
