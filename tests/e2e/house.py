"""What the end-to-end tests hold: a running stack, its command line, the demo release."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
BASE = "roundhouse/gemma-4-tiny-it"
TARGET = "roundhouse/gemma-4-tiny-it-NVFP4"
RELEASE_SECONDS = 900


@dataclass(frozen=True)
class Finished:
    """What a command did: exit status, output, seconds."""

    status: int
    out: str
    err: str
    seconds: float


@dataclass(frozen=True)
class House:
    """A running embedded stack and the command line that uses it."""

    home: Path
    env: dict[str, str]
    ui: str

    def roundhouse(self, *arguments: str) -> Finished:
        """Run the command as a person would."""
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "flows", *arguments],
            env=self.env,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=RELEASE_SECONDS,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr, time.monotonic() - started)


@dataclass(frozen=True)
class Demo:
    """The demo release: what the command said and the outcome it wrote."""

    finished: Finished
    outcome: dict[str, Any]


def wait_for(what: str, look: Callable[[], T | None], seconds: float) -> T:
    """Look until something is there.

    Raises:
        AssertionError: it did not come in time.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := look():
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what} did not come within {seconds:.0f} s")


def processes(home: Path, *marks: str) -> list[psutil.Process]:
    """Live processes of a stack whose command line holds all the marks."""
    found = []
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
            ours = process.environ().get("ROUNDHOUSE_HOME") == str(home)
        except psutil.Error:
            continue
        if ours and all(mark in line for mark in marks):
            found.append(process)
    return found
