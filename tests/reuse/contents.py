"""What lies in a folder."""

from pathlib import Path

from tasks.core.manifest import relative_files


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of each file, by its path in the folder."""
    return {name: (folder / name).read_bytes() for name in relative_files(folder)}
