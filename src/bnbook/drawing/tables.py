"""The table behind a figure: a row for everything that is drawn, its first column saying what the row is."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

Rows = list[dict[str, Any]]


def tidy(**parts: Rows) -> pd.DataFrame:
    """`tidy(run=rows, mean=others)`: the rows of all parts in one table, with the part's name as `kind`.

    What a row does not have stays empty: that of a target line has its height and nothing else.
    """
    return pd.DataFrame([{"kind": kind} | row for kind, rows in parts.items() for row in rows])


def averaged(how: str, rows: Rows, by: Sequence[str], of: Sequence[str]) -> Rows:
    """The "mean" or "median" of the columns `of`, over the rows that are alike in the columns `by`."""
    groups = pd.DataFrame(rows).groupby(list(by), sort=False, dropna=False)
    return groups[list(of)].agg(how).reset_index().to_dict("records")
