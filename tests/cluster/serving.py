"""Server processes with a log each, that end with whoever started them."""

import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from infra.local.layout import ROOT
from tasks.core.process import Child, child_environment

READY_SECONDS = 120
TRY_SECONDS = 20


class Serving:
    """Servers below one folder.

    Args:
        root: of their data and logs.
        stack: ends them.
    """

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self.root = root
        self._stack = stack
        self._children: dict[str, Child] = {}

    def folder(self, name: str) -> Path:
        """A folder for a server's data."""
        path = self.root / name
        path.mkdir(parents=True)
        return path

    def start(
        self, name: str, command: Sequence[str | Path], env: Mapping[str, str] | None = None
    ) -> None:
        """Start a server, with these variables beside those of this process that hold no secret."""
        log = self.root / "logs" / f"{name}.log"
        everything = child_environment(**(env or {}))
        child = Child([str(word) for word in command], log, everything, ROOT)
        self._children[name] = self._stack.enter_context(child)

    def wait(self, name: str, probe: Sequence[str | Path]) -> None:
        """Wait until a command succeeds.

        Raises:
            AssertionError: the server ended, or it takes too long.
        """
        until = time.monotonic() + READY_SECONDS
        while subprocess.run(
            [str(word) for word in probe], capture_output=True, check=False, timeout=TRY_SECONDS
        ).returncode:
            child = self._children[name]
            assert child.returncode is None, f"{name} ended: {child.tail()}"
            assert time.monotonic() < until, f"{name} is not ready: {child.tail()}"
            time.sleep(0.2)
