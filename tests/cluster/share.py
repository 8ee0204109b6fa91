"""Shares of the processors, as control groups give them out."""

import os
from pathlib import Path

CPU = Path("/sys/fs/cgroup/cpu")
PERIOD = 100_000
"""Microseconds; a quota of as many is one processor."""
WEIGHT = 8192
"""Against 1024 of everything else: who shares the host shall not take what a machine has."""


def group(name: str, cores: float = 0.0) -> Path:
    """A group of processes, made if need be.

    Args:
        name: of the group.
        cores: processors that it may use at most; 0 for all there are.
    """
    made = CPU / f"roundhouse-{name}"
    made.mkdir(exist_ok=True)
    (made / "cpu.shares").write_text(str(WEIGHT))
    (made / "cpu.cfs_period_us").write_text(str(PERIOD))
    (made / "cpu.cfs_quota_us").write_text(str(round(cores * PERIOD) or -1))
    return made


def join(name: str) -> None:
    """Put this process, and what it will start, into a group without a limit."""
    (group(name) / "cgroup.procs").write_text(str(os.getpid()))
