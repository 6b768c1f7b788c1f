"""Knobs: what a reader may turn in an experiment. Each is a parameter of its notebook (`-p lr 0.3`) and an
option of `bnbook run` (`--set lr=0.3`); 0 leaves it as the protocol has it.

A protocol lists its own (KNOBS) and says with them what may be asked for at all: what is out of bounds is
refused before anything trains. Turning one gives other sizes of the main runs (`main_sizes` of a protocol's
`results`), hence runs with ids of their own; what stages before the main one chose stays as it was chosen.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bnbook.config import ConfigError

AS_SAID, AS_CHOSEN = "as the profile says", "as was chosen"


@dataclasses.dataclass(frozen=True)
class Knob:
    """A number that can be asked for, from `low` to `high`; their type is its. `turn(profile, value)` gives
    the profile with it; without one it is the profile's field of the same name."""

    name: str
    low: int | float
    high: int | float
    help: str
    zero: str = AS_SAID  # what 0 means
    turn: Callable[[Any, Any], Any] | None = None

    @property
    def kind(self) -> type:
        return type(self.low)

    def checked(self, value: Any) -> Any:
        """`value` in the knob's type; raises ConfigError where it is not of it, or out of bounds."""
        number = type(value) in ((int, float) if self.kind is float else (int,))
        if not number or not (value == 0 or self.low <= value <= self.high):
            raise ConfigError(f"{self.name} is {value!r}; it must be {self.bounds}")
        return self.kind(value)

    def read(self, text: str) -> Any:
        """The value that `text` gives; raises ConfigError."""
        for kind in (int, float):
            try:
                value = kind(text)
            except ValueError:
                continue
            return self.checked(value)
        return self.checked(text)

    def turned(self, profile: Any, value: Any) -> Any:
        """`profile` with this knob at `value`; with 0, `profile`."""
        if not value:
            return profile
        if self.turn:
            return self.turn(profile, value)
        return dataclasses.replace(profile, **{self.name: value})

    @property
    def bounds(self) -> str:
        one = "a whole number" if self.kind is int else "a number"
        return f"{one} from {self.low:g} to {self.high:g}, or 0: {self.zero}"

    @property
    def line(self) -> str:
        """How a notebook's cell of parameters has it."""
        zero = 0 if self.kind is int else 0.0
        return f"{self.name}: {self.kind.__name__} = {zero}  # {self.help}; 0: {self.zero}"


def at_once(*fields: str) -> Callable[[Any, Any], Any]:
    """What turns several fields of a profile by one knob."""
    return lambda profile, value: dataclasses.replace(profile, **dict.fromkeys(fields, value))


def learning_rate(
    help: str, zero: str = AS_SAID, turn: Callable[[Any, Any], Any] | None = None, name: str = "lr"
) -> Knob:
    return Knob(name, 1e-5, 100.0, help, zero, turn)


def only_learning_rate(help: str, field: str = "lrs", name: str = "lr") -> Knob:
    """One rate in the place of all those of the profile's `field`."""
    return learning_rate(
        help,
        "those of the profile",
        lambda profile, lr: dataclasses.replace(profile, **{field: (lr,)}),
        name,
    )


def seeds(help: str, name: str = "seeds", turn: Callable[[Any, Any], Any] | None = None) -> Knob:
    return Knob(name, 1, 1000, help, turn=turn)


def steps(help: str, name: str = "steps") -> Knob:
    return Knob(name, 1, 1_000_000, help)


def batch_size(help: str = "images in a mini-batch", low: int = 2, high: int = 1000) -> Knob:
    return Knob("batch_size", low, high, help)


def hidden(help: str = "units in each hidden layer") -> Knob:
    return Knob("hidden", 2, 2000, help)


def depth(
    help: str = "hidden layers", zero: str = AS_SAID, turn: Callable[[Any, Any], Any] | None = None
) -> Knob:
    return Knob("depth", 1, 50, help, zero, turn)


def init_std(help: str = "standard deviation of the initial weights", zero: str = AS_SAID) -> Knob:
    return Knob("init_std", 1e-4, 10.0, help, zero)


def turned(knobs: Sequence[Knob], profile: Any, values: Mapping[str, Any]) -> Any:
    """`profile` with the knobs at these values; raises ConfigError on one that is not there, or a value that
    cannot be."""
    known = {knob.name: knob for knob in knobs}
    for name, value in values.items():
        if name not in known:
            raise ConfigError(f"no knob {name!r}; there is {', '.join(known) or 'none'}")
        profile = known[name].turned(profile, known[name].checked(value))
    return profile


def read(knobs: Sequence[Knob], words: Sequence[str]) -> dict[str, Any]:
    """The values in `words`, each NAME=VALUE; raises ConfigError."""
    known = {knob.name: knob for knob in knobs}
    values = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise ConfigError(f"{word!r} says nothing; write NAME=VALUE, as in lr=0.3")
        if name not in known:
            raise ConfigError(f"no knob {name!r}; there is {', '.join(known) or 'none'}")
        if name in values:
            raise ConfigError(f"{name} is set twice")
        values[name] = known[name].read(text)
    return values
