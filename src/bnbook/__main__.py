"""`python -m bnbook`: the same as `bnbook`, whatever is on the path."""

import sys

from bnbook import parent
from bnbook.cli import main

if __name__ == "__main__":
    parent.follow()
    sys.exit(main())
