"""Ends processes of the stack: one tree, or everything that carries the stack's mark."""

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from infra.local.pidfile import gone

MARK = "ROUNDHOUSE_STACK"
"""Environment variable of every process of a stack; its value is the stack's home."""
POLL_SECONDS = 0.05
REPORT_SECONDS = 1.0
DEATH_SECONDS = 5.0


def end_tree(root: psutil.Process, grace: float) -> None:
    """End a process and its descendants: gently, then not.

    Descendants go first, so that a worker can tell the server how its runs ended.

    Args:
        root: of the tree.
        grace: seconds until SIGKILL; 0 kills at once.
    """
    family = [*_descendants(root), root]
    if grace and len(family) > 1:
        _each(family[:-1], psutil.Process.terminate)
        _wait(family[:-1], grace / 2)
        _wait([root], REPORT_SECONDS)
    if grace:
        _each([root], psutil.Process.terminate)
        _wait(family, grace / 2)
    family += _descendants(root)
    _each(family, psutil.Process.kill)
    _wait(family, DEATH_SECONDS)


def _descendants(root: psutil.Process) -> list[psutil.Process]:
    try:
        return root.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def marked(home: Path) -> list[psutil.Process]:
    """Every process that carries this home's mark, except this one and its ancestors."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return [p for p in psutil.process_iter() if p.pid not in own and belongs(p.pid, home)]


def belongs(pid: int, home: Path) -> bool:
    """Whether a process carries this home's mark."""
    try:
        process = psutil.Process(pid)
        return process.environ().get(MARK) == str(home) and not gone(process)
    except (psutil.Error, OSError):
        return False


def sweep(home: Path) -> int:
    """Kill what carries the mark until a look finds nothing; tells how many were killed."""
    killed = 0
    while family := marked(home):
        killed += len(family)
        _each(family, psutil.Process.kill)
        _wait(family, DEATH_SECONDS)
    return killed


def _each(family: Iterable[psutil.Process], act: Callable[[psutil.Process], None]) -> None:
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            act(process)


def _wait(family: Iterable[psutil.Process], seconds: float) -> bool:
    """Whether all ended in time. psutil's own wait also waits for zombies nobody reaps."""
    deadline = time.monotonic() + seconds
    while not all(map(gone, family)):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
