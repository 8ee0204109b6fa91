"""Which process a piece of the stack is, safely: a recycled process id is never taken for it."""

from pathlib import Path

import psutil
from pydantic import ValidationError

from tasks.core.manifest import Frozen

CLOCK_SECONDS = 2.0


class PidFile(Frozen):
    """A process by its id and start time; the two together never recur.

    Attributes:
        pid: process id.
        created: start time, seconds since the epoch.
        digest: of the command and environment it was started with.
    """

    pid: int
    created: float
    digest: str

    @classmethod
    def of(cls, process: psutil.Process, digest: str) -> "PidFile":
        """Note a process."""
        return cls(pid=process.pid, created=process.create_time(), digest=digest)

    @classmethod
    def read(cls, path: Path) -> "PidFile | None":
        """What is noted, or None; half a note cannot be, since notes are renamed into place."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def write(self, path: Path) -> None:
        """Note it, whole or not at all."""
        temporary = path.with_suffix(f".{self.pid}.new")
        temporary.write_text(self.model_dump_json() + "\n")
        temporary.replace(path)

    def process(self) -> psutil.Process | None:
        """The process, if it still runs."""
        try:
            process = psutil.Process(self.pid)
            # The boot time, from which start times are counted, moves a little with the clock.
            same = abs(process.create_time() - self.created) < CLOCK_SECONDS
            return process if same and not gone(process) else None
        except psutil.NoSuchProcess:
            return None


def gone(process: psutil.Process) -> bool:
    """Whether a process ended; one that only waits to be reaped did."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
