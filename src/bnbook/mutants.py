"""Do the checks bite? Mistakes made on purpose (mutants.yml), and which check notices which.

A mutant is put into a copy of the project, where the checks run as they do here; the code that trains and
judges has no switch for it. Beside the mutants the copy is tried as it is, and with the layer of
`bnbook.nn.mutants` that has no mistake: a check that notices these would notice anything, and is refused.

`bnbook mutants` writes what came out to results/mutants.json, which the book shows.
"""

import dataclasses
import functools
import json
import multiprocessing
import os
import re
import runpy
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from bnbook import files, paths
from bnbook.config import digest
from bnbook.paper import Number, Text

TABLE = Path(__file__).with_suffix(".yml")
FOUND = paths.RESULTS / "mutants.json"
KINDS = ("layer", "loop", "data", "statistics")
SECONDS = 900  # a check that has not ended by then has noticed something
CONTROLS = ("no-mistake", "no-mistake-layer")  # an untouched copy; the layer written out, without a mistake
TRACED = ("statistics_at_test",)  # BN on images, momentum, a falling rate, statistics of every kind; quick


class MutantError(Exception):
    """A mutant that cannot be made, or a check that notices what is none: one line."""


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One mistake, of one of KINDS: a `layer` of `bnbook.nn.mutants`, or an edit: `piece`, which stands once
    in `module` (below src/bnbook), becomes `by`. See mutants.yml."""

    id: str
    kind: str
    name: Text
    does: Text
    seen: str = ""
    hole: bool = False
    layer: str = ""
    module: str = ""
    piece: str = ""
    by: str = ""
    tests: Sequence[str] = ("tests/test_batchnorm.py",)

    @property
    def digest(self) -> str:
        """Changes with what is tried, not with what is said of it."""
        tried = (self.layer, self.module, self.piece, self.by, list(self.tests))
        return digest({"tried": tried})


@functools.cache
def known() -> dict[str, Mutant]:
    """All mutants by their names, in the order of mutants.yml."""
    entries = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return {name: Mutant(name, **entry) for name, entry in entries.items()}


# Making one

# What code and tests import that takes long, torch._dynamo because every optimizer does.
PACKAGES = [
    *("torch", "torch.nn.functional", "torch._dynamo", "scipy.stats", "sklearn.datasets", "pandas", "yaml"),
    *("matplotlib.figure", "filelock", "pytest", "xdist.scheduler", "hypothesis.strategies"),
]


def copied(root: Path, source: Path = paths.ROOT) -> None:
    """A copy of the project in the folder `root`: its code and tests; what they read is linked to."""
    for name in ("src", "tests"):
        shutil.copytree(source / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for entry in source.iterdir():
        if entry.name not in ("src", "tests", "build") and not entry.name.startswith("."):
            (root / entry.name).symlink_to(entry.resolve())


def edited(mutant: Mutant, source: Path) -> str:
    """The text of the mutant's module in the project `source`, with its edit; raises MutantError where the
    piece is not there exactly once."""
    text = (source / "src" / "bnbook" / mutant.module).read_text(encoding="utf-8")
    if (times := text.count(mutant.piece)) != 1:
        raise MutantError(
            f"{mutant.id}: src/bnbook/{mutant.module} has {mutant.piece.strip()!r} {times} times, not once: "
            f"the code has changed, so must the mutant in src/bnbook/{TABLE.name}"
        )
    return text.replace(mutant.piece, mutant.by)


# A package's own file is read before all of its modules: whoever imports the layer gets the mutant.
EXCHANGED = """
from bnbook.nn import batchnorm, mutants
mutants.{layer}.__name__ = "BatchNorm"
batchnorm.BatchNorm = mutants.{layer}
"""
# Most networks are trained with torch's layer, which is as fast as it is right.
TRAINED = """
import torch
torch.nn.BatchNorm1d = torch.nn.BatchNorm2d = torch.nn.BatchNorm3d = mutants.{layer}
"""


@dataclasses.dataclass
class Copy:
    """A copy of the project, in which one mutant after the other lives."""

    root: Path
    written: int = 1_000_000_000

    def put(self, mutant: Mutant, trained: bool = False) -> Callable[[], None]:
        """Make the mutant; returns what takes it away again. A layer takes the place of bnbook's, where
        `trained` of torch's too, with which networks are trained."""
        module = "nn/__init__.py" if mutant.layer else mutant.module
        if not module:
            return lambda: None
        file = self.root / "src" / "bnbook" / module
        before = file.read_text(encoding="utf-8")
        exchange = EXCHANGED + (TRAINED if trained else "")
        self._write(
            file, before + exchange.format(layer=mutant.layer) if mutant.layer else edited(mutant, self.root)
        )
        return lambda: self._write(file, before)

    def _write(self, file: Path, text: str) -> None:
        """With a time of its own, to the second, by which Python knows what it compiled."""
        file.write_text(text, encoding="utf-8")
        self.written += 1
        os.utime(file, (self.written, self.written))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`python ARGUMENTS` in the copy, in a process that has imported already what is nobody's mutant; one
        that does not end has the exit status 124. All that it writes counts as its output."""
        said = self.root / "said.txt"
        process = _warm().Process(target=_in_copy, args=(self.root, arguments, said))
        process.start()
        process.join(SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
            return subprocess.CompletedProcess(arguments, 124, f"not done after {SECONDS} s")
        written = said.read_text(encoding="utf-8", errors="replace")
        return subprocess.CompletedProcess(arguments, process.exitcode, written)


@functools.cache
def _warm() -> Any:
    """Processes begin as copies of one that has imported the large packages, most of a check's time."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PACKAGES)
    return context


