"""BN-x30's first epoch: what learns at which rate, which maps are silent, what is read from the records."""

import dataclasses

import pytest
import torch
from torch import nn

from bnbook.experiments.inception_first import protocol as inception
from bnbook.experiments.inception_first.protocol import PROFILES, Choice
from bnbook.experiments.inception_speedups import training as inception_speedups
from bnbook.experiments.unprotected_parameters import figures, measures, protocol
from bnbook.experiments.unprotected_parameters import training as experiment
from bnbook.nn.inception import Conv, Inception
from bnbook.train.loop import train
from bnbook.train.precision import autocast
from tests.experiments.unprotected_parameters.synthetic import WATCHED_STEPS

CHOICE = Choice(lr=0.1, lr_decay=0.9, weight_decay=1e-3)
CONFIGS = protocol.main(PROFILES["smoke"], CHOICE)


def test_the_networks_are_those_of_section_4_2():
    """The same start as BN-x30 or BN-x5, but for the rates that are named; for one epoch."""
    networks = inception.main(PROFILES["smoke"], CHOICE)
    for name, config in CONFIGS.items():
        network = networks[protocol.VARIANTS[name].network]
        differing = {
            field for field, value in network.to_dict().items() if config.to_dict()[field] != value
        } - {"experiment", "variant", "recipe"}
        assert differing <= {"steps", "evaluate_from", "evaluate_every"}
        assert config.steps == PROFILES["smoke"].steps_per_epoch


@pytest.mark.parametrize(
    ("name", "output", "gamma_beta"),
    [
        ("bn_x30", 3.0, 3.0),
        ("slow_gamma_beta", 3.0, 0.1),
        ("slow_output", 0.1, 3.0),
        ("slow_both", 0.1, 0.1),
        ("bn_x5", 0.5, 0.5),
    ],
)
def test_which_parameter_learns_at_which_rate(name, output, gamma_beta):
    """Followed through the training loop, whose schedule the factors multiply."""
    config = CONFIGS[name]
    model = inception_speedups.network(config, seed=0)
    groups = inception_speedups.parameter_groups(model, config)
    optimizer = torch.optim.SGD(groups, lr=config.lr)
    batch = torch.randn(8, 3, 28, 28), torch.arange(8)
    train(model, nn.functional.cross_entropy, optimizer, [batch], 1, learning_rate=lambda step: config.lr)
    rates = {p: group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert len(rates) == len(list(model.parameters()))
    for parameter in model.output.parameters():
        assert rates[parameter] == pytest.approx(output)
    for layer in (module for module in model.modules() if isinstance(module, Conv)):
        assert rates[layer.conv.weight] == pytest.approx(config.lr)
        assert [rates[p] for p in layer.norm.parameters()] == pytest.approx([gamma_beta] * 2)


def test_the_ensembles_networks_protect_what_is_not_normalized():
    from bnbook.experiments.bn_ensemble import protocol as bn_ensemble

    slow = CONFIGS["slow_both"]
    for config in bn_ensemble.main(bn_ensemble.PROFILES["smoke"], CHOICE).values():
        assert (config.lr, config.output_lr, config.gamma_beta_lr) == (
            slow.lr,
            slow.output_lr,
            slow.gamma_beta_lr,
        )


def test_a_channel_is_dead_where_no_image_moves_it():
    """A beta far below zero silences a map; the others of the module stay heard."""
    torch.manual_seed(0)
    model = Inception(1 / 16, norm=nn.BatchNorm2d)
    narrow = model.blocks[-1].narrow
    with torch.no_grad():
        narrow.norm.bias[:3] = -100.0
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = torch.randn(6, 3, 28, 28)
    probe = experiment.DeadChannels(images, WATCHED_STEPS, autocast("float32", torch.device("cpu")))
    dead = probe.dead(model)
    assert dead[narrow].nonzero().flatten().tolist() == [0, 1, 2]
    assert sum(int(of_layer.sum()) for of_layer in dead.values()) == 3
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_a_short_run_is_watched():
    config = dataclasses.replace(CONFIGS["slow_both"], steps=4, evaluate_from=4, evaluate_every=4)
    measured = experiment.train_run(config, seed=0, checkpoint=None)
    watch = measured.curves["watch"]
    assert watch["step"] == [1, 2, 3, 4] and all(0 <= share <= 1 for share in watch["silent_last"])
    assert {"evaluation", "validation", "watch"} == set(measured.curves)
    assert 0 <= measured.final["validation_accuracy_population"] <= 1


@pytest.fixture
def results(synthetic):
    return synthetic


def test_numbers(results):
    numbers = measures.numbers(results)
    assert numbers["runs"] == len(protocol.VARIANTS) * PROFILES["smoke"].seeds
    assert numbers["bn_x30.silent_last"] == 100 and numbers["bn_x30.silent"] == 50
    assert numbers["bn_x30.output_growth"] == 4
    assert numbers["bn_x30.loss"] == pytest.approx(2.05)
    assert numbers["bn_x30.accuracy"] == pytest.approx(45) and numbers[
        "bn_x30.accuracy_max"
    ] == pytest.approx(50)
    assert (numbers["lr"], numbers["slow_lr"]) == (3.0, 0.1)


def test_the_figures_table_has_every_seed_and_step(results):
    _, table = figures.first_epoch(results)
    table = table[table["kind"] == "run"]
    assert len(table) == len(protocol.VARIANTS) * PROFILES["smoke"].seeds * len(WATCHED_STEPS)
    last = table[(table["network"] == "BN-x30") & (table["step"] == 8)]
    assert (last["silent_maps_percent"] == 100).all()
