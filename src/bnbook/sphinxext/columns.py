"""On a figure's own page: what the columns of its CSV file mean."""

from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes

from bnbook import columns
from bnbook.sphinxext.editions import SEPARATOR, joined, languages

WORDS = {
    "columns": {"ko": "CSV의 열", "en": "Columns of the CSV"},
    "name": {"ko": "열", "en": "Column"},
    "meaning": {"ko": "뜻", "en": "Meaning"},
    "unit": {"ko": "단위", "en": "Unit"},
}


def box(env: Any, csv: Path) -> nodes.Node:
    """The folded table of the columns; the page being read depends on what it shows."""
    for file in (csv, columns.DICTIONARY):
        env.note_dependency(str(file))
    return nodes.raw("", table(csv, env.config.edition), format="html")


def table(csv: Path, edition: str) -> str:
    """As raw HTML, so that search does not find the same words on every figure's page."""
    head = "".join(
        f'<th scope="col">{_words(WORDS[part], edition)}</th>' for part in ("name", "meaning", "unit")
    )
    rows = "".join(
        f'<tr><th scope="row"><code>{escape(column.name)}</code></th>'
        f"<td>{_words(column.meaning, edition)}</td><td>{_words(column.unit, edition)}</td></tr>"
        for column in columns.columns(csv)
    )
    return (
        f'<details class="bn-columns"><summary>{joined(WORDS["columns"], edition)}</summary>'
        '<div class="bn-columns-table" tabindex="0">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>"
    )


def _words(words: dict[str, str], edition: str) -> str:
    """In the edition's languages, once where both say the same."""
    texts = {words[lang]: lang for lang in reversed(languages(edition))}
    return SEPARATOR.join(
        f'<span lang="{texts[text]}">{escape(text)}</span>' for text in reversed(texts) if text
    )


def ship(folder: Path, names: list[str]) -> None:
    """Says the same for programs, beside the files."""
    described = columns.metadata(folder / f"{name}.csv" for name in names)
    (folder / columns.METADATA).write_text(described, encoding="utf-8")
