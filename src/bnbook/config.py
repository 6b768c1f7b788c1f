"""Run configurations: frozen dataclasses, strict reading, and the run id.

A run is a configuration and a seed. The run id is a hash over all fields of the configuration,
defaults included, so that a changed default can never pass for the run that was made before it.
"""

import dataclasses
import hashlib
import json
import typing
from typing import Any, Self


class ConfigError(ValueError):
    """A configuration that cannot be: an unknown key, a missing one, or a wrong value."""


def canonical(values: dict[str, Any]) -> str:
    """JSON with sorted keys and no spaces: the text that is hashed."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(values: dict[str, Any]) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of `values`: 48 bits, ample for thousands of runs."""
    return hashlib.sha256(canonical(values).encode()).hexdigest()[:12]


# What a measurement has where a training run has its data and its learning rate: the fields are part of every
# run id. The data are the embedded ones, so that nothing is fetched.
NO_DATA = "digits"
NO_RATE = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What every run's configuration has, a measurement's too, which looks at no data unless it says so.
    Each experiment adds its own fields in a subclass."""

    experiment: str
    variant: str
    recipe: int  # raised by hand whenever the training code changes what a run computes
    batch_size: int
    steps: int
    data: str = NO_DATA
    train_on: str = "train"

    @property
    def run_id(self) -> str:
        return digest(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The configuration with these fields, as JSON has them; raises ConfigError on a missing or unknown
        key and on a value of another type."""
        names = {field.name for field in dataclasses.fields(cls)}
        for problem, keys in (("unknown", set(values) - names), ("missing", names - set(values))):
            if keys:
                raise ConfigError(f"{problem} keys in a {cls.__name__}: {', '.join(sorted(keys))}")
        for name, kind in typing.get_type_hints(cls).items():
            if name in names and not _fits(values[name], kind):
                has = f"{name} in a {cls.__name__} is {values[name]!r:.80}"
                raise ConfigError(f"{has}; it must be {kind.__name__ if isinstance(kind, type) else kind}")
        return cls(**values)


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value that JSON gave can be that of a field of this type: a tuple comes as a list, 1.0 maybe
    as 1, and True is no number."""
    if typing.get_origin(kind) is tuple:
        return isinstance(value, list | tuple) and all(_fits(one, typing.get_args(kind)[0]) for one in value)
    return type(value) is kind or (kind is float and type(value) is int)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig(RunConfig):
    """That of a run that trains: the same fields, but it has to say on what."""

    data: str = dataclasses.field()  # a name of bnbook.data.sources
    train_on: str = dataclasses.field()  # "train", or "train+validation" once every choice is made
