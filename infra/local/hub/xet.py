"""Xet transfer: clients write chunks straight into a folder, which is read at commit time.

``hf_xet`` takes a ``local://`` folder for its content-addressed store (CAS). It leaves shard files
there that map each file's SHA-256 to its Xet hash; a commit names the SHA-256 alone.
"""

import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path

import hf_xet

from .blobs import BlobStore
from .database import Database

# MDB shard format: a 48-byte header, then 48-byte records per file, ended by an all-ones hash
_HEADER, _RECORD, _HASH = 48, 48, 32
_END = b"\xff" * _HASH
_WITH_VERIFICATION, _WITH_METADATA = 1 << 31, 1 << 30
_READ_BYTES = 1 << 20


class XetStore:
    """The CAS folder."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._root.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        """The CAS address that clients are told."""
        return f"local://{self._root}"

    def hash_of(self, db: sqlite3.Connection, sha256: str) -> str | None:
        """Xet hash of a content that came through Xet, None for any other."""
        row = db.execute("SELECT hash FROM xet WHERE sha256 = ?", (sha256,)).fetchone()
        return row["hash"] if row else None

    def hashes(self, db: sqlite3.Connection) -> dict[str, str]:
        """Xet hash of every content that came through Xet, by SHA-256."""
        return {row["sha256"]: row["hash"] for row in db.execute("SELECT * FROM xet")}

    def bring(self, sha256: str, database: Database, blobs: BlobStore) -> None:
        """Copy a content from the chunks into the blob store; nothing happens if it is not there.

        Plain downloads need the bytes, and the copy proves that the chunks hash to ``sha256``.

        Raises:
            HubError: 400 when they hash to something else.
        """
        found = self._find(sha256)
        if found is None:
            return
        with blobs.receive() as incoming:
            for piece in self._content(found, incoming.path.with_suffix(".xet")):
                incoming.write(piece)
            incoming.keep(sha256)
        with database.write() as db:
            db.execute("INSERT OR REPLACE INTO xet VALUES (?, ?)", (sha256, found.hash))

    def _content(self, file: hf_xet.XetFileInfo, scratch: Path) -> Iterator[bytes]:
        try:
            with hf_xet.XetSession().new_file_download_group(endpoint=self.url) as group:
                group.start_download_file(file, str(scratch))
            with scratch.open("rb") as whole:
                while piece := whole.read(_READ_BYTES):
                    yield piece
        finally:
            scratch.unlink(missing_ok=True)

    def _find(self, sha256: str) -> hf_xet.XetFileInfo | None:
        for shard in self._root.glob("xet/xorbs/shards/*.mdb"):
            for known, info in _shard_files(shard.read_bytes()):
                if known == sha256:
                    return info
        return None


def _shard_files(shard: bytes) -> Iterator[tuple[str, hf_xet.XetFileInfo]]:
    """SHA-256 and Xet identity of every file in a shard that records the former."""
    at = _HEADER
    while shard[at : at + _HASH] != _END:
        xet_hash = _hex(shard[at : at + _HASH])
        flags, segments = struct.unpack_from("<II", shard, at + _HASH)
        at += _RECORD
        # a segment record: CAS hash, flags, then its unpacked bytes as the 2nd of four words
        sizes = [struct.unpack_from("<I", shard, at + n * _RECORD + 36)[0] for n in range(segments)]
        at += segments * _RECORD * (2 if flags & _WITH_VERIFICATION else 1)
        if flags & _WITH_METADATA:
            yield _hex(shard[at : at + _HASH]), hf_xet.XetFileInfo(xet_hash, sum(sizes))
            at += _RECORD


def _hex(raw: bytes) -> str:
    # four little-endian 64-bit words
    return "".join(raw[n : n + 8][::-1].hex() for n in range(0, _HASH, 8))
