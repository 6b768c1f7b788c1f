"""The loop, its schedules and probes, and runs that stop half-way."""

import dataclasses
import errno
import io
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bnbook import files, paths, records
from bnbook.config import ConfigError
from bnbook.data.batches import Batches
from bnbook.data.datasets import Split
from bnbook.experiments.inception_first import protocol as inception
from bnbook.experiments.mnist_activation_shift import protocol
from bnbook.experiments.mnist_activation_shift import training as experiment
from bnbook.nn.batchnorm import population_statistics
from bnbook.nn.mlp import MLP
from bnbook.records import RecordError
from bnbook.runs import obtain as runs
from bnbook.runs import plans
from bnbook.train import checkpoint as checkpoints
from bnbook.train.checkpoint import Checkpoint
from bnbook.train.loop import Progress, at_most, nudged, train
from bnbook.train.probes import Evaluation, SigmoidInputs, StepSummary, evaluate
from bnbook.train.schedules import log_then_even

PROFILE = dataclasses.replace(protocol.PROFILES["smoke"], steps=1200, evaluate_every=100)
CHOICE = protocol.Choice(tuned=dict.fromkeys(protocol.VARIANTS, (1.0, 0.1)), shared=(1.0, 0.1))
PLAIN, BN = (protocol.main(PROFILE, CHOICE)["shared", variant] for variant in protocol.VARIANTS)


INCEPTION = inception.main(
    inception.PROFILES["smoke"], inception.Choice(lr=0.05, lr_decay=0.5, weight_decay=1e-4)
)


def short(config, steps=60):
    return dataclasses.replace(config, steps=steps)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BNBOOK_CACHE", str(tmp_path / "cache"))


def test_log_then_even():
    assert log_then_even(100, growth=2.0, every=25) == [1, 2, 4, 8, 16, 25, 50, 75, 100]
    assert log_then_even(3, growth=2.0, every=25) == [1, 2, 3]
    assert log_then_even(1, growth=1.05, every=500) == [1]


def test_main_schedule_is_fine_enough_for_steps_to_target():
    """Spacing at most 5% of the step (design: honest statistics), once steps are not all there is."""
    steps = np.array(log_then_even(50_000, PROFILE.evaluate_growth, 500))
    spacing = np.diff(steps)
    assert np.all(spacing <= np.maximum(1, 0.05 * steps[1:] + 1))
    assert steps[-1] == 50_000 and np.all(spacing > 0)


@pytest.mark.parametrize(("growth", "every"), [(1.0, 10), (2.0, 0)])
def test_impossible_schedule(growth, every):
    with pytest.raises(ValueError, match=f"growth is {growth} and every {every}"):
        log_then_even(10, growth, every)


