"""What tests read of built pages."""

from pathlib import Path

from selectolax.lexbor import LexborHTMLParser


def markup(file: Path) -> LexborHTMLParser:
    """A built page, parsed. There are hundreds: what takes two minutes in Python takes seconds in this C."""
    return LexborHTMLParser(file.read_text(encoding="utf-8"))
