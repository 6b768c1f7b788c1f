"""What tests read of built pages."""

from pathlib import Path

from selectolax.lexbor import LexborHTMLParser


def markup(file: Path) -> LexborHTMLParser:
    """A built page, parsed. There are hundreds, which a parser written in Python takes minutes for."""
    return LexborHTMLParser(file.read_text(encoding="utf-8"))
