"""A bridge, and network namespaces that reach nothing but what listens on it."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

BRIDGE = "roundhouse0"
SUBNET = "10.77.0"
SERVERS = f"{SUBNET}.1"
"""Address of the bridge, where the servers listen."""


@dataclass(frozen=True)
class Place:
    """Where a machine is.

    Attributes:
        name: of the machine, of its namespace and of its end of the cable on the bridge.
        address: its own, on the bridge's subnet.
    """

    name: str
    address: str


@contextmanager
def bridge() -> Iterator[None]:
    """A bridge for the time of the block; needs root."""
    _gone("link", "delete", BRIDGE)
    _ip("link", "add", BRIDGE, "type", "bridge")
    try:
        _ip("address", "add", f"{SERVERS}/24", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
        yield
    finally:
        _ip("link", "delete", BRIDGE)


@contextmanager
def namespaces(count: int) -> Iterator[list[Place]]:
    """Namespaces on the bridge, without a route to anywhere else."""
    with ExitStack() as stack:
        yield [stack.enter_context(_namespace(number)) for number in range(1, count + 1)]


@contextmanager
def _namespace(number: int) -> Iterator[Place]:
    place = Place(f"machine-{number}", f"{SUBNET}.{10 + number}")
    _gone("netns", "delete", place.name)
    _ip("netns", "add", place.name)
    try:
        _ip("link", "add", place.name, "type", "veth", "peer", "eth0", "netns", place.name)
        _ip("link", "set", place.name, "master", BRIDGE, "up")
        _ip("-n", place.name, "address", "add", f"{place.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", place.name, "link", "set", device, "up")
        yield place
    finally:
        _gone("link", "delete", place.name)
        _ip("netns", "delete", place.name)


def _gone(*arguments: str) -> None:
    """Remove what a run that was killed may have left."""
    subprocess.run(["ip", *arguments], check=False, capture_output=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
