"""The workspace: made once, whole or not at all, whatever happens in between."""

import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.core.manifest import StageRecord
from tasks.core.workspace import Workspace

STAGE = "stage"
INPUTS = {"base": "abc"}


class Maker:
    """Writes one file and counts its calls."""

    def __init__(self, content: str = "made", *, fail: bool = False) -> None:
        self.calls = 0
        self._content = content
        self._fail = fail

    def __call__(self, folder: Path) -> dict[str, object]:
        """Make the stage, or fail halfway."""
        self.calls += 1
        (folder / "half").write_text(self._content)
        if self._fail:
            raise RuntimeError("the power went")
        (folder / "half").rename(folder / "whole")
        return {}


def _run(
    workspace: Workspace,
    make: Callable[[Path], dict[str, object]],
    inputs: dict[str, str] | None = None,
) -> StageRecord:
    return workspace.run(STAGE, StageRecord, inputs or INPUTS, make)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.of_release(tmp_path, "demo-1")


def test_a_finished_stage_is_not_made_again(workspace: Workspace) -> None:
    """A second run with equal inputs hands out the first one's record."""
    make = Maker()
    first = _run(workspace, make)
    assert _run(workspace, make) == first
    assert make.calls == 1
    assert (first.path / "whole").read_text() == "made"
    first.verify()


def test_other_inputs_make_it_again(workspace: Workspace) -> None:
    """A stage made from other inputs is replaced, and nothing of it stays."""
    _run(workspace, Maker("old"))
    record = _run(workspace, Maker("new"), {"base": "def"})
    assert (record.path / "whole").read_text() == "new"
    assert [file.path for file in record.files] == ["whole"]


@pytest.mark.parametrize("damage", ["changed", "missing", "extra", "record"])
def test_a_damaged_stage_is_made_again(workspace: Workspace, damage: str) -> None:
    """A file changed, missing or extra, or a record that is no JSON, makes the stage anew."""
    make = Maker()
    first = _run(workspace, make)
    match damage:
        case "changed":
            (first.path / "whole").write_text("mada")
        case "missing":
            (first.path / "whole").unlink()
        case "extra":
            (first.path / "more").write_text("")
        case _:
            (workspace.root / f"{STAGE}.json").write_text("{")
    record = _run(workspace, make)
    assert make.calls == 2
    assert record.files == first.files
    record.verify()


def test_a_failed_attempt_publishes_nothing(workspace: Workspace) -> None:
    """After a failure there is no stage, and the next attempt finds what the last one left."""
    with pytest.raises(RuntimeError, match="the power went"):
        _run(workspace, Maker(fail=True))
    assert workspace.finished(STAGE, StageRecord) is None
    assert not workspace.folder(STAGE).exists()
    assert (workspace.partial(STAGE) / "half").is_file()
    found: list[list[str]] = []

    def resume(folder: Path) -> dict[str, object]:
        found.append([path.name for path in folder.iterdir()])
        return Maker()(folder)

    _run(workspace, resume)
    assert found == [["half"]]


def test_an_attempt_with_other_inputs_finds_an_empty_folder(workspace: Workspace) -> None:
    """What an attempt with other inputs left half made does not become part of the stage."""
    with pytest.raises(RuntimeError):
        _run(workspace, Maker(fail=True))
    (workspace.partial(STAGE) / "stale").write_text("from other inputs")
    record = _run(workspace, Maker(), {"base": "def"})
    assert [file.path for file in record.files] == ["whole"]


def test_a_failed_attempt_leaves_the_finished_stage_alone(workspace: Workspace) -> None:
    """While a stage is made from new inputs and fails, the old one stays whole."""
    first = _run(workspace, Maker())
    with pytest.raises(RuntimeError):
        _run(workspace, Maker(fail=True), {"base": "def"})
    assert workspace.finished(STAGE, StageRecord) == first


def test_a_crash_between_folder_and_record_makes_it_again(workspace: Workspace) -> None:
    """A folder without its record is not trusted."""
    make = Maker()
    _run(workspace, make)
    (workspace.root / f"{STAGE}.json").unlink()
    _run(workspace, make).verify()
    assert make.calls == 2


def test_a_moved_home_still_holds_its_stages(tmp_path: Path) -> None:
    """A workspace that was moved verifies where it lies now."""
    make = Maker()
    _run(Workspace.of_release(tmp_path / "old", "demo-1"), make)
    (tmp_path / "old").rename(tmp_path / "new")
    record = _run(Workspace.of_release(tmp_path / "new", "demo-1"), make)
    assert make.calls == 1
    assert record.path.is_relative_to(tmp_path / "new")
    record.verify()


def test_bases_and_releases_have_folders_of_their_own(tmp_path: Path) -> None:
    """A base's workspace is named by repository and commit, flat."""
    root = Workspace.of_base(tmp_path, "owner/name", "c" * 40).root
    assert root == (tmp_path / "bases" / "owner--name" / ("c" * 40)).resolve()


def test_two_processes_make_a_stage_once(tmp_path: Path) -> None:
    """The second of two runs at one time waits, and hands out what the first made."""
    context = multiprocessing.get_context("spawn")
    runs = [context.Process(target=_slow_run, args=(tmp_path,)) for _ in range(2)]
    for process in runs:
        process.start()
    for process in runs:
        process.join(60)
    assert [process.exitcode for process in runs] == [0, 0]
    assert len((tmp_path / "calls").read_text().splitlines()) == 1


def _slow_run(home: Path) -> None:
    def make(folder: Path) -> dict[str, object]:
        with (home / "calls").open("a") as stream:
            stream.write("call\n")
        time.sleep(0.5)
        return Maker()(folder)

    _run(Workspace.of_release(home, "demo-1"), make)
