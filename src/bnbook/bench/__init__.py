"""How fast training is, in ratios within one run; how much memory a run takes; what more records cost; and
how long the book takes.

Absolute times differ between machines and with what else runs there. So each round measures the contenders
one after the other, its ratios count, and the median over the rounds is reported.
"""

import json
import re
import shutil
import subprocess
import sys
import time

from bnbook import files, paths
from bnbook.bench import growth, inception_speedups, mnist_activation_shift
from bnbook.bench.timing import CORES, ROUNDS
from bnbook.book import BookError
from bnbook.runs import obtain as runs

MEASURED = {
    module.__name__.rsplit(".", 1)[1]: module
    for module in (mnist_activation_shift, inception_speedups, growth)
}


def main(commit: bool = False) -> None:
    """Measure everything and print it; with `commit` keep it in results/bench.json."""
    began = time.perf_counter()
    found = {"cores": CORES, "rounds": ROUNDS} | {name: module.measure() for name, module in MEASURED.items()}
    found["provenance"] = runs.provenance(runs.code_commit(), "", time.perf_counter() - began)
    # Each experiment names its own data.
    del found["provenance"]["data_sha256"]
    if commit:
        # Before the book is timed, whose text names these numbers, and how long it took to build.
        keep(found | {"book_seconds": committed()["book_seconds"]})
    found["book_seconds"] = book_seconds()
    if commit:
        keep(found)


def committed() -> dict:
    """What results/bench.json holds."""
    return files.read_json(paths.RESULTS / "bench.json")


def keep(found: dict) -> None:
    """Write what was measured to results/bench.json."""
    file = paths.RESULTS / "bench.json"
    files.write(file, json.dumps(found, indent=1) + "\n")
    print(f"bench: written to {file}")


def book_seconds() -> dict[str, float]:
    """Seconds of each phase of building the book anew from the committed records, as it prints them. Raises
    BookError where it cannot be built."""
    for name in ("notebooks", "figures", "doctrees", "book", "html"):
        shutil.rmtree(paths.BUILD / name, ignore_errors=True)
    began = time.perf_counter()
    process = subprocess.run([sys.executable, "-m", "bnbook", "book"], stdout=subprocess.PIPE, text=True)
    if process.returncode:
        raise BookError("the book could not be built, so its time is the one that was known before")
    phases = {
        name: float(seconds)
        for name, seconds in re.findall(r"^book: (.*): ([\d.]+) s$", process.stdout, re.M)
    }
    phases["in all"] = round(time.perf_counter() - began, 1)
    for name, seconds in phases.items():
        print(f"book: {name}: {seconds} s", flush=True)
    return phases
