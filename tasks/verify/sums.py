"""The list of digests in a release, as `sha256sum` writes and reads it."""

import re

from pydantic import ValidationError

from tasks.core.errors import IntegrityError
from tasks.core.manifest import FileRecord

LINE = re.compile(r"([0-9a-f]{64})  ([^\r\n]+)")


def parse_sums(data: bytes) -> dict[str, str]:
    """The sha256 of each file, by path.

    Raises:
        IntegrityError: a line is none, leads out of the folder, or names a file again.
    """
    lines = data.decode(errors="replace").removesuffix("\n").split("\n")
    files = [_file(line) for line in lines]
    found = {file.path: file.sha256 for file in files}
    if len(found) != len(files):
        raise IntegrityError("a file is named twice")
    return found


def _file(line: str) -> FileRecord:
    parts = LINE.fullmatch(line)
    try:
        sha256, path = parts.groups() if parts else ("", "")
        return FileRecord(path=path, size=0, sha256=sha256)
    except ValidationError:
        raise IntegrityError("a line is broken", found=repr(line[:200])) from None
