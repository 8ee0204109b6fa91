"""Progress of a transfer that takes longer than a moment."""

import time
from collections.abc import Callable
from contextvars import copy_context
from threading import Lock

from tasks.core.progress import Reporter

REPORT_SECONDS = 2.0


class Meter:
    """Adds up bytes of several threads and reports them every two seconds, the first two silent.

    Args:
        reporter: is told.
        doing: what is done, as in `bringing download`.
        total: bytes in all.
        clock: seconds.
    """

    def __init__(
        self,
        reporter: Reporter,
        doing: str,
        total: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reporter = reporter
        self._doing = doing
        self._total = max(total, 1)
        self._clock = clock
        self._lock = Lock()
        self._context = copy_context()  # a run is known by it, and threads do not inherit it
        self._done = 0
        self._told = clock()

    def add(self, count: int) -> None:
        """Take note of bytes that went over (or, negative, must go again)."""
        with self._lock:
            self._done += count
            now = self._clock()
            if now - self._told < REPORT_SECONDS:
                return
            self._told = now
            share = min(self._done / self._total, 1.0)
            told = f"{self._doing}: {self._done / 1e6:,.0f} of {self._total / 1e6:,.0f} MB"
            self._context.run(self._reporter.update, share, told)
