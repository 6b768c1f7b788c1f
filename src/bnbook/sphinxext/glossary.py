"""One spelling per term: the spellings that book/glossary.yml says to avoid fail the build.

Checked are the chapters, the Markdown cells of the notebooks and the texts of book/*.yml, as they are
written, without code and math. An avoided spelling that is part of a right word is no mistake (`레이어` is
avoided, `플레이어` is right); such words are listed under `allow`.
"""

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

from bnbook.sphinxext import data

FENCE = re.compile(r"\s*(`{3,}|~{3,})(.*)")
CODE_DIRECTIVES = ("{code", "{math", "{raw")
# Math, code spans (but not the roles ko and en), comments, addresses.
NO_PROSE = re.compile(
    r"\$\$.*?\$\$|(?<![\\$])\$[^$\n]+\$"
    r"|(?<!\{ko\})(?<!\{en\})(?<!`)(?P<ticks>`+)(?!`)[^\n]+?(?<!`)(?P=ticks)(?!`)"
    r"|^%[^\n]*$|https?://\S+",
    re.MULTILINE | re.DOTALL,
)

log = logging.getLogger(__name__)


@functools.cache
def rules(path: Path) -> tuple[re.Pattern, dict[str, str]]:
    """A pattern of all right and all avoided words, the longest first; what to write instead of the latter.

    Right words take part so that the longest word wins: nothing inside of one is a mistake.
    """
    terms = data.read(path)
    instead = {bad: term["ko"] for term in terms for bad in term.get("avoid", [])}
    right = {word for term in terms for word in [term["ko"], *term.get("allow", [])]}
    words = sorted({*instead, *right}, key=len, reverse=True)
    # A space may be a line break in the source.
    return re.compile("|".join(re.escape(word).replace(r"\ ", r"\s+") for word in words)), instead


def prose(text: str) -> str:
    """`text` without code, math, comments and addresses; lines keep their numbers."""
    lines = []
    open_fences: list[tuple[str, bool]] = []  # marks, and whether code stands inside
    for line in text.splitlines():
        marks, word = match.groups() if (match := FENCE.match(line)) else ("", "")
        in_code = bool(open_fences) and open_fences[-1][1]
        if marks and open_fences and not word.strip() and marks.startswith(open_fences[-1][0]):
            open_fences.pop()
        elif marks and not in_code:
            open_fences.append((marks, not word.startswith("{") or word.startswith(CODE_DIRECTIVES)))
        lines.append("" if in_code else line[len(marks) :])
    return NO_PROSE.sub(lambda match: "\n" * match[0].count("\n") or " ", "\n".join(lines))


def mistakes(text: str, glossary: Path) -> Iterator[tuple[int, str, str]]:
    """(line, avoided spelling, right spelling) for every avoided spelling in MyST `text`."""
    pattern, instead = rules(glossary)
    checked = prose(text)
    for match in pattern.finditer(checked):
        word = " ".join(match[0].split())
        if word in instead:
            yield checked.count("\n", 0, match.start()) + 1, word, instead[word]


def check(text: str, where: str, glossary: Path) -> None:
    """Warns of every mistake, as `where`:line."""
    for line, bad, right in mistakes(text, glossary):
        log.warning("glossary: write %r, not %r", right, bad, location=f"{where}:{line}")


def _check_page(app: Sphinx, docname: str, source: list[str]) -> None:
    path = app.env.doc2path(docname)
    if not path.endswith(".ipynb"):
        check(source[0], path, _glossary(app))
        return
    for number, cell in enumerate(json.loads(source[0])["cells"], start=1):
        if cell["cell_type"] == "markdown":
            check("".join(cell["source"]), f"{path}: cell {number}", _glossary(app))


def _check_data(app: Sphinx) -> None:
    """The texts of tables, once a build: they are not pages of their own."""
    for path in sorted((Path(app.srcdir) / "book").glob("*.yml")):
        if path != _glossary(app):
            check(path.read_text(encoding="utf-8"), str(path), _glossary(app))


def _glossary(app: Sphinx) -> Path:
    return Path(app.srcdir) / "book" / "glossary.yml"


def setup(app: Sphinx) -> None:
    app.connect("builder-inited", _check_data)
    # Before the notebooks are swapped for their executed copies, whose cells are those of the source.
    app.connect("source-read", _check_page, priority=100)
