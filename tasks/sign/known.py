"""Lets model-signing sign digests that are known, in place of reading all files once more."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model_signing import hashing, manifest
from model_signing._hashing.hashing import Digest

from tasks.core.published import SIGNATURE

IGNORED = (SIGNATURE, ".git", ".gitattributes", ".github", ".gitignore")
"""As model-signing writes them itself for a signature inside the folder."""


class Known(hashing.Config):
    """A hashing configuration that hashes nothing.

    Args:
        name: of the model.
        files: sha256 of each file, by path.
    """

    def __init__(self, name: str, files: Mapping[str, str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        kind = manifest.SerializationType.from_args(
            {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": [Path(path) for path in IGNORED],
            }
        )
        items = [
            kind.new_item(path, Digest("sha256", bytes.fromhex(sha256)))
            for path, sha256 in files.items()
        ]
        self._manifest = manifest.Manifest(name, items, kind)

    def hash(self, *_: Any, **__: Any) -> manifest.Manifest:
        """The manifest of the known files."""
        return self._manifest
