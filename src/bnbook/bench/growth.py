"""How planning, judging and the records' pages grow with the number of records: those of one experiment, up
to 50 times as many, the further ones copies under other seeds. Measured is the processor's time.
"""

import dataclasses
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bnbook import experiments, paths, records
from bnbook.sphinxext import records as pages

EXPERIMENT = experiments.EXPERIMENTS["small_batches"]  # its grid is small beside what new seeds run
SEEDS = ("new_seeds", "new_seeds_decided")
TIMES = (1, 5, 50)


def measure(times: tuple[int, ...] = TIMES, profile: str = "cpu") -> dict[str, Any]:
    """A row for each of `times`: "records", how many, and the milliseconds that one takes to plan
    ("plan_ms"), to judge ("judge_ms") and to make a page of ("pages_ms")."""
    rows = []
    for one in times:
        with tempfile.TemporaryDirectory() as folder:
            rows.append({"times": one} | _row(_sizes(profile, one), _copies(Path(folder), profile, one)))
        print("growth:", ", ".join(f"{name} {value:.4g}" for name, value in rows[-1].items()), flush=True)
    return {"experiment": EXPERIMENT.name, "rows": rows}


def _row(sizes: Any, runs: Path) -> dict[str, float]:
    number = sum(1 for _ in runs.rglob("seed-*.json"))
    book = pages.Book({"ko": "", "en": ""}, {}, "")
    assert book.claims is not None  # read once, whatever the number of records
    seconds = {
        "plan_ms": _seconds(lambda: _plan(sizes, runs)),
        "judge_ms": _seconds(lambda: _judge(sizes, runs)),
        "pages_ms": _seconds(lambda: pages.export(runs, runs.parent / "pages", book)),
    }
    return {"records": number} | {name: 1000 * value / number for name, value in seconds.items()}


def _plan(sizes: Any, runs: Path) -> list[bool]:
    """What the DAG is made of: the runs of each stage, and which of them are there."""
    protocol = EXPERIMENT.protocol
    jobs = [job for stage in protocol.STAGES for job in protocol.plan(stage, sizes, [runs])]
    return [records.whole(records.path(runs, *job)) for job in jobs]


def _judge(sizes: Any, runs: Path) -> list[Any]:
    results = EXPERIMENT.protocol.results(sizes, [runs])
    return [statistic(results) for statistic in EXPERIMENT.measures.STATISTICS.values()]


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _sizes(profile: str, times: int) -> Any:
    sizes = EXPERIMENT.sizes(profile)
    return dataclasses.replace(sizes, **{name: times * getattr(sizes, name) for name in SEEDS})


def _copies(folder: Path, profile: str, times: int) -> Path:
    """The runs folder with all that the plan of `_sizes` names: what is not committed is a copy of what the
    same configuration has by another seed."""
    committed, runs, protocol = paths.runs(paths.RESULTS), paths.runs(folder), EXPERIMENT.protocol
    for stage in protocol.STAGES:
        for config, seed in protocol.plan(stage, _sizes(profile, times), [runs]):
            known = sorted(records.path(committed, config, seed).parent.glob("seed-*.json"))
            values = json.loads(known[seed % len(known)].read_text(encoding="utf-8")) | {"seed": seed}
            file = records.path(runs, config, seed)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values), encoding="utf-8")
    return runs
