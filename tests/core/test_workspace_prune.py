"""Old workspaces go, and none that is in use does."""

import fcntl
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.core.manifest import StageRecord
from tasks.core.workspace import Workspace
from tasks.core.workspace_lock import locked
from tasks.core.workspace_prune import prune

DAY = 86400.0


def _made(workspace: Workspace, days_ago: float) -> Workspace:
    """A workspace with one stage of 1000 bytes, last used so long ago."""

    def make(folder: Path) -> dict[str, object]:
        (folder / "f").write_bytes(b"." * 1000)
        return {}

    workspace.run("stage", StageRecord, {}, make)
    then = time.time() - days_ago * DAY
    for path in workspace.root.rglob("*"):
        os.utime(path, (then, then))
    return workspace


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Releases and bases, some of them old; a file beside them that is no workspace."""
    _made(Workspace.of_release(tmp_path, "old"), 40)
    _made(Workspace.of_release(tmp_path, "new"), 20)
    _made(Workspace.of_base(tmp_path, "owner/name", "c" * 40), 40)
    _made(Workspace.of_base(tmp_path, "owner/name", "d" * 40), 20)
    (tmp_path / "demo.json").write_text("{}")
    os.utime(tmp_path / "demo.json", (0, 0))
    return tmp_path


def _left(home: Path) -> set[str]:
    return {p.relative_to(home).parts[-2] for p in home.rglob("stage.json")}


def test_old_workspaces_go(home: Path) -> None:
    """Those that were not used for 30 days; a dry run tells and removes nothing."""
    everything = _left(home)
    told = prune(home, 30 * DAY, dry_run=True)
    assert _left(home) == everything
    gone = prune(home, 30 * DAY)
    assert [each.where for each in gone] == [each.where for each in told]
    assert [Path(each.where).name for each in gone] == ["old", "c" * 40]
    assert _left(home) == {"new", "d" * 40}
    assert all(each.bytes > 1000 and 39 < each.days < 41 for each in gone)
    assert (home / "demo.json").exists()
    assert prune(home, 30 * DAY) == []


def test_use_keeps_a_workspace(home: Path) -> None:
    """A finished stage that is handed out again makes its workspace new."""
    Workspace.of_release(home, "old").run("stage", StageRecord, {}, lambda _: {})
    assert [Path(each.where).name for each in prune(home, 30 * DAY)] == ["c" * 40]


def test_a_workspace_at_work_stays(home: Path) -> None:
    """While the lock of one of its stages is held, however old its files are."""
    lock = Workspace.of_release(home, "old").root / "other.lock"
    with locked(lock):
        os.utime(lock, (0, 0))
        assert [Path(each.where).name for each in prune(home, 30 * DAY)] == ["c" * 40]
    assert [Path(each.where).name for each in prune(home, 30 * DAY)] == ["old"]


def test_what_was_left_half_removed_goes(home: Path) -> None:
    """A removal that was killed is finished by the next."""
    root = Workspace.of_release(home, "old").root
    root.rename(root.with_name("old.pruned-0a1b2c3d"))
    prune(home, 365 * DAY)
    assert not list(home.glob("releases/*pruned*"))


def test_who_waited_for_a_removed_lock_takes_a_new_one(tmp_path: Path) -> None:
    """A run that waits while its workspace is removed starts afresh, and keeps others out."""
    lock, order = tmp_path / "old" / "stage.lock", list[str]()

    def wait() -> None:
        with locked(lock):
            with lock.open("r+") as other, pytest.raises(BlockingIOError):
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            order.append("waited")

    with ThreadPoolExecutor(1) as pool:
        with locked(lock):
            waiting = pool.submit(wait)
            time.sleep(0.5)
            shutil.rmtree(lock.parent)
            order.append("removed")
        waiting.result()
    assert order == ["removed", "waited"]
