"""What a Hub stand-in is started with."""

from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where the server keeps its state and how it splits uploads.

    Attributes:
        root: Folder of the database, the blobs and the Xet chunks; made when missing.
        host: Address to listen on.
        port: TCP port to listen on, 1 to 65535.
        content_host: Another name of the same address, for links to content; empty on the
            loopback, which has two.
        token_file: JSON file that maps tokens to users; without it one default token is accepted.
        xet: Offer the Xet transfer beside LFS.
        lfs_threshold: Files above this many bytes are stored through LFS whatever their name.
        multipart_threshold: LFS files above this many bytes are uploaded in parts.
        part_size: Bytes per uploaded part, the last one excepted.
        log_file: One JSON line per request is appended here, if given.
    """

    root: Path
    host: str = "127.0.0.1"
    port: int
    content_host: str = ""
    token_file: Path | None = None
    xet: bool = False
    lfs_threshold: int = 10 * MIB
    multipart_threshold: int = 64 * MIB
    part_size: int = 16 * MIB
    log_file: Path | None = None
