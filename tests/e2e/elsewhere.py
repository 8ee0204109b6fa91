"""Machines beside the embedded stack: nothing in common with it, or each other, but its servers."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from infra.local import stack as embedded
from infra.local.daemon import Daemon
from infra.local.keeper import KEEPER
from infra.local.layout import Layout
from infra.local.workers import WORKER
from tests.e2e.house import ROOT, House, processes

POOLS, RUNS = ("cpu", "gpu"), "4"


@contextmanager
def workers_rest(house: House) -> Iterator[None]:
    """The stack without workers of its own, and without the keeper that would start them again."""
    layout = Layout.of(house.home)
    workers = sorted(path.stem for path in layout.pid("x").parent.glob(f"{WORKER}*.json"))
    try:
        for name in (KEEPER, *workers):
            Daemon(layout, name).stop()
        yield
    finally:
        embedded.up(house.home)


def variables(house: House, home: Path, workspace: str) -> dict[str, str]:
    """Environment of a machine.

    Args:
        house: whose servers it uses.
        home: its folder, which holds its copy of the signing key too.
        workspace: S3 prefix of what it shares with others.
    """
    return house.env | {
        "ROUNDHOUSE_HOME": str(home),
        "ROUNDHOUSE_WORKSPACE": workspace,
        "ROUNDHOUSE_SIGNING_KEY": str(home / "signing.pem"),
        "PREFECT_HOME": str(home / "prefect"),
        "HF_HOME": str(home / "huggingface"),
    }


@contextmanager
def machine(house: House, home: Path, workspace: str) -> Iterator[None]:
    """A machine with a worker for each pool; in the end it is lost with all that runs there.

    Args:
        house: whose servers it uses.
        home: its folder, made here.
        workspace: S3 prefix of what it shares with others.
    """
    home.mkdir()
    shutil.copy(Layout.of(house.home).signing_key, home / "signing.pem")
    command = [sys.executable, "-m", "infra.worker", "--limit", RUNS]
    with (home / "workers.log").open("wb") as log:
        workers = [
            subprocess.Popen(
                [*command, "--pool", pool, "--name", f"{home.name}-{pool}"],
                env=variables(house, home, workspace),
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            for pool in POOLS
        ]
        try:
            yield
        finally:
            _lose(home)
            for worker in workers:
                worker.wait()


def _lose(home: Path) -> None:
    """All processes stop, then all are killed: none lives to tell the server of another's end."""
    number = signal.SIGSTOP
    while found := processes(home):
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        number = signal.SIGKILL
