"""Progress of transfers: seldom, and in the run that asked for it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

from tasks.clients.shared_meter import Meter
from tests.clients.machines import Told

RUN: ContextVar[str] = ContextVar("RUN", default="none")


class TellsRun(Told):
    """A reporter that remembers in which run it was told."""

    def update(self, fraction: float, message: str) -> None:
        """Remember progress and run."""
        super().update(fraction, f"{RUN.get()}: {message}")


def test_it_reports_every_two_seconds_in_the_run_that_began_it() -> None:
    """Short transfers are silent; threads, which inherit no run, report to the one that waits."""
    seconds: Iterator[float] = iter([0.0, 1.9, 2.0, 3.9, 4.0])
    told = TellsRun()
    RUN.set("quantize demo-1")
    meter = Meter(told, "bringing download", 4_000_000, lambda: next(seconds))
    with ThreadPoolExecutor(1) as pool:
        list(pool.map(meter.add, [1_000_000] * 4))
    assert told.updates == [
        (0.5, "quantize demo-1: bringing download: 2 of 4 MB"),
        (1.0, "quantize demo-1: bringing download: 4 of 4 MB"),
    ]
