"""A file of the Hub and how it is verified."""

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tasks.core.digest import sha256_file
from tasks.core.errors import IntegrityError

CHUNK = 1 << 20


@dataclass(frozen=True)
class HubFile:
    """One file of a commit.

    Attributes:
        path: posix path in the repository.
        size: bytes.
        sha256: of an LFS file's bytes; empty for a file that git holds itself.
        blob_id: git's object id; for an LFS file that of its pointer.

    Raises:
        IntegrityError: the path leads out of the repository.
    """

    path: str
    size: int
    sha256: str
    blob_id: str

    def __post_init__(self) -> None:
        path = PurePosixPath(self.path)
        if path.is_absolute() or ".." in path.parts or not self.path.isprintable():
            raise IntegrityError(f"the Hub lists a file outside its repository: {self.path!r}")

    @property
    def content_id(self) -> str:
        """Digest of the file's bytes: sha256 where the Hub knows it, else git's object id."""
        return self.sha256 or self.blob_id

    def verify(self, path: Path) -> None:
        """Compare a local file with what the Hub says of it.

        Raises:
            IntegrityError: missing, of another size, or of other bytes.
        """
        size = path.stat().st_size if path.is_file() else -1
        if size != self.size:
            raise IntegrityError(
                f"{path} is truncated or changed",
                expected=f"{self.size} bytes",
                found=f"{size} bytes" if size >= 0 else "no file",
                remedy="run again: the file is downloaded anew",
            )
        found = sha256_file(path) if self.sha256 else git_blob_id(path)
        if found != self.content_id:
            raise IntegrityError(
                f"{path} is not the file that the Hub has",
                expected=f"{'sha256' if self.sha256 else 'git blob'} {self.content_id}",
                found=found,
                remedy="run again: the file is downloaded anew",
            )


def git_blob_id(path: Path) -> str:
    """Git's object id of a file: the sha1 of `blob <size>`, a zero byte, and the bytes."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as stream:
        while piece := stream.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()