@pytest.mark.parametrize(
    "config",
    [short(PLAIN, 120), short(BN, 120), INCEPTION["inception"], INCEPTION["bn_x5"]],
    ids=lambda config: config.variant,
)
def test_a_resumed_run_gives_the_same_record(config, tmp_path, monkeypatch):
    """Bit for bit, times aside: the run is killed in the middle and started again. The plain Inception has
    Dropout, whose random numbers go on where they were, and mini-batches of fixed membership."""
    whole = runs.make(config, 1, tmp_path / "whole")
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0.0)
    save, saved, middle = Checkpoint.save, [], config.steps // 2

    def killed(self, model, optimizer, probes, progress):
        # Before the save, so that this step is lost and done again.
        if progress.step == middle:
            raise KeyboardInterrupt
        save(self, model, optimizer, probes, progress)

    def watched(self, model, optimizer, probes, progress):
        saved.append(progress.step)
        save(self, model, optimizer, probes, progress)

    monkeypatch.setattr(Checkpoint, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        runs.make(config, 1, tmp_path / "resumed")
    assert not list((tmp_path / "resumed").rglob("*.json"))
    monkeypatch.setattr(Checkpoint, "save", watched)
    resumed = runs.make(config, 1, tmp_path / "resumed")
    assert saved[0] == middle, "it did not go on from the step before"
    for name in ("first_losses", "outcome", "arrays_sha256"):
        assert getattr(resumed, name) == getattr(whole, name), name
    for one in (resumed, whole):
        one.final.pop("seconds_per_step", None)
        for curve in one.curves.values():
            seconds = curve.pop("train_seconds")
            assert seconds == sorted(seconds)
    assert resumed.curves == whole.curves and resumed.final == whole.final
    assert not list(paths.cache().rglob("*.pt")), "the checkpoint is left behind"


def test_same_seed_same_run_other_seed_other_run(tmp_path):
    one, two, other = (
        runs.make(short(BN), seed, tmp_path / name) for name, seed in (("one", 0), ("two", 0), ("other", 1))
    )
    assert one.first_losses == two.first_losses and one.arrays_sha256 == two.arrays_sha256
    assert one.first_losses != other.first_losses


def test_variants_draw_the_same_weights():
    plain, bn = (experiment.network(config, 64, 10, seed=3) for config in (PLAIN, BN))
    for a, b in zip(plain.hidden, bn.hidden, strict=True):
        assert torch.equal(a.linear.weight, b.linear.weight)
        assert b.linear.bias is None and torch.all(a.linear.bias == 0)


def test_unknown_activation():
    with pytest.raises(ValueError, match="activation is 'tanh'; it must be one of sigmoid, relu"):
        MLP(64, 10, 1, 10, activation="tanh")


LAYERS = [(None, None), (nn.BatchNorm1d, None), (nn.BatchNorm1d, True), (None, False)]


def test_a_normalized_layer_has_no_bias_unless_it_is_asked_for():
    biases = [MLP(4, 3, 2, 2, norm, bias=bias).hidden[1].linear.bias for norm, bias in LAYERS]
    assert [bias is not None for bias in biases] == [True, False, True, False]


def test_our_layer_trains_like_torchs(tmp_path):
    """The records were made with torch's layer; the paper's, written by hand, gives the same training."""
    ours = dataclasses.replace(short(BN), norm_backend="paper")
    torchs, ours = (runs.make(config, 0, tmp_path) for config in (short(BN), ours))
    np.testing.assert_allclose(ours.first_losses, torchs.first_losses, rtol=1e-4)
    np.testing.assert_allclose(
        ours.arrays["input_percentiles"], torchs.arrays["input_percentiles"], atol=1e-3
    )


def test_divergence_is_a_result(tmp_path):
    record = runs.make(dataclasses.replace(short(PLAIN), lr=1e38, init_std=1e10), 0, tmp_path)
    assert record.outcome["status"] == "diverged" and 1 <= record.outcome["step"] < 60
    assert record.accuracy == 0.1
    assert all(math.isfinite(loss) for loss in record.first_losses)


def test_unknown_norm_backend():
    with pytest.raises(ValueError, match="norm_backend is 'jax'; it must be one of torch, paper"):
        experiment.network(dataclasses.replace(BN, norm_backend="jax"), 64, 10, seed=0)


def test_obtain_finds_and_force_retrains_but_never_a_committed_record(tmp_path, monkeypatch):
    config = short(PLAIN, 5)
    first = runs.obtain(config, 0, [tmp_path / "committed", tmp_path / "own"])
    assert first.path.is_relative_to(tmp_path / "own")
    again = runs.obtain(config, 0, [tmp_path / "committed", tmp_path / "own"])
    assert again.provenance == first.provenance
    assert runs.make(config, 0, tmp_path / "own").provenance == first.provenance
    forced = runs.obtain(config, 0, [tmp_path / "committed", tmp_path / "own"], force=True)
    assert forced.first_losses == first.first_losses
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    monkeypatch.setattr(paths, "runs", lambda folder: tmp_path / "own")
    with pytest.raises(RecordError, match="never overwritten"):
        runs.make(config, 0, tmp_path / "own", force=True)


@pytest.mark.parametrize(("commit", "words"), [("abc-dirty", "uncommitted changes"), ("unknown", "unknown")])
def test_committed_runs_need_committed_code(tmp_path, monkeypatch, commit, words):
    monkeypatch.setattr(runs, "code_commit", lambda: commit)
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    with pytest.raises(RecordError, match=words):
        runs.make(short(PLAIN, 5), 0, paths.runs(tmp_path))


@pytest.mark.parametrize("seed", [-1, 2**32, 10**30])
def test_a_seed_that_no_generator_takes_is_refused(tmp_path, seed):
    with pytest.raises(ConfigError, match=f"seed is {seed}; it must be 0 to"):
        runs.make(short(PLAIN, 5), seed, tmp_path)


# Checkpoints that are not what they were


def linear() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(1)
    model = nn.Linear(3, 2)
    return model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


class Rows:
    """As a probe keeps them: NumPy's numbers and arrays, in lists, tuples and dictionaries."""

    def __init__(self, rows=()):
        self.rows = list(rows)


MEASURED = [
    (1, {"wide": np.arange(6.0).reshape(2, 3)[:, ::-1], "half": np.float32(0.1)}),
    ({"step": 2, "loss": None, "accuracy": 0.5, "bool": np.bool_(True)}, np.zeros(0)),
]


@pytest.fixture
def saved(tmp_path):
    """A checkpoint of "run", after 5 steps."""
    model, optimizer = linear()
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    files.warn_once.cache_clear()
    checkpoint = Checkpoint(tmp_path / "c.pt", "run")
    checkpoint.save(model, optimizer, [Rows(MEASURED)], Progress(step=5, first_losses=[0.5]))
    return checkpoint.path


def restored(path, run="run", **options):
    """(checkpoint, model, probe, progress), restored from `path` over what a run begins with."""
    model, optimizer = linear()
    checkpoint, probe, progress = Checkpoint(path, run, **options), Rows(), Progress()
    checkpoint.restore(model, optimizer, [probe], progress)
    return checkpoint, model, probe, progress


def test_a_checkpoint_gives_back_what_was_measured(saved):
    _, model, probe, progress = restored(saved)
    assert progress == Progress(step=5, first_losses=[0.5])
    assert not torch.equal(model.weight, linear()[0].weight)
    (one, arrays), (numbers, empty) = probe.rows
    assert one == 1 and numbers == MEASURED[1][0] and type(probe.rows[0]) is tuple
    np.testing.assert_array_equal(arrays["wide"], MEASURED[0][1]["wide"])
    assert arrays["wide"].dtype == np.float64 and empty.shape == (0,)
    assert arrays["half"] == np.float32(0.1)


def test_what_a_checkpoint_holds_needs_no_code(saved):
    torch.load(io.BytesIO(saved.read_bytes()[checkpoints.CHECKSUM_BYTES :]), weights_only=True)


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def sealed(state) -> bytes:
    stream = io.BytesIO()
    torch.save(state, stream)
    return checkpoints._checksum(stream.getvalue()) + stream.getvalue()


def state_in(path) -> dict:
    return torch.load(io.BytesIO(path.read_bytes()[checkpoints.CHECKSUM_BYTES :]), weights_only=True)


def flipped(path):
    """One bit of a weight."""
    data = bytearray(path.read_bytes())
    weight = data.index(state_in(path)["model"]["weight"].numpy().tobytes())
    data[weight + 2] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-20]),
    "empty": lambda path: path.write_bytes(b""),
    "random": lambda path: path.write_bytes(bytes(range(256)) * 20),
    "a flipped bit": flipped,
    "a folder": lambda path: (path.unlink(), (path / "deep").mkdir(parents=True)),
    "of another network": lambda path: path.write_bytes(
        sealed(state_in(path) | {"model": nn.Linear(4, 2).state_dict()})
    ),
    "half of another": lambda path: path.write_bytes(sealed(state_in(path) | {"optimizer": {}})),
    "of an earlier format": lambda path: path.write_bytes(sealed(state_in(path) | {"format": 1})),
    "without its parts": lambda path: path.write_bytes(sealed({"format": 2, "run": "run"})),
    "of an unknown progress": lambda path: path.write_bytes(
        sealed(state_in(path) | {"progress": {"steps": 5}})
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_is_named_set_aside_and_the_run_starts_over(saved, caplog, damage):
    damage(saved)
    checkpoint, model, probe, progress = restored(saved)
    (line,) = caplog.messages
    assert str(saved) in line and "starts over" in line and "\n" not in line
    assert torch.equal(model.weight, linear()[0].weight)
    assert (probe.rows, progress, checkpoint.earlier) == ([], Progress(), [])
    assert not saved.exists() and saved.with_name("c.pt.damaged").exists()
    checkpoint.save(model, linear()[1], [probe], Progress(step=7))
    assert restored(saved)[3].step == 7


def test_a_checkpoint_of_another_run_is_not_gone_on_with(saved, caplog):
    assert restored(saved, run="another")[3] == Progress()
    assert "of another run" in caplog.text


def test_a_forced_run_looks_at_no_checkpoint(saved):
    assert restored(saved, resume=False)[3] == Progress()


@pytest.mark.parametrize("sound", [True, False], ids=["with a right checksum", "as torch saves it"])
def test_a_poisoned_checkpoint_runs_nothing(saved, tmp_path, caplog, sound):
    trace = tmp_path / "it ran"
    state = {"format": checkpoints.FORMAT, "run": "run", "probes": [Payload(trace)]}
    if sound:
        saved.write_bytes(sealed(state))
    else:
        torch.save(state, saved)
    assert restored(saved)[3] == Progress()
    assert not trace.exists()
    assert not sound or "holds more than numbers and text" in caplog.text
    torch.load(io.BytesIO(sealed(state)[checkpoints.CHECKSUM_BYTES :]), weights_only=False)
    assert trace.exists(), "the poison is none"


def test_a_save_that_fails_leaves_the_old_checkpoint_and_the_run_goes_on(saved, monkeypatch, caplog):
    model, optimizer = linear()
    checkpoint = Checkpoint(saved, "run")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    for step in (6, 7):
        checkpoint.save(model, optimizer, [Rows()], Progress(step=step))
    (line,) = caplog.messages
    assert str(saved) in line and "No space left on device; the run goes on" in line
    assert restored(saved)[3].step == 5
    assert not list(saved.parent.glob("*.tmp"))


def test_percentiles_are_of_what_the_sigmoid_sees():
    """By hand on a net of one hidden layer: with BN the input has the batch's own mean 0 and variance 1."""
    torch.manual_seed(0)
    x = torch.randn(1001, 4) * 5 + 3
    for norm in (None, nn.BatchNorm1d):
        model = MLP(4, 6, 1, 10, norm)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        probe = SigmoidInputs(x, (15, 50, 85), [1])
        probe(StepSummary(step=1, train_loss=0.0, train_seconds=0.0), model)
        wu = model.hidden[0].linear(x).detach()
        seen = (wu - wu.mean(0)) / (wu.var(0, unbiased=False) + 1e-5).sqrt() if norm else wu
        arrays = probe.arrays()
        expected = np.percentile(seen.numpy(), (15, 50, 85), axis=0)
        np.testing.assert_allclose(arrays["input_percentiles"][0], expected, atol=1e-4)
        assert ("wu_percentiles" in arrays) == bool(norm)
        for name, value in model.state_dict().items():
            assert torch.equal(value, before[name]), f"the probe changed {name}"


@pytest.mark.parametrize("variant", protocol.VARIANTS)
def test_curves_by_algorithm_2_change_nothing_else(variant):
    """The second recipe adds columns to the curves of the network with BN, by the mini-batches that the end
    point begins with; training and all that the first recipe measured are as they were."""
    config = dataclasses.replace(protocol.traces(12)[protocol.VARIANTS.index(variant)], population_batches=50)
    assert config.variant == variant and config.recipe == 2
    new, old = (
        experiment.train_run(dataclasses.replace(config, recipe=recipe), 0, None) for recipe in (2, 1)
    )
    assert new.progress.first_losses == old.progress.first_losses and new.final == old.final
    added = new.curves["evaluation"].keys() - old.curves["evaluation"].keys()
    assert added == ({"test_accuracy_population", "test_loss_population"} if variant == "bn" else set())
    assert new.curves["evaluation"]["test_accuracy"] == old.curves["evaluation"]["test_accuracy"]
    if variant == "bn":
        assert protocol.CURVE_BATCHES[2] == config.population_batches
        last = new.curves["evaluation"]["test_accuracy_population"][-1]
        assert last == new.final["test_accuracy_population"]


def test_plans_in_parallel_and_resumed(tmp_path):
    """Two processes make what one would; records that are there are not made again."""
    tiny = dataclasses.replace(
        PROFILE,
        lrs=(1.0,),
        init_stds=(0.1,),
        multiverse_seeds=1,
        binarised_seeds=1,
        multiverse_steps=10,
        steps=5,
        seeds=1,
    )
    jobs = list(protocol.plan("multiverse", tiny, []))
    made = dict(plans.make(jobs, tmp_path, force=False, processes=2))
    assert set(made) == set(jobs)
    found = records.find([tmp_path], *jobs[0])
    assert found is not None and found.first_losses == made[jobs[0]].first_losses


def test_at_most_stops_without_changing_the_run():
    """A rate that falls over the whole run is what it was, and only within the context is there an end."""

    def first_losses(**limits):
        torch.manual_seed(0)
        model, data = nn.Linear(4, 2), Split(torch.randn(40, 4), torch.arange(40) % 2)
        return train(
            model,
            F.cross_entropy,
            torch.optim.SGD(model.parameters(), lr=0.1),
            Batches(data, 8, seed=0),
            steps=10,
            learning_rate=lambda step: 1 - step / 10,
        ).first_losses

    whole = first_losses()
    with at_most(3):
        assert first_losses() == whole[:3]
    assert first_losses() == whole


def batches_of_noise(steps=30):
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randn(20, 64, generator=generator), torch.randint(10, (20,), generator=generator))
        for _ in range(steps)
    ]


