"""A supervised child process: its output in a file, a deadline, and its whole tree ended.

Output goes to a file and never to an inherited pipe: an orphan that holds the parent's stdout would
keep a dead run looking alive. The child runs under `tasks.core.guardian`, in a session of its own.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from tasks.core.errors import PermanentError, WorkerLost

POLL_SECONDS = 0.1
STOP_SECONDS = 10.0
SIGNAL_BASE = 128
SECRET = re.compile(
    r"TOKEN(?!IZER)|SECRET|PASSW|API_KEY|ACCESS_KEY|PRIVATE|SIGNING|CREDENTIAL|AUTH|CONNECTION_URL",
    re.IGNORECASE,
)
"""Marks variables that may hold a secret; a database's connection URL carries its password."""


def child_environment(**extra: str) -> dict[str, str]:
    """This process's environment without secrets, plus `extra`.

    A child that quantizes or serves needs no credentials, so it gets none.
    """
    return {name: value for name, value in os.environ.items() if not SECRET.search(name)} | extra


class Child:
    """A running command; use it as a context manager, so that it never outlives its use.

    Args:
        command: program and arguments.
        log: file that takes stdout and stderr, appended to.
        env: environment; `child_environment()` where not given.
        cwd: working folder.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.command = list(command)
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as stream:
            self._log_start = stream.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tasks.core.guardian", str(os.getpid()), *self.command],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env=_importable(child_environment() if env is None else env),
                cwd=cwd,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def returncode(self) -> int | None:
        """Exit status, 128 + n after signal n, or None while it runs."""
        status = self._process.poll()
        return SIGNAL_BASE - status if status is not None and status < 0 else status

    def stop(self) -> None:
        """End the whole tree, gently and then not."""
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def follow(
        self, on_line: Callable[[str], None] = lambda _: None, deadline: float | None = None
    ) -> None:
        """Wait for the end, handing on each line of output as it comes.

        Args:
            on_line: called with each whole line, without its end.
            deadline: seconds after which the tree is ended.

        Raises:
            WorkerLost: it was killed by a signal from outside.
            PermanentError: it failed by itself, or the deadline passed.
        """
        started = time.monotonic()
        with self.log.open("rb") as stream:
            stream.seek(self._log_start)
            while self.returncode is None:
                _hand_on(stream, on_line)
                if deadline is not None and time.monotonic() - started > deadline:
                    self.stop()
                    raise self._late(deadline)
                time.sleep(POLL_SECONDS)
            _hand_on(stream, on_line)
        self._check()

    def tail(self, lines: int = 12) -> str:
        """The last lines of this child's output."""
        with self.log.open("rb") as stream:
            stream.seek(self._log_start)
            text = stream.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def _check(self) -> None:
        status = self.returncode or 0
        if status - SIGNAL_BASE in signal.valid_signals():
            raise WorkerLost(
                f"{self.command[0]} was ended by {signal.Signals(status - SIGNAL_BASE).name}",
                found=f"log {self.log}",
                remedy="it is retried; if it recurs, look for the kernel's out-of-memory killer",
            )
        if status:
            raise PermanentError(
                f"{' '.join(self.command[:3])} failed with exit status {status}",
                found=self.tail(),
                remedy=f"read {self.log}",
            )

    def _late(self, deadline: float) -> PermanentError:
        return PermanentError(
            f"{self.command[0]} did not end in time",
            expected=f"an end within {deadline:.0f} s",
            found=self.tail(),
            remedy=f"raise the deadline, or read {self.log}",
        )


def _hand_on(stream: BinaryIO, on_line: Callable[[str], None]) -> None:
    """Hand on the whole lines that lie ahead; half a line waits for its end."""
    while True:
        at = stream.tell()
        line = stream.readline()
        if not line.endswith(b"\n"):
            stream.seek(at)
            return
        on_line(line.decode(errors="replace").rstrip("\r\n"))


def _importable(env: Mapping[str, str]) -> dict[str, str]:
    """The guardian is a module of this project, wherever the child's working folder is."""
    root = str(Path(__file__).resolve().parents[2])
    path = [root, *filter(None, [env.get("PYTHONPATH")])]
    return {**env, "PYTHONPATH": os.pathsep.join(path)}
