"""What the Hub stand-in remembers, as plain records."""

from dataclasses import dataclass
from typing import Literal

Gate = Literal["auto", "manual"] | None
KINDS = ("models", "datasets", "spaces")


@dataclass(frozen=True, slots=True)
class File:
    """One file of a revision.

    Attributes:
        size: Bytes of the content.
        oid: Git blob id (SHA-1, hex) of the content, or of its pointer for an LFS file.
        sha256: SHA-256 of the content (hex), its key in the blob store.
        lfs: Stored through LFS or Xet.
    """

    size: int
    oid: str
    sha256: str
    lfs: bool


Manifest = dict[str, File]


@dataclass(frozen=True, slots=True)
class Repo:
    """A repository: its row id, kind (one of KINDS), ``namespace/name`` and settings."""

    key: int
    kind: str
    id: str
    private: bool
    gated: Gate
    created_at: str
    modified_at: str

    @property
    def namespace(self) -> str:
        """The user or organisation that owns it."""
        return self.id.split("/")[0]

    @property
    def path(self) -> str:
        """Its path in URLs of the website: models have no prefix."""
        return self.id if self.kind == "models" else f"{self.kind}/{self.id}"


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit: git ids in hex, text, author's user name, ISO 8601 date in UTC."""

    sha: str
    parent: str | None
    tree: str
    title: str
    message: str
    author: str
    date: str


@dataclass(frozen=True, slots=True)
class Ref:
    """A named pointer to a commit; ``kind`` is ``branch`` or ``tag``."""

    kind: Literal["branch", "tag"]
    name: str
    sha: str
