"""The roles `result`, `paper` and `probe`: numbers in prose come from records, paper.yml and what the probes
printed, never from typing."""

import dataclasses
import functools
import json
import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

from bnbook import claims, files, paper, probes
from bnbook.claims import AllResults
from bnbook.experiments import PLANNED
from bnbook.sphinxext.data import fingerprint
from bnbook.sphinxext.html import tag

# Where the roles look; what one of them does not find is said to be missing there.
NAMES = {"result": "results", "paper": "numbers of the paper", "probe": "probes that have run"}
LONGEST_NUMBER = 20  # letters, its unit among them; what is longer is words
MARK = re.compile(r"[!-/:-@\[-`{-~]")  # ASCII punctuation

log = logging.getLogger(__name__)


class UnknownNumber(ValueError):
    """A key that there is no number of."""


@functools.cache
def results() -> AllResults:
    """The committed records, read once a build; raises MissingRecord."""
    return claims.results()


@functools.cache
def sources() -> dict[str, dict[str, paper.Number]]:
    """Ours, the paper's and the probes' numbers and our configurations, by key."""
    return {
        "result": claims.all_numbers(results()),
        "paper": paper.numbers(),
        "probe": probes.numbers(),
        "config": configs(results()),
    }


def configs(found: AllResults) -> dict[str, paper.Number]:
    """What the main runs were configured with, by "<experiment>.<setting>.<variant>.<field>" or
    "<experiment>.<variant>.<field>", and the sizes of their profile, by "<experiment>.profile.<field>"."""
    known = {}
    for name, experiment in PLANNED.items():
        results = found.get(name)
        profile = results.profile if results else experiment.protocol.PROFILES["cpu"]
        parts = {"profile": dataclasses.asdict(profile)}
        for key, records in results.main.items() if results else ():
            parts[key if isinstance(key, str) else ".".join(key)] = records[0].config
        known |= {
            f"{name}.{part}.{field}": list(value) if isinstance(value, tuple) else value
            for part, values in parts.items()
            for field, value in values.items()
        }
    return known


def number(source: str, key: str, form: str = "", particle: str = "") -> str:
    """The number `key` of `source` ("result", "paper" or "probe") as text, by the format specification `form`
    if any, with a Korean `particle` if any.

    Raises UnknownNumber, and ValueError where the format does not fit the number or the particle is none.
    """
    known = sources()[source]
    if key not in known:
        raise UnknownNumber(f"no number {key!r} among the {NAMES[source]}")
    return paper.shown(known[key], form, particle)


def fill(text: str, markdown: bool = False) -> str:
    """`text` with its placeholders `[[key]]` (or `[[result:key]]`), `[[key|.2f]]`, `[[paper:key]]`,
    `[[probe:key]]` and `[[config:key]]` replaced.

    In `markdown` a word out of a record stays a word, whatever it is. Raises UnknownNumber, and ValueError
    where a format does not fit.
    """
    named = sources() | {"": sources()["result"]}
    if markdown:
        named = {name: {k: _escaped(v) for k, v in values.items()} for name, values in named.items()}
    try:
        return paper.fill(text, named)
    except KeyError as error:
        raise UnknownNumber(error.args[0]) from None


def _escaped(value: paper.Number) -> paper.Number:
    """With a backslash before every mark that could mean something in Markdown."""
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    return MARK.sub(r"\\\g<0>", value) if isinstance(value, str) else value


def note_dependency(env: BuildEnvironment) -> None:
    """The page being read is read again when a number has changed, or what numbers and verdicts come from:
    package and results."""
    env.note_dependency(str(_stamp(env.app)))


class NumberRole(SphinxRole):
    """``{result}`mnist_activation_shift.main.tuned.bn.accuracy|.2f` ``; the format after the bar may be left
    out. After a second bar a Korean particle, in any form, which takes the one that the number asks for:
    ``{result}`bench.book_seconds|.0f|은` ``."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        note_dependency(self.env)
        key, form, particle = (*(part.strip() for part in self.text.split("|", 2)), "", "")[:3]
        try:
            text = number(self.name, key, form, particle)
        except ValueError as error:
            log.warning("{%s}`%s`: %s", self.name, self.text, error, location=self.get_location())
            text = "?"
        words = " bn-words" if len(text) > LONGEST_NUMBER else ""  # which may be broken into lines
        return [tag("span", text, classes=f"bn-{self.name}{words}")], []


def _stamp(app: Sphinx) -> Path:
    return Path(app.doctreedir) / "numbers.json"


def _write_stamp(app: Sphinx) -> None:
    """Writes all numbers to one file, whose time changes only when a number does, or what they come from."""
    text = json.dumps([fingerprint(), sources()], sort_keys=True, default=float)
    stamp = _stamp(app)
    if not stamp.exists() or stamp.read_text() != text:
        files.write(stamp, text)


def setup(app: Sphinx) -> None:
    app.connect("builder-inited", _write_stamp)
    for role in NAMES:
        app.add_role(role, NumberRole())
