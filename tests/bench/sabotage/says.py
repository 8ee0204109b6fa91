"""Lines of progress, with the clock and the kind that is judged."""

import re
import sys
import time

NUMBER = re.compile(r"\d+")


def say(kind: str, line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {kind}: {line}\n")
    sys.stdout.flush()


class Says:
    """A reporter that prints what is being done; of lines that differ in numbers, the first.

    Args:
        kind: that is judged.
    """

    def __init__(self, kind: str) -> None:
        self._kind, self._said = kind, ""

    def note(self, message: str) -> None:
        """Print the line."""
        say(self._kind, message)

    def update(self, fraction: float, message: str) -> None:
        """Print the share that is done, and what is being done, where that is new."""
        words = NUMBER.sub("", message)
        if words != self._said:
            say(self._kind, f"{fraction:4.0%} {message}")
        self._said = words
