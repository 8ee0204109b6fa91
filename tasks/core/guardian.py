"""Runs one command and leaves nothing of it behind, whatever happens to whoever asked for it.

    python -m tasks.core.guardian PARENT_PID COMMAND ARGUMENT…

The kernel sends this process SIGTERM when its parent dies, SIGKILL of the parent included
(prctl(2), PR_SET_PDEATHSIG), and orphans of the command become its children
(PR_SET_CHILD_SUBREAPER), so that it can end the whole tree. It exits with the command's status,
or 128 + n after signal n.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from types import FrameType

import psutil

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
GRACE_SECONDS = 5.0


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def die_with_parent() -> None:
    """Have the kernel end this process when the one that started it ends."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def end_descendants(grace: float = GRACE_SECONDS) -> None:
    """End every descendant of this process: SIGTERM, and SIGKILL after `grace` seconds."""
    family = psutil.Process().children(recursive=True)
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(family, timeout=grace)
    for process in alive + psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _on_signal(_number: int, _frame: FrameType | None) -> None:
    end_descendants()
    os._exit(128 + signal.SIGTERM)


def main(command: list[str], parent: int) -> int:
    """Run the command to its end and end what it left running."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _on_signal)
    if os.getppid() != parent:  # it died before the kernel was asked to tell us
        return 128 + signal.SIGTERM
    # The guardian has a single thread, so running Python between fork and exec is safe.
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)  # noqa: PLW1509
    status = child.wait()
    end_descendants()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[2:], int(sys.argv[1])))