def _in_copy(root: Path, arguments: Sequence[str], said: Path) -> None:
    """What a process does: `python ARGUMENTS`, with the copy's bnbook in this one's place."""
    with said.open("wb") as out:
        for stream in (1, 2):
            os.dup2(out.fileno(), stream)
    os.chdir(root)
    # Without the reader's data: what is noticed is noticed on every machine.
    os.environ.pop("BNBOOK_DATA", None)
    os.environ |= {
        "BNBOOK_CACHE": str(root / "cache"),
        "PYTHONPATH": str(root / "src"),
        "OMP_NUM_THREADS": "1",
    }
    for name in [name for name in sys.modules if name.partition(".")[0] in ("bnbook", "tests")]:
        del sys.modules[name]
    sys.path[:0] = [str(root / "src"), str(root)]
    sys.modules["torch"].set_num_threads(1)
    option, what, *others = arguments
    sys.argv = [option if option == "-c" else what, *others]
    if option == "-c":
        exec(what, {"__name__": "__main__"})
    else:
        runpy.run_module(what, run_name="__main__", alter_sys=True)


# The checks: each says what it noticed, "" where nothing

ASKED = """
from bnbook.nn import mutants
from bnbook.nn.checks import check
print("\\n".join(answer.question for answer in check(mutants.{layer}) if answer.wrong))
"""
REPLAYED = """
from bnbook.runs import replay
print("\\n".join(replay.check({names!r})))
"""
JUDGED = """
import json
from bnbook import claims
board = claims.board(claims.results())
print(json.dumps({claim.id: [claim.text["en"], claim.verdict] for claim in board}))
"""


def asked(copy: Copy, mutant: Mutant) -> str:
    """`bnbook.nn.checks`: the questions that the layer answers wrongly."""
    done = copy.run("-c", ASKED.format(layer=mutant.layer))
    return _failed(done) or _first(done.stdout)


def tested(copy: Copy, mutant: Mutant) -> str:
    """The tests of the unit, up to the first that fails."""
    options = ("-x", "-q", "-n", "0", "-o", "addopts=", "-p", "no:cacheprovider")
    done = copy.run("-m", "pytest", *options, *mutant.tests)
    if done.returncode == 0:
        return ""
    named = re.search(r"^(?:FAILED|ERROR) \S*?(?:::(\w+)\S*)?(?: - .*)?$", done.stdout, re.MULTILINE)
    return (named and named[1]) or _failed(done) or "the tests do not run"


def replayed(copy: Copy, mutant: Mutant) -> str:
    """`bnbook replay`: short runs, held against those that the code gave when it made the records."""
    done = copy.run("-c", REPLAYED.format(names=TRACED))
    return _failed(done) or _first(done.stdout)


def judged(copy: Copy, mutant: Mutant) -> str:
    """The claims computed again from the committed records: those that come out otherwise than in the copy as
    it was, which is tried first."""
    done = copy.run("-c", JUDGED)
    if problem := _failed(done):
        return problem
    board, before = json.loads(done.stdout.splitlines()[-1]), copy.root / "board.json"
    if not mutant.module:
        before.write_text(json.dumps(board), encoding="utf-8")
    known = files.read_json(before)
    return _first("\n".join(claim for claim in known if known[claim] != board.get(claim)))


def _failed(done: subprocess.CompletedProcess[str]) -> str:
    """The last line of a command that fails."""
    said = (done.stdout.strip() or f"exit status {done.returncode}").splitlines()
    return said[-1] if done.returncode else ""


def _first(lines: str) -> str:
    """The first of what a command printed, and how many more there are."""
    first, *more = lines.strip().splitlines() or [""]
    return first + (f" (+{len(more)})" if more else "")


@dataclasses.dataclass(frozen=True)
class Check:
    """A column of the matrix: what it asks, of which kinds of mutants, and whether the layer trains in it."""

    notices: Callable[[Copy, Mutant], str]
    kinds: Sequence[str]
    trained: bool = False


