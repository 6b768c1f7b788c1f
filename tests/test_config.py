"""Run ids hash everything; configurations are read strictly."""

import dataclasses

import pytest

from bnbook.config import ConfigError, RunConfig, TrainingConfig
from bnbook.experiments.mnist_activation_shift import protocol
from bnbook.experiments.mnist_activation_shift.protocol import Config

CONFIG = protocol.multiverse(protocol.PROFILES["smoke"])[0]


def test_run_id_is_stable():
    """Pinned: a change of the hash, of a default or of a field would orphan every committed record."""
    config = RunConfig(
        experiment="e", variant="v", recipe=1, data="digits", train_on="train", batch_size=2, steps=3
    )
    assert config.run_id == "f385088b1a9b"


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Config)])
def test_every_field_counts(field):
    value = getattr(CONFIG, field)
    other = not value if isinstance(value, bool) else value + 1 if isinstance(value, int | float) else "other"
    assert dataclasses.replace(CONFIG, **{field: other}).run_id != CONFIG.run_id


def test_round_trip():
    assert Config.from_dict(CONFIG.to_dict()) == CONFIG


def test_unknown_and_missing_keys_are_refused():
    values = CONFIG.to_dict()
    with pytest.raises(ConfigError, match="unknown keys in a Config: typo"):
        Config.from_dict(values | {"typo": 1})
    del values["norm_eps"]
    with pytest.raises(ConfigError, match="missing keys in a Config: norm_eps"):
        Config.from_dict(values)


def test_a_training_run_says_on_what_and_a_measurement_need_not():
    fields = {"experiment": "e", "variant": "v", "recipe": 1, "batch_size": 2, "steps": 3}
    assert RunConfig(**fields).run_id == TrainingConfig(**fields, data="digits", train_on="train").run_id
    with pytest.raises(TypeError, match=r"data.*train_on"):
        TrainingConfig(**fields)


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        CONFIG.lr = 0.5
