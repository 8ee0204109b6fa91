"""What numbers were measured on."""

import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import torch

from tasks.quantize.memory import HUGE_PAGES


def as_the_worker() -> None:
    """Begin again with the worker's host memory, unless the environment has it."""
    if not HUGE_PAGES.keys() <= os.environ.keys():
        os.execve(sys.executable, sys.orig_argv, os.environ | HUGE_PAGES)  # noqa: S606 - ourselves


def machine() -> dict[str, str]:
    """Device, threads, version of torch, date, commit; `+` where files but docs differ from it."""
    cuda = torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name() if cuda else _processor(),
        "threads": str(torch.get_num_threads()),
        "torch": str(torch.__version__),
        "date": time.strftime("%Y-%m-%d"),
        "commit": _commit(),
    }


def _processor() -> str:
    """Model of the processor, as Linux names it."""
    for text in Path("/proc/cpuinfo").read_text().splitlines():
        if text.startswith("model name"):
            return text.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    """The commit of the working tree; `MEASURED_COMMIT` names it for a copy whose history is older.

    Git cannot tell such a copy from a tree that was edited: the variable is for one command alone.
    """
    if named := os.environ.get("MEASURED_COMMIT"):
        return named
    described = _git("describe", "--always", "--abbrev=12", "--exclude=*").stdout.strip()
    # tables that runs put into the docs do not make what is measured another tree
    edited = _git("diff", "--quiet", "HEAD", "--", ":/", ":(top,exclude)docs").returncode
    return f"{described}{'+' if edited else ''}" if described else "none"


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
