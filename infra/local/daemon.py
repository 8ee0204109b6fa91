"""A process that outlives the command that started it, known by its pidfile."""

import subprocess
import sys
from collections.abc import Mapping, Sequence

import psutil

from infra.local.ending import MARK, end_tree
from infra.local.environment import base_environment
from infra.local.layout import ROOT, Layout
from infra.local.pidfile import PidFile
from tasks.core.errors import ServingError

TAIL_LINES = 8
GRACE_SECONDS = 20.0


class Daemon:
    """One named process of a stack.

    Args:
        layout: of the stack.
        name: of the process, its pidfile and its log.
    """

    def __init__(self, layout: Layout, name: str) -> None:
        self._layout = layout
        self._pidfile = layout.pid(name)
        self._name = name
        self.log = layout.log(name)

    @property
    def noted(self) -> PidFile | None:
        """What was started, whether it still runs or not."""
        return PidFile.read(self._pidfile)

    @property
    def process(self) -> psutil.Process | None:
        """The process, if it runs."""
        noted = self.noted
        return noted.process() if noted else None

    def start(self, command: Sequence[str], env: Mapping[str, str], digest: str) -> None:
        """Start it; `infra.local.detach` notes it before it runs.

        Args:
            command: program and arguments.
            env: added to the environment.
            digest: kept in its note.

        Raises:
            ServingError: the command cannot be run.
        """
        detach = [sys.executable, "-m", "infra.local.detach", str(self._pidfile), digest]
        done = subprocess.run(
            [*detach, str(self.log), *command],
            env=base_environment() | dict(env) | {MARK: str(self._layout.home)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ServingError(
                f"{self._name} cannot be started",
                found=done.stderr.strip()[-500:],
                remedy="make the environments again: make env",
            )

    def stop(self, grace: float = GRACE_SECONDS) -> None:
        """End it and all it started.

        Args:
            grace: seconds it may take to end by itself before it is killed.
        """
        process = self.process
        if process:
            end_tree(process, grace)
        self._pidfile.unlink(missing_ok=True)

    def tail(self) -> str:
        """The last lines of its log."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.is_file() else []
        return "\n".join(lines[-TAIL_LINES:])
