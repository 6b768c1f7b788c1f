"""`bnbook verify`: does all that a reader sees follow from the records, and are these what was recorded?

From what is read to what is run: every file is what the manifest says, no record has changed since it was
committed, all are whole; manifest, verdicts and figures come out of them again, the figures byte for byte;
and today's code begins every variant as it did then. What none of it can tell is whether a record was
invented before it was committed: for that, make it again (`full`).
"""

import dataclasses
import filecmp
import itertools
import multiprocessing
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from bnbook import bundle, claims, experiments, figures, files, manifest, parent, paths, records
from bnbook.claims import AllResults
from bnbook.manifest import ManifestError
from bnbook.records import Record, RecordError
from bnbook.sphinxext import feed

RENEW = "`make figures` renews it"
SHOWN = 70  # signs of a line that differs


class VerifyError(Exception):
    """What was asked to be verified cannot be."""


@dataclasses.dataclass
class Finding:
    """What a check looked at, in words, and its faults, a line each: the file, what is wrong, what to do."""

    said: str
    faults: list[str] = dataclasses.field(default_factory=list)


def verify(fault: Callable[[str], None]) -> int:
    """Make all checks, with a line for each on stdout; `fault` gets a line for each fault, once. Returns how
    many faults there are."""
    began = time.perf_counter()
    known: set[str] = set()
    for name, check in checks().items():
        since = time.perf_counter()
        try:
            found = check()
        except (RecordError, ManifestError, files.FileError) as error:
            found = Finding("ended early", [str(error)])
        new = [line for line in found.faults if line not in known]
        known |= set(new)
        for line in new:
            fault(line)
        verdict = f"{len(found.faults)} faults: " if found.faults else ""
        print(f"verify: {name}: {verdict}{found.said} ({time.perf_counter() - since:.1f} s)", flush=True)
    result = f"{len(known)} faults" if known else "all follows from the records"
    print(f"verify: {result} ({time.perf_counter() - began:.0f} s)")
    return len(known)


def checks() -> dict[str, Callable[[], Finding]]:
    """By name, in order."""
    read: list[AllResults] = []

    def results() -> AllResults:
        """Read once, by the first check that needs them."""
        if not read:
            read.append(claims.results())
        return read[0]

    return {
        "files": check_files,
        "history": check_history,
        "records": check_records,
        "manifest": lambda: check_manifest(results()),
        "claims": lambda: check_claims(results()),
        "figures": lambda: check_figures(results()),
        "replay": check_replay,  # last: it brings PyTorch, beside whose threads no process should be forked
    }


# What is read


def check_files() -> Finding:
    """Every file below results/ against its hash in the manifest."""
    listed, there, faults = manifest.read(), manifest.there(), []
    for path in sorted(listed.keys() | there.keys()):
        file = paths.RESULTS / path
        if path not in there:
            faults.append(f"{file}: missing{files.way_back(file)}")
        elif path not in listed:
            faults.append(f"{file}: not in the manifest; delete it, or let `make figures` list it")
        elif (digest := manifest.sha256(file)) != listed[path].sha256:
            faults.append(
                f"{file}: altered, its sha256 is {digest[:12]}… and not {listed[path].sha256[:12]}…"
                f"{files.way_back(file)}; if it was meant to change, {RENEW} in the manifest"
            )
    return Finding(f"{len(there)} below results/ against {len(listed)} lines of the manifest", faults)


def check_history() -> Finding:
    """A record is final: git knows one version of each, and that is the one that lies here."""
    runs = paths.runs(paths.RESULTS)
    where = ["--", runs.relative_to(paths.ROOT).as_posix()]
    shallow = _git("rev-parse", "--is-shallow-repository")
    if shallow is None or Path(_git("rev-parse", "--show-toplevel") or "").resolve() != paths.ROOT.resolve():
        return Finding("not looked at, there is no git here")
    # Of a merge what it has otherwise than each parent; of every version the hash of its content.
    log = _git("log", "-m", "--no-renames", "--raw", "--no-abbrev", "--format=", *where) or ""
    versions: dict[str, set[str]] = {}
    for line in log.splitlines():
        fields, _, path = line.partition("\t")
        if (paths.ROOT / path).exists() and set(content := fields.split()[3]) != {"0"}:
            versions.setdefault(path, set()).add(content)
    faults = [
        f"{paths.ROOT / path}: changed after it was committed; `git log -p -- {path}` shows how: bring the "
        "first version back"
        for path, known in versions.items()
        if len(known) > 1
    ]
    for line in (_git("status", "--porcelain", "--no-renames", *where) or "").splitlines():
        state, path = line[:2], line[3:].strip('"')
        if "M" in state or "T" in state:
            file = paths.ROOT / path
            faults.append(f"{file}: changed since it was committed{files.way_back(file)}")
    cut = ", as far back as this shallow clone goes" if shallow == "true" else ""
    return Finding(f"{len(versions)} files of records have one version each in git{cut}", faults)


