"""Writes constraints.txt anew: exact versions and hashes of all that bnbook and its tests need, for the
machines in pyproject.toml ([tool.uv]). `make lock` runs it.

Versions that are there stay, unless pyproject.toml asks for others; `--upgrade` or `--upgrade-package NAME`
takes the newest. Where packages are found is left to uv's own settings, and not written down.

    python workflow/lock.py [--upgrade]
"""

import re
import subprocess
import sys
from pathlib import Path

LOCK = Path("constraints.txt")
HEAD = """\
# All that bnbook and its tests need, directly and in turn, with the hashes of the files that pip may take:
# `make` installs with `pip install --require-hashes -r constraints.txt`. Written by `make lock` from
# pyproject.toml, never by hand. PyTorch and what it brings for GPUs differ by machine.
"""
# uv says with each package on which machines it is needed; of what all need nothing has to be said.
PYTHON = "python_full_version < '3.12' and "
EVERYWHERE = re.compile(r" ; \((?:\(platform_machine == '\w+' and sys_platform == '\w+'\)(?: or )?){3}\)")


def main() -> None:
    command = ["uv", "pip", "compile", "pyproject.toml", "--extra", "test", "--universal"]
    command += ["--generate-hashes", "--python-version", "3.11.5", "--no-annotate", "--no-header", "--quiet"]
    subprocess.run([*command, "--output-file", str(LOCK), *sys.argv[1:]], check=True)
    written = LOCK.read_text(encoding="utf-8")
    LOCK.write_text(HEAD + EVERYWHERE.sub("", written.replace(PYTHON, "")), encoding="utf-8")


if __name__ == "__main__":
    main()
