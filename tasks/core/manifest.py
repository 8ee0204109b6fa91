"""The small frozen records that travel between stages: what was made, where, from what.

A record names every file with its size and sha256, so a stage can trust what it is handed, and a
finished stage can be verified instead of repeated. Never tensors.
"""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, field_validator

from tasks.core.digest import sha256_file, sha256_json
from tasks.core.errors import IntegrityError


class Frozen(BaseModel):
    """A value that never changes and has no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FileRecord(Frozen):
    """One file: path inside its folder (posix), size in bytes, sha256 in hex."""

    path: str
    size: int
    sha256: str

    @field_validator("path")
    @classmethod
    def _inside(cls, path: str) -> str:
        pure = PurePosixPath(path)
        odd = "\\" in path or not path.isprintable()  # zero bytes and line ends among them
        if pure.is_absolute() or ".." in pure.parts or odd or not pure.parts:
            msg = f"path must stay inside its folder, found {path!r}"
            raise ValueError(msg)
        return path

    @classmethod
    def of(cls, folder: Path, path: Path) -> Self:
        """Read and hash the file at `path`, named relative to `folder`."""
        return cls(
            path=path.relative_to(folder).as_posix(),
            size=path.stat().st_size,
            sha256=sha256_file(path),
        )


class StageRecord(Frozen):
    """What one stage made. Each stage's own record adds typed facts.

    Attributes:
        stage: name of the stage.
        folder: absolute path of the folder that holds the files.
        files: every file of the folder.
        inputs: digests of what the stage was made from, by name.
        seconds: how long the making took.
    """

    stage: str
    folder: str
    files: tuple[FileRecord, ...]
    inputs: dict[str, str]
    seconds: float

    @property
    def path(self) -> Path:
        """The folder as a path."""
        return Path(self.folder)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def digest(self) -> str:
        """Digest of what was made: files and their content, not where or how fast."""
        content: dict[str, Any] = {
            "stage": self.stage,
            "files": [(f.path, f.sha256) for f in sorted(self.files, key=lambda f: f.path)],
            "inputs": self.inputs,
        }
        return sha256_json(content)

    def file(self, path: str) -> FileRecord:
        """The record of one file.

        Raises:
            IntegrityError: the stage made no such file.
        """
        for file in self.files:
            if file.path == path:
                return file
        raise IntegrityError(
            f"the record of stage {self.stage} has no file {path}",
            found=", ".join(f.path for f in self.files),
        )

    def verify(self, *, deep: bool = True) -> None:
        """Compare the folder with the record: nothing missing, extra or changed.

        Args:
            deep: also compare sha256, not sizes alone.

        Raises:
            IntegrityError: names the first file that differs.
        """
        present = set(relative_files(self.path))
        recorded = {file.path for file in self.files}
        if present != recorded:
            raise IntegrityError(
                f"the files of stage {self.stage} are not those that were recorded",
                expected=f"{len(recorded)} files in {self.folder}",
                found=f"missing {sorted(recorded - present)}, extra {sorted(present - recorded)}",
                remedy="delete the stage's folder; the next run makes it again",
            )
        for file in self.files:
            verify_file(self.path, file, deep=deep)


def verify_file(folder: Path, file: FileRecord, *, deep: bool = True) -> None:
    """Compare one file with its record.

    Raises:
        IntegrityError: the size or (where `deep`) the sha256 differs.
    """
    path = folder / file.path
    size = path.stat().st_size if path.is_file() else -1
    if size != file.size:
        raise IntegrityError(
            f"{path} is truncated or changed",
            expected=f"{file.size} bytes",
            found=f"{size} bytes" if size >= 0 else "no file",
        )
    if deep and (found := sha256_file(path)) != file.sha256:
        raise IntegrityError(
            f"{path} has other bytes than recorded", expected=f"sha256 {file.sha256}", found=found
        )


def relative_files(folder: Path) -> Iterable[str]:
    """Posix paths of all files below `folder`, sorted."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