def small_network():
    torch.manual_seed(0)
    return MLP(64, 16, 2, 10, lambda units: nn.BatchNorm1d(units))


def trained(model, steps, probes=()):
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    return train(model, F.cross_entropy, optimizer, batches_of_noise(), steps, probes=probes)


@pytest.mark.parametrize("units", [1, 10])
def test_a_nudge_moves_the_weights_by_units_in_their_last_place(units):
    plain, moved = small_network(), small_network()
    trained(plain, 0)
    with nudged(units):
        trained(moved, 0)
    for one, other in zip(plain.parameters(), moved.parameters(), strict=True):
        ulps = (one.detach().view(torch.int32) - other.detach().view(torch.int32)).abs()
        assert torch.equal(ulps, units * (one != 0).int())
    trained(plain, 30), trained(moved, 30)
    weights = [model.output.weight.detach().view(torch.int32) for model in (plain, moved)]
    assert (weights[0] - weights[1]).abs().max() > 10  # it has grown


def test_looking_by_algorithm_2_changes_nothing_that_training_can_notice():
    x, y = torch.randn(40, 64), torch.randint(10, (40,))
    probe = Evaluation({"test": Split(x, y)}, [3, 10], population=[x[:20], x[20:]])
    watched, alone = small_network(), small_network()
    progress = trained(watched, 10, [probe])
    assert progress.first_losses == trained(alone, 10).first_losses
    for name, value in alone.state_dict().items():
        assert torch.equal(value, watched.state_dict()[name]), name


