"""The protocol of Section 4.1: which runs, in which order, and the rules that choose."""

import dataclasses

import numpy as np
import pytest

from bnbook import paths
from bnbook.experiments import EXPERIMENTS
from bnbook.experiments.mnist_activation_shift import protocol
from bnbook.experiments.mnist_activation_shift.protocol import PROFILES, Choice
from bnbook.records import MissingRecord

CHOICE = Choice(tuned={"plain": (1.0, 0.1), "bn": (3.0, 0.01)}, shared=(1.0, 0.1))


def test_the_papers_setting():
    for config in protocol.main(PROFILES["cpu"], CHOICE).values():
        assert (config.steps, config.batch_size, config.hidden, config.depth) == (50_000, 60, 100, 3)
        assert config.binarise and config.train_on == "train+validation" and config.data == "mnist"


def test_tuning_never_sees_the_held_out_images():
    assert {config.train_on for config in protocol.multiverse(PROFILES["cpu"])} == {"train"}


@pytest.mark.parametrize("name", PROFILES)
def test_plan_is_seed_major_and_whole(name):
    profile = PROFILES[name]
    plan = list(protocol.plan("multiverse", profile, []))
    counts = {True: profile.binarised_seeds, False: profile.multiverse_seeds}
    wanted = {(c, seed) for c in protocol.multiverse(profile) for seed in range(counts[c.binarise])}
    assert set(plan) == wanted and len(plan) == len(wanted)
    for binarise in (True, False):
        seeds = [seed for config, seed in plan if config.binarise == binarise]
        assert seeds == sorted(seeds)


def test_plan_of_main_needs_the_multiverse(tmp_path):
    with pytest.raises(MissingRecord):
        list(protocol.plan("main", PROFILES["smoke"], [tmp_path]))


def test_main_runs_differ_in_setting_alone():
    configs = protocol.main(PROFILES["cpu"], CHOICE)
    plain, bn = configs["shared", "plain"], configs["shared", "bn"]
    same = {key for key, value in plain.to_dict().items() if bn.to_dict()[key] == value}
    assert set(plain.to_dict()) - same == {"variant"}
    # Plain's best cell is the shared one here: one and the same run.
    assert configs["tuned", "plain"].run_id == plain.run_id


def test_the_pilot_differs_in_seeds_and_in_its_curves_alone():
    """What fixes the target has no seed in common with what is timed to it."""
    profile = PROFILES["cpu"]
    jobs = protocol.jobs(profile, CHOICE)
    first, second = ({seed for c, seed in jobs if c.recipe == recipe} for recipe in (1, 2))
    assert not first & second and (len(first), len(second)) == (profile.pilot_seeds, profile.seeds)
    for variant, config in protocol.pilot(profile, CHOICE).items():
        assert dataclasses.replace(config, recipe=2) == protocol.main(profile, CHOICE)["tuned", variant]


def test_records_of_the_first_recipe_are_still_found():
    """Raising the recipe of the main runs must not change the ids of the runs that stay."""
    runs = paths.runs(paths.RESULTS) / protocol.EXPERIMENT
    profile = PROFILES["cpu"]
    choice = protocol.choose(profile, [runs.parent])
    for config in (*protocol.multiverse(profile), *protocol.pilot(profile, choice).values()):
        assert (runs / config.variant / config.run_id / "seed-0.json").exists()


def test_choice_looks_at_the_first_seeds_alone(monkeypatch):
    """More seeds of a cell, which the initialisation is judged by, must not move the settings."""
    asked = []

    def load(folders, config, seeds):
        asked.append(seeds)
        return [config]

    monkeypatch.setattr(protocol.records, "load", load)
    monkeypatch.setattr(protocol, "validation", lambda config: 0.5)
    protocol.choose(PROFILES["cpu"], [])
    assert set(asked) == {range(3)} and PROFILES["cpu"].binarised_seeds > 3


def test_choice_by_validation_accuracy(monkeypatch):
    """Each variant takes its own best cell, `shared` the best mean of both; ties go to the smaller values."""
    scores = {
        ("plain", 0.1, 0.01): 0.5,
        ("plain", 1.0, 0.1): 0.9,
        ("bn", 1.0, 0.1): 0.91,
        ("bn", 0.1, 0.01): 0.96,
        ("bn", 1.0, 1.0): 0.96,
    }
    monkeypatch.setattr(protocol.records, "load", lambda folders, config, seeds: [config])
    monkeypatch.setattr(
        protocol, "validation", lambda c: scores.get((c.variant, c.lr, c.init_std), 0.1) - (not c.binarise)
    )
    assert protocol.choose(PROFILES["smoke"], []) == Choice(
        tuned={"plain": (1.0, 0.1), "bn": (0.1, 0.01)}, shared=(1.0, 0.1)
    )


def test_drift_by_hand():
    """Two units: one moves by 1 twice at width 2, the other stands still; a third has no width at all."""
    moving = np.array([[-1.0, 0, 1], [0, 1, 2], [-1, 0, 1]])
    still = np.array([[-3.0, 0, 3]] * 3)
    flat = np.zeros((3, 3))
    percentiles = np.stack([moving, still, flat], axis=2)
    np.testing.assert_allclose(protocol.drift(percentiles), [1.0, 0.0, np.nan])


def test_drift_does_not_depend_on_scale():
    percentiles = np.sort(np.random.default_rng(0).normal(size=(9, 3, 5)), axis=1)
    np.testing.assert_allclose(protocol.drift(7 * percentiles), protocol.drift(percentiles))


def test_typical_unit_is_the_median():
    steps = np.arange(4.0)[:, None, None]
    percentiles = np.array([-1.0, 0, 1])[None, :, None] + steps * np.array([5.0, 1, 3, 2, 4])
    assert protocol.typical_unit(percentiles) == 2


def test_table_of_names():
    """Names are addresses: permanent."""
    assert {e.name: (e.notebook, e.section) for e in EXPERIMENTS.values()} == {
        "mnist_activation_shift": ("01_mnist_activation_shift", "4.1"),
        "inception_speedups": ("02_inception_speedups", "4.2"),
        "accelerating_ablation": ("03_accelerating_ablation", "4.2.1"),
        "bn_ensemble": ("04_bn_ensemble", "4.2.3"),
        "unprotected_parameters": ("05_unprotected_parameters", "4.2"),
        "outside_the_gradient": ("11_outside_the_gradient", "2"),
        "careless_initialization": ("18_careless_initialization", "3.3"),
        "algorithm1_line_by_line": ("12_algorithm1_line_by_line", "3"),
        "algorithm2_inference": ("13_algorithm2_inference", "3.1"),
        "convolutional_norm": ("14_convolutional_norm", "3.2"),
        "scale_invariance": ("15_scale_invariance", "3.3"),
        "jacobian_conjecture": ("16_jacobian_conjecture", "3.3"),
        "bn_regularizer": ("17_bn_regularizer", "3.4"),
        "learning_rate_share": ("22_learning_rate_share", "after"),
        "depth": ("23_depth", "after"),
        "small_batches": ("25_small_batches", "after"),
        "statistics_at_test": ("26_statistics_at_test", "after"),
        "covariate_shift_tested": ("21_covariate_shift_tested", "after"),
        "weight_decay": ("24_weight_decay", "after"),
        "recurrent": ("27_recurrent", "after"),
        "only_gamma_beta": ("28_only_gamma_beta", "after"),
    }
