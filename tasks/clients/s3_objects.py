"""Addresses of S3 objects, and the digests by which an object is known to be a file."""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

from awscrt.checksums import crc64nvme

from tasks.core.errors import StoreError

CHUNK = 1 << 24
CRC_BYTES = 8


@dataclass(frozen=True)
class Address:
    """`s3://bucket/key`."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Split an address.

        Raises:
            StoreError: it is no S3 address.
        """
        scheme, _, rest = uri.partition("://")
        bucket, _, key = rest.partition("/")
        if scheme != "s3" or not bucket:
            raise StoreError(
                f"{uri!r} is no S3 address",
                expected="s3://bucket/prefix",
                remedy="mend the address (ROUNDHOUSE_ARCHIVE for releases)",
            )
        return cls(bucket, key.strip("/"))

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class Digests:
    """What tells one content from another.

    Attributes:
        size: bytes.
        sha256: hex; empty where the object was not written by us.
        crc64nvme: CRC-64/NVME of the whole object, base64 as S3 spells it; the server computes it
            too, over what it received, and refuses an object whose sum differs.
    """

    size: int
    sha256: str
    crc64nvme: str

    @classmethod
    def of(cls, pieces: Iterable[bytes]) -> Self:
        """Of the bytes in all pieces, read once."""
        size, crc, sha = 0, 0, hashlib.sha256()
        for piece in pieces:
            size += len(piece)
            crc = crc64nvme(piece, crc)
            sha.update(piece)
        return cls(size, sha.hexdigest(), base64.b64encode(crc.to_bytes(CRC_BYTES)).decode())

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """Of a file, read once."""
        with path.open("rb") as stream:
            return cls.of(iter(partial(stream.read, CHUNK), b""))
