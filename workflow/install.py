"""Installs the pinned packages into .venv, as `make` asks for it: with a Python 3.11 and nothing else yet.
Pip takes no file but those whose hashes stand in constraints.txt.

It looks first whether that can end well, and writes nothing where it cannot. What pip says goes to a log; one
line shows how far it is. What an interrupted installation has left is mended by the next.

    PYTHONPATH=src python3.11 workflow/install.py
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from bnbook.progress import Line, span

VENV = Path(".venv")
PYTHON = str(VENV / "bin" / "python")
PIP = [PYTHON, "-m", "pip", "--disable-pip-version-check", "--no-input"]
LOG = Path("build") / "install.log"
PINS = Path("constraints.txt")
# What builds the few packages that come as source, and this one. It is small: where it can be had, so can the
# rest.
BUILDERS = ("setuptools", "wheel", "packaging")
FIRST = Path("build") / "install-first.txt"
LOCKED = ["--require-hashes", "--no-build-isolation", "--progress-bar", "off"]
GB = 1e9
INSTALLED_GB, DOWNLOADED_GB = 7, 4  # in this folder to stay; in the temporary folder for the time being
STEP_SECONDS = 0.5


class InstallError(Exception):
    """Why nothing could be installed, and what to do: one line."""


def main() -> int:
    try:
        install()
    except InstallError as error:
        print(f"bnbook: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbnbook: stopped; the same command goes on from there", file=sys.stderr)
        return 130
    return 0


def install() -> None:
    """Install everything; raises InstallError."""
    check_room()
    begun, new = time.monotonic(), not VENV.exists()
    LOG.parent.mkdir(exist_ok=True)
    with LOG.open("w", encoding="utf-8") as log, shown() as line:
        line.show("Looking where packages can be had")
        make_venv(log)
        try:
            check_network(log)
        except InstallError:
            if new:
                shutil.rmtree(VENV)
            raise
        drop_half_installed()
        run_pip(log, line)
    print(f"Installed the pinned packages into {VENV} in {span(time.monotonic() - begun)}")


@contextmanager
def shown() -> Iterator[Line]:
    """A line that is taken away at the end of the block."""
    line = Line()
    try:
        yield line
    finally:
        line.end()


def check_room() -> None:
    """Raises InstallError where a file system that is written to has too little room left."""
    needed: dict[int, float] = {}
    places = {Path.cwd(): INSTALLED_GB - size(VENV) / GB, Path(tempfile.gettempdir()): DOWNLOADED_GB}
    for place, gigabytes in places.items():
        device = place.stat().st_dev
        needed[device] = needed.get(device, 0) + max(0, gigabytes)
        free = shutil.disk_usage(place).free / GB
        if free < needed[device]:
            raise InstallError(
                f"the packages need {needed[device]:.0f} GB in {place}, and {free:.1f} GB are free: make room"
                + (", or set TMPDIR to a folder that has it" if place != Path.cwd() else "")
            )


def size(folder: Path) -> int:
    """The bytes in `folder`; 0 where it is not there."""
    files = (Path(place) / name for place, _, names in os.walk(folder) for name in names)
    return sum(file.lstat().st_size for file in files)


def make_venv(log: TextIO) -> None:
    """A virtual environment with pip in it, in the place of one that does not work."""
    with suppress(OSError):
        if subprocess.run([*PIP, "--version"], capture_output=True).returncode == 0:
            return
    command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    if subprocess.run(command, stdout=log, stderr=log).returncode:
        raise InstallError(
            f"{sys.executable} cannot make a virtual environment (see {LOG}): on Debian and Ubuntu install "
            "python3.11-venv"
        )


def check_network(log: TextIO) -> None:
    """Install BUILDERS; raises InstallError where pip, with the settings it has, gets no package at all."""
    FIRST.write_text("".join(map(pinned, BUILDERS)), encoding="utf-8")
    command = [*PIP, "install", *LOCKED, "--retries", "1", "--timeout", "10", "-r", str(FIRST)]
    if subprocess.run(command, stdout=log, stderr=log).returncode:
        raise InstallError(
            f"no package can be had: is there a network, and does pip reach its index? (see {LOG})"
        )


def pinned(name: str) -> str:
    """The lines of PINS that pin a package, with its hashes."""
    text = PINS.read_text(encoding="utf-8")
    return re.search(rf"^{re.escape(name)}==.*\n(?: .*\n)*", text, re.MULTILINE)[0]


def drop_half_installed() -> None:
    """Make pip forget the packages that it was just unpacking when it was stopped: RECORD is written last,
    but without it a package already counts as installed."""
    for folder in metadata():
        if not (folder / "RECORD").exists():
            shutil.rmtree(folder)


def run_pip(log: TextIO, line: Line) -> None:
    """Install what is pinned, then this package itself; raises InstallError, the log saying more."""
    begun = time.monotonic()
    for what in ([*LOCKED, "-r", str(PINS)], ["--no-deps", "--no-build-isolation", "-e", "."]):
        run_one([*PIP, "install", *what], log, line, begun)


def run_one(command: list[str], log: TextIO, line: Line, begun: float) -> None:
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}  # what the log says is what happens now
    with subprocess.Popen(command, stdout=log, stderr=log, env=environment) as process:
        while process.poll() is None:
            minutes, seconds = divmod(round(time.monotonic() - begun), 60)
            line.show(f"Installing pinned packages: {state()}, {minutes}:{seconds:02}")
            time.sleep(STEP_SECONDS)
    if process.returncode:
        raise InstallError(f"{reason()} (see {LOG}); the same command goes on from there")


def state() -> str:
    """How far pip is, in words, by its log and by what lies in the virtual environment."""
    text = LOG.read_text(encoding="utf-8", errors="replace")
    total = len(re.findall(r"^[a-z].*==", PINS.read_text(encoding="utf-8"), re.MULTILINE))
    if "\nInstalling collected packages" in text:
        return f"{min(len(metadata()), total)} of {total} unpacked"
    begun = r"^(?: +Downloading | +Using cached |Processing .*/)([^\s/]+\.(?:whl|gz))(?: |$)"
    files = set(re.findall(begun, text, re.MULTILINE))
    found = set(re.findall(r"^(?:Collecting|Requirement already satisfied:) ([\w.-]+)", text, re.MULTILINE))
    return f"{len(files)} of {total} downloaded" if files else f"{len(found)} of {total} found"


def metadata() -> list[Path]:
    """The folders that tell pip what is installed."""
    return list(VENV.glob("lib/python3.*/site-packages/*.dist-info"))


def reason() -> str:
    """Why pip failed."""
    text = LOG.read_text(encoding="utf-8", errors="replace")
    if "No space left on device" in text:
        return "the packages are not installed: the disk is full; make room"
    if "DO NOT MATCH THE HASHES" in text:
        return f"the packages are not installed: a file is not the one that {PINS} names"
    if re.search(r"Connection|Timeout|IncompleteRead|name resolution", text):
        return "the packages are not installed: the connection broke off"
    return "the packages are not installed: pip failed"


if __name__ == "__main__":
    # For this file alone: pip would take the code in that folder for an installed package.
    os.environ.pop("PYTHONPATH", None)
    sys.exit(main())
