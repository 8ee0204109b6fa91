"""Read the shard files that ``hf_xet`` writes beside the chunks.

A shard (MDB format, version 2) is a 48-byte header, then one block per file: a 48-byte head
(Xet hash, flags, number of segments), a 48-byte record per segment (xorb hash, flags, bytes, chunk
range), as many verification records if flagged, and a 48-byte metadata record (SHA-256) if flagged.
An all-ones hash ends the blocks.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_RECORD, _HASH = 48, 32
_END = b"\xff" * _HASH
_WITH_VERIFICATION, _WITH_METADATA = 1 << 31, 1 << 30
_SEGMENT_BYTES_AT = _HASH + 4


@dataclass(frozen=True, slots=True)
class ShardFile:
    """A file that a shard describes: hashes in hex, size in bytes."""

    sha256: str
    xet_hash: str
    size: int


def shard_files(shard: bytes) -> Iterator[ShardFile]:
    """Every file whose SHA-256 the shard records."""
    at = _RECORD
    while shard[at : at + _HASH] != _END:
        xet_hash = _hex(shard[at : at + _HASH])
        flags, segments = struct.unpack_from("<II", shard, at + _HASH)
        at += _RECORD
        sizes = [
            struct.unpack_from("<I", shard, at + number * _RECORD + _SEGMENT_BYTES_AT)[0]
            for number in range(segments)
        ]
        at += segments * _RECORD * (2 if flags & _WITH_VERIFICATION else 1)
        if flags & _WITH_METADATA:
            yield ShardFile(_hex(shard[at : at + _HASH]), xet_hash, sum(sizes))
            at += _RECORD


def _hex(raw: bytes) -> str:
    # four little-endian 64-bit words
    return "".join(raw[word : word + 8][::-1].hex() for word in range(0, _HASH, 8))
