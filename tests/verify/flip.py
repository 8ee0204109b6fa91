"""One bit changed somewhere in a file, at a place that the file's name decides."""

import hashlib


def flipped(path: str, data: bytes) -> bytes:
    """The data with one bit changed; of an empty file, one byte added.

    Any byte can be hit, the first and the last too, and the same one whenever the tests run.

    Args:
        path: of the file; its digest chooses byte and bit.
        data: what the file holds.
    """
    if not data:
        return b"x"
    digest = hashlib.sha256(path.encode()).digest()
    at, bit = int.from_bytes(digest[1:9]) % len(data), digest[0] % 8
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
