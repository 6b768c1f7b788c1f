"""Our layer where torch's users put theirs: torch's own test inputs, and the tools that meet the layer.

torch's layer is the reference everywhere; what ours refuses, it refuses in one line.
"""

import copy
import functools
import inspect
import io
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.optim.swa_utils import update_bn
from torch.utils.checkpoint import checkpoint

from bnbook.nn.batchnorm import BatchNorm

LAYERS = {"BatchNorm1d": nn.BatchNorm1d, "BatchNorm2d": nn.BatchNorm2d, "BatchNorm3d": nn.BatchNorm3d}
MODES = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])

# torch's test modules change global settings, and import a package that users do not have: they are read in a
# process of their own, with an empty package in its place.
READ = """
import sys, types, unittest, torch
stub = types.ModuleType("expecttest")
stub.TestCase = unittest.TestCase
sys.modules.setdefault("expecttest", stub)
from torch.testing._internal.common_modules import module_db

found = []
for info in module_db:
    name = info.module_cls.__name__
    if name in sys.argv[2:]:
        for dtype in (torch.float32, torch.float64):
            for training in (True, False):
                torch.manual_seed(0)
                options = {"device": "cpu", "dtype": dtype, "requires_grad": False, "training": training}
                for given in info.module_inputs_func(info, **options):
                    made, called = given.constructor_input, given.forward_input
                    found.append((name, dtype, training, made.args, made.kwargs, *called.args))
torch.save(found, sys.argv[1])
"""


@pytest.fixture(scope="module")
def torchs_inputs(tmp_path_factory):
    """(torch's layer, dtype, training, arguments, options, input) of each of torch's test inputs."""
    file = tmp_path_factory.mktemp("torch") / "inputs.pt"
    subprocess.run([sys.executable, "-c", READ, file, *LAYERS], check=True, capture_output=True)
    return torch.load(file, weights_only=False)


def normal(*shape, seed=0, mean=0.0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype) + mean


def twins(*args, layer=nn.BatchNorm1d, **options):
    """Our layer and torch's, with the same random parameters and statistics that have seen something."""
    theirs = layer(*args, **options)
    for index, parameter in enumerate(theirs.parameters()):
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(index))
    if theirs.running_mean is not None:
        theirs.running_mean.copy_(normal(theirs.num_features, seed=7))
        theirs.running_var.copy_(normal(theirs.num_features, seed=8).square() + 0.5)
    ours = BatchNorm(*args, **options)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def all_of(layer, x, run=None):
    """Output, gradients and buffers after a pass forward and backward through `layer`, or what runs it."""
    x = x.clone().requires_grad_()
    y = (run or layer)(x)
    (y * normal(*y.shape, seed=9, dtype=y.dtype)).sum().backward()
    return [y.detach(), x.grad, *(parameter.grad for parameter in layer.parameters()), *layer.buffers()]


def assert_same(ours, theirs):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        tolerance = 1e-10 if a.dtype == torch.float64 else 1e-5
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_torchs_own_inputs(torchs_inputs):
    counts = dict.fromkeys(LAYERS, 0)
    for name, dtype, training, args, options, x in torchs_inputs:
        ours, theirs = twins(*args, layer=LAYERS[name], dtype=dtype, **options)
        ours.train(training)
        theirs.train(training)
        assert x.dtype == dtype
        assert_same(all_of(ours, x), all_of(theirs, x))
        counts[name] += 1
    # How many inputs torch has: 60 for the first two of torch 2.14, less where it has no argument `bias`.
    without_bias = "bias" not in inspect.signature(nn.BatchNorm1d).parameters
    assert counts == {name: 4 * (size - without_bias) for name, size in zip(LAYERS, (8, 7, 7), strict=True)}


@MODES
def test_deepcopy(training):
    ours, theirs = (layer.train(training) for layer in twins(3))
    x = normal(6, 3)
    twin = copy.deepcopy(ours)
    assert_same(all_of(twin, x), all_of(theirs, x))
    assert ours.num_batches_tracked == 0 and ours.weight.grad is None


@MODES
def test_a_checkpointed_pass(training):
    """It is run twice; torch's layer moves its running statistics twice then, ours once."""
    (ours, theirs), x = twins(3), normal(6, 3)
    uncheckpointed = all_of(copy.deepcopy(ours).train(training), x)
    ours.train(training)
    theirs.train(training)
    answers = []
    for layer in (ours, theirs):
        run = functools.partial(checkpoint, layer, use_reentrant=False)
        answers.append(all_of(layer, x, run))
    assert_same(answers[0], uncheckpointed)
    assert_same(answers[0][:4], answers[1][:4])


