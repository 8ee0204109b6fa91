"""Where a release lies: a folder, a commit on the Hub, an archive in S3.

A place says what files it has, gives small ones, and tells whether a file has a digest, without
bringing the weights where the server keeps digests of them.
"""

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Protocol

from tasks.clients.hub import Hub
from tasks.clients.hub_files import HubFile
from tasks.clients.s3 import Store
from tasks.clients.s3_objects import Digests
from tasks.core.archived import CHECKPOINT, ArchivedFile, Manifest
from tasks.core.digest import sha256_file
from tasks.core.errors import IntegrityError
from tasks.core.manifest import relative_files
from tasks.verify.found import Problem

CACHE = ".cache/"
"""What the Hub's client leaves in a folder it downloads to."""
OTHER = "it has other bytes than were signed"


class Place(Protocol):
    """Somewhere a release lies."""

    @property
    def name(self) -> str:
        """What to call it."""

    def paths(self) -> set[str]:
        """Every file."""

    def read(self, path: str) -> bytes:
        """A small file's bytes."""

    def differs(self, path: str, sha256: str) -> str:
        """How a file that is there differs from a digest; empty where it does not."""


class Folder:
    """A folder on this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = str(folder)

    def paths(self) -> set[str]:
        """Every file, but the Hub client's cache."""
        return {path for path in relative_files(self.folder) if not path.startswith(CACHE)}

    def read(self, path: str) -> bytes:
        """The file's bytes."""
        return (self.folder / path).read_bytes()

    def differs(self, path: str, sha256: str) -> str:
        """Reads the file."""
        return "" if sha256_file(self.folder / path) == sha256 else OTHER


class HubCommit:
    """A commit on the Hub; of LFS files its digests are taken, others are read."""

    def __init__(self, hub: Hub, repo: str, commit: str) -> None:
        self._hub, self._repo, self._commit = hub, repo, commit
        self.name = f"{repo}@{commit[:12]}"

    @cached_property
    def _files(self) -> dict[str, HubFile]:
        return {file.path: file for file in self._hub.files(self._repo, self._commit)}

    def paths(self) -> set[str]:
        """Every file."""
        return set(self._files)

    def read(self, path: str) -> bytes:
        """The file's bytes."""
        return self._hub.read_small(self._repo, self._commit, path)

    def differs(self, path: str, sha256: str) -> str:
        """Compares the LFS digest, or reads a file that has none."""
        found = self._files[path].sha256 or hashlib.sha256(self.read(path)).hexdigest()
        return "" if found == sha256 else OTHER


class Objects:
    """An archive in S3; the checksums that S3 keeps are taken, objects without one are read.

    Args:
        store: where it lies.
        uri: its address.
        manifest: names each object's size and checksum.
        deep: read every object, since a checksum that is kept says what was received, and is no
            match for somebody who can write objects.
    """

    def __init__(self, store: Store, uri: str, manifest: Manifest, *, deep: bool) -> None:
        self._store, self.name, self._deep = store, uri.rstrip("/"), deep
        self._files = {file.path: file for file in manifest.files}

    def paths(self) -> set[str]:
        """Every object."""
        return {path for path, _ in self._store.list(self.name)}

    def read(self, path: str) -> bytes:
        """The object's bytes."""
        return self._store.read(f"{self.name}/{path}")

    def differs(self, path: str, sha256: str) -> str:
        """Compares size and checksum with the manifest, or reads the object."""
        address, file = f"{self.name}/{path}", self._files[path]
        there = self._store.head(address)
        if there is None:
            return "it is missing"
        if there.size != file.size:
            return f"it has {there.size} bytes, not {file.size}"
        if there.crc64nvme and there.crc64nvme != file.crc64nvme:
            return f"{OTHER} (S3's own checksum differs)"
        if self._deep or not there.crc64nvme:
            return "" if Digests.of(self._store.stream(address)).sha256 == sha256 else OTHER
        return ""


class Checkpoint:
    """The release within an archive, whose files were compared with the manifest already.

    Args:
        archive: where it lies.
        manifest: of the archive.
        wrong: paths in the archive that were found not to be what the manifest says.
    """

    def __init__(self, archive: Place, manifest: Manifest, wrong: set[str]) -> None:
        self._archive = archive
        self._wrong = wrong
        self.name = f"{archive.name}/{CHECKPOINT.rstrip('/')}"
        self._files: dict[str, ArchivedFile] = {
            file.path.removeprefix(CHECKPOINT): file
            for file in manifest.files
            if file.path.startswith(CHECKPOINT)
        }

    def paths(self) -> set[str]:
        """Every file that the manifest names."""
        return set(self._files)

    def read(self, path: str) -> bytes:
        """The file's bytes.

        Raises:
            IntegrityError: they are known to be wrong.
        """
        if f"{CHECKPOINT}{path}" in self._wrong:
            raise IntegrityError(OTHER)
        return self._archive.read(f"{CHECKPOINT}{path}")

    def differs(self, path: str, sha256: str) -> str:
        """Compares digests alone."""
        return "" if self._files[path].sha256 == sha256 else OTHER

    def outward(self, problem: Problem) -> Problem:
        """A problem with a file of the release as one of the archive."""
        return problem.model_copy(update={"path": f"{CHECKPOINT}{problem.path}"})
