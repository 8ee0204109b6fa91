"""A small file system that fills up, and what a dead run may have left on one."""

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tasks.core.digest import canonical_json
from tests.faults.case import Case
from tests.faults.fault import Fault

SIZE = "1400m"
FILLER = "filler"
LEFT_BYTES = 1 << 20
PIECE = bytes(1 << 19)


def full_at(
    moment: Callable[[Case, Callable[[], None]], AbstractContextManager[None]],
) -> Callable[[Case], None]:
    """A release in a small file system that is filled at a moment of it."""

    def act(case: Case) -> None:
        made = case.home.rename(case.home.with_name(f"{case.name}-made"))
        case.home.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "faults", str(case.home)]
        subprocess.run(mount, check=True)
        shutil.copytree(made, case.home, dirs_exist_ok=True)
        shutil.rmtree(made)
        with moment(case, lambda: fill(case.home)):
            pass

    return act


@contextmanager
def when_asked(case: Case, method: str, path: str, act: Callable[[], None]) -> Iterator[None]:
    """A release; something is done when the Hub gets its first request of a kind."""
    with case.stand.hub.broken(Fault(method, path, before=act)), case.release():
        yield


@contextmanager
def when_working(case: Case, mark: str, act: Callable[[], None]) -> Iterator[None]:
    """A release; something is done when a child of it has begun."""
    with case.release():
        case.child(mark)
        act()
        yield


def fill(folder: Path) -> None:
    """Leave one mebibyte of a file system."""
    with (folder / FILLER).open("wb", buffering=0) as filler:
        try:
            while shutil.disk_usage(folder).free > LEFT_BYTES:
                filler.write(PIECE)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


def free(case: Case) -> None:
    """Make room again."""
    (case.home / FILLER).unlink()


def unmount(folder: Path) -> None:
    """Take the small file system away, if there is one."""
    if os.path.ismount(folder):
        subprocess.run(["umount", str(folder)], check=True)


def leave_partial(record: Path, folder: Path, files: dict[str, bytes]) -> None:
    """Make a finished stage one that a dead run has begun.

    Args:
        record: of the stage; it goes.
        folder: of the stage; it goes too.
        files: what lies in the folder of the begun one, by name.
    """
    inputs = json.loads(record.read_bytes())["inputs"]
    record.with_name(f"{folder.name}.partial.json").write_bytes(canonical_json(inputs))
    partial = folder.with_name(f"{folder.name}.partial")
    partial.mkdir()
    for name, data in files.items():
        (partial / name).write_bytes(data)
    shutil.rmtree(folder)
    record.unlink()
