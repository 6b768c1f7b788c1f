"""The drawing kit: what a figure is, and how all of them look (`style`)."""

import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Canvas

from bnbook.records import Record

TOY = "a toy example"


@dataclasses.dataclass(frozen=True)
class Figure:
    """One figure. `draw(results)` gives the picture and a table of exactly the numbers in it.

    `stage` says which of its experiment's records it shows, `data` what they were made on where it is not
    their data set. Without a `stage` it is an explaining picture, and draws without results. `experiment` is
    known by the room that it stands in (`bnbook.figures`).
    """

    id: str
    draw: Callable[..., tuple[Canvas, pd.DataFrame]]
    stage: str | None = "main"
    data: str | None = None
    experiment: str | None = None

    @property
    def code(self) -> Path:
        """The file that draws it."""
        return Path(inspect.getsourcefile(self.draw))

    def own(self, results: dict[str, Any]) -> Any:
        """The `Results` that it draws, of those by experiment."""
        return results[self.experiment] if self.experiment else None

    def records(self, results: dict[str, Any]) -> list[Record]:
        """The records that it shows, each once."""
        if self.experiment is None:
            return []
        shown = self.own(results).records(self.stage)
        return list({(record.run_id, record.seed): record for record in shown}.values())
