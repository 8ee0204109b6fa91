"""Notes of the runs that processes of this machine are at, for whoever starts after a sudden end.

`<home>/runs/<run>.json` lies there while a run's process lives. A note that outlived its process
tells of a run that was lost; one from another host tells nothing here.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from tasks.core.manifest import Frozen

FOLDER = "runs"


class Presence(Frozen):
    """The process of a run.

    Attributes:
        run: id of the run.
        host: name of the host, which means nothing on others.
        pid: process id there.
    """

    run: str
    host: str
    pid: int

    def path(self, home: Path) -> Path:
        """Where its note lies."""
        return home / FOLDER / f"{self.run}.json"


@contextmanager
def noted(home: Path, run: str) -> Iterator[None]:
    """Note that this process is at a run, for the time of the block.

    Args:
        home: root of the workspaces.
        run: id of the run; empty notes nothing.
    """
    presence = Presence(run=run, host=socket.gethostname(), pid=os.getpid())
    path = presence.path(home)
    if run:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".new")
        temporary.write_text(presence.model_dump_json())
        temporary.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def left(home: Path) -> list[Presence]:
    """The notes of this host, of live runs and of lost ones."""
    found = [_read(path) for path in sorted((home / FOLDER).glob("*.json"))]
    host = socket.gethostname()
    return [presence for presence in found if presence is not None and presence.host == host]


def _read(path: Path) -> Presence | None:
    try:
        return Presence.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
