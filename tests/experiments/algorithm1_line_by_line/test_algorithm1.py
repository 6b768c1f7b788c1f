"""Section 3: Algorithm 1 against exact arithmetic and differences; its code as the chapter shows it."""

import ast
import re

import numpy as np
import pytest
import torch

from bnbook import claims, paths
from bnbook.experiments.algorithm1_line_by_line import figures as pictures
from bnbook.experiments.algorithm1_line_by_line import measures, protocol
from bnbook.experiments.algorithm1_line_by_line import networks as algorithm1
from bnbook.experiments.algorithm1_line_by_line import training as experiment
from bnbook.nn.batchnorm import BatchNormFunction
from tests.experiments.algorithm1_line_by_line.synthetic import ALGORITHM1_DIGITS

SMOKE = protocol.PROFILES["smoke"]
CONFIGS = protocol.main(SMOKE)
CODE = (paths.ROOT / "src/bnbook/nn/batchnorm.py").read_text(encoding="utf-8")


def batch(name, dtype=torch.float64, seed=0):
    """x, dl/dy, gamma, beta of one of the inputs, and its eps."""
    config = CONFIGS["input", name]
    return [value.to(dtype) for value in experiment.batch(config, seed)] + [config.eps]


# Exact arithmetic


def test_exact_is_exact():
    """x = 1, 2, 3 with eps = 0.5: mean 2, variance 2/3; 7/6 is what the root is taken of."""
    x = torch.tensor([[1.0], [2.0], [3.0]])
    one, zero = torch.ones(1), torch.zeros(1)
    y, d_x, variance = algorithm1.exact(x, x, one, zero, 0.5)
    np.testing.assert_allclose(y[:, 0], np.array([-1, 0, 1]) / np.sqrt(7 / 6), rtol=1e-15)
    assert variance == 2 / 3 and algorithm1.exact_variance(x) == 2 / 3
    # dl/dy = x, less its mean and its slope, which without eps would leave nothing at all.
    np.testing.assert_allclose(d_x[:, 0], np.array([-1, 0, 1]) * 0.5 / (7 / 6) ** 1.5, rtol=1e-14)


def test_exact_bears_what_float64_cannot():
    x = torch.tensor([[1e9 + 1], [1e9 + 2], [1e9 + 3]], dtype=torch.float64)
    assert algorithm1.exact_variance(x) == 2 / 3
    assert abs(algorithm1.naive_variance(x).item() - 2 / 3) > 0.1


@pytest.mark.parametrize("name", protocol.INPUTS)
@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float64, 1e-14), (torch.float32, 2e-6)])
def test_ours_is_as_exact_as_its_numbers_on_every_input(name, dtype, allowed):
    *values, eps = batch(name, dtype)
    y, d_x, _ = algorithm1.exact(*values, eps)
    found_y, found_d_x = algorithm1.forward_backward(algorithm1.ours, *values, eps)
    assert experiment.relative_error(found_y, y) < allowed
    assert experiment.relative_error(found_d_x, d_x) < allowed


@pytest.mark.parametrize("way", protocol.IMPLEMENTATIONS)
def test_all_ways_agree_where_it_is_easy(way):
    *values, eps = batch("0 ± 1")
    y, d_x, _ = algorithm1.exact(*values, eps)
    found = algorithm1.forward_backward(algorithm1.TRANSFORMS[way], *values, eps)
    np.testing.assert_allclose(found[0], y, atol=1e-13)
    np.testing.assert_allclose(found[1], d_x, atol=1e-13)


def test_the_naive_variance_fails_far_from_zero():
    *values, eps = batch("10000 ± 1", torch.float32)
    y, _, variance = algorithm1.exact(*values, eps)
    naive = algorithm1.naive_variance(values[0]).numpy()
    assert (np.abs(naive - variance) / variance).max() > 1
    np.testing.assert_allclose(algorithm1.deviations_variance(values[0]), variance, rtol=1e-4)
    assert experiment.relative_error(algorithm1.naive(values[0], *values[2:], eps), y) > 0.1


# The gradient


def test_differences_are_the_gradient():
    *values, eps = batch("0 ± 1")
    by_hand = algorithm1.forward_backward(algorithm1.ours, *values, eps)[1]
    found = algorithm1.differences(*values, eps, protocol.STRIDE)
    np.testing.assert_allclose(found, by_hand, atol=1e-8)


def test_constants_give_another_gradient():
    curves, _ = experiment.differences(CONFIGS[("differences",)], seed=0)
    columns = curves["differences"]
    assert min(columns["ignored"]) > 0.1
    assert min(columns["float64"]) < 1e-8 < 1e-6 < min(columns["float32"])


