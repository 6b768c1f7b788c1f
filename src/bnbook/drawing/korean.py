"""Figures in Korean: the same picture, every word of it put through book/figures.ko.yml.

Figures are drawn in English. Whatever text is in the picture then is looked up: as it is, or as a template
with {} for what is filled in. Numbers, symbols and formulas need no entry; a word without one is an error.
"""

import dataclasses
import functools
import re
from importlib.metadata import distribution

import yaml
from matplotlib import font_manager
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text

from bnbook import paths
from bnbook.drawing import style

CATALOGUE = paths.BOOK / "figures.ko.yml"
FONT = "NanumGothic"
FORMULA = re.compile(r"\$[^$]*\$")
WORD = re.compile(r"[^\W\d_]{2}")
HANGUL = re.compile("[\uac00-\ud7a3]")


class UntranslatedText(ValueError):
    """Text of a figure that book/figures.ko.yml does not have."""


@functools.cache
def font() -> str:
    """The name of a font with Korean letters, made known to matplotlib. Its package is read for the files
    alone: importing it would change the settings of every figure."""
    for file in distribution("koreanize-matplotlib").files or ():
        if file.stem in (FONT, f"{FONT}Bold") and file.suffix == ".ttf":
            font_manager.fontManager.addfont(str(file.locate()))
    known = font_manager.fontManager.ttflist
    for place, entry in enumerate(known):
        if entry.name == FONT and entry.weight == 600:  # what the bold one's file says
            known[place] = dataclasses.replace(entry, weight=700)
    return FONT


def translate(made: Figure) -> None:
    """Put all words in the picture into Korean; raises UntranslatedText."""
    for text in made.findobj(Text):
        if text.get_text().strip():
            text.set_text(korean(text.get_text()))
            # The letters of a text with a formula in it all come from one font, the formula's own aside.
            if HANGUL.search(text.get_text()) and "$" in text.get_text():
                text.set_fontfamily(font())
    for axis in made.findobj(Axis):
        style.relabel(axis, korean)


def korean(text: str) -> str:
    """`text` in Korean, white space around it kept; raises UntranslatedText."""
    inner = text.strip()
    return text.replace(inner, _translated(inner)) if inner else text


@functools.cache
def _translated(text: str) -> str:
    if HANGUL.search(text) or not WORD.search(FORMULA.sub("", text)):
        return text
    exact, templates = _catalogue()
    if text in exact:
        return exact[text] or text
    for pattern, translation in templates:
        if found := pattern.fullmatch(text):
            parts = translation.split("{}")
            filled = [*map(korean, found.groups()), ""]
            return "".join(part + word for part, word in zip(parts, filled, strict=True))
    raise UntranslatedText(f"{CATALOGUE.name} has no translation of {text!r}")


@functools.cache
def _catalogue() -> tuple[dict[str, str | None], list[tuple[re.Pattern[str], str]]]:
    """The catalogue: what is looked up as it is, None where it stays; its templates, the longest first."""
    entries = yaml.safe_load(CATALOGUE.read_text(encoding="utf-8"))
    templates = sorted((english for english in entries if "{}" in english), key=len, reverse=True)
    compiled = [
        (re.compile("(.+?)".join(map(re.escape, english.split("{}")))), entries[english] or english)
        for english in templates
    ]
    return {english: entries[english] for english in entries if "{}" not in english}, compiled
