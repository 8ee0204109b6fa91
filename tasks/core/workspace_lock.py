"""A file lock that keeps two processes of one machine from making the same thing."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file's lock, its folder made if need be; the kernel frees it when the process dies.

    Opening it also sets its time, by which `tasks.core.workspace_prune` sees when it was last used.
    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            if _is(path, stream.fileno()):
                yield
                return


@contextmanager
def locked_if_free(paths: list[Path]) -> Iterator[bool]:
    """Hold the locks of all files if nobody holds any; tells whether they are held."""
    streams = [path.open("r+") for path in paths]
    try:
        for stream in streams:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        for stream in streams:
            stream.close()


def _is(path: Path, descriptor: int) -> bool:
    """Whether the open file is the one of that name: it may have been removed meanwhile."""
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False
