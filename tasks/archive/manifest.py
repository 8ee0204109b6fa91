"""The archive's table of contents, `manifest.json`: written last, read first."""

from typing import Literal, Self

from pydantic import ValidationError, model_validator

from tasks.clients.s3 import Store
from tasks.core.errors import IntegrityError, StoreError
from tasks.core.manifest import FileRecord, Frozen

MANIFEST = "manifest.json"
CHECKPOINT = "checkpoint/"


class ArchivedFile(FileRecord):
    """One file; `crc64nvme` is what S3 itself computed over the object, base64."""

    crc64nvme: str


class Origin(Frozen):
    """Where the release came from and where it is published.

    Attributes:
        release_id: name of the release.
        base: repository of the base.
        base_commit: its commit.
        repo: repository of the release.
        commit: its commit on the Hub.
        tag: its tag on the Hub.
        url: its page.
    """

    release_id: str
    base: str
    base_commit: str
    repo: str
    commit: str
    tag: str
    url: str


class Manifest(Frozen):
    """All files of one archived release; an archive without it is not whole.

    Attributes:
        format: of this file.
        origin: of the release.
        files: sorted by path.
    """

    format: Literal[1] = 1
    origin: Origin
    files: tuple[ArchivedFile, ...]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len({file.path for file in self.files}) != len(self.files):
            msg = "a path that stands twice"
            raise ValueError(msg)
        return self

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def to_json(self) -> bytes:
        """The bytes of `manifest.json`."""
        return (self.model_dump_json(indent=2) + "\n").encode()


def is_shard(path: str) -> bool:
    """Whether a file of the archive holds weights of the release."""
    return path.startswith(CHECKPOINT) and path.endswith(".safetensors")


def find_manifest(uri: str, store: Store) -> Manifest | None:
    """The manifest of an archive, or None where there is none.

    Raises:
        IntegrityError: it is no manifest, or names a path outside the archive.
        StoreError, StoreUnavailable: S3 refused or did not answer.
    """
    address = f"{uri.rstrip('/')}/{MANIFEST}"
    data = store.find(address)
    if data is None:
        return None
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        raise IntegrityError(
            f"{address} is no manifest of an archived release",
            found="; ".join(f"{e['loc']}: {e['msg']}" for e in error.errors(include_url=False)),
            remedy="take the archive from another copy; nothing was read beyond the manifest",
        ) from None


def read_manifest(uri: str, store: Store) -> Manifest:
    """The manifest of an archive.

    Raises:
        StoreError: there is no whole archive at the address.
        IntegrityError: as `find_manifest`.
    """
    manifest = find_manifest(uri, store)
    if manifest is None:
        raise StoreError(
            f"there is no whole archive at {uri}",
            expected=f"{MANIFEST}, which is written last",
            remedy="name the folder of one release: s3://bucket/prefix/owner/name/release-id",
        )
    return manifest