CHECKS = {
    "layer": Check(asked, ["layer"]),
    "tests": Check(tested, KINDS),
    "replay": Check(replayed, ["layer", "loop", "data"], trained=True),
    "claims": Check(judged, ["statistics"]),
}


# The matrix


def try_all(names: Iterable[str], commit: str, report: Callable[[str], None] = print) -> list[str]:
    """Hold every check against the mutants `names`, or all, and write what they notice to FOUND, mutant after
    mutant; `commit` is the code's. Returns those that nothing noticed. Raises MutantError for an unknown
    name, and where a check notices a control."""
    names = list(names)
    if unknown := [name for name in names if name not in known()]:
        raise MutantError(f"no mutant {', '.join(unknown)}; there are {', '.join(known())}")
    chosen = [known()[name] for name in names or known()]
    for mutant in chosen:
        if mutant.module:
            edited(mutant, paths.ROOT)  # before anything else, for that takes long
    with files.scratch(paths.BUILD) as folder:
        copied(folder)
        copy = Copy(folder)
        for control, checks in controls(chosen):
            noticed = _tried(control, checks, copy)
            if wrong := [f"{name} ({one['by']})" for name, one in noticed.items() if one["by"]]:
                raise MutantError(f"{control.id}: noticed by {', '.join(wrong)}, though nothing is wrong")
            report(f"{control.id}: no check notices it")
        for mutant in chosen:
            noticed = _tried(mutant, checks_of(mutant.kind), copy)
            _keep({mutant.id: {"digest": mutant.digest, "commit": commit, "checks": noticed}})
            report(f"{mutant.id}: {', '.join(noticing(noticed)) or 'NOTHING NOTICES IT'}")
    return [mutant.id for mutant in chosen if not noticing(found()[mutant.id]["checks"])]


def noticing(checks: dict[str, Any]) -> list[str]:
    """The checks that noticed something, of what FOUND has of a mutant."""
    return [name for name, one in checks.items() if one["by"]]


def checks_of(kind: str) -> list[str]:
    """The checks that mutants of this kind are held against."""
    return [name for name, check in CHECKS.items() if kind in check.kinds]


def controls(chosen: Sequence[Mutant]) -> list[tuple[Mutant, list[str]]]:
    """What has no mistake, each with the checks that the mutants `chosen` meet: the copy as it is, and the
    layer written out."""
    nothing = {"ko": "", "en": ""}
    tests = tuple(dict.fromkeys(test for one in chosen for test in one.tests))
    checks = [name for name in CHECKS if any(name in checks_of(one.kind) for one in chosen)]
    untouched = Mutant(CONTROLS[0], "control", nothing, nothing, tests=tests)
    found = [(untouched, [name for name in checks if name != "layer"])]
    if "layer" in checks:
        written = Mutant(CONTROLS[1], "layer", nothing, nothing, layer="Written")
        found.append((written, checks_of("layer")))
    return found


def _tried(mutant: Mutant, checks: Iterable[str], copy: Copy) -> dict[str, Any]:
    """By check: what it noticed ("by", "" for nothing), and the seconds that it took."""
    noticed = {}
    for name in checks:
        check, began = CHECKS[name], time.perf_counter()
        take_away = copy.put(mutant, check.trained)
        try:
            by = check.notices(copy, mutant)
        finally:
            take_away()
        # The folder of the copy has another name each time.
        by = by.replace(f"{copy.root}{os.sep}", "")[:300]
        noticed[name] = {"by": by, "seconds": round(time.perf_counter() - began, 1)}
    return noticed


def _keep(rows: dict[str, Any]) -> None:
    before = found()
    kept = {name: rows.get(name) or before[name] for name in known() if name in rows or name in before}
    files.write(FOUND, json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


def found() -> dict[str, Any]:
    """What results/mutants.json holds: by mutant its digest, the commit of the code that was tried, and by
    check what it noticed, in which seconds. Empty where there is none."""
    return files.read_json(FOUND) if FOUND.exists() else {}


def numbers() -> dict[str, Number]:
    """ "mutants.tried", "mutants.noticed", "mutants.minutes" and, by check, "mutants.<check>.tried" and
    ".noticed"; "mutants.holes" is how many of them no check noticed when they were first tried."""
    rows = [row["checks"] for row in found().values()]
    values: dict[str, Number] = {
        "mutants.tried": len(rows),
        "mutants.noticed": sum(bool(noticing(row)) for row in rows),
        "mutants.alone": sum(len(noticing(row)) == 1 for row in rows),
        "mutants.holes": sum(mutant.hole for mutant in known().values()),
        "mutants.minutes": sum(one["seconds"] for row in rows for one in row.values()) / 60,
    }
    for name in CHECKS:
        tried = [row[name] for row in rows if name in row]
        values |= {
            f"mutants.{name}.tried": len(tried),
            f"mutants.{name}.noticed": sum(bool(one["by"]) for one in tried),
        }
    return values
