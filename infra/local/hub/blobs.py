"""File contents, each stored once under its SHA-256."""

import hashlib
import os
import shutil
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

from .errors import bad_request


class BlobStore:
    """A folder of immutable files; one is visible only when it is whole and on the disk."""

    def __init__(self, root: Path) -> None:
        self._blobs, self._incoming = root / "blobs", root / "incoming"
        # what a killed server left half-received is of no use to anyone
        shutil.rmtree(self._incoming, ignore_errors=True)
        self._incoming.mkdir(parents=True)
        self._blobs.mkdir(exist_ok=True)

    def path(self, sha256: str) -> Path:
        """Where the content with this SHA-256 (hex) lies, if it does."""
        return self._blobs / sha256[:2] / sha256

    def size(self, sha256: str) -> int | None:
        """Bytes of a stored content, None when it is not stored."""
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError:
            return None

    def receive(self) -> "Incoming":
        """Begin to receive a content; use it as a context manager."""
        return Incoming(self, self._incoming / uuid.uuid4().hex)

    def put(self, content: bytes, sha256: str) -> None:
        """Store ``content``, whose SHA-256 the caller knows."""
        if self.size(sha256) is None:
            with self.receive() as incoming:
                incoming.write(content)
                incoming.keep(sha256)

    def staging(self, upload: str) -> Path:
        """Folder for the parts of a multipart upload, made when missing."""
        folder = self._incoming / upload
        folder.mkdir(exist_ok=True)
        return folder


class Incoming:
    """A content on its way in: write it, then keep it; what is not kept is dropped."""

    def __init__(self, store: BlobStore, path: Path) -> None:
        self._store, self.path = store, path
        self._file = path.open("wb")
        self._hash = hashlib.sha256()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        """Append ``chunk``."""
        self._hash.update(chunk)
        self._file.write(chunk)

    def keep(self, sha256: str) -> None:
        """Make the content visible under ``sha256``.

        Raises:
            HubError: 400 when the bytes received hash to something else.
        """
        if self._hash.hexdigest() != sha256:
            raise bad_request(
                f"The content's SHA-256 is {self._hash.hexdigest()}, announced was {sha256}."
            )
        self._file.flush()
        os.fsync(self._file.fileno())
        target = self._store.path(sha256)
        target.parent.mkdir(exist_ok=True)
        self.path.replace(target)
        sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Put a folder's entries on the disk, so that a rename in it survives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
