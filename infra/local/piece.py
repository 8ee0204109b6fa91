"""One long-running piece of the stack: how it starts, when it is well, how it stops."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from infra.local.daemon import Daemon
from infra.local.layout import Layout
from tasks.core.digest import sha256_json
from tasks.core.errors import ServingError, TransientError
from tasks.core.manifest import Frozen

POLL_SECONDS = 0.2
STEADY_SECONDS = 60.0
"""How long a piece that has started before may fail its probe before it is restarted."""
BLINK_SECONDS = 15.0
"""How long it may before it is called unwell: Prefect answers 503 while SQLite is locked, which
takes seconds on a machine whose cores quantize. What died is called dead at once."""

State = Literal["well", "unwell", "dead", "stopped"]


class NotWell(Exception):
    """Raised when a probe finds that a piece does not do its work (yet)."""


class PieceStatus(Frozen):
    """What one piece is doing.

    Attributes:
        name: of the piece.
        state: `dead` was started and ended by itself, `stopped` was not started.
        pid: of its process, or None.
        url: where it answers; empty if nowhere.
        log: path of its output.
        detail: why it is not well.
    """

    name: str
    state: State
    pid: int | None
    url: str
    log: str
    detail: str = ""


@dataclass(frozen=True)
class Piece:
    """A process of the stack.

    Attributes:
        name: of the piece, its pidfile and its log.
        command: program and arguments.
        env: added to the environment.
        probe: proves that it does its work by making it do some; raises NotWell.
        url: where it answers.
        version: changes when the piece must be restarted for another reason than its command.
        startup_seconds: how long a start may take.
    """

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    probe: Callable[[], None]
    url: str = ""
    version: str = ""
    startup_seconds: float = 300.0

    @property
    def digest(self) -> str:
        """Digest of all that a running process was started with."""
        return sha256_json([self.command, dict(self.env), self.version])

    def status(self, layout: Layout) -> PieceStatus:
        """What it is doing now."""
        daemon = Daemon(layout, self.name)
        state, detail = self._examined(daemon)
        process = daemon.process
        return PieceStatus(
            name=self.name,
            state=state,
            pid=process.pid if process else None,
            url=self.url,
            log=str(daemon.log),
            detail=detail,
        )

    def _examined(self, daemon: Daemon) -> tuple[State, str]:
        if daemon.noted is None:
            return "stopped", ""
        try:
            self._wait_until_well(daemon, BLINK_SECONDS)
        except _Died:
            return "dead", daemon.tail()
        except NotWell as finding:
            return "unwell", str(finding)
        return "well", ""

    def up(self, layout: Layout) -> bool:
        """Start it unless it runs and is well; tells whether it was started.

        Raises:
            ServingError: it died at start.
            TransientError: it runs and does not get well in time.
        """
        daemon = Daemon(layout, self.name)
        if self._recovers(daemon):
            return False
        daemon.stop()
        daemon.start(self.command, self.env, self.digest)
        try:
            self._wait_until_well(daemon, self.startup_seconds)
        except _Died:
            raise ServingError(
                f"{self.name} died at start", found=daemon.tail(), remedy=f"read {daemon.log}"
            ) from None
        except NotWell as finding:
            raise TransientError(
                f"{self.name} runs and does not work",
                expected=f"work within {self.startup_seconds:.0f} s",
                found=str(finding),
                remedy=f"read {daemon.log}; then run it again",
            ) from None
        return True

    def _recovers(self, daemon: Daemon) -> bool:
        """Whether it runs as it should and is well, or gets well in the time it still has."""
        noted, process = daemon.noted, daemon.process
        if noted is None or process is None or noted.digest != self.digest:
            return False
        left = self.startup_seconds - (time.time() - noted.created)
        try:
            self._wait_until_well(daemon, max(STEADY_SECONDS, left))
        except (NotWell, _Died):
            return False
        return True

    def _wait_until_well(self, daemon: Daemon, seconds: float) -> None:
        def look() -> None:
            if daemon.process is None:
                raise _Died
            self.probe()

        Retrying(
            retry=retry_if_exception_type(NotWell),
            stop=stop_after_delay(seconds),
            wait=wait_fixed(POLL_SECONDS),
            reraise=True,
        )(look)


class _Died(Exception):
    """Raised when the process ended while its probe was tried."""
