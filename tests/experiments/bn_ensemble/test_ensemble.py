"""Section 4.2.3: the members' table, their probabilities, and what averaging gives; truth as in synthetic."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from bnbook import claims
from bnbook.config import ConfigError
from bnbook.data import augment, datasets
from bnbook.experiments.bn_ensemble import measures, protocol
from bnbook.experiments.bn_ensemble import training as experiment
from bnbook.experiments.bn_ensemble.protocol import LARGER, MEMBERS, PROFILES
from bnbook.experiments.inception_first import protocol as inception
from bnbook.experiments.inception_first.protocol import Choice
from bnbook.nn.inception import PerActivationNorm
from bnbook.runs import obtain as runs
from tests.experiments.bn_ensemble.synthetic import RIGHT

CHOICE = Choice(lr=0.05, lr_decay=0.5, weight_decay=1e-4)
SMOKE = dataclasses.replace(PROFILES["smoke"], members=6)
CONFIGS = protocol.main(SMOKE, CHOICE)


def test_members_are_bn_x30_with_what_the_paper_names():
    """Larger initial weights, Dropout of 5% or 10%, normalization per activation; no two alike."""
    bn_x30 = inception.main(inception.PROFILES["smoke"], CHOICE)["bn_x30"].to_dict()
    allowed = {"init_scale": {LARGER}, "dropout": {0.05, 0.1}, "per_activation": {True}}
    for member in MEMBERS:
        assert member and all(value in allowed[field] for field, value in member.items())
    assert len({tuple(sorted(member.items())) for member in MEMBERS}) == len(MEMBERS) == 6
    control = CONFIGS["control"].to_dict()
    kept = set(bn_x30) - {"experiment", "variant", "evaluate_from", "evaluate_every"}
    assert all(control[field] == bn_x30[field] for field in kept)


def test_member_and_control_share_a_seed():
    jobs = protocol.jobs(SMOKE, CHOICE)
    for (one, seed), (other, same) in zip(jobs[::2], jobs[1::2], strict=True):
        assert seed == same and other.variant == "control" and one.variant == f"member_{seed + 1}"


def test_larger_initial_weights_are_the_same_weights():
    plain, larger = (experiment.network(CONFIGS[name], seed=3) for name in ("control", "member_1"))
    assert torch.equal(larger.stem.conv.weight, LARGER * plain.stem.conv.weight)
    assert torch.equal(larger.output.weight, plain.output.weight)


def test_normalization_per_activation_stands_in_the_last_module_alone():
    model = experiment.network(CONFIGS["member_3"], seed=0)
    own = [name for name, module in model.named_modules() if isinstance(module, PerActivationNorm)]
    assert own == ["blocks.9.narrow.norm", "blocks.9.wide.norm"]
    assert model(torch.randn(4, 3, 28, 28)).shape == (4, 10)


def test_per_activation_statistics_are_of_each_place():
    torch.manual_seed(0)
    u = torch.randn(16, 3, 2, 2) * torch.arange(1, 13).view(3, 2, 2) + 5
    layer = PerActivationNorm(3, 2)
    expected = (u - u.mean(0)) / (u.var(0, unbiased=False) + 1e-5).sqrt()
    np.testing.assert_allclose(layer(u).detach(), expected, atol=1e-4)
    assert sum(p.numel() for p in layer.parameters()) == 2 * 3 * 2 * 2
    per_map = nn.BatchNorm2d(3)(u)
    assert not torch.allclose(layer(u), per_map, atol=0.1)


def test_ten_crops_are_five_places_and_their_mirrors():
    images = torch.randint(256, (2, 32, 32, 3), dtype=torch.uint8)
    crops = list(augment.ten_crops(images))
    assert len(crops) == 10 and torch.equal(crops[8], augment.centre_crop(images))
    for window, mirrored in zip(crops[::2], crops[1::2], strict=True):
        assert torch.equal(window.flip(3), mirrored)
    corner = (images[:, 4:, :28].float() / 255 - augment.MEAN) / augment.STD
    np.testing.assert_allclose(crops[4], corner.permute(0, 3, 1, 2), atol=1e-6)


def test_a_run_stores_its_test_probabilities(tmp_path, monkeypatch):
    """Those of the network with population statistics: their accuracy is the record's."""
    monkeypatch.setenv("BNBOOK_CACHE", str(tmp_path / "cache"))
    record = runs.make(CONFIGS["member_6"], 5, tmp_path)
    data = datasets.load_colour("digits")
    assert record.arrays["labels"].tolist() == data.test.y.tolist()
    for crops in measures.CROPS:
        found = record.arrays[crops]
        assert found.shape == (360, 10) and found.dtype == np.float16
        np.testing.assert_allclose(found.astype(float).sum(1), 1, atol=5e-3)
    right = record.arrays["single"].argmax(1) == record.arrays["labels"]
    assert right.mean() == pytest.approx(record.accuracy, abs=0.004)
    assert not np.array_equal(record.arrays["single"], record.arrays["multicrop"])


