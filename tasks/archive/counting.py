"""Bytes done of bytes in all, told to a reporter."""

from collections.abc import Callable

from tasks.core.progress import Reporter


class Counting:
    """Counts the bytes of many files.

    Args:
        reporter: is told.
        verb: what is done, as in `archiving`.
        total: bytes in all.
        done: bytes that are done already.
    """

    def __init__(self, reporter: Reporter, verb: str, total: int, done: int = 0) -> None:
        self._reporter = reporter
        self._verb = verb
        self._total = max(total, 1)
        self._done = done

    def of(self, name: str) -> Callable[[int], None]:
        """What to call with each number of bytes of one file."""

        def advance(count: int) -> None:
            self._done += count
            fraction = min(self._done / self._total, 1.0)
            self._reporter.update(fraction, f"{self._verb} {name}")

        return advance
