"""SIGKILL of random workers at random moments; the kernel ends the rest of their machine."""

import random
import time
from dataclasses import dataclass, field

import psutil

from tests.cluster.machine import Machine


@dataclass
class Killer:
    """Kills one worker of one machine at a time; call it as often as you like.

    Attributes:
        machines: of which one is struck.
        seed: of machines, workers and moments.
        shortest: least seconds between two.
        longest: most seconds between two.
        most: how many are killed at most.
        struck: what was killed: seconds after the first call, and the worker.
    """

    machines: list[Machine]
    seed: int
    shortest: float = 15.0
    longest: float = 45.0
    most: int = 12
    struck: list[tuple[float, str]] = field(default_factory=list)
    _rng: random.Random = field(init=False)
    _begun: float = field(init=False, default=0.0)
    _next: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)  # noqa: S311 - no secret

    def __call__(self) -> None:
        """Kill if it is time."""
        now = time.monotonic()
        if not self._begun:
            self._begun, self._next = now, now + self._pause()
        if now < self._next or len(self.struck) >= self.most:
            return
        self._next = now + self._pause()
        machine = self._rng.choice(self.machines)
        workers = machine.workers()
        if workers:
            self._kill(self._rng.choice(workers), now - self._begun)

    def _kill(self, worker: psutil.Process, moment: float) -> None:
        name = worker.cmdline()[worker.cmdline().index("--name") + 1]
        worker.kill()
        self.struck.append((moment, name))

    def _pause(self) -> float:
        return self._rng.uniform(self.shortest, self.longest)