def _git(*arguments: str) -> str | None:
    """What git says of this checkout, or None."""
    command = ["git", "--no-optional-locks", "-c", "core.quotePath=false", *arguments]
    try:
        done = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, errors="replace")
    except OSError:
        return None
    return done.stdout.rstrip("\n") if done.returncode == 0 else None


def check_records() -> Finding:
    """Each record is sound and lies where its run belongs, and its arrays are those that it was written
    with."""
    faults, arrays = [], 0
    found = sorted(paths.runs(paths.RESULTS).rglob("*.json"))
    for file in found:
        try:
            arrays += bool(records.read(file).arrays)
        except RecordError as error:
            faults.append(str(error))
    return Finding(f"{len(found)}, {arrays} of them with arrays, read", faults)


# What follows


def check_manifest(results: AllResults) -> Finding:
    """The manifest, and what is written from it, are those of today; every record is of a run that a plan has
    or had."""
    listed, entries = manifest.read(), manifest.today(results)
    faults = []
    for entry in entries:
        known = listed.get(entry.path)
        for name in manifest.COLUMNS if known else ():
            old, new = getattr(known, name), getattr(entry, name)
            if old != new and name != "sha256":  # that, and what is not listed, is for the files' check
                has = f"the {name} {old!r:.80} and not {new!r:.80}"
                faults.append(f"{manifest.file()}: of {entry.path} it has {has}; {RENEW}")
    for name, text in bundle.texts(entries).items():
        faults += _differs(paths.ROOT / name, text)
    return Finding(
        f"{len(entries)} lines, and {', '.join(bundle.NAMES)}, made from the records again", faults
    )


def check_claims(results: AllResults) -> Finding:
    """Every claim judged again: README has these verdicts and numbers, the ledger these verdicts, and each
    rule is the one that was registered."""
    board = claims.board(results)
    readme = paths.ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    faults = _differs(readme, claims.readme(board, text, claims.all_numbers(results)))
    faults += [
        f"{paths.RESULTS / 'rules.json'}: the rule of {claim.id} is not the one that was registered; bring "
        "it back in src/bnbook/paper.yml"
        for claim in board
        if claim.rule_changed
    ]
    faults += [
        f"{feed.LEDGER}: has {claim} as {before}, today it is {after}; "
        "`bnbook claims --record WHY_KO WHY_EN` adds that"
        for claim, before, after in feed.changes(board, feed.ledger())
    ]
    judged = sum(claim.estimate is not None for claim in board)
    return Finding(f"{judged} of {len(board)} have results, recomputed and compared with README", faults)


def check_figures(results: AllResults) -> Finding:
    """Every figure drawn again, and its files, byte for byte."""
    with tempfile.TemporaryDirectory() as folder:
        made = figures.export_anew(Path(folder), results)
        fresh = {file.name: file for file in Path(folder).iterdir() if file.is_file()}
        faults = []
        for name in sorted(fresh.keys() | {file.name for file in paths.FIGURES.glob("*")}):
            file = paths.FIGURES / name
            if name not in fresh:
                faults.append(
                    f"{file}: no figure of the records has such a file; delete it, then `make figures`"
                )
            elif not file.exists():
                faults.append(f"{file}: not there; `make figures` draws it")
            elif not filecmp.cmp(file, fresh[name], shallow=False):
                size, now = file.stat().st_size, fresh[name].stat().st_size
                faults.append(
                    f"{file}: {size} bytes that are not the {now} drawn today; `make figures` draws it"
                )
    return Finding(f"{len(made)} drawn again, {len(fresh)} files compared byte for byte", faults)


