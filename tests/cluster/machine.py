"""A machine: a network namespace with processes, folders and a share of the processors of its own.

    with Machines(places, root, env, cores=0.5) as machines: ...

Each is started again some seconds after it was killed, as a supervisor or a kubelet would.
"""

import contextlib
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tasks.core.process import Child, child_environment
from tests.cluster.network import Place
from tests.cluster.share import group

APART = ("unshare", "--mount", "--pid", "--fork", "--uts", "--kill-child", "--mount-proc")
AGAIN_SECONDS = 2.0
LOOK_SECONDS = 0.2


class Machine:
    """One machine; use it as a context manager.

    Args:
        place: where it is in the network.
        home: its folder.
        env: variables of its workers.
        hidden: folders it must not see.
        cores: processors it may use, such as 0.5; 0 for all there are.
    """

    def __init__(
        self, place: Place, home: Path, env: Mapping[str, str], hidden: Sequence[Path], cores: float
    ) -> None:
        self.name = place.name
        self.home = home
        self.starts = 0
        self._cores = cores
        self._hidden = [str(folder) for folder in hidden]
        self._env = child_environment(**env, ROUNDHOUSE_HOME=str(home))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=self.name)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def workers(self) -> list[psutil.Process]:
        """Its workers, by their pools."""
        return [each for each in self.processes() if "worker" in _line(each)[:4]]

    def processes(self) -> list[psutil.Process]:
        """Everything that runs in it."""
        return [each for each in psutil.process_iter() if self._ours(each)]

    def _ours(self, process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error):
            return process.environ().get("ROUNDHOUSE_HOME") == str(self.home)
        return False

    def _keep(self) -> None:
        """Start it, and again whenever it ends, until it is over."""
        while not self._over.is_set():
            self.starts += 1
            with Child(self._command(), self.home.parent / f"{self.name}.log", self._env) as child:
                while child.returncode is None and not self._over.wait(LOOK_SECONDS):
                    pass
            self._over.wait(AGAIN_SECONDS)

    def _command(self) -> list[str]:
        inside = [sys.executable, "-m", "tests.cluster.inside", str(self.home), *self._hidden]
        command = ["ip", "netns", "exec", self.name, *APART, *inside]
        if not self._cores:
            return command
        joined = f'echo $$ > {group(self.name, self._cores)}/cgroup.procs; exec "$@"'
        return ["sh", "-c", joined, "sh", *command]


def _line(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()[1:]
    return []
