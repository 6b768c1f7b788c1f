"""What notebooks call: parameters in, the records of an experiment out, trained where they are not there."""

import ast
import dataclasses
import os
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import pandas as pd
from IPython import get_ipython
from IPython.display import Markdown

from bnbook import claims, experiments, measures, paths, records
from bnbook.config import ConfigError
from bnbook.experiments import knobs
from bnbook.records import MissingRecord

COMMITTED = paths.runs(paths.RESULTS)
OWN = paths.runs(paths.BUILD_RESULTS)  # what a notebook trains goes here
INJECTED = "# Parameters"  # the first line of the cell in which papermill puts what was given


def results(
    experiment: str,
    profile: str,
    data: str = "auto",
    force: bool = False,
    processes: int | None = None,
    **values: float,
) -> Any:
    """The `Results` of `experiment` at `profile`; its main runs on other `data`, or with its knobs
    (`protocol.KNOBS`) at these `values`.

    0 leaves a knob as it is. With `data="auto"` it is the profile's own data where all records exist or the
    data can be had, else the embedded digits. Records that exist are used, the others are trained now, by as
    many `processes` as there are cores; with `force` the main runs are all trained again. Raises ConfigError,
    before anything trains, on a value that cannot be, and on a parameter that papermill was given and the
    notebook does not have.
    """
    refuse_unknown_parameters()
    protocol = experiments.EXPERIMENTS[experiment].protocol
    chosen = experiments.EXPERIMENTS[experiment].sizes(profile)
    elsewhere = experiments.EXPERIMENTS[experiment].sizes(profile, data)
    if elsewhere != chosen and _is_made(protocol, elsewhere):  # by `make reproduce DATA=...`
        chosen = elsewhere
    own = knobs.turned(protocol.KNOBS, chosen, values)
    if data not in ("auto", *protocol.DATA):
        raise ConfigError(f"data is {data!r}; it must be auto, {' or '.join(protocol.DATA)}")
    if not isinstance(force, bool):
        raise ConfigError(f"force is {force!r}; it must be True or False")
    for stage in protocol.STAGES:
        if stage != "main":
            _obtain(list(protocol.plan(stage, chosen, [COMMITTED, OWN])), [COMMITTED, OWN], False, processes)
    choice = protocol.choose(chosen, [COMMITTED, OWN])
    own = dataclasses.replace(own, data=_data(data, protocol, own, choice, force))
    # What was trained again just now stands before what is committed.
    folders = [OWN, COMMITTED] if force else [COMMITTED, OWN]
    _obtain(protocol.jobs(own, choice), folders, force, processes)
    return protocol.results(chosen, folders, main_sizes=own)


def board(experiment: str, results: Any) -> pd.DataFrame:
    """The claims that `experiment` decides, judged by `results`, as a table; beside runs of the reader's own
    what the committed ones say, where they are made: the rules were made for those."""
    columns = ["estimate", "low", "high", "unit", "verdict"]
    try:
        found = _judged(experiment, results)[columns]
    except (ArithmeticError, IndexError, ValueError):
        # Rules are made for runs that end; a reader's may all run away.
        if not (reason := measures.diverged(results.records("main"))):
            raise
        return pd.DataFrame({"verdict": [reason]})
    if measures.committed(results.records("main")):
        return found
    protocol = experiments.EXPERIMENTS[experiment].protocol
    try:
        known = _judged(experiment, protocol.results(protocol.PROFILES["cpu"], [COMMITTED]))
    except MissingRecord:  # of a room that is new
        return found
    return found.join(known[["estimate", "verdict"]].add_prefix("committed "))


def _judged(experiment: str, results: Any) -> pd.DataFrame:
    """The claims that `results` can judge, by id."""
    rows = pd.DataFrame([vars(claim) for claim in claims.board({experiment: results})])
    return rows[rows["estimate"].notna()].set_index("id").round(3)


