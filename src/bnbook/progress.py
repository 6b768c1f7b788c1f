"""What a command that takes long shows while it runs: one line. With the standard library alone, since the
installation shows its own before anything is installed."""

import shutil
import sys
import time

SECONDS = 30  # from one line to the next where nobody watches: a log need not hold every step


class Line:
    """On a terminal one line that is written anew in its place; elsewhere a line now and then."""

    def __init__(self) -> None:
        self.watched = sys.stdout.isatty()
        self._since = float("-inf")
        self._last = ""

    def show(self, text: str) -> None:
        """Show `text` in place of what the line said before."""
        now = time.monotonic()
        if self.watched:
            columns = shutil.get_terminal_size().columns
            print(f"\r\033[K{text[: columns - 1]}", end="", flush=True)
        elif text != self._last and now - self._since >= SECONDS:
            print(text, flush=True)
            self._since = now
        else:
            return
        self._last = text

    def keep(self, text: str) -> None:
        """Print `text` to stay, above the line."""
        if self.watched:
            print("\r\033[K", end="")
        print(text, flush=True)
        if self.watched and self._last:
            self.show(self._last)

    def end(self, text: str = "") -> None:
        """Take the line away; print `text` in its place, to stay."""
        self._last = ""
        if self.watched:
            print("\r\033[K", end="", flush=True)
        if text:
            print(text, flush=True)


def span(seconds: float) -> str:
    """A length of time for people: "40 s", "4 min", "13 h 20 min"."""
    minutes = round(seconds / 60)
    if round(seconds) < 60:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