@MODES
@pytest.mark.parametrize("strict", [True, False])
def test_export(training, strict):
    """For any size of mini-batch, in training with the running statistics that it moves."""
    answers = []
    for layer in twins(3):
        sizes = ({0: torch.export.Dim("n", min=2)},)
        layer.train(training)
        program = torch.export.export(layer, (normal(6, 3),), dynamic_shapes=sizes, strict=strict).module()
        y = program(normal(9, 3, seed=1))
        answers.append([y, *(buffer for _, buffer in sorted(program.named_buffers()))])
    assert_same(*answers)


@MODES
def test_compile(training):
    """As a whole graph, with the backward; a backend that needs no compiler."""
    torch._dynamo.reset()
    answers = []
    for layer in twins(3):
        layer.train(training)
        answers.append(all_of(torch.compile(layer, backend="aot_eager", fullgraph=True), normal(6, 3)))
    assert_same(*answers)


def test_trace_in_eval_mode():
    answers = []
    for layer in twins(3):
        file = io.BytesIO()
        torch.jit.save(torch.jit.trace(layer.eval(), normal(6, 3)), file)
        file.seek(0)
        answers.append([torch.jit.load(file)(normal(9, 3, seed=1))])
    assert_same(*answers)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (lambda layer: torch.jit.script(layer), "cannot be scripted, because"),
        (lambda layer: torch.jit.script(nn.Sequential(layer).eval()), "cannot be scripted, because"),
        (lambda layer: torch.jit.trace(layer, normal(6, 3)), "can be traced in eval mode only, because"),
        (lambda layer: torch.vmap(layer)(normal(4, 6, 3)), "functorch transforms"),
    ],
    ids=["script", "script in eval mode", "trace", "vmap"],
)
def test_what_is_refused_is_refused_in_one_line(asked, words):
    layer = BatchNorm(3)
    before = copy.deepcopy(layer.state_dict())
    with pytest.raises(RuntimeError, match=words) as caught:
        asked(layer)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


@MODES
def test_functional_call(training):
    answers = []
    for layer in twins(3):
        state = {name: value.detach().clone() for name, value in layer.state_dict().items()}
        y = functional_call(layer.train(training), state, normal(6, 3, mean=1.0))
        assert layer.num_batches_tracked == 0  # what moved is what was given
        answers.append([y, *state.values()])
    assert_same(*answers)


def test_transforms_of_functions_in_eval_mode():
    """An ensemble under vmap, and gradients of each example."""
    ensembles, gradients = [], []
    for kind in (0, 1):
        members = [twins(3)[kind].eval() for _ in range(4)]
        for index, member in enumerate(members):
            nn.init.normal_(member.weight, generator=torch.Generator().manual_seed(index))
        parameters, buffers = torch.func.stack_module_state(members)

        def answer(parameters, buffers, x, layer=members[0]):
            return functional_call(layer, (parameters, buffers), x)

        def loss(parameters, buffers, row, answer=answer):
            return answer(parameters, buffers, row[None]).square().sum()

        x = normal(6, 3)
        ensembles.append([torch.vmap(answer, (0, 0, None))(parameters, buffers, x)])
        one = ({name: value[0].detach() for name, value in state.items()} for state in (parameters, buffers))
        each = torch.vmap(torch.func.grad(loss), (None, None, 0))(*one, x)
        gradients.append([each["weight"], each["bias"]])
    assert_same(*ensembles)
    assert_same(*gradients)


def test_update_bn_finds_the_layer():
    batches = [normal(6, 3, seed=seed, mean=seed) for seed in range(3)]
    nets = [nn.Sequential(layer).eval() for layer in twins(3)]
    for net in nets:
        update_bn(batches, net)
        assert net[0].momentum == 0.1 and not net.training
    torch.testing.assert_close(nets[0][0].running_mean, torch.stack([b.mean(0) for b in batches]).mean(0))
    assert_same(*(list(net.buffers()) for net in nets))


@pytest.mark.parametrize("options", [{}, {"affine": False}, {"track_running_stats": False}], ids=str)
def test_convert_sync_batchnorm_makes_of_it_what_it_makes_of_torchs(options):
    nets = [nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(layer)) for layer in twins(3, **options)]
    assert [type(net[0]) for net in nets] == [nn.SyncBatchNorm] * 2
    assert str(nets[0]) == str(nets[1])
    x = normal(6, 3)
    assert_same(all_of(nets[0], x), all_of(nets[1], x))
    assert_same([nets[0].eval()(x)], [nets[1].eval()(x)])


@MODES
def test_replace_all_batch_norm_modules_takes_the_running_statistics(training):
    ours, theirs = (
        torch.func.replace_all_batch_norm_modules_(nn.Sequential(layer)).train(training) for layer in twins(3)
    )
    assert not list(ours.buffers())
    assert_same(all_of(ours, normal(6, 3)), all_of(theirs, normal(6, 3)))


def test_made_without_filling():
    layer = nn.utils.skip_init(BatchNorm, 3, dtype=torch.float64)
    assert layer.weight.shape == (3,) and layer.weight.dtype == torch.float64
