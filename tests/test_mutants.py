"""Mistakes made on purpose: each is what it says, can be made today, and is noticed."""

import dataclasses

import pytest
import torch
from torch import nn

from bnbook import mutants, paths
from bnbook.mutants import Mutant, MutantError
from bnbook.nn import mutants as layers
from bnbook.nn.batchnorm import BatchNorm
from bnbook.nn.checks import check

MUTANTS = mutants.known()
EDITS = [mutant for mutant in MUTANTS.values() if mutant.module]
# What each layer is asked that its mistake is about.
ABOUT = {
    layers.OneMean: "each channel comes out",
    layers.WrongAxes: "all places of a channel",
    layers.DifferenceOfSquares: "precise where the mean is large",
    layers.OutsideTheGradient: "the gradient goes through",
    layers.EpsOutsideTheRoot: "eps is added to the variance",
    layers.GammaFirst: "gamma and beta scale",
    layers.TestBatchStatistics: "alone and in company",
    layers.BiasedRunningVariance: "the running variance is that of",
    layers.MomentumReversed: "momentum is the weight of the newest",
    layers.NeverUpdated: "the running statistics arrive",
}


def wrong(make, **options) -> list[str]:
    return [answer.question for answer in check(make, **options) if answer.wrong]


# The layers


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (BatchNorm, (8, 3, 4, 4)),
        (BatchNorm, (32, 3)),
        (BatchNorm, (6, 3, 5)),
        (layers.Written, (8, 3, 4, 4)),
        (layers.Written, (32, 3)),
        (nn.BatchNorm1d, (32, 3)),
        (nn.BatchNorm2d, (8, 3, 4, 4)),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_right_layer_answers_rightly(make, shape):
    assert wrong(make, shape=shape) == []


@pytest.mark.parametrize("layer", layers.ALL)
def test_each_mistake_is_noticed_by_the_question_that_it_is_about(layer):
    assert any(ABOUT[layer] in question for question in wrong(layer))


@pytest.mark.parametrize("layer", layers.ALL)
def test_a_mutant_differs_in_that_one_thing(layer):
    """One method, or two where a statistic has to be taken apart, and nothing that takes a mistake away."""
    own = {name for name, value in vars(layer).items() if callable(value)}
    assert 1 <= len(own) <= 2 and all(hasattr(layers.Written, name) for name in own)


def test_every_layer_is_in_the_table():
    named = [mutant.layer for mutant in MUTANTS.values() if mutant.kind == "layer"]
    assert named == [name for name in named if hasattr(layers, name)]
    assert sorted(named) == sorted(layer.__name__ for layer in layers.ALL) and set(ABOUT) == set(layers.ALL)


def test_the_errors_of_a_layer_are_answers():
    answers = check(nn.BatchNorm1d)  # which takes no images
    assert all("ValueError: expected 2D or 3D input" in answer.wrong for answer in answers)
    bare = wrong(lambda channels: nn.BatchNorm2d(channels, affine=False))
    assert bare == [answer.question for answer in answers if "gamma and beta" in answer.question]


def test_a_check_leaves_the_random_numbers_alone():
    before = torch.get_rng_state()
    check(nn.BatchNorm2d)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("shape", [(8, 4), (2, 3), (3,)])
def test_a_mini_batch_that_says_nothing_is_refused(shape):
    with pytest.raises(ValueError, match=r"it must be \(N, 3, \.\.\.\) with N of 4 or more"):
        check(nn.BatchNorm1d, shape)


# The edits


@pytest.mark.parametrize("mutant", EDITS, ids=lambda mutant: mutant.id)
def test_each_edit_can_be_made_today(mutant):
    """Its piece is there once, and what it becomes is Python."""
    compile(mutants.edited(mutant, paths.ROOT), mutant.module, "exec")
    assert mutant.piece != mutant.by


def test_a_piece_that_is_gone_is_said_in_one_line():
    gone = Mutant("gone", "loop", {}, {}, module="train/loop.py", piece="optimizer.jump()", by="")
    with pytest.raises(MutantError, match=r"^gone: src/bnbook/train/loop.py has .* 0 times, not once: .*$"):
        mutants.edited(gone, paths.ROOT)


def test_unknown_mutants_are_refused():
    with pytest.raises(MutantError, match="no mutant nobody; there are one-mean, "):
        mutants.try_all(["nobody"], "")


def test_there_are_tests_of_each_unit():
    for mutant in MUTANTS.values():
        assert mutant.kind in mutants.KINDS
        assert mutant.tests and all((paths.ROOT / file).exists() for file in mutant.tests)


@pytest.mark.slow
def test_a_mutant_lives_in_a_copy_alone(tmp_path):
    """One edit and one layer, made, noticed and taken away again."""
    mutants.copied(tmp_path)
    copy = mutants.Copy(tmp_path)
    edit = dataclasses.replace(MUTANTS["rate-late"], tests=["tests/test_loop.py"])
    before = (paths.ROOT / "src/bnbook/train/loop.py").read_bytes()
    take_away = copy.put(edit)
    assert (tmp_path / "src/bnbook/train/loop.py").read_bytes() != before
    assert mutants.tested(copy, edit) == "test_it_is_the_loop_that_one_would_write"
    take_away()
    assert (tmp_path / "src/bnbook/train/loop.py").read_bytes() == before
    assert (paths.ROOT / "src/bnbook/train/loop.py").read_bytes() == before
    layer = MUTANTS["momentum-reversed"]
    copy.put(layer, trained=True)
    done = copy.run("-c", "import bnbook.nn.batchnorm as b, torch; print(b.BatchNorm, torch.nn.BatchNorm2d)")
    assert done.stdout.count("bnbook.nn.mutants.MomentumReversed") == 2, done.stdout
