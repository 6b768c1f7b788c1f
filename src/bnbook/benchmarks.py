"""What `bnbook bench` measured (results/bench.json), by key, for the book's text."""

from typing import Any

from bnbook import files, paths
from bnbook.paper import Number


def numbers() -> dict[str, Number]:
    """ "bench.<place>.<name>" for every number in the file; the place of an entry in a list is its index."""
    return flat("bench", read())


def read() -> dict[str, Any]:
    """What the file holds."""
    return files.read_json(paths.RESULTS / "bench.json")


def flat(key: str, value: Any) -> dict[str, Number]:
    """The leaves of nested dictionaries and lists, by their path."""
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        return {name: leaf for part, below in inner for name, leaf in flat(f"{key}.{part}", below).items()}
    return {key: value}
