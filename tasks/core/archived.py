"""The archive's table of contents, `manifest.json`: written last, read first."""

from typing import Literal, Self

from pydantic import ValidationError, model_validator

from tasks.core.digest import indented_json, sha256_json
from tasks.core.errors import IntegrityError
from tasks.core.manifest import FileRecord, Frozen
from tasks.core.published import WEIGHTS

MANIFEST = "manifest.json"
CHECKPOINT = "checkpoint/"
"""Prefix of the files that are the Hub's repository."""
SHOWN = 5


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
        signature: signed in-toto statement about the rest; empty in one that is not signed.
    """

    format: Literal[1] = 1
    origin: Origin
    files: tuple[ArchivedFile, ...]
    signature: str = ""

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

    @property
    def content_digest(self) -> str:
        """The sha256 of everything but the signature, in canonical JSON."""
        return sha256_json(self.model_dump(mode="json", exclude={"signature"}))

    def to_json(self) -> bytes:
        """The bytes of `manifest.json`."""
        return indented_json(self).encode()

    @classmethod
    def parse(cls, data: bytes, where: str) -> Self:
        """Read `manifest.json`.

        Args:
            data: its bytes.
            where: it lies, for messages.

        Raises:
            IntegrityError: it is no manifest, or names a path outside the archive.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            wrong = [f"{e['loc']}: {e['msg']}" for e in error.errors(include_url=False)]
            more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
            raise IntegrityError(
                f"{where} is no manifest of an archived release",
                found="; ".join(wrong[:SHOWN]) + more,
                remedy="take the archive from another copy; nothing was read beyond the manifest",
            ) from None


def is_shard(path: str) -> bool:
    """Whether a file of the archive holds weights of the release."""
    return path.startswith(CHECKPOINT) and path.endswith(WEIGHTS)
