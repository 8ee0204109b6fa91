"""AutoRound's log as progress and as the loss of each block; it offers no callbacks."""

import re
import time
from collections.abc import Callable, Sequence

from tasks.core.progress import Reporter
from tasks.core.records import BlockLoss

BLOCK_DONE = re.compile(
    r"quantized (?P<done>\d+)/(?P<all>\d+) layers in the block"
    r"(?:, loss iter 0: (?P<first>\S+) -> iter (?P<step>\d+): (?P<best>[^\s\x1b]+))?"
)
PHASES = {
    "roundhouse: ": "",
    "start to cache block inputs": "running the samples to the first block",
    "caching done": "tuning the first block",
    "model has been saved": "saving",
}


class Telemetry:
    """Follows one run of AutoRound.

    Args:
        blocks: names of the decoder blocks, in order.
        reporter: is told each phase and each finished block.
        clock: gives seconds.
    """

    def __init__(
        self,
        blocks: Sequence[str],
        reporter: Reporter,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._blocks = blocks
        self._reporter = reporter
        self._clock = clock
        self._started = self._last = clock()
        self._done = 0
        self._losses: list[BlockLoss] = []

    @property
    def losses(self) -> tuple[BlockLoss, ...]:
        """Loss of each tuned block so far; three digits, as AutoRound prints them."""
        return tuple(self._losses)

    def line(self, text: str) -> None:
        """Take one line of the log."""
        if found := BLOCK_DONE.search(text):
            self._block_done(found)
            return
        for mark, message in PHASES.items():
            if mark in text:
                if mark == "caching done":
                    self._started = self._last = self._clock()
                said = message or text.partition(mark)[2]
                self._reporter.update(self._done / len(self._blocks), said)

    def _block_done(self, found: re.Match[str]) -> None:
        now = self._clock()
        name = self._blocks[min(self._done, len(self._blocks) - 1)]
        self._done += 1
        loss = ""
        if found["first"]:
            first, best = float(found["first"]), float(found["best"])
            seconds = round(now - self._last, 3)
            self._losses.append(BlockLoss(block=name, first=first, best=best, seconds=seconds))
            loss = f", loss {first:.3g} → {best:.3g}"
        self._last = now
        left = (now - self._started) / self._done * (len(self._blocks) - self._done)
        self._reporter.update(
            min(1.0, self._done / len(self._blocks)),
            f"block {self._done} of {len(self._blocks)}{loss}, {_duration(left)} left",
        )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
