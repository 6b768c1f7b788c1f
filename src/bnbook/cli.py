"""The `bnbook` command: parsing only. A handler imports what it needs, so that `--help` answers at once."""

import argparse
import os
import select
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from bnbook import __version__, files, paths
from bnbook.experiments import EXPERIMENTS, PLANNED

PROFILES = {
    "smoke": "scikit-learn's digits, seconds to minutes",
    "cpu": "MNIST and CIFAR-10 at the scale of the committed results",
    "paper": "more settings and seeds, networks of full width: meant for many cores or a GPU",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Parse and run one command; returns the exit status: 0, 1 after a problem, 130 after an interrupt, 141
    where nobody reads the output any more."""
    _prepare_streams()
    try:
        try:
            arguments = parser().parse_args(argv)
            return arguments.handler(arguments) or 0
        finally:
            if sys.stdout:
                sys.stdout.flush()  # so that a full disk or a closed pipe is met here
    except KeyboardInterrupt:
        print(
            "\nbnbook: stopped; finished runs are kept, the same command goes on from there", file=sys.stderr
        )
        return 130
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _unread(sys.stdout):
            _give_up(sys.stdout)
            return 128 + signal.SIGPIPE  # as of any command before `| head`
        if isinstance(error, OSError):
            _give_up(sys.stdout)
        line = _problem(error)
        if line is None:
            raise
        print(f"bnbook: {line}", file=sys.stderr)
        return 1


def _problem(error: Exception) -> str | None:
    """What is wrong, in one line, where it is no bug: our own errors are written for people, and the machine
    says no in its own ways. Anything else shows its traceback."""
    if type(error).__module__.startswith("bnbook."):
        return str(error)
    goes_on = "finished runs are kept; once that is mended, the same command goes on from there"
    if isinstance(error, MemoryError):
        return f"{error or 'it'}: not enough memory, try fewer --jobs or smaller sizes; {goes_on}"
    if isinstance(
        error, shutil.Error
    ):  # of a folder's copy: all that went wrong, from where to where and why
        _, to, why = error.args[0][0]
        return f"{to}: {why}; {goes_on}"
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}; {goes_on}"
    return None


def _prepare_streams() -> None:
    """Output that its encoding cannot hold is shown as ? instead of ending the command. What a caller has
    closed is opened again, on nothing: else the next file would be taken for it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdout and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")


def _unread(stream: TextIO | None) -> bool:
    """Whether nobody reads from the other end of `stream` any more."""
    if not stream:
        return False
    poll = select.poll()
    poll.register(stream.fileno(), select.POLLOUT)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _give_up(stream: TextIO | None) -> None:
    """What cannot be written to `stream` goes nowhere: else Python would try again, and fail, at its end."""
    try:
        if stream:
            stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="bnbook",
        description="Rerun the Batch Normalization paper: train, judge its claims, draw, build the book.",
        epilog="Profiles: " + "; ".join(f"{name}: {text}" for name, text in PROFILES.items()) + ".",
    )
    top.add_argument("--version", action="version", version=f"bnbook {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _run(commands)
    _reproduce(commands)
    _forget(commands)
    _figures(commands)
    _claims(commands)
    _data(commands)
    _notebook(commands)
    _book(commands)
    _book_files(commands)
    _metadata(commands)
    _publish(commands)
    _replay(commands)
    _mutants(commands)
    _probes(commands)
    _manifest(commands)
    _verify(commands)
    _certify(commands)
    _bench(commands)
    _new_experiment(commands)
    return top


def _command(commands, name: str, handler, text: str) -> argparse.ArgumentParser:
    made = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    made.set_defaults(handler=handler)
    return made


def _profile(command: argparse.ArgumentParser, default: str) -> None:
    command.add_argument(
        "--profile", choices=PROFILES, default=default, help=f"the scale (default: {default})"
    )


def _part(text: str) -> tuple[int, int]:
    number, _, parts = text.partition("/")
    return int(number), int(parts)


def _run(commands) -> None:
    command = _command(commands, "run", run, "make the missing records of an experiment")
    command.add_argument("experiment", choices=PLANNED, metavar="EXPERIMENT", help=", ".join(PLANNED))
    _profile(command, "smoke")
    command.add_argument(
        "--stage", help="only this stage of the plan (default: all, each after the one before)"
    )
    command.add_argument("--seed", type=int, metavar="K", help="only this seed")
    command.add_argument("--run-id", metavar="ID", help="only this configuration")
    command.add_argument(
        "--part", type=_part, default=(1, 1), metavar="I/N", help="only the I-th of N equal shares"
    )
    command.add_argument(
        "--set",
        dest="knobs",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a knob of the experiment, for main runs of your own; may be repeated (`--set help` lists them)",
    )
    command.add_argument(
        "--data", metavar="NAME", help="the data set, where the experiment has more than one"
    )
    command.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time (default: 1)")
    command.add_argument("--force", action="store_true", help="make them again where they are there")
    command.add_argument("--commit", action="store_true", help="into results/, for the project's own runs")


def run(arguments: argparse.Namespace) -> None:
    from bnbook.config import ConfigError

    protocol = PLANNED[arguments.experiment].protocol
    if arguments.data and arguments.data not in protocol.DATA:
        raise ConfigError(
            f"data is {arguments.data!r}; {arguments.experiment} has {', '.join(protocol.DATA)}"
        )
    if arguments.knobs:
        _run_own(arguments)
        return
    stages = protocol.STAGES
    if arguments.stage not in (None, *stages):
        raise ConfigError(f"stage is {arguments.stage!r}; {arguments.experiment} has {', '.join(stages)}")
    from bnbook.runs import plans  # with torch: what cannot be is said before

    number = plans.make_missing(
        arguments.experiment,
        arguments.profile,
        _runs(arguments.commit),
        stages=[arguments.stage] if arguments.stage else stages,
        wanted=lambda config, seed: (
            arguments.run_id in (None, config.run_id) and arguments.seed in (None, seed)
        ),
        part=arguments.part,
        force=arguments.force,
        processes=arguments.jobs,
        data=arguments.data or "",
    )
    if not number:
        raise ConfigError(f"the {arguments.profile} plan of {arguments.experiment} has no such run")


def _run_own(arguments: argparse.Namespace) -> None:
    """Main runs at the reader's own values, and how to see them."""
    from bnbook.config import ConfigError
    from bnbook.experiments import knobs

    experiment = PLANNED[arguments.experiment]
    known = experiment.protocol.KNOBS
    if "help" in arguments.knobs:
        print("\n".join(f"{knob.name}: {knob.help}; {knob.bounds}" for knob in known))
        return
    values = knobs.read(known, arguments.knobs)
    for option in ("stage", "seed", "run_id", "commit"):
        if getattr(arguments, option) is not (False if option == "commit" else None):
            words = f"--{option.replace('_', '-')}"
            raise ConfigError(
                f"{words} goes with a whole plan; with --set all main runs are made: leave it out"
            )
    from bnbook.runs import notebook  # with pandas: what cannot be is said before

    data = arguments.data or "auto"
    notebook.results(
        experiment.name, arguments.profile, data, arguments.force, processes=arguments.jobs, **values
    )
    given = {"profile": arguments.profile, "data": data} | values
    words = " ".join(f"-p {name} {value}" for name, value in given.items())
    print(f"Beside the committed results: papermill notebooks/{experiment.notebook}.ipynb out.ipynb {words}")


def _reproduce(commands) -> None:
    command = _command(
        commands,
        "reproduce",
        reproduce,
        "make all runs, notebooks and figures, and the book: `make reproduce`",
    )
    _profile(command, "smoke")
    _data_set(command)
    command.add_argument("--commit", action="store_true", help="into results/, for the project's own runs")
    command.add_argument(
        "--cores",
        type=_cores,
        default="all",
        metavar="N",
        help="jobs at a time (default: all, as many as cores)",
    )
    command.add_argument(
        "--on", default="", metavar="CLUSTER", help="let a cluster run the jobs: slurm or kubernetes"
    )


def _cores(text: str) -> str:
    if text != "all" and not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number from 1 on nor all")
    return text


def reproduce(arguments: argparse.Namespace) -> None:
    from bnbook import claims
    from bnbook.config import ConfigError
    from bnbook.runs.reproduce import Sweep, clusters, reproduce

    if arguments.on and arguments.on not in clusters():
        raise ConfigError(f"no cluster {arguments.on!r}; workflow/profiles has {', '.join(clusters())}")
    sweep = Sweep(arguments.profile, arguments.data, arguments.commit)
    reproduce(sweep, arguments.cores, arguments.on)
    _beside_committed(claims.results(sweep.profile, [sweep.runs], sweep.data))
    print(f"Notebooks: {sweep.folder}")
    print(f"Figures of this rerun: {paths.BUILD_RESULTS / 'figures'}")
    print(f"The book: {paths.BUILD / 'html' / 'index.html'}")


def _runs(committed: bool) -> Path:
    """The runs folder of the project's own runs, or of everybody else's."""
    return paths.runs(paths.RESULTS if committed else paths.BUILD_RESULTS)


def _forget(commands) -> None:
    command = _command(
        commands, "forget", forget, "delete a profile's records from build/results, to start from scratch"
    )
    command.add_argument("--profile", choices=PROFILES, required=True)


def forget(arguments: argparse.Namespace) -> None:
    from bnbook.runs.reproduce import Sweep

    Sweep(arguments.profile).forget()


def _figures(commands) -> None:
    command = _command(commands, "figures", figures, "export all figures as SVG, PNG and CSV")
    _profile(command, "cpu")
    _rerun(command)
    command.add_argument("--out", type=Path, help="the folder (default: build/figures)")


def figures(arguments: argparse.Namespace) -> None:
    from bnbook import figures

    out = arguments.out or paths.BUILD / "figures"
    made = figures.export_all(out, _results(arguments))
    print(f"figures: {len(made)} in {out}")


def _rerun(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--rerun",
        action="store_true",
        help="from your own runs in build/results, as all profiles but cpu are",
    )
    _data_set(command)


def _data_set(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--data", default="", metavar="NAME", help="the data set, of every experiment that can be run on it"
    )


def _results(arguments: argparse.Namespace, own: bool = False):
    """The records of the profile: the committed ones are of the profile cpu, unless the reader's `own` are
    asked for."""
    from bnbook import claims

    committed = arguments.profile == "cpu" and not (own or arguments.rerun or arguments.data)
    return claims.results(arguments.profile, [_runs(committed)], arguments.data)


def _claims(commands) -> None:
    command = _command(commands, "claims", claims, "judge the paper's claims by the records")
    _profile(command, "cpu")
    _rerun(command)
    command.add_argument(
        "--against", choices=("committed",), help="beside the committed results: does this rerun agree?"
    )
    command.add_argument(
        "--readme", action="store_true", help="write the board and the numbers into README.md as well"
    )
    command.add_argument(
        "--record",
        nargs=2,
        metavar=("WHY_KO", "WHY_EN"),
        help="add the committed verdicts that have changed to results/verdicts.json, with the reason",
    )


def claims(arguments: argparse.Namespace) -> None:
    from bnbook import claims

    if arguments.against:
        _beside_committed(_results(arguments, own=True))
        return
    if arguments.record:
        _record(arguments.record)
        return
    results = _results(arguments)
    board = claims.board(results)
    if arguments.readme:
        file = paths.ROOT / "README.md"
        text, numbers = file.read_text(encoding="utf-8"), claims.all_numbers(results)
        files.write(file, claims.readme(board, text, numbers))
    _table(("claim", "verdict", "result"), [(row.id, row.verdict, row.text["en"]) for row in board])


def _record(why: list[str]) -> None:
    """What the committed results have changed since the ledger's last entries."""
    from bnbook import claims
    from bnbook.sphinxext import feed

    made = feed.record(claims.board(claims.results()), dict(zip(("ko", "en"), why, strict=True)))
    for entry in made:
        print(f"{entry['claim']}: {entry['from'] or 'new'} -> {entry['to']}")
    print(f"claims: {len(made)} entries added to {feed.LEDGER.relative_to(paths.ROOT)}")


def _beside_committed(results) -> None:
    """The claims on which these results point somewhere, beside the committed ones; how many others there
    are."""
    from bnbook import claims

    rows = claims.agreement(claims.board(claims.results()), claims.board(results))
    *answers, is_open, too_small = claims.AGREEMENTS
    for row in rows:
        if row.agreement in answers:
            print(f"{row.id}: {row.statement}")
            print(f"    committed {row.committed}; this rerun {row.fresh}: {row.agreement}")
    for words in (too_small, is_open):
        if number := sum(row.agreement == words for row in rows):
            print(f"{words}: {number} claims")


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in (heads, tuple("-" * width for width in widths), *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _data(commands) -> None:
    command = _command(commands, "data", data, "fetch the data sets, or check the copies at hand")
    command.add_argument("action", choices=("fetch", "check"))
    command.add_argument("name", nargs="?", metavar="NAME", help="one of them (default: all)")


def data(arguments: argparse.Namespace) -> int:
    from bnbook.data import sources

    status = 0
    known = sources.fetchable() if arguments.action == "fetch" else sources.SOURCES
    for name in [arguments.name] if arguments.name else known:
        if arguments.action == "fetch":
            print(f"{name}: {sources.locate(name) or sources.fetch(name)}")
            continue
        files = sources.check(name)
        for path, state in files:
            print(f"{name}: {path}: {state}")
            status |= state != sources.OK
        if not files:
            print(f"{name}: comes with scikit-learn")
    return status


def _notebook(commands) -> None:
    command = _command(commands, "notebook", notebook, "run a notebook with checked parameters")
    command.add_argument("action", choices=("run",))
    command.add_argument("name", metavar="NAME", help="such as 01_mnist_activation_shift, or a path")
    command.add_argument(
        "-p",
        dest="parameters",
        nargs=2,
        action="append",
        default=[],
        metavar=("KEY", "VALUE"),
        help="a parameter; may be repeated (`papermill --help-notebook FILE` explains each)",
    )
    command.add_argument("--out", type=Path, help="the executed copy (default: build/rerun/NAME.ipynb)")


def notebook(arguments: argparse.Namespace) -> None:
    from bnbook import notebooks

    path = notebooks.find(arguments.name)
    out = arguments.out or paths.BUILD / "rerun" / path.name
    notebooks.run(path, dict(arguments.parameters), out, progress=sys.stderr.isatty())
    print(f"notebook: {path.name} executed into {out}")


def _book(commands) -> None:
    _command(
        commands, "book", book, "build the book's three editions into build/html, from the committed records"
    )


def book(arguments: argparse.Namespace) -> None:
    from bnbook import book

    print(f"book: open {book.build()}")


def _book_files(commands) -> None:
    _command(
        commands,
        "book-files",
        book_files,
        "write the built book as a PDF and an EPUB for each language, and as a zip, into build/files",
    )


def book_files(arguments: argparse.Namespace) -> None:
    from bnbook import book_files

    book_files.build()


def _metadata(commands) -> None:
    _command(
        commands, "metadata", metadata, "write CITATION.cff, .zenodo.json and codemeta.json from _config.yml"
    )


def metadata(arguments: argparse.Namespace) -> None:
    from bnbook.sphinxext import metadata

    print(f"metadata: {', '.join(file.name for file in metadata.write_archive_files())}")


def _publish(commands) -> None:
    command = _command(
        commands,
        "publish",
        publish,
        "build the book and lay it over what was published before; cited figures keep their addresses",
    )
    onto = command.add_mutually_exclusive_group(required=True)
    onto.add_argument("--onto", type=Path, metavar="FOLDER", help="the site as it was published last")
    onto.add_argument("--branch", metavar="NAME", help="the branch with that site, such as published")


def publish(arguments: argparse.Namespace) -> None:
    from bnbook import book, publish

    today = book.build().parent
    if arguments.onto:
        changed, where = publish.onto_folder(today, arguments.onto), str(arguments.onto)
    else:
        changed, where = publish.onto_branch(today, arguments.branch), f"the branch {arguments.branch}"
    said = "has the book now" if changed else "had the book already"
    print(f"publish: {where} {said}; results/published.json says what was published: commit it")


def _replay(commands) -> None:
    command = _command(commands, "replay", replay, "hold today's training code against the stored traces")
    command.add_argument("action", choices=("check", "store"))
    command.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help="store theirs alone")


def replay(arguments: argparse.Namespace) -> int:
    from bnbook.config import ConfigError
    from bnbook.runs import replay

    if arguments.action == "store":
        if unknown := set(arguments.experiments) - EXPERIMENTS.keys():
            raise ConfigError(
                f"no experiment {', '.join(sorted(unknown))}; there are {', '.join(EXPERIMENTS)}"
            )
        replay.store(arguments.experiments)
        return 0
    problems = replay.check()
    for problem in problems:
        print(f"bnbook: {problem}", file=sys.stderr)
    print("replay: " + (f"{len(problems)} problems" if problems else "training is what it was"))
    return min(len(problems), 1)


def _mutants(commands) -> None:
    command = _command(
        commands, "mutants", mutants, "make mistakes on purpose in a copy, and see which check notices which"
    )
    command.add_argument("names", nargs="*", metavar="NAME", help="these alone (default: all, some minutes)")


def mutants(arguments: argparse.Namespace) -> int:
    from bnbook import mutants
    from bnbook.runs import obtain as runs

    holes = mutants.try_all(arguments.names, runs.code_commit())
    print(
        f"mutants: written to {mutants.FOUND}; " + (f"unnoticed: {', '.join(holes)}" if holes else "no hole")
    )
    return min(len(holes), 1)


def _probes(commands) -> None:
    _command(commands, "probes", probes, "run the probes of the chapter on pitfalls that have changed")


def probes(_: argparse.Namespace) -> None:
    from bnbook import probes

    made = probes.record()
    print(f"probes: {len(made)} of {len(probes.names())} run, the others as recorded in {probes.RECORD}")


def _manifest(commands) -> None:
    _command(
        commands,
        "manifest",
        manifest,
        "renew results/manifest.csv, codecheck.yml and ro-crate-metadata.json: `make figures` does it, too",
    )


def manifest(arguments: argparse.Namespace) -> None:
    from bnbook import bundle, claims

    made = bundle.renew(claims.results())
    print(f"manifest: {', '.join(file.relative_to(paths.ROOT).as_posix() for file in made)}")


def _verify(commands) -> None:
    command = _command(
        commands,
        "verify",
        verify,
        "check that all that a reader sees follows from the records, and that these are what was recorded",
    )
    command.add_argument(
        "--full",
        metavar="RUN",
        help="make one run again, whole: a record's path, or <experiment>/<variant>/<run id>/seed-<k>",
    )


def verify(arguments: argparse.Namespace) -> int:
    from bnbook import verify

    def fault(line: str) -> None:
        print(f"bnbook: {line}", file=sys.stderr, flush=True)

    if not arguments.full:
        return min(verify.verify(fault), 1)
    faults = verify.full(arguments.full)
    for line in faults:
        fault(line)
    return min(len(faults), 1)


def _certify(commands) -> None:
    command = _command(
        commands,
        "certify",
        certify,
        "run one seed of each cheap claim on this machine, and write what came out into results/certificates",
    )
    command.add_argument(
        "--minutes",
        type=float,
        default=2.0,
        metavar="M",
        help="what it all took when the records were made, at most (default: 2); the cheapest claims first",
    )


def certify(arguments: argparse.Namespace) -> None:
    from bnbook.runs import certify

    certify.certify(60 * arguments.minutes)


def _bench(commands) -> None:
    command = _command(commands, "bench", bench, "measure speed and memory, as ratios within one run")
    command.add_argument("--commit", action="store_true", help="keep the measurement in results/bench.json")


def bench(arguments: argparse.Namespace) -> None:
    from bnbook import bench

    bench.main(commit=arguments.commit)


def _new_experiment(commands) -> None:
    command = _command(
        commands, "new-experiment", new_experiment, "write the first draft of an experiment, for contributors"
    )
    command.add_argument("name", metavar="NAME", help="words in small letters, joined by underscores")
    command.add_argument("--section", default="3", help="of the paper (default: 3)")


def new_experiment(arguments: argparse.Namespace) -> None:
    from bnbook import skeleton

    for file in skeleton.create(arguments.name, arguments.section):
        print(file.relative_to(paths.ROOT))
    print(f"Try it: bnbook run {arguments.name}   What comes next: CONTRIBUTING.md")