def test_what_is_left_of_a_gradient_has_no_mean_and_no_slope():
    """The picture's numbers: its three ways add up, and are those of the code."""
    table = pictures.left_over()[1]
    ways = table[["directly", "through_the_mean", "through_the_variance"]].sum(axis=1)
    np.testing.assert_allclose(ways, table["d_x"])
    np.testing.assert_allclose([table["d_x"].mean(), (table["d_x"] * table["x_hat"]).mean()], 0, atol=1e-12)
    x, d_y = (torch.tensor(table[name].to_numpy()).view(-1, 1) for name in ("x_hat", "directly"))
    one, zero = torch.ones(1).double(), torch.zeros(1).double()
    d_x = algorithm1.forward_backward(algorithm1.ours, x, d_y, one, zero, 0.0)[1]
    np.testing.assert_allclose(d_x[:, 0], table["d_x"], atol=1e-12)


# Identity and moments


def test_identity_but_for_eps():
    x = batch("0 ± 0.01")[0]
    assert experiment.identity_error(x, 1e-5, 1e-5) < 1e-12
    assert experiment.identity_error(x, 1e-5, 0.0) > 0.02
    assert experiment.identity_error(x, 1e-12, 0.0) < 1e-6


def test_moments_see_a_wrong_mean_and_a_wrong_variance():
    x, *_, eps = batch("0 ± 1")
    variance = algorithm1.exact_variance(x)

    def error(transform):
        return experiment.moments_error(transform, x, variance, eps)

    assert error(algorithm1.ours) < 1e-12
    assert error(lambda *a: algorithm1.ours(*a) + 0.1) == pytest.approx(0.1)
    assert error(lambda *a: 2 * algorithm1.ours(*a)) == pytest.approx(3, rel=1e-3)


# The chapter


def excerpts():
    """The parts of batchnorm.py that the chapter shows."""
    chapter = (paths.BOOK / "transform.md").read_text(encoding="utf-8")
    found = []
    for options in re.findall(
        r"```\{literalinclude\} \.\./src/bnbook/nn/batchnorm\.py\n(.*?)```", chapter, re.S
    ):
        first, last = (re.search(f":{key}: (.*)", options)[1].strip('" ') for key in ("start-at", "end-at"))
        assert CODE.count(first) == 1, f"{first!r} is not unique: Sphinx would show another place"
        start = CODE.index(first)
        found.append(CODE[start : CODE.index("\n", CODE.index(last, start))])
    return found


@pytest.mark.parametrize("name", ["forward", "backward"])
def test_the_chapter_shows_every_statement(name):
    """Each statement of the transform and of its gradient stands in the chapter, but for the bookkeeping."""
    function = next(
        node
        for node in ast.walk(ast.parse(CODE))
        if isinstance(node, ast.ClassDef) and node.name == "BatchNormFunction"
    )
    method = next(one for one in function.body if getattr(one, "name", "") == name)
    shown = "\n".join(excerpts())
    for statement in method.body:
        text = ast.get_source_segment(CODE, statement)
        assert text in shown, f"the chapter does not show: {text}"


def test_shapes_are_those_of_the_chapters_table():
    for shape, vector in (((6, 4), (1, 4)), ((2, 4, 3, 5), (1, 4, 1, 1))):
        x = torch.randn(*shape, generator=torch.Generator().manual_seed(0), requires_grad=True)
        y, mean, variance = BatchNormFunction.apply(x, torch.ones(4), torch.zeros(4), 1e-5)
        x_hat, gamma, std = y.grad_fn.saved_tensors
        assert y.shape == x_hat.shape == shape and gamma.shape == std.shape == vector
        assert mean.shape == variance.shape == (4,)


# Measures


def test_digits():
    np.testing.assert_allclose(measures.digits([1e-3, 1.0, 50.0, 0.0]), [3, 0, 0, 17])


def test_measures_tell_the_truth(synthetic):
    found = {name: measure(synthetic) for name, measure in measures.STATISTICS.items()}
    estimates = {name: estimate.interval.estimate for name, estimate in found.items()}
    assert estimates == pytest.approx(ALGORITHM1_DIGITS)
    assert "100%" in found["deviations"].detail["en"] and "20%" in found["gradient"].detail["en"]


def test_board(synthetic):
    board = {claim.id: claim for claim in claims.board({protocol.EXPERIMENT: synthetic})}
    assert {board[f"c-3-{word}"].verdict for word in ("identity", "normalized", "gradient")} == {"holds"}
    assert board["c-3-deviations"].verdict == "fails"
    assert board["c-3-gradient"].text["ko"].startswith("확인한 값은 8.0자리")


def test_numbers(synthetic):
    numbers = measures.numbers(synthetic)
    assert numbers["worst.ours.float32.y"] == pytest.approx(4)
    assert numbers["naive.float32.10000_1.y_percent"] == pytest.approx(0.01, rel=0.02)
    assert numbers["variance.naive.1e4"] == pytest.approx(1)
    assert numbers["lost.naive.bfloat16.100_1"] == 50 and numbers["lost.ours.bfloat16.100_1"] == 0
    assert numbers["gradient.stride"] == 1e-5


def test_an_odd_input_is_found_at_its_place(synthetic):
    """The sweep's point is the one asked for, not merely some point."""
    near, far = (measures.at(synthetic, "variance", "naive.float32", place) for place in (1, 1e4))
    np.testing.assert_allclose(far / near, 1e4)
