"""`make reproduce`: every experiment at one profile, by the jobs of workflow/Snakefile; and how far they are.

Later stages are chosen by the records of earlier ones, so Snakemake goes over the plans again and again: each
pass makes what is known when it begins, the last one the notebooks and figures too.
"""

import dataclasses
import itertools
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from filelock import FileLock, Timeout

from bnbook import durations, parent, paths, records
from bnbook.config import ConfigError
from bnbook.data import sources
from bnbook.experiments import EXPERIMENTS
from bnbook.experiments.protocol import Job
from bnbook.progress import Line, span
from bnbook.records import RecordError

SNAKEFILE = Path("workflow") / "Snakefile"
CLUSTERS = Path("workflow") / "profiles"  # of Snakemake: how each kind of cluster takes jobs
CANCEL_SECONDS = 10  # for an interrupted Snakemake to take its jobs off a cluster
STEP_SECONDS = 1.0
# Parts of all work: what has to be made before the pace so far tells how long the rest takes; and how much
# the durations of the committed runs count beside that pace.
ENOUGH, TRUSTED = 0.05, 0.1
AFTER = ("notebook", "figures")  # how Snakemake's words for what follows the runs begin


class ReproduceError(Exception):
    """Not everything was made: what failed, and where it says why."""


class Stage(NamedTuple):
    """A stage whose runs are known: the files of their records, in the order in which they are to be made."""

    experiment: str
    name: str
    files: list[Path]


@dataclasses.dataclass(frozen=True)
class Sweep:
    """All experiments at one profile, each on `data` where that can be."""

    profile: str
    data: str = ""
    committed: bool = False

    @property
    def runs(self) -> Path:
        """The runs folder where its records lie."""
        return paths.runs(paths.RESULTS if self.committed else paths.BUILD_RESULTS)

    @property
    def folder(self) -> Path:
        """Where executed notebooks and the log go."""
        return paths.BUILD / "rerun" / self.profile

    def sizes(self, experiment: str) -> Any:
        return EXPERIMENTS[experiment].sizes(self.profile, self.data)

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    def own_data(self, experiment: str) -> str:
        """The data set that was asked for, where the experiment can be run on it; else ""."""
        return self.data if self.data in EXPERIMENTS[experiment].protocol.DATA else ""

    def made(self, file: Path) -> bool:
        """Whether that record is there; a damaged one of the reader's own is made again."""
        return records.whole(file)

    def stages(self) -> list[Stage]:
        """Those that are known now, of all experiments."""
        return [
            Stage(name, stage, [records.path(self.runs, *job) for job in plan])
            for name in EXPERIMENTS
            for stage, plan in self._plans(name).items()
        ]

    def complete(self, stages: list[Stage]) -> bool:
        """Whether that is all of them."""
        return len(stages) == sum(len(experiment.protocol.STAGES) for experiment in EXPERIMENTS.values())

    def expected(self, experiment: str) -> int:
        """About how many runs there are in the stages that are not known yet: as many main runs as there
        would be at what the committed runs chose; 0 where that cannot be told."""
        protocol, known = EXPERIMENTS[experiment].protocol, self._plans(experiment)
        if "main" in known:
            return 0
        try:
            choice = protocol.choose(protocol.PROFILES[durations.PROFILE], [paths.runs(paths.RESULTS)])
            jobs = protocol.jobs(self.sizes(experiment), choice)
        except (RecordError, KeyError):  # a smaller grid need not have what the committed one chose
            return 0
        planned = set(itertools.chain.from_iterable(known.values()))
        return sum(job not in planned and job[0].experiment == experiment for job in jobs)

    def forget(self) -> None:
        """Delete its records, to start from scratch; never committed ones."""
        assert not self.committed
        for stage in self.stages():
            for file in stage.files:
                records.remove(file)

    def _plans(self, experiment: str) -> dict[str, list[Job]]:
        """By stage, as far as they are known now: later ones are chosen by the records of earlier ones."""
        protocol, found = EXPERIMENTS[experiment].protocol, {}
        for stage in protocol.STAGES:
            try:
                found[stage] = list(protocol.plan(stage, self.sizes(experiment), [self.runs]))
            except RecordError:  # missing, or damaged and to be made again
                break
        return found


