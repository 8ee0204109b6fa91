"""The other ranks of a job: workers that this worker starts, one device each.

Each runs the whole job on its own device and throws its output away. They meet in a file of the
working folder, and hear of each other's end through the connections between them.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from tasks.core.errors import QuantizeError
from tasks.quantize.fused.ranks import Ranks, together
from tasks.quantize.job import Job

FOLDER = "ranks"
LOOPBACK = "lo"
END_SECONDS = 120.0
"""How long the others may take to end after rank 0 has."""


def size_of(job: Job) -> int:
    """How many ranks tune; AutoRound's own tuner and rounding to nearest have one."""
    if job.tuning.tuner != "fused" or not job.tuning.iters:
        return 1
    return job.ranks or max(1, torch.cuda.device_count())


@contextmanager
def crew(job: Job, device: torch.device, folder: Path) -> Iterator[None]:
    """Tune with all ranks; rank 0 starts the others.

    Args:
        job: this rank's.
        device: this rank's.
        folder: where the ranks meet, and the others keep jobs, logs and output.

    Raises:
        QuantizeError: another rank failed.
    """
    size = size_of(job)
    if size == 1:
        yield
        return
    # All ranks are on this host. Without this gloo asks the network for the host's own name.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", LOOPBACK)
    if job.rank:
        with together(Ranks(folder / "meeting", job.rank, size, device)):
            yield
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    others = [_start(job, rank, size, folder) for rank in range(1, size)]
    try:
        with together(Ranks(folder / "meeting", 0, size, device)):
            yield
        _wait(others, folder)
    finally:
        for each in others:
            each.kill()
            each.wait()


def _start(job: Job, rank: int, size: int, folder: Path) -> subprocess.Popen[bytes]:
    own = folder / str(rank)
    output = own / "output"
    output.mkdir(parents=True)
    told = job.model_copy(update={"rank": rank, "ranks": size, "output": output})
    (own / "job.json").write_text(told.model_dump_json())
    command = [sys.executable, "-m", "tasks.quantize.worker", str(own / "job.json")]
    with (own / "log").open("wb") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder.parent
        )


def _wait(others: list[subprocess.Popen[bytes]], folder: Path) -> None:
    for rank, each in enumerate(others, 1):
        if each.wait(END_SECONDS):
            raise QuantizeError(
                f"rank {rank} failed",
                found=f"exit status {each.returncode}",
                remedy=f"read {folder / str(rank) / 'log'}",
            )
        shutil.rmtree(folder / str(rank) / "output", ignore_errors=True)
