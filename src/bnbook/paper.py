"""The paper, once: its numbers and its claims, from paper.yml, and text with numbers in it."""

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from bnbook import josa

Text = dict[str, str]  # {"ko", "en"}
Number = float | int | str | list

LANGUAGES = ("ko", "en")
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
PLACEHOLDER = re.compile(r"\[\[(?:(\w+):)?([^\]|]+)(?:\|([^\]|]*))?(?:\|([^\]]*))?\]\]")


@functools.cache
def _file() -> dict[str, Any]:
    return yaml.safe_load((Path(__file__).parent / "paper.yml").read_text(encoding="utf-8"))


def claims() -> dict[str, dict[str, Any]]:
    """The paper's claims by id, in its order, as paper.yml has them."""
    return _file()["claims"]


def sections() -> dict[str, Text]:
    """The titles of the paper's sections that have claims, by number, in its order."""
    return _file()["sections"]


def effect(claim: str) -> float:
    """The smallest effect that matters for `claim`, as its rule has it."""
    return claims()[claim]["effect"]


def numbers() -> dict[str, Number]:
    """The paper's numbers by dotted key, such as "mnist.batch_size"."""

    def flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Number]]:
        for key, value in values.items():
            if isinstance(value, dict):
                yield from flat(value, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}", value

    return dict(flat(_file()["numbers"]))


def fill(text: str, sources: dict[str, dict[str, Number]]) -> str:
    """`text` with `[[key]]`, `[[key|.2f]]` and `[[name:key]]` replaced by numbers; `[[key|.2f|은]]` by a
    number and the Korean particle that goes with it.

    A key without a name is looked up in sources[""]. Raises KeyError where it is not there, and ValueError on
    a particle that is none.
    """

    def number(match: re.Match) -> str:
        name, key, form = match[1] or "", match[2].strip(), match[3]
        if key not in sources.get(name, {}):
            raise KeyError(f"no number {match[0]} in: {text[:60]}")
        return shown(sources[name][key], form or "", match[4] or "")

    return PLACEHOLDER.sub(number, text)


def shown(value: Number, form: str = "", particle: str = "") -> str:
    """A number as text; without a format 50000 is "50,000" and 0.98341 is "0.9834". Signs are those of print:
    "−0.28", "6×10⁻⁵". With a Korean `particle` that is written to it in its right form (`bnbook.josa`)."""
    if isinstance(value, list):
        text = ", ".join(shown(item, form) for item in value)
    else:
        text = format(value, form or {int: ",d", float: ",.4g"}.get(type(value), ""))
    text = josa.with_particle(text, particle) if particle else text
    return text if isinstance(value, str) else _printed(text)


def _printed(text: str) -> str:
    """Numbers as print has them: a minus that is one, powers of ten raised."""

    def power(found: re.Match) -> str:
        factor = "" if found[1] == "1" else f"{found[1]}×"
        return f"{factor}10{str(int(found[2])).translate(SUPERSCRIPTS)}"

    text = re.sub(r"(\d[\d.]*)e([+-]\d+)", power, text)
    return re.sub(r"(?<![\w.⁻])-(?=\d)", "−", text)