def clusters() -> list[str]:
    """The kinds of cluster that there is a profile for."""
    return sorted(file.parent.name for file in (paths.ROOT / CLUSTERS).glob("*/config.yaml"))


def reproduce(sweep: Sweep, cores: str = "all", on: str = "") -> None:
    """Make all that is missing, and the notebooks and figures, on this machine or `on` a kind of cluster;
    shows how far it is. Raises ReproduceError where jobs failed: all others were done."""
    sweep.folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(sweep.folder / "lock", blocking=False):
            _reproduce(sweep, cores, on)
    except Timeout:
        raise ReproduceError(
            f"this is being made already, see {_short(sweep.log)}: let that come to its end, or stop it"
        ) from None


def _reproduce(sweep: Sweep, cores: str, on: str) -> None:
    _check(sweep, sweep.stages())
    # A look at it all starts from scratch, but one that was stopped goes on.
    unfinished = (
        paths.BUILD_RESULTS / f"unfinished-{sweep.profile}"
    )  # whoever shares the records is to see it
    anew = sweep.profile == "smoke" and not sweep.committed and not unfinished.exists()
    if anew:
        sweep.forget()
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    unfinished.touch()
    what = "from scratch" if anew else "as far as it is missing"
    print(f"Every experiment at PROFILE={sweep.profile}, {what}; {_short(sweep.log)} tells more")
    progress, line, status = Progress(sweep, cores), Line(), 0
    before: list[Stage] = []
    with sweep.log.open("a", encoding="utf-8") as log:
        while (stages := sweep.stages()) != before:
            progress.begin(stages)
            # The book is of the committed records: it is made beside the first runs, unless they change it.
            complete = sweep.complete(stages)
            book = complete if sweep.committed else not before
            status |= _one_pass(sweep, cores, on, book, log, progress, line)
            before = stages
            if complete:
                break
    line.end(progress.text())
    if status:
        failed = f" ({', '.join(progress.failed)} failed)" if progress.failed else ""
        raise ReproduceError(
            f"not all was made{failed}; {_short(sweep.log)} says why, the same command goes on from there"
        )
    unfinished.unlink(missing_ok=True)


def _check(sweep: Sweep, stages: Sequence[Stage]) -> None:
    """Have the data that is still to be trained on; raises ConfigError or DataError where that cannot be:
    before hours of training, not after them."""
    known = {experiment.protocol.DATA for experiment in EXPERIMENTS.values()}
    if sweep.data and sweep.data not in itertools.chain(*known):
        names = ", ".join(sorted(set(itertools.chain(*known))))
        raise ConfigError(f"data is {sweep.data!r}; it must be one of {names}")
    done = [stage.experiment for stage in stages if all(map(sweep.made, stage.files))]
    wanted = {
        sweep.sizes(name).data
        for name, experiment in EXPERIMENTS.items()
        if done.count(name) < len(experiment.protocol.STAGES)
    }
    sources.require(sorted(wanted))
    for name in sorted(wanted):
        sources.ensure(name)


def _short(file: Path) -> Path:
    return file.relative_to(paths.ROOT)


