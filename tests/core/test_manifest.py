"""Records: they vouch for a folder, and notice every change to it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from tasks.core.errors import IntegrityError
from tasks.core.manifest import FileRecord, StageRecord, relative_files


@pytest.fixture
def record(tmp_path: Path) -> StageRecord:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "sub" / "b.txt").write_text("b")
    files = tuple(FileRecord.of(tmp_path, tmp_path / name) for name in relative_files(tmp_path))
    return StageRecord(stage="s", folder=str(tmp_path), files=files, inputs={"x": "1"}, seconds=1)


CHANGES: dict[str, Callable[[Path], object]] = {
    "missing": lambda folder: (folder / "a.txt").unlink(),
    "extra": lambda folder: (folder / "c.txt").write_text("c"),
    "hidden extra": lambda folder: (folder / "sub" / ".c").write_text("c"),
    "longer": lambda folder: (folder / "a.txt").write_text("aa"),
    "other bytes": lambda folder: (folder / "sub" / "b.txt").write_text("c"),
    "renamed": lambda folder: (folder / "a.txt").rename(folder / "A.txt"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_noticed(change: str, record: StageRecord) -> None:
    """A file missing, extra, resized, changed or renamed breaks the record."""
    record.verify()
    CHANGES[change](record.path)
    with pytest.raises(IntegrityError):
        record.verify()


def test_a_shallow_look_compares_sizes(record: StageRecord) -> None:
    """Where hashing is not asked for, a file of the same size passes."""
    CHANGES["other bytes"](record.path)
    record.verify(deep=False)


@pytest.mark.parametrize("path", ["/etc/passwd", "../up", "a/../../b", "a\\b", ""])
def test_a_path_cannot_leave_its_folder(path: str) -> None:
    """A record that names a file outside its folder is not a record."""
    with pytest.raises(ValidationError):
        FileRecord(path=path, size=0, sha256="")


def test_the_digest_is_of_what_was_made(record: StageRecord) -> None:
    """Place and time leave the digest alone; content and inputs change it."""
    moved = record.model_copy(update={"folder": "/elsewhere", "seconds": 9.0})
    assert moved.digest == record.digest
    assert record.model_copy(update={"inputs": {"x": "2"}}).digest != record.digest
    assert record.model_copy(update={"files": record.files[:1]}).digest != record.digest


def test_records_survive_json_and_never_change(record: StageRecord) -> None:
    """A record reads back equal, refuses unknown fields, and cannot be edited."""
    assert StageRecord.model_validate_json(record.model_dump_json()) == record
    with pytest.raises(ValidationError, match="frozen"):
        record.stage = "t"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        StageRecord.model_validate({**record.model_dump(), "more": 1})


def test_an_unknown_file_is_an_integrity_error(record: StageRecord) -> None:
    """Asking for a file the stage did not make says which it made."""
    assert record.file("sub/b.txt").size == 1
    with pytest.raises(IntegrityError, match=r"a\.txt, sub/b\.txt"):
        record.file("c.txt")
