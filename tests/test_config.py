"""Run ids hash everything; configurations are read strictly."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnbook.config import ConfigError, RunConfig, TrainingConfig
from bnbook.experiments import EXPERIMENTS
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


WRONG = (
    st.none() | st.booleans() | st.text(max_size=3) | st.lists(st.none() | st.text(max_size=3), max_size=2)
)
WRONG |= st.dictionaries(st.text(max_size=2), st.integers(), max_size=1)


@given(st.data())
def test_a_value_of_another_type_is_refused_in_one_line(data):
    """Whichever the experiment and the field: what JSON can hold is taken or refused, and never ends in a
    traceback; a record's digest would not notice, which is made of these very values."""
    experiment = data.draw(st.sampled_from(list(EXPERIMENTS.values())))
    config = next(iter(protocol_of(experiment)))
    values = config.to_dict()
    name = data.draw(st.sampled_from([name for name in values if name != "recipe"]))
    other = data.draw(WRONG | st.integers() | st.floats(allow_nan=False))
    try:
        taken = type(config).from_dict(values | {name: other})
    except ConfigError as error:
        assert str(error).startswith(f"{name} in a {type(config).__name__} is ") and "\n" not in str(error)
    else:
        kind = type(values[name])
        assert type(other) in {kind, *({int} if kind is float else ()), *({list} if kind is tuple else ())}
        assert taken.to_dict()[name] == other


def protocol_of(experiment):
    protocol = experiment.protocol
    return (config for config, _ in protocol.plan(protocol.STAGES[0], protocol.PROFILES["smoke"], []))


@pytest.mark.parametrize(
    ("value", "said"),
    [("0.1", "'0.1'; it must be float"), (True, "True; it must be float"), (None, "None; it must be float")],
)
def test_what_it_must_be_is_said(value, said):
    with pytest.raises(ConfigError, match=rf"^lr in a Config is {said}$"):
        Config.from_dict(CONFIG.to_dict() | {"lr": value})
    assert Config.from_dict(CONFIG.to_dict() | {"lr": 1}).lr == 1


def test_lists_are_checked_to_the_last():
    config = next(protocol_of(EXPERIMENTS["careless_initialization"]))
    values = config.to_dict()
    assert type(config).from_dict(values | {"lrs": [1, 2.0]}).lrs == [1, 2.0]
    with pytest.raises(ConfigError, match=r"^lrs in a Config is \[1, 'x'\]; it must be tuple\[float, ...\]$"):
        type(config).from_dict(values | {"lrs": [1, "x"]})


def test_a_training_run_says_on_what_and_a_measurement_need_not():
    fields = {"experiment": "e", "variant": "v", "recipe": 1, "batch_size": 2, "steps": 3}
    assert RunConfig(**fields).run_id == TrainingConfig(**fields, data="digits", train_on="train").run_id
    with pytest.raises(TypeError, match=r"data.*train_on"):
        TrainingConfig(**fields)


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        CONFIG.lr = 0.5
