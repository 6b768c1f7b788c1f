"""What is done otherwise on a GPU gives what a CPU gives. Some tests need a GPU and are skipped without."""

import dataclasses

import pytest
import torch
from torch import nn

from bnbook.experiments.inception_speedups import protocol
from bnbook.experiments.inception_speedups import training as experiment
from bnbook.nn.inception import Dropout
from bnbook.runs.replay import RECORD_STEPS, differs
from bnbook.train import precision

SMOKE = protocol.PROFILES["smoke"]
CHOICE = protocol.Choice(initial="he", output_scale=1.0, lr=0.05, epochs=3, target=50.0)
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
both = pytest.mark.parametrize("variant", ["inception", "bn_x5"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_draws_what_torchs_own_draws_on_a_cpu(dtype):
    x = torch.randn(128, 176).to(dtype)
    dropped, states = [], []
    for layer in (nn.Dropout(0.4), Dropout(0.4)):
        torch.manual_seed(3)
        dropped.append(layer(x))
        states.append(torch.get_rng_state())
    assert torch.equal(*dropped) and torch.equal(*states)
    assert 0.3 < (dropped[0] == 0).float().mean() < 0.5


def test_dropout_drops_nothing_in_evaluation_or_at_zero():
    x = torch.randn(4, 5)
    assert Dropout(0.4).eval()(x) is x and Dropout(0.0)(x) is x


def short(variant: str) -> protocol.Config:
    return dataclasses.replace(protocol.main(SMOKE, CHOICE)[variant], steps=20)


@gpu
@both
def test_a_gpu_trains_as_a_cpu_does(variant, monkeypatch):
    """As closely as rounding allows: what a nudge of an ulp does to the run shows how closely that is."""
    on_gpu = experiment.train_run(short(variant), 20, None)
    monkeypatch.setattr(experiment, "device", lambda: torch.device("cpu"))
    before = {"losses": on_gpu.progress.first_losses[:RECORD_STEPS]}
    assert not differs(
        before,
        lambda: {
            "losses": experiment.train_run(short(variant), 20, None).progress.first_losses[:RECORD_STEPS]
        },
    )
    assert on_gpu.device == "cuda"


@gpu
@both
def test_a_gpu_trains_in_bfloat16(variant):
    config = dataclasses.replace(short(variant), precision="bfloat16")
    assert not experiment.train_run(config, 20, None).progress.diverged


@gpu
@both
def test_a_run_made_again_on_a_gpu_comes_out_the_same(variant):
    runs = [experiment.train_run(short(variant), 20, None) for _ in range(2)]
    assert runs[0].progress.first_losses == runs[1].progress.first_losses
    assert runs[0].final["test_loss"] == runs[1].final["test_loss"]


@gpu
def test_a_gpu_computes_float32_as_float32():
    on = precision.device()
    a, b = (torch.randn(512, 512, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    exact = a.double() @ b.double()
    error = (a.to(on) @ b.to(on)).cpu().double() - exact
    assert error.norm() / exact.norm() < 1e-6  # TF32: 3e-4
