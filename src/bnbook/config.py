"""Run configurations: frozen dataclasses, strict reading, and the run id.

A run is a configuration and a seed. The run id is a hash over all fields of the configuration,
defaults included, so that a changed default can never pass for the run that was made before it.
"""

import dataclasses
import hashlib
import json
from typing import Any, Self


class ConfigError(ValueError):
    """A configuration that cannot be: an unknown key, a missing one, or a wrong value."""


def canonical(values: dict[str, Any]) -> str:
    """JSON with sorted keys and no spaces: the text that is hashed."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(values: dict[str, Any]) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of `values`: 48 bits, ample for thousands of runs."""
    return hashlib.sha256(canonical(values).encode()).hexdigest()[:12]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What every experiment's configuration has. Each experiment adds its own fields in a subclass."""

    experiment: str
    variant: str
    recipe: int  # raised by hand whenever the training code changes what a run computes
    data: str  # a name of bnbook.data.sources
    train_on: str  # "train", or "train+validation" once every choice is made
    batch_size: int
    steps: int

    @property
    def run_id(self) -> str:
        return digest(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The configuration with these fields; raises ConfigError on a missing or unknown key."""
        names = {field.name for field in dataclasses.fields(cls)}
        for problem, keys in (("unknown", set(values) - names), ("missing", names - set(values))):
            if keys:
                raise ConfigError(f"{problem} keys in a {cls.__name__}: {', '.join(sorted(keys))}")
        return cls(**values)