def check_replay() -> Finding:
    """The first steps of every variant, in a process a core."""
    context = multiprocessing.get_context("spawn")
    os.environ[parent.VARIABLE] = str(os.getpid())
    try:
        with ProcessPoolExecutor(os.cpu_count() or 1, context, parent.follow) as pool:
            # The large networks are not to be the last.
            rooms = experiments.EXPERIMENTS.values()
            order = sorted(rooms, key=lambda room: "cifar10" not in room.protocol.DATA)
            found = list(itertools.chain(*pool.map(_beginnings, [room.name for room in order])))
    finally:
        os.environ.pop(parent.VARIABLE, None)
    faults = [problem for _, problem in found if problem]
    exact = sum(exact for exact, _ in found)
    close = len(found) - exact - len(faults)
    return Finding(
        f"the first steps of {len(found)} runs made again: {exact} the same to the last bit, {close} but for "
        "rounding",
        faults,
    )


def _beginnings(name: str) -> list[tuple[bool, str]]:
    from bnbook.runs import replay

    return [(one.exact, one.problem) for one in replay.beginnings(name)]


def _differs(file: Path, expected: str) -> list[str]:
    """The first line in which `file` is not what is `expected`, as a fault; none where it is."""
    there = file.read_text(encoding="utf-8") if file.exists() else ""
    for number, (old, new) in enumerate(
        itertools.zip_longest(there.splitlines(), expected.splitlines(), fillvalue=""), start=1
    ):
        if old != new:
            at = next((k for k, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), 0)
            begin = max(0, at - SHOWN // 2)
            old, new = (line[begin : begin + SHOWN] for line in (old, new))
            return [f"{file}:{number}: has {old!r} and not {new!r}; {RENEW}"]
    return []


# One run, whole


def full(run: str) -> list[str]:
    """Make the run of a committed record again, print how it compares, and return what is wrong, a line each:
    where it was made on this stack every number must be the same; elsewhere its first steps must be, but for
    rounding, and all else is shown. `run` is the record's path, or the end of it without .json."""
    from bnbook.runs import obtain, replay

    record = find(run)
    experiment = experiments.EXPERIMENTS[record.config["experiment"]]
    config = replay.config_of(experiment, record)
    with tempfile.TemporaryDirectory() as folder:
        again = obtain.make(config, record.seed, Path(folder))
        apart = replay.differences(record, again)
    same = replay.same_stack(record)
    print(
        f"verify: {record.path}: made again in {again.provenance['seconds']:.0f} s "
        f"(then {record.provenance['seconds']:.0f} s, {record.provenance['hardware']})"
    )
    if not apart:
        print("verify: every number is the same to the last bit")
        return []
    for line in apart:
        print(f"verify: {line}")
    if same:
        return [f"{record.path}: made again on the same stack it has other numbers, {apart[0]}"]
    then = {"losses": record.first_losses[: replay.RECORD_STEPS]}
    difference = replay.differs(
        then,
        lambda: replay.first_losses(experiment, record),
        replay.TOLERANCES[record.provenance["precision"]],
    )
    if difference:
        return [f"{record.path}: its first steps come out differently: {difference}"]
    print("verify: its first steps are the same but for rounding, which training makes grow")
    return []


def find(run: str) -> Record:
    """The committed record that `run` names. Raises VerifyError where it names none or several."""
    runs = paths.runs(paths.RESULTS)
    file = Path(run)
    wanted = tuple(file.with_suffix("").parts if file.suffix in (".json", ".npz") else file.parts)
    found = [
        one
        for one in runs.rglob("seed-*.json")
        if one.with_suffix("").parts[-len(wanted) :] == wanted
        or one.with_suffix("") == file.absolute().with_suffix("")
    ]
    if len(found) != 1:
        many = f"{len(found)} records end so" if found else "no record ends so"
        raise VerifyError(
            f"{run!r}: {many}; name one as <experiment>/<variant>/<run id>/seed-<k>, of those in {runs}"
        )
    return records.read(found[0])
