"""Statistics at test: what is done to the images, whose statistics a network answers by, what is measured."""

import dataclasses

import numpy as np
import pytest
import torch

from bnbook import claims
from bnbook.data.datasets import Split, load_colour
from bnbook.experiments.statistics_at_test import figures, measures, protocol, training
from bnbook.experiments.statistics_at_test.corruptions import (
    BRIGHTNESS,
    CONTRAST,
    CORRUPTIONS,
    KINDS,
    NOISE,
    corrupted,
)
from bnbook.nn.batchnorm import population_statistics
from tests.experiments.statistics_at_test.synthetic import CLEAN_CHANGE, COSTS, ENDS, RETURNED

SMOKE = protocol.PROFILES["smoke"]
MAIN = protocol.confirm(SMOKE, {"plain": 0.05, "bn": 0.1})
BN = dataclasses.replace(MAIN["main", "bn"][0], steps=30)
PLAIN = dataclasses.replace(MAIN["main", "plain"][0], steps=30)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As the runs have it: for networks this small a second thread only waits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def images():
    """A hundred images in the middle of the range, so that nothing is cut off at black or white."""
    return np.random.default_rng(0).integers(115, 140, (100, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def trained():
    """A network with BN after a few steps, with population statistics, and the data."""
    data = load_colour("digits")
    model = training.network(BN, 0)
    x = training.prepared(data.train, "clean").x
    population_statistics(model, x[:320].split(32))
    return model.eval(), data


# Corruptions


def test_each_corruption_does_what_it_says(images):
    x = images / 255
    found = {kind: corrupted(images, kind) / 255 for kind in KINDS}
    np.testing.assert_array_equal(found["clean"], x)
    np.testing.assert_allclose(found["inversion"], 1 - x, atol=1e-9)
    np.testing.assert_allclose(found["brightness"], x + BRIGHTNESS, atol=1 / 500)
    np.testing.assert_allclose(found["contrast"].mean((1, 2, 3)), x.mean((1, 2, 3)), atol=1e-3)
    assert found["contrast"].std() == pytest.approx(CONTRAST * x.std(), rel=0.05)
    assert (found["noise"] - x).std() == pytest.approx(NOISE, rel=0.02)
    assert abs((found["noise"] - x).mean()) < 1e-3


def test_blur_blurs_each_image_and_channel_alone(images):
    black = np.zeros_like(images[:2])
    black[0, 16, 16, 1] = 255
    found = corrupted(black, "blur")
    assert found[1].max() == 0 and found[0, ..., [0, 2]].max() == 0
    assert found[0, 16, 16, 1] == pytest.approx(255 / (2 * np.pi), rel=0.02)  # the Gaussian's peak
    assert found[0, 15, 16, 1] == pytest.approx(255 / (2 * np.pi) * np.exp(-0.5), rel=0.03)


def test_images_stay_images_and_noise_is_the_same_for_all(images):
    for kind in CORRUPTIONS:
        found = corrupted(255 * (images > 127).astype(np.uint8), kind)
        assert found.dtype == np.uint8 and found.shape == images.shape
    np.testing.assert_array_equal(corrupted(images, "noise")[:10], corrupted(images[:10], "noise"))


# Networks and statistics


def test_both_networks_start_from_the_same_weights():
    plain, bn = (training.network(one, 0) for one in (PLAIN, BN))
    for a, b in zip(plain.convs, bn.convs, strict=True):
        assert torch.equal(a.conv.weight, b.conv.weight)
    assert torch.equal(plain.output.weight, bn.output.weight)
    assert plain.convs[0].conv.bias is not None and bn.convs[0].conv.bias is None


def test_statistics_anew_are_those_of_the_images_and_go_again(trained):
    """The first layer's mean is that of the images lent, those before come back; nothing else changes."""
    model, data = trained
    lent = training.prepared(data.validation, "brightness").x[:16]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    norm = model.convs[0].norm
    with torch.no_grad():
        expected = model.convs[0].conv(lent).mean((0, 2, 3))
    with training.anew(model, lent):
        torch.testing.assert_close(norm.running_mean, expected)
        assert not torch.allclose(norm.running_mean, before["convs.0.norm.running_mean"])
        assert torch.equal(model.output.weight, before["output.weight"])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_mixed_statistics_lie_between(trained):
    """Of as many images as the prior counts for, in the middle."""
    model, data = trained
    lent = training.prepared(data.validation, "inversion").x[: protocol.PRIOR]
    norm = model.convs[1].norm
    own = norm.running_var.clone()
    with training.anew(model, lent):
        theirs = norm.running_var.clone()
    with training.mixed(model, lent):
        torch.testing.assert_close(norm.running_var, (own + theirs) / 2)
    assert torch.equal(norm.running_var, own)


def test_the_images_that_lend_their_statistics(trained):
    labels = trained[1].validation.y
    found = training.ways(BN, labels, 0)
    assert tuple(found) == protocol.WAYS
    sizes = dict(zip(protocol.COUNTED, BN.counts, strict=True))
    for name, (draws, _) in found.items():
        assert {len(index) for index in draws} <= {sizes.get(name, BN.counts[0])} or name == "one_class"
        assert all(len(set(index.tolist())) == len(index) for index in draws)
    assert len(found["most"][0]) == 1 and len(found["few"][0]) == BN.draws
    assert len(found["one_class"][0]) == 2 * BN.draws
    for index in found["even"][0]:
        assert set(torch.bincount(labels[index], minlength=10).tolist()) == {1, 2}
    assert all(len(set(labels[index].tolist())) == 1 for index in found["one_class"][0])
    again = training.ways(BN, labels, 0)
    assert all(
        torch.equal(a, b) for name in found for a, b in zip(found[name][0], again[name][0], strict=True)
    )


def test_drift_is_counted_in_clean_deviations(trained):
    """Of clean images none. A first layer that only adds 0.5 moves by that over its own deviation."""
    model, data = trained
    images = data.validation.x[:40].numpy()
    found = training.drift(model, data.validation.x[:40], KINDS)
    assert found.shape == (len(KINDS), len(BN.widths))
    assert (found[0] == 0).all() and (found[1:] > 0).all()
    with torch.no_grad():
        clean, other = (
            model.convs[0].conv(training.prepared(Split(data.validation.x[:40], data.validation.y[:40]), k).x)
            for k in ("clean", "brightness")
        )
    moved = (other.mean((0, 2, 3)) - clean.mean((0, 2, 3))) / clean.std((0, 2, 3))
    expected = moved.square().mean().sqrt().item()
    assert found[KINDS.index("brightness"), 0] == pytest.approx(expected, rel=1e-4)
    assert images.dtype == np.uint8


def test_a_run_with_bn_is_asked_in_every_way_and_one_without_in_one():
    found = training.train_run(BN, 0, None).final
    names = {f"{kind}_accuracy_{way}" for kind in KINDS for way in protocol.WAYS}
    assert names <= set(found) and all(0 <= value <= 1 for value in found.values())
    assert found == training.train_run(BN, 0, None).final
    # Statistics are an intervention: they change what it answers about inverted images.
    assert len({found[f"inversion_accuracy{way}"] for way in ("", "_few", "_most")}) > 1
    plain = training.train_run(PLAIN, 0, None).final
    assert {f"{kind}_accuracy" for kind in KINDS} <= set(plain) and not names & set(plain)


def test_a_grid_run_is_not_asked_about_test_images():
    config = dataclasses.replace(protocol.main(SMOKE)["bn", "0.1"], steps=2)
    found = training.train_run(config, 0, None)
    assert set(found.final) == {"chance_accuracy", "validation_accuracy"} and not found.arrays


# Protocol


def test_the_rate_is_chosen_on_validation_and_the_main_seeds_are_new(tmp_path, monkeypatch):
    from tests.experiments.statistics_at_test import synthetic

    profile = dataclasses.replace(SMOKE, lrs={"plain": (0.01, 0.1), "bn": (0.1, 0.3)})
    monkeypatch.setitem(protocol.PROFILES, "smoke", profile)
    found = synthetic.results(tmp_path)
    assert protocol.choose(profile, [tmp_path]) == {"plain": 0.1, "bn": 0.1}
    grid_seeds = {r.seed for key, records in found.main.items() if key[0] != "main" for r in records}
    assert grid_seeds.isdisjoint(r.seed for r in measures.runs(found, "bn"))


# Measures


def test_what_returns(synthetic):
    """A second seed adds two hundredths: one on average."""
    for way, share in RETURNED.items():
        assert measures.returned(synthetic, way).mean() == pytest.approx(100 * share + 1)
        for kind in CORRUPTIONS:
            assert measures.returned_of(synthetic, kind, way)[0] == pytest.approx(100 * share)
    assert measures.lost(synthetic, "plain").mean() == pytest.approx(100 * np.mean(list(COSTS.values())))


def test_nothing_returns_where_nothing_was_lost(synthetic, monkeypatch):
    monkeypatch.setattr(measures, "accuracy", lambda *_: np.array([80.0, 80.0]))
    assert (measures.returned(synthetic, "most") == 0).all()


def test_statistics(synthetic):
    share = measures.STATISTICS["adaptation"](synthetic)
    assert share.interval.estimate == pytest.approx(100 * RETURNED["most"] + 1)
    assert "contrast 51%" in share.detail["en"] and "대비 51%" in share.detail["ko"]
    few = measures.STATISTICS["few_images"](synthetic).interval
    assert few.estimate == pytest.approx(31 - 51 / 2)
    classes = measures.STATISTICS["composition"](synthetic).interval
    expected = 100 * np.mean(list(COSTS.values())) * (RETURNED["even"] - RETURNED["one_class"])
    assert classes.estimate == pytest.approx(expected)


def test_board(synthetic):
    board = {claim.id: claim for claim in claims.board({protocol.EXPERIMENT: synthetic})}
    assert board["c-after-adaptation"].verdict == "reproduced"
    assert "51%" in board["c-after-adaptation"].text["en"]


def test_the_rules_say_what_is_measured():
    cpu, known = protocol.PROFILES["cpu"], claims.paper.claims()
    few, _, most = cpu.counts
    assert f"{most:,} validation images" in known["c-after-adaptation"]["rule"]["en"]
    assert f"이미지 {few}장" in known["c-after-adaptation-few"]["rule"]["ko"]
    assert cpu.draws == 3 and "mean of three draws" in known["c-after-adaptation-few"]["rule"]["en"]
    assert len(CORRUPTIONS) == 5 and "five corruptions" in known["c-after-adaptation-classes"]["rule"]["en"]


def test_numbers(synthetic):
    numbers = measures.numbers(synthetic)
    assert numbers["bn.clean"] == pytest.approx(100 * ENDS["bn"])
    assert numbers["bn.clean_change"] == pytest.approx(100 * CLEAN_CHANGE)
    assert numbers["bn.most.contrast"] == pytest.approx(100 * (ENDS["bn"] - COSTS["contrast"] * (1 - 0.51)))
    assert numbers["plain.inversion"] == pytest.approx(100 * (ENDS["plain"] - COSTS["inversion"]))
    assert numbers["bn.inversion.drift"] == pytest.approx(5)
    assert measures.sizes(SMOKE)["severity.noise"] == NOISE


# Figures


def test_the_figures_show_every_seed(synthetic):
    table = figures.accuracies(synthetic)[1].query("kind == 'run'")
    assert len(table) == len(KINDS) * 5 * 2
    table = figures.shares(synthetic)[1].query("kind == 'run'")
    assert len(table) == (3 + 3) * 2
    table = figures.drifts(synthetic)[1].query("kind == 'run'")
    assert len(table) == 2 * len(CORRUPTIONS) * len(SMOKE.widths) * 2


def test_no_drift_is_cut_off(synthetic, monkeypatch):
    """Both panels have one scale, by whichever network's means move farther."""
    drifts = {"plain": np.full((2, len(KINDS), 3), 0.5), "bn": np.full((2, len(KINDS), 3), 2.0)}
    monkeypatch.setattr(measures, "drift", lambda results, variant: drifts[variant])
    canvas, _ = figures.drifts(synthetic)
    assert all(ax.get_ylim()[0] == 0 and ax.get_ylim()[1] > 2 for ax in canvas.axes)


def test_the_picture_shows_two_densities():
    table = figures.normalized()[1]
    width = table["x_hat"].diff().abs().iloc[1]
    areas = table.groupby(["statistics", "images"])["density"].sum() * width
    np.testing.assert_allclose(areas, 1, atol=0.01)
