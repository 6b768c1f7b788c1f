"""What the columns of the figures' CSV files mean, and in which unit they are: book/columns.yml."""

import csv
import dataclasses
import functools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from bnbook import paths
from bnbook.paper import LANGUAGES

DICTIONARY = paths.BOOK / "columns.yml"
METADATA = "csv-metadata.json"  # where the W3C's "CSV on the Web" has programs look for it


class UndescribedColumn(ValueError):
    """A column, or a kind of row, that book/columns.yml does not have."""


@dataclasses.dataclass(frozen=True)
class Column:
    """A column: its name, and what it means and its unit in "ko" and "en"; the unit is empty where it has
    none."""

    name: str
    meaning: dict[str, str]
    unit: dict[str, str]


def columns(table: Path) -> list[Column]:
    """The columns of a figure's CSV file, in order. Raises UndescribedColumn."""
    with table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    kinds = list(dict.fromkeys(row[0] for row in rows[1:])) if rows[0][0] == "kind" else []
    return [_column(table.stem, name, kinds if name == "kind" else []) for name in rows[0]]


def metadata(tables: Iterable[Path]) -> str:
    """The same for programs, after "Metadata Vocabulary for Tabular Data" (W3C, 2015)."""
    described = {
        "@context": "http://www.w3.org/ns/csvw",
        "tables": [
            {"url": table.name, "tableSchema": {"columns": [_described(one) for one in columns(table)]}}
            for table in tables
        ],
    }
    return json.dumps(described, indent=1, ensure_ascii=False) + "\n"


def _described(column: Column) -> dict[str, Any]:
    meaning = [{"@value": column.meaning[lang], "@language": lang} for lang in LANGUAGES]
    unit = {"schema:unitText": column.unit["en"]} if column.unit["en"] else {}
    return {"name": column.name, "titles": column.name, "dc:description": meaning} | unit


def _column(figure: str, name: str, kinds: list[str]) -> Column:
    """`kinds` are what the rows of the figure's table are, for the column that says so."""
    words = _dictionary()
    own = words["figures"].get(figure, {})
    entry = own.get(name) or _known(words["columns"], name, figure)
    unit = words["units"].get(entry.get("unit") or name.rpartition("_")[2]) or dict.fromkeys(LANGUAGES, "")
    meanings = {kind: own.get(f"kind {kind}") or _known(words["kinds"], kind, figure) for kind in kinds}
    listed = {lang: "; ".join(f"{kind} = {meanings[kind][lang]}" for kind in kinds) for lang in LANGUAGES}
    return Column(
        name, {lang: f"{entry[lang]}{listed[lang] and ': '}{listed[lang]}" for lang in LANGUAGES}, unit
    )


def _known(words: dict[str, dict[str, str]], name: str, figure: str) -> dict[str, str]:
    if name not in words:
        raise UndescribedColumn(f"{DICTIONARY.name} does not say what {name!r} is in {figure}.csv")
    return words[name]


@functools.cache
def _dictionary() -> dict[str, dict[str, Any]]:
    return yaml.safe_load(DICTIONARY.read_text(encoding="utf-8"))
