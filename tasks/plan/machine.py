"""Whether this machine can do it: the serving environment, its port, disk and memory."""

import os
import socket
from pathlib import Path

from tasks.core.errors import PermanentError, ResourceError, ServingError
from tasks.core.records import Estimate, Hardware
from tasks.core.settings import Settings
from tasks.plan.table import gb

SERVED = 0.85
"""Share of the accelerators' memory that the base's weights may fill when it is served."""


def missing_programs(settings: Settings) -> list[PermanentError]:
    """What the settings name and this machine lacks; empty where all is there."""
    checks = (_serving_environment(settings.serve_python), _port(settings.serve_port))
    return [problem for problem in checks if problem]


def too_small(estimate: Estimate, hardware: Hardware, present: int) -> list[PermanentError]:
    """Of what the machine has too little; empty where it has enough.

    Args:
        estimate: what the release takes.
        hardware: what there is.
        present: bytes of the base that lie on the disk already.
    """
    checks = (
        _disk(estimate.disk - present, hardware.disk_free),
        _ram(estimate.ram, hardware.ram),
        _vram(estimate.vram, hardware),
        _served(estimate.base, hardware),
    )
    return [problem for problem in checks if problem]


def _serving_environment(python: Path) -> PermanentError | None:
    """A problem where the serving environment's Python cannot be run."""
    if python.is_file() and os.access(python, os.X_OK):
        return None
    return ServingError(
        "the serving environment is missing",
        expected="vLLM's Python at ROUNDHOUSE_SERVE_PYTHON",
        found=f"no program at {python}",
        remedy="run `make serve`",
    )


def _port(port: int) -> PermanentError | None:
    if not port:
        return None
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return ServingError(
                f"the model server's port {port} is taken",
                expected="a free port in ROUNDHOUSE_SERVE_PORT",
                found=error.strerror or str(error),
                remedy="end what listens there, or set ROUNDHOUSE_SERVE_PORT to 0",
            )
    return None


def _disk(needed: int, free: int) -> PermanentError | None:
    if needed <= free:
        return None
    return ResourceError(
        "the disk is too small",
        expected=f"{gb(needed)} for base, quantizer's output, release and archive",
        found=f"{gb(free)} free",
        remedy="free some space, or set ROUNDHOUSE_HOME to a larger disk",
    )


def _ram(needed: int, there: int) -> PermanentError | None:
    if needed <= there:
        return None
    return ResourceError(
        "the machine has too little memory",
        expected=f"about {gb(needed)} to quantize",
        found=gb(there),
        remedy="run the release on a larger machine",
    )


def _vram(needed: int, hardware: Hardware) -> PermanentError | None:
    if not hardware.gpu or needed <= hardware.vram:
        return None
    return ResourceError(
        "the accelerator has too little memory",
        expected=f"about {gb(needed)} to tune the largest block",
        found=f"{gb(hardware.vram)} ({hardware.gpu})",
        remedy="lower tuning.batch_size or calibration.seqlen, or take a larger accelerator",
    )


def _served(base: int, hardware: Hardware) -> PermanentError | None:
    there = int(hardware.vram * hardware.gpus * SERVED)
    if not hardware.gpu or base <= there:
        return None
    return ResourceError(
        "the base does not fit the accelerators, so it cannot be compared with the release",
        expected=f"{gb(base)} of weights within {SERVED:.0%} of the accelerators' memory",
        found=f"{gb(there)} ({hardware.gpus} x {hardware.gpu})",
        remedy="take more or larger accelerators",
    )