def source(experiment: str) -> Markdown:
    """The code that builds and trains the networks of `experiment` (`protocol.SHOWN`), each definition under
    the file and the line where it stands. It is read, not imported: no PyTorch is needed to show it."""
    shown = experiments.EXPERIMENTS[experiment].protocol.SHOWN
    return Markdown("\n\n".join(_definition(experiment, name) for name in shown))


def _definition(experiment: str, name: str) -> str:
    """A function or class as Markdown. Raises LookupError where its module has none of that name."""
    module, _, wanted = name.rpartition(".")
    room = module in ("protocol", "networks", "training")
    parts = ["experiments", experiment, module] if room else module.split(".")
    file = paths.ROOT.joinpath("src", "bnbook", *parts).with_suffix(".py")
    text = file.read_text(encoding="utf-8")
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == wanted:
            first = min(one.lineno for one in (node, *node.decorator_list))
            code = "\n".join(text.splitlines()[first - 1 : node.end_lineno])
            return f"`{file.relative_to(paths.ROOT)}:{first}`\n\n```python\n{code}\n```"
    raise LookupError(f"{file} defines no {wanted}")


def refuse_unknown_parameters() -> None:
    """Raises ConfigError where papermill was given a parameter that the notebook does not have: it warns of
    it, and goes on as if it had been heeded."""
    shell = get_ipython()
    cells = list(shell.history_manager.input_hist_raw) if shell else []
    last = next((n for n in reversed(range(len(cells))) if cells[n].startswith(INJECTED)), None)
    if last is None:
        return
    known = _names(cells[:last], ast.AnnAssign)
    if unknown := set(_names(cells[last : last + 1], ast.Assign)) - set(known):
        names = ", ".join(sorted(unknown))
        raise ConfigError(f"unknown parameter {names}; there is {', '.join(known)}")


def _names(cells: Sequence[str], kind: type[ast.AnnAssign] | type[ast.Assign]) -> list[str]:
    """The names that are assigned to in statements of this kind, in order."""
    found = []
    for cell in cells:
        try:
            statements = ast.parse(cell).body
        except SyntaxError:  # a cell of magics, which is no cell of parameters
            continue
        for one in statements:
            if isinstance(one, kind):
                targets = [one.target] if isinstance(one, ast.AnnAssign) else one.targets
                found += [target.id for target in targets if isinstance(target, ast.Name)]
    return list(dict.fromkeys(found))


def _data(wanted: str, protocol: ModuleType, sizes: Any, choice: Any, force: bool) -> str:
    """The data set's name for "auto": no need to have the data where there is nothing to train."""
    if wanted != "auto":
        return wanted
    if sizes.data == "digits" or not (force or _missing(protocol.jobs(sizes, choice), [COMMITTED, OWN])):
        return sizes.data
    from bnbook.data import sources

    return sources.resolve("auto", protocol.DATA[protocol.DATA.index(sizes.data) :])


def _missing(jobs: Sequence, folders: Sequence) -> list:
    return [job for job in jobs if records.usable(folders, *job) is None]


def _is_made(protocol: ModuleType, sizes: Any) -> bool:
    """Whether all stages before the main one are there: then these chose for themselves."""
    stages = [stage for stage in protocol.STAGES if stage != "main"]
    try:
        return not any(_missing(list(protocol.plan(one, sizes, [OWN])), [OWN]) for one in stages)
    except MissingRecord:
        return False


def _obtain(jobs: Sequence, folders: Sequence, force: bool, processes: int | None) -> None:
    """Train those of `jobs` that have no record in `folders`, side by side."""
    jobs = jobs if force else _missing(jobs, folders)
    if not jobs:
        return
    # Imported only where something is trained: showing records needs no torch.
    from bnbook.runs import plans

    made = plans.make(jobs, OWN, force, processes or os.cpu_count() or 1)
    for number, (_, record) in enumerate(made, start=1):
        print(f"{number}/{len(jobs)}  {plans.describe(record)}", flush=True)
