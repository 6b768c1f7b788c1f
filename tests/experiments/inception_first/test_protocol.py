"""The protocol of Section 4.2: the bundles of the paper, the order of the runs, and the rules that choose."""

import dataclasses
import itertools

import pytest

from bnbook.data import datasets
from bnbook.experiments.inception_first import protocol
from bnbook.experiments.inception_first.protocol import PROFILES, TRAINING_IMAGES, Choice
from bnbook.records import MissingRecord

CPU = PROFILES["cpu"]
CHOICE = Choice(lr=0.1, lr_decay=0.9, weight_decay=1e-3)
CONFIGS = protocol.main(CPU, CHOICE)
BASELINES, CHANGED = ("inception", "bn_baseline"), ("bn_x5", "bn_x30", "bn_x5_sigmoid")


def bundle(name):
    config = CONFIGS[name]
    fields = ("lr", "dropout", "weight_decay", "lr_decay", "lrn", "fixed_membership", "photometric")
    return {field: getattr(config, field) for field in fields}


@pytest.mark.parametrize("name", BASELINES)
def test_the_baselines_bundle(name):
    assert bundle(name) == {
        "lr": 0.1,
        "dropout": 0.4,
        "weight_decay": 1e-3,
        "lr_decay": 0.9,
        "lrn": True,
        "fixed_membership": True,
        "photometric": "strong",
    }


@pytest.mark.parametrize(("name", "factor"), list(zip(CHANGED, (5, 30, 5), strict=True)))
def test_the_changed_bundle(name, factor):
    """Section 4.2.1, all at once: the higher rate, no Dropout, a fifth of L2, six times the decay, no local
    response normalization, thorough shuffling, weaker distortions."""
    assert bundle(name) == {
        "lr": pytest.approx(0.1 * factor),
        "dropout": 0.0,
        "weight_decay": pytest.approx(2e-4),
        "lr_decay": pytest.approx(0.9**6, abs=1e-6),
        "lrn": False,
        "fixed_membership": False,
        "photometric": "weak",
    }
    assert CONFIGS[name].norm and CONFIGS[name].steps * 3 == CONFIGS["inception"].steps


def test_the_two_that_are_only_mentioned():
    """The baseline but for its rate, or its nonlinearity."""
    baseline = CONFIGS["inception"]
    for name, field, value in (("inception_x5", "lr", 0.5), ("inception_sigmoid", "activation", "sigmoid")):
        same = dataclasses.replace(CONFIGS[name], variant=baseline.variant, steps=baseline.steps)
        assert getattr(same, field) == pytest.approx(value)
        assert dataclasses.replace(same, **{field: getattr(baseline, field)}) == baseline


def test_bn_baseline_differs_in_batch_normalization_alone():
    """So do the rates and their control, at every learning rate."""
    pairs = [(CONFIGS["inception"], CONFIGS["bn_baseline"])]
    plain, bn = (protocol.rates(CPU, norm) for norm in (False, True))
    pairs += [(plain[lr], bn[lr]) for lr in CPU.lrs]
    for one, other in pairs:
        differing = {key for key, value in one.to_dict().items() if other.to_dict()[key] != value}
        assert differing == {"variant", "norm"}


def test_the_float32_pair_differs_in_precision_alone():
    """One seed each, and the last of the main stage."""
    pair = protocol.float32(CPU, CHOICE)
    assert list(pair) == ["inception", "bn_x5"]
    for name, one in pair.items():
        assert dataclasses.replace(one, precision="auto") == CONFIGS[name] and one.precision == "float32"
    assert protocol.jobs(CPU, CHOICE)[-2:] == [(one, 0) for one in pair.values()]


def test_the_grid_has_factor_two():
    for profile in PROFILES.values():
        assert all(b / a == pytest.approx(2) for a, b in itertools.pairwise(profile.lrs))


def test_training_images_are_what_the_data_has():
    """The torch-free protocol states the sizes; the embedded data shows that they are right."""
    digits = datasets.load_colour("digits")
    assert len(digits.train) == TRAINING_IMAGES["digits"]
    assert TRAINING_IMAGES["cifar10"] == TRAINING_IMAGES["cifar10-jpeg"] == 50_000 * 9 // 10
    assert CPU.steps_per_epoch == 45_000 // 128


def test_nothing_is_tuned_on_what_it_is_tested_on():
    tuned = [*protocol.rates(CPU, False).values(), *protocol.tuning(CPU, 0.1)]
    assert {config.train_on for config in [*tuned, *CONFIGS.values()]} == {"train"}


def test_the_control_is_in_the_precision_of_the_rates(monkeypatch):
    """Where the rates' "auto" was float32, a processor with bfloat16 that makes the control later is not to
    compute in another."""
    monkeypatch.setattr(protocol.records, "load", lambda *_: [Computed({"precision": "float32"})])
    control, planned = protocol.control(CPU, []), protocol.rates(CPU, norm=True)
    assert {one.precision for one in control.values()} == {"float32"}
    assert {lr: dataclasses.replace(one, precision="auto") for lr, one in control.items()} == planned
    assert [one for one, seed in protocol.plan("control", CPU, []) if seed == 0] == list(control.values())


@dataclasses.dataclass
class Computed:
    """As much of a record as tells in which precision it was made."""

    provenance: dict


@pytest.mark.parametrize("stage", ["rates", "control"])
def test_plans_are_seed_major(stage, monkeypatch):
    monkeypatch.setattr(protocol.records, "load", lambda *_: [Computed({"precision": "float32"})])
    plan = list(protocol.plan(stage, CPU, []))
    seeds = [seed for _, seed in plan]
    assert seeds == sorted(seeds) and len(set(plan)) == len(plan) == len(CPU.lrs) * CPU.rates_seeds


@pytest.mark.parametrize("stage", ["tuning", "main", "control"])
def test_chosen_stages_need_the_ones_before(stage, tmp_path):
    with pytest.raises(MissingRecord):
        list(protocol.plan(stage, CPU, [tmp_path]))


def test_rules_of_choice(monkeypatch):
    """x1 by the mean over seeds, ties to the smaller; then the pair of decay and L2."""
    scores = {0.05: [0.6, 0.4], 0.1: [0.5, 0.5], 0.2: [0.9, 0.05]}
    monkeypatch.setattr(protocol, "validation", lambda score: score)

    def load(folders, config, seeds):
        if config.variant == "tuning":
            assert config.lr == 0.05
            return [{(0.94, 1e-3): 0.7, (0.88, 1e-4): 0.8}.get((config.lr_decay, config.weight_decay), 0.1)]
        return scores.get(config.lr, [0.1, 0.1])

    monkeypatch.setattr(protocol.records, "load", load)
    assert protocol.choose(CPU, []) == Choice(lr=0.05, lr_decay=0.88, weight_decay=1e-4)