# Measures

TRUTH = np.array([0, 1, 0, 1])
ONE = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7]])  # wrong on the third
TWO = np.array([[0.4, 0.6], [0.1, 0.9], [0.8, 0.2], [0.4, 0.6]])  # wrong on the first
BOTH = np.stack([ONE, TWO])


def test_errors_by_size_by_hand():
    single, pair = measures.errors_by_size(BOTH, TRUTH)
    assert single.tolist() == [25.0, 25.0] and pair.tolist() == [0.0]
    np.testing.assert_allclose(measures.gain_by_image(BOTH, TRUTH), [50, 0, 50, 0])


def test_all_subsets_count():
    found = measures.errors_by_size(np.random.default_rng(0).random((5, 30, 3)), np.zeros(30, int))
    assert [len(errors) for errors in found] == [5, 10, 10, 5, 1]


def test_disagreement_by_hand():
    np.testing.assert_allclose(measures.disagreement(BOTH), [[0, 50], [50, 0]])
    assert measures.mean_disagreement(BOTH) == 50
    assert np.isnan(measures.mean_disagreement(BOTH[:1]))


def test_calibration_by_hand():
    """Always 70% sure and right half of the time: a gap of 20 points. Sure and right: none."""
    sure = np.tile([0.7, 0.3], (4, 1))
    assert measures.calibration_error(sure, TRUTH) == pytest.approx(20)
    assert measures.calibration_error(np.eye(2)[TRUTH], TRUTH) == 0
    confidence, accuracy, share = measures.reliability(sure, TRUTH)
    assert measures.mean_confidence(np.stack([sure, sure])) == pytest.approx(70)
    assert np.nansum(share) == 1 and accuracy[int(0.7 * measures.BINS)] == 0.5
    assert confidence[int(0.7 * measures.BINS)] == pytest.approx(0.7)


def test_a_diverged_network_answers_nothing(synthetic):
    members = synthetic.main["members"]
    lost = dataclasses.replace(members[0], outcome={"status": "diverged", "step": 3}, arrays_sha256=None)
    found = measures.probabilities([lost, *members[1:]], "single")
    assert np.all(found[0] == 0.1)
    assert measures.labels([lost, members[1]]).tolist() == measures.labels(members).tolist()


def test_averaging_independent_networks_helps(synthetic):
    numbers = measures.numbers(synthetic)
    assert numbers["members.single.single"] == pytest.approx(100 * (1 - RIGHT), abs=4)
    assert numbers["members.multicrop.ensemble"] < numbers["members.multicrop.best_single"]
    assert numbers["members.multicrop.gain_low"] > 5
    assert numbers["diversity_low"] < 0 < numbers["diversity_high"]


def test_the_numbers_of_single_networks(synthetic):
    numbers = measures.numbers(synthetic)
    ours = [numbers[f"members.multicrop.network_{number}"] for number in range(1, 7)]
    assert np.mean(ours) == pytest.approx(numbers["members.multicrop.single"])
    assert max(ours) == numbers["members.multicrop.worst_single"]
    curves = [record.curves["evaluation"]["test_accuracy"] for record in synthetic.main["control"]]
    assert numbers["control.best"] == pytest.approx(100 * np.mean([max(values) for values in curves]))


def test_verdicts_speak_of_images_and_of_these_networks(synthetic):
    board = {claim.id: claim for claim in claims.board({protocol.EXPERIMENT: synthetic})}
    claim = board["c-4.2.3-ensemble"]
    assert claim.verdict == "reproduced" and "400 test images" in claim.text["en"]
    assert "holds for these 6 networks" in claim.detail["en"]


@pytest.mark.parametrize(
    ("members", "expected"), [("all", [0, 1, 2]), ("1", [0]), ("3, 1", [0, 2]), ("2,2", [1])]
)
def test_choosing_members(members, expected):
    assert measures.choose(members, 3) == expected


@pytest.mark.parametrize("members", ["", "0", "4", "1;2", "two", "1,,2", "-1"])
def test_members_that_cannot_be(members):
    with pytest.raises(ConfigError, match="it must be all, or numbers from 1 to 3 such as 1,2"):
        measures.choose(members, 3)
