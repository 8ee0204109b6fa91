"""What the machine has, seen without loading torch."""

import csv
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

from tasks.core.records import Hardware

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
MIB = 1 << 20
QUERY = ("nvidia-smi", "--query-gpu=index,uuid,name,memory.total", "--format=csv,noheader,nounits")
SECONDS = 20


@dataclass(frozen=True)
class Gpu:
    """One accelerator: its number and UUID, its name, its memory in bytes."""

    index: str
    uuid: str
    name: str
    memory: int


def detect(home: Path) -> Hardware:
    """The hardware of this machine, within what this process may use.

    Args:
        home: where workspaces lie; its disk is the one that counts.
    """
    gpus = visible(installed(), os.environ.get("CUDA_VISIBLE_DEVICES"))
    return Hardware(
        cpus=len(os.sched_getaffinity(0)),
        ram=_ram(),
        disk_free=_disk_free(home),
        gpu=gpus[0].name if gpus else "",
        gpus=len(gpus),
        vram=gpus[0].memory if gpus else 0,
    )


def installed() -> list[Gpu]:
    """The accelerators that NVIDIA's driver knows; none where there is no driver."""
    try:
        done = subprocess.run(
            QUERY, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return parse(done.stdout)


def parse(output: str) -> list[Gpu]:
    """The accelerators in the driver's answer; those whose memory is not told are left out."""
    rows = csv.reader(output.splitlines(), skipinitialspace=True)
    return [
        Gpu(index, uuid, name, int(memory) * MIB)
        for index, uuid, name, memory in (
            row for row in rows if len(row) == len(Gpu.__annotations__)
        )
        if memory.isdecimal()
    ]


def visible(gpus: list[Gpu], chosen: str | None) -> list[Gpu]:
    """Those that CUDA_VISIBLE_DEVICES leaves, in its order; all where it is not set."""
    if chosen is None:
        return gpus
    names = [name.strip() for name in chosen.split(",") if name.strip()]
    return [gpu for name in names for gpu in gpus if gpu.index == name or gpu.uuid.startswith(name)]


def _ram() -> int:
    """Memory of the machine, or of the container where that is less."""
    total: int = psutil.virtual_memory().total
    try:
        limit = CGROUP_LIMIT.read_text().strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdecimal() else total


def _disk_free(home: Path) -> int:
    """Free space where `home` is or will be."""
    existing = next(path for path in (home.resolve(), *home.resolve().parents) if path.exists())
    return shutil.disk_usage(existing).free
