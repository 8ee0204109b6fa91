"""TCP ports of the stack: free ones, chosen once and kept."""

import errno
import json
import random
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from tasks.core.errors import InputError

HOST = "127.0.0.1"
PUBLIC = ("prefect", "hub", "s3")
INTERNAL = (
    "s3_grpc", "master", "master_grpc", "volume", "volume_grpc", "filer", "filer_grpc",
    "admin", "admin_grpc",
)  # fmt: skip
"""What the object store's parts say to each other through."""
VARIABLE = "ROUNDHOUSE_PORT_"
# Below the range from which the kernel takes ports for outgoing connections.
LOWEST, HIGHEST = 20_000, 32_000
LARGEST = 65_535

Ports = dict[str, int]


def fixed_ports(environment: Mapping[str, str]) -> Ports:
    """Ports a person fixed: `ROUNDHOUSE_PORT_PREFECT`, `_HUB`, `_S3`.

    Raises:
        InputError: not a port.
    """
    given = {name: environment.get(VARIABLE + name.upper(), "") for name in PUBLIC}
    return {name: _port(name, text) for name, text in given.items() if text}


def _port(name: str, text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= LARGEST:
        raise InputError(
            f"{VARIABLE}{name.upper()} is no port",
            expected=f"a number from 1 to {LARGEST}",
            found=repr(text),
        )
    return int(text)


def choose(path: Path, fixed: Ports, ours: Callable[[int], bool]) -> Ports:
    """The port of every server: fixed, else kept from last time, else a free one.

    A kept port that somebody else took meanwhile is chosen anew.

    Args:
        path: JSON file that keeps them.
        fixed: ports a person asked for.
        ours: whether a process, by its id, belongs to this stack and may hold its port.

    Raises:
        InputError: a fixed port is taken, or fixed for two servers.
    """
    if len(set(fixed.values())) != len(fixed):
        raise InputError(
            "two servers cannot share one port", found=str(fixed), remedy="give each its own"
        )
    before = kept(path)
    chosen: Ports = {}
    for name in (*PUBLIC, *INTERNAL):
        wanted = fixed.get(name) or before.get(name) or 0
        if name in fixed:
            _require_free(name, wanted, ours)
        elif not wanted or wanted in fixed.values() or _blocked(wanted, ours):
            wanted = _free({*fixed.values(), *before.values(), *chosen.values()})
        chosen[name] = wanted
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(chosen, indent=2) + "\n")
    temporary.replace(path)
    return chosen


def kept(path: Path) -> Ports:
    """The ports of last time; empty before the first."""
    ports: Ports = json.loads(path.read_bytes()) if path.is_file() else {}
    return ports


def _require_free(name: str, port: int, ours: Callable[[int], bool]) -> None:
    reason = _blocked(port, ours)
    if reason:
        raise InputError(
            f"port {port}, asked for as {VARIABLE}{name.upper()}, cannot be used",
            expected=f"a port of {HOST} that nothing listens on",
            found=reason,
            remedy=f"stop what uses it, or set {VARIABLE}{name.upper()} to another port, "
            "or unset it to take a free one",
        )


def _blocked(port: int, ours: Callable[[int], bool]) -> str:
    """Why a port cannot be had; empty if it is free or held by this stack."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return error.strerror or str(error)
        else:
            return ""
    pid = _holder(port)
    if pid is not None and ours(pid):
        return ""
    return f"taken by {_describe(pid)}"


def _holder(port: int) -> int | None:
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return None
    return next(
        (
            c.pid
            for c in connections
            if c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port
        ),
        None,
    )


def _describe(pid: int | None) -> str:
    try:
        return f"process {pid} ({psutil.Process(pid).name()})" if pid else "another process"
    except psutil.Error:
        return f"process {pid}"


def _free(avoid: set[int]) -> int:
    for port in random.sample(range(LOWEST, HIGHEST), 500):
        if port not in avoid and not _blocked(port, lambda _: False):
            return port
    raise InputError(
        f"no free port between {LOWEST} and {HIGHEST}",
        remedy=f"fix the ports through {VARIABLE}<NAME>, for {', '.join(PUBLIC)}",
    )