def test_algorithm_2_along_the_curve_is_that_of_the_end_point():
    """By a second way: population statistics put in by hand. After three steps the moving average still holds
    seven parts in ten of where it started, so that the two columns differ."""
    x, y = torch.randn(400, 64) + 2, torch.randint(10, (400,))
    batches = list(x.split(20))
    probe = Evaluation({"test": Split(x, y)}, [3], population=batches)
    model = small_network()
    trained(model, 3, [probe])
    columns = {name: column[0] for name, column in probe.columns().items()}
    assert columns["test_loss"] == pytest.approx(evaluate(model, Split(x, y))[0])
    population_statistics(model, batches)
    loss, accuracy = evaluate(model, Split(x, y))
    assert columns["test_loss_population"] == pytest.approx(loss, rel=1e-6)
    assert columns["test_accuracy_population"] == accuracy
    assert abs(columns["test_loss"] - columns["test_loss_population"]) > 0.01


def test_a_checkpoint_knows_on_what_its_run_was_computed(tmp_path):
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    begun = Checkpoint(tmp_path / "c.pt", hardware=lambda device: f"one {device}")
    begun.save(model, optimizer, [], Progress())
    resumed = Checkpoint(tmp_path / "c.pt", hardware=lambda device: f"another {device}")
    assert resumed.computed_on("cpu") == ["another cpu"]
    resumed.restore(model, optimizer, [], Progress())
    assert resumed.computed_on("cpu") == ["one cpu", "another cpu"]
    begun.restore(model, optimizer, [], Progress())
    assert begun.computed_on("cpu") == ["one cpu"]
