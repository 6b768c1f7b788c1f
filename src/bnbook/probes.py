"""The pitfalls that users of batch normalization meet, each held against the torch that is installed.

A probe is a piece of code that a chapter shows (`bnbook.examples`), `examples/pitfalls_<name>.py`. Of what it
prints the lines "<fact>: <values>" are read here, and three of these make it a probe:

    expected: 1.00                 what one expects; "0 +- 5" allows for that much
    found:    0.65 0.77 0.73       what there is, a value a seed where there are several
    mended:   1.00 1.00 1.00       what there is with the mend applied

So it is the code that says whether the surprise is still there, by the same measurement that shows the mend
to help. That is asked of the torch at hand whenever the book is built. The numbers in texts and figures are
those of results/probes.json: processors round differently, which a few steps of training make visible.
"""

import dataclasses
import hashlib
import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bnbook import examples, files, paths, stats
from bnbook.examples import ExampleError
from bnbook.stats import Interval

PREFIX = "pitfalls_"
FACT = re.compile(r"^([^:\n]+): +(.+)$", re.MULTILINE)
NEEDED = ("expected", "found", "mended")
TOLERANCE = " +- "
RECORD = Path("results") / "probes.json"


@dataclasses.dataclass(frozen=True)
class Probe:
    """What the probe `name` printed: `facts` by name, in the words in which they stand there."""

    name: str
    facts: dict[str, str]

    @property
    def still_so(self) -> bool:
        """Whether it still surprises."""
        return not self.as_expected("found")

    def as_expected(self, fact: str) -> bool:
        """Whether a fact is what one expects: a single value where it is printed alike; of several seeds the
        mean where its whole interval lies within what is allowed for, which, unsaid, is what rounding hides.
        """
        if not (interval := self.interval(fact)):
            return self.facts[fact] == self.facts["expected"]
        value, _, allowed = self.facts["expected"].partition(TOLERANCE)
        most = float(allowed) if allowed else resolution(value) / 2
        return max(interval.high - float(value), float(value) - interval.low) <= most

    def values(self, fact: str) -> list[float]:
        """A value a seed; none where the fact is a single one, or words."""
        try:
            found = [float(word) + 0.0 for word in self.facts[fact].split()]
        except ValueError:
            return []
        return found if len(found) > 1 else []

    def interval(self, fact: str) -> Interval | None:
        """Mean and 95% interval over the seeds; None where there are none."""
        values = self.values(fact)
        return stats.mean_interval(values) if values else None


def resolution(text: str) -> float:
    """The unit of a number's last digit: 0.01 of "1.00"."""
    return 10.0 ** -len(text.partition(".")[2])


def names(root: Path = paths.ROOT) -> list[str]:
    """All probes, by the names of their files."""
    return sorted(file.stem.removeprefix(PREFIX) for file in (root / examples.FOLDER).glob(f"{PREFIX}*.py"))


def read(name: str, root: Path = paths.ROOT) -> Probe:
    """The probe `name`, run where it has not as it stands. Raises ExampleError where it is not there, fails,
    or prints less than a probe does."""
    examples.run(root)
    return _read(name, root)


def _read(name: str, root: Path) -> Probe:
    """The probe `name`, which has run."""
    printed = examples.output(PREFIX + name, root)
    probe = Probe(name, {fact: values.strip() for fact, values in FACT.findall(printed)})
    if missing := [fact for fact in NEEDED if fact not in probe.facts]:
        raise ExampleError(f"{examples.FOLDER}/{PREFIX}{name}.py prints no line {missing[0] + ': ...'!r}")
    return probe


def torch_version() -> str:
    """The installed torch's, without what it was built for."""
    return version("torch").partition("+")[0]


# What they printed once, for good


def recorded(name: str, root: Path = paths.ROOT) -> Probe:
    """The probe `name` with what results/probes.json says that it printed; run here where it has changed
    since, or is new. Raises ExampleError as `read` does."""
    return _recorded(name, root) or read(name, root)


def record(root: Path = paths.ROOT) -> list[str]:
    """Bring results/probes.json up to date, and return the names of the probes that were run for it: those
    that have changed. Raises ExampleError as `read` does."""
    outdated = [name for name in names(root) if not _recorded(name, root)]
    kept = {
        name: {"code": _code(name, root), "torch": torch_version(), "facts": read(name, root).facts}
        if name in outdated
        else _records(root)[name]
        for name in names(root)
    }
    if kept != _records(root):
        files.write(root / RECORD, json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    return outdated


def _recorded(name: str, root: Path) -> Probe | None:
    """The probe `name` by the record; None where that is of other code."""
    known = _records(root).get(name, {})
    return Probe(name, known["facts"]) if known and known["code"] == _code(name, root) else None


def _records(root: Path) -> dict[str, dict[str, Any]]:
    return files.read_json(root / RECORD) if (root / RECORD).exists() else {}


def _code(name: str, root: Path) -> str:
    """A digest of the code of the probe `name`."""
    return hashlib.sha256(examples.source(PREFIX + name, root).read_bytes()).hexdigest()[:12]


def numbers(root: Path = paths.ROOT) -> dict[str, str | float | int]:
    """What the probes printed, as recorded or run here, for the book's text: "<name>.<fact>" as it stands
    there; of several seeds its ".mean", ".low" and ".high" (the 95% interval) and the number of ".seeds".
    And "torch", the version of the one at hand."""
    known: dict[str, str | float | int] = {"torch": torch_version()}
    for name in names(root):
        probe = _recorded(name, root)
        if not probe and not examples.has_run(PREFIX + name, root):
            continue
        probe = probe or _read(name, root)
        for fact, text in probe.facts.items():
            known[f"{name}.{fact}"] = text
            if interval := probe.interval(fact):
                known |= {
                    f"{name}.{fact}.mean": interval.estimate,
                    f"{name}.{fact}.low": interval.low,
                    f"{name}.{fact}.high": interval.high,
                    f"{name}.{fact}.seeds": interval.n,
                }
    return known
