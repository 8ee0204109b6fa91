"""Old workspaces of this machine are removed; one that is in use never is.

A workspace is as old as its latest use: every run and every look at a stage opens that stage's
lock file, which sets the file's time. It is in use while one of these locks is held.
"""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from tasks.core.manifest import Frozen
from tasks.core.workspace import BASES, RELEASES
from tasks.core.workspace_lock import locked_if_free

GONE = ".pruned-"
"""Marks a folder that is being removed; one that was left half removed goes with the next time."""


class Pruned(Frozen):
    """A workspace that was removed, or would be.

    Attributes:
        where: path of its folder, or address in S3.
        bytes: of its files.
        days: since its last use.
    """

    where: str
    bytes: int
    days: float


def prune(home: Path, older_than: float, *, dry_run: bool = False) -> list[Pruned]:
    """Remove the workspaces of releases and bases that were not used for some time.

    Args:
        home: root of the workspaces.
        older_than: seconds since their last use.
        dry_run: only tell what would be removed.
    """
    if not dry_run:
        for left in home.glob(f"*/**/*{GONE}*"):
            shutil.rmtree(left, ignore_errors=True)
    candidates = (_pruned(place) for place in _places(home))
    old = [each for each in candidates if each.days * 86400 > older_than]
    return [each for each in old if _remove(Path(each.where), older_than, dry_run=dry_run)]


def _places(home: Path) -> Iterator[Path]:
    yield from sorted(home.glob(f"{RELEASES}/*/"))
    yield from sorted(home.glob(f"{BASES}/*/*/"))


def _pruned(place: Path) -> Pruned:
    status = [path.stat() for path in place.rglob("*") if path.is_file()]
    latest = max([entry.st_mtime for entry in status], default=place.stat().st_mtime)
    size = sum(entry.st_size for entry in status)
    return Pruned(where=str(place), bytes=size, days=max(0.0, time.time() - latest) / 86400)


def _remove(place: Path, older_than: float, *, dry_run: bool) -> bool:
    """Remove a workspace unless it is in use, or was used since it was looked at."""
    with locked_if_free(sorted(place.rglob("*.lock"))) as free:
        if not free or _pruned(place).days * 86400 <= older_than:
            return False
        if dry_run:
            return True
        doomed = place.rename(place.with_name(f"{place.name}{GONE}{uuid4().hex[:8]}"))
    shutil.rmtree(doomed)
    return True