def _one_pass(
    sweep: Sweep, cores: str, on: str, book: bool, log: TextIO, progress: "Progress", line: Line
) -> int:
    """Let Snakemake make what is known now; returns its exit status."""
    config = {"profile": sweep.profile, "data": sweep.data, "commit": int(sweep.committed), "book": int(book)}
    config |= {"on": on}
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE)]
    command += ["--profile", str(CLUSTERS / on)] if on else ["--cores", cores]
    command += ["--scheduler", "greedy", "--nolock", "--rerun-incomplete", "--keep-going"]
    command += ["--config", *(f"{key}={value}" for key, value in config.items() if value != "")]
    with sweep.log.open(encoding="utf-8", errors="replace") as said:
        said.seek(0, os.SEEK_END)
        process = subprocess.Popen(command, cwd=paths.ROOT, stdout=log, stderr=log, env=parent.environment())
        try:
            while process.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(STEP_SECONDS)
                for text in progress.hear(said.read()):
                    line.keep(text)
                line.show(progress.text())
        finally:
            if on:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(CANCEL_SECONDS)
            process.kill()  # its jobs on this machine follow; finished records and checkpoints stay
            process.wait()
    return process.returncode


class Progress:
    """How far a sweep is, by the records that are there and by what Snakemake says."""

    def __init__(self, sweep: Sweep, cores: str) -> None:
        self.sweep = sweep
        self.cores = (os.cpu_count() or 1) if cores == "all" else int(cores)
        self.failed: list[str] = []
        self._begun = time.monotonic()
        # Seconds that a run of each experiment takes on a core, where that is known.
        known = durations.spent() if sweep.profile == durations.PROFILE else {}
        self._seconds = {name: one.seconds / one.runs for name, one in known.items() if one.runs}
        self._made = 0.0  # work, in those seconds
        self._running: dict[str, str] = {}
        self._ended: list[str] = []
        self._rest = ""

    def begin(self, stages: list[Stage]) -> None:
        """A pass begins, with these stages known."""
        files = {file for stage in stages for file in stage.files}
        self._left = {file for file in files if not self.sweep.made(file)}
        self._there = len(files) - len(self._left)
        self._expected = {name: self.sweep.expected(name) for name in EXPERIMENTS}
        self._running, self._ended = {}, []

    def hear(self, text: str) -> list[str]:
        """Take in what Snakemake and its jobs have said since the last time; returns what is to be shown to
        stay: their errors, each a line."""
        *lines, self._rest = (self._rest + text).split("\n")
        for said in lines:
            if match := re.match(r"Job (\d+): (.*)", said):
                self._running[match[1]] = match[2]
            elif match := re.match(r"(?:Finished|   ) jobid: (\d+)", said):
                self._ended.append(self._running.pop(match[1], ""))
            elif match := re.match(r"Error in rule (\w+):", said):
                self.failed.append(match[1])
        return [said for said in lines if said.startswith("bnbook: ")]

    def text(self) -> str:
        """The line to show."""
        self._look()
        coming = sum(self._expected.values())
        runs = f"{self._there} of {'about ' if coming else ''}{self._there + len(self._left) + coming} runs"
        parts = [runs]
        if (seconds := self._seconds_left()) is not None:
            parts.append(f"about {span(seconds)} left for them")
        if after := sum(words.startswith(AFTER) for words in self._ended):
            parts.append(f"{after} of {len(EXPERIMENTS) + 1} notebooks and figures")
        now = ", ".join(dict.fromkeys(self._running.values()))
        return "; ".join(parts) + (f": {now}" if now else "")

    def _look(self) -> None:
        made = {file for file in self._left if self.sweep.made(file)}
        self._left -= made
        self._there += len(made)
        self._made += sum(map(self._work, made))

    def _work(self, file: Path) -> float:
        return self._seconds.get(file.relative_to(self.sweep.runs).parts[0], 1.0)

    def _seconds_left(self) -> float | None:
        """By the pace so far; at its beginning by that of the committed runs, where that is known."""
        ahead = sum(map(self._work, self._left))
        ahead += sum(self._seconds.get(name, 1.0) * number for name, number in self._expected.items())
        known = TRUSTED * (self._made + ahead) if self._seconds else 0
        if not ahead or self._made + known < ENOUGH * (self._made + ahead):
            return None
        elapsed = time.monotonic() - self._begun
        return ahead * (elapsed + known / self.cores) / (self._made + known)
