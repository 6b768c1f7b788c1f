"""Networks that read an image step by step, and where normalization stands in them."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FORGET_BIAS = 1.0  # at the start: a cell first keeps what it has
GATES = 4  # forget, input, output, and what goes into the cell


class PerStep(nn.Module):
    """BN within a recurrence: statistics of each step by themselves, since the first states are distributed
    unlike the later ones; gamma, and beta where there is one, are the same at all steps."""

    def __init__(self, units: int, steps: int, gamma: float, eps: float, beta: bool = False):
        super().__init__()
        self.steps = nn.ModuleList(nn.BatchNorm1d(units, eps, affine=False) for _ in range(steps))
        self.weight = nn.Parameter(torch.full((units,), gamma))
        self.bias = nn.Parameter(torch.zeros(units)) if beta else None

    def forward(self, x: Tensor, step: int) -> Tensor:
        """(N, units) at `step`, counted from 0."""
        y = self.weight * self.steps[step](x)
        return y if self.bias is None else y + self.bias


class AllSteps(nn.BatchNorm1d):
    """BN whose statistics are taken over all steps of all examples; (steps, N, units)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(0, 1)).view_as(x)


class LayerNorm(nn.LayerNorm):
    """Each example's values by their own mean and variance: no step has statistics of its own."""

    def forward(self, x: Tensor, step: int | None = None) -> Tensor:
        return super().forward(x)


class Same(nn.Module):
    """No normalization."""

    def forward(self, x: Tensor, step: int | None = None) -> Tensor:
        return x


class LSTM(nn.Module):
    """(N, steps, inputs) -> (N, classes) logits, from the last state of `hidden` units.

    At each step, with N standing for what `norm` normalizes:

        f, i, o, g = N(W_h h) + N(W_x x) + b
        c <- sigmoid(f) c + sigmoid(i) tanh(g)
        h <- sigmoid(o) tanh(N(c))

    `norm` is "none"; "input": W_x x by BN over all steps; "within": all three by BN with statistics by step
    and gamma `gamma` at the start; "layer": all three by layer normalization. b does the work of beta where
    it can. Weights are orthogonal, gate by gate, and drawn from `generator`; equal ones give equal weights
    whatever is normalized. The first states are `noise` times standard normal ones, a fixed one for each
    place of a mini-batch of `places`: as long as the rows are black nothing else tells the examples apart,
    and BN would divide by zero.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        classes: int,
        steps: int,
        norm: str,
        gamma: float,
        eps: float,
        noise: float,
        places: int,
        generator: torch.Generator,
    ):
        super().__init__()
        gates = GATES * hidden
        self.from_input = nn.Parameter(_by_gate(hidden, inputs, generator))
        self.from_state = nn.Parameter(_by_gate(hidden, hidden, generator))
        self.bias = nn.Parameter(torch.zeros(gates))
        nn.init.constant_(self.bias[:hidden].detach(), FORGET_BIAS)
        self.output = nn.Linear(hidden, classes)
        nn.init.orthogonal_(self.output.weight, generator=generator)
        nn.init.zeros_(self.output.bias)
        self.register_buffer("start", noise * torch.randn(places, hidden, generator=generator))

        # Of the input at once, for all steps, or step by step; of the state; of the cell.
        self.norm_inputs: nn.Module = Same()
        self.norm_input: nn.Module = Same()
        self.norm_state: nn.Module = Same()
        self.norm_cell: nn.Module = Same()
        if norm == "input":
            self.norm_inputs = AllSteps(gates, eps)
        elif norm == "within":
            self.norm_input = PerStep(gates, steps, gamma, eps)
            self.norm_state = PerStep(gates, steps, gamma, eps)
            self.norm_cell = PerStep(hidden, steps, gamma, eps, beta=True)
        elif norm == "layer":
            self.norm_inputs = LayerNorm(gates, eps, bias=False)
            self.norm_state = LayerNorm(gates, eps, bias=False)
            self.norm_cell = LayerNorm(hidden, eps)
        elif norm != "none":
            raise ValueError(f"norm is {norm!r}; it must be none, input, within or layer")

    def states(self, x: Tensor) -> list[Tensor]:
        """h after each step, (N, hidden)."""
        h = self.start[torch.arange(len(x)) % len(self.start)]
        c, found = torch.zeros_like(h), []
        # What comes from the input does not wait for any state: one product for all steps.
        for step, from_input in enumerate(self.norm_inputs(x.transpose(0, 1) @ self.from_input.T)):
            from_state = self.norm_state(h @ self.from_state.T, step)
            f, i, o, g = (self.norm_input(from_input, step) + from_state + self.bias).chunk(GATES, dim=1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * self.norm_cell(c, step).tanh()
            found.append(h)
        return found

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.states(x)[-1])


def _by_gate(units: int, inputs: int, generator: torch.Generator) -> Tensor:
    """(GATES * units, inputs), orthogonal for each gate."""
    gates = [nn.init.orthogonal_(torch.empty(units, inputs), generator=generator) for _ in range(GATES)]
    return torch.cat(gates)


class Tanh(nn.Module):
    """h <- tanh(BN(W_h h + W_x x)): the network in which Cooijmans et al. followed the gradient. It is looked
    at before any training: BN has the mini-batch's statistics and nothing to learn; without one for a `gamma`
    of None. W_h is the identity, or orthogonal, as `initial` says."""

    def __init__(
        self,
        inputs: int,
        hidden: int,
        classes: int,
        initial: str,
        gamma: float | None,
        eps: float,
        noise: float,
        places: int,
        generator: torch.Generator,
    ):
        super().__init__()
        self.gamma, self.eps = gamma, eps
        self.from_input = nn.Parameter(nn.init.orthogonal_(torch.empty(hidden, inputs), generator=generator))
        drawn = nn.init.orthogonal_(torch.empty(hidden, hidden), generator=generator)
        self.from_state = nn.Parameter(torch.eye(hidden) if initial == "identity" else drawn)
        self.output = nn.Linear(hidden, classes, bias=False)
        nn.init.orthogonal_(self.output.weight, generator=generator)
        self.register_buffer("start", noise * torch.randn(places, hidden, generator=generator))

    def states(self, x: Tensor) -> list[Tensor]:
        """h after each step of x (N, steps, inputs), (N, hidden); N no more than the places."""
        h, found = self.start[: len(x)], []
        for from_input in x.transpose(0, 1) @ self.from_input.T:
            a = h @ self.from_state.T + from_input
            if self.gamma is not None:
                a = self.gamma * F.batch_norm(a, None, None, training=True, eps=self.eps)
            h = a.tanh()
            found.append(h)
        return found
