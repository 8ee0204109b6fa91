"""Verify a release on this machine: a restored archive, or a download of the Hub's repository."""

import re
from pathlib import Path

from pydantic import ValidationError

from tasks.archive.manifest import MANIFEST, Manifest
from tasks.core.errors import InputError, IntegrityError
from tasks.core.manifest import FileRecord, relative_files, verify_file
from tasks.core.progress import Reporter

SUMS = "roundhouse/SHA256SUMS"
LINE = re.compile(r"([0-9a-f]{64})  (.+)")
HUB_OWN = (".cache/", ".gitattributes", ".git/")
"""What the Hub and its client add to a download."""
SHOWN = 5


def verify_folder(folder: Path, reporter: Reporter) -> int:
    """Compare a folder with the list of digests in it; returns how many files that names.

    Args:
        folder: with `manifest.json` (restored) or `roundhouse/SHA256SUMS` (from the Hub).
        reporter: told of files compared.

    Raises:
        InputError: there is no such list.
        IntegrityError: the list is broken, or files are missing, extra or changed: names them.
    """
    own, listed = _listed(folder)
    present = {path for path in relative_files(folder) if not path.startswith(HUB_OWN)}
    wrong = [f"{path} is extra" for path in sorted(present - {own, *(f.path for f in listed)})]
    for done, file in enumerate(listed):
        reporter.update(done / len(listed), f"verifying {file.path}")
        try:
            verify_file(folder, file)
        except IntegrityError as error:
            wrong.append(f"{file.path}: {error.found or error.what}")
    if wrong:
        more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise IntegrityError(
            f"{folder} is not the release that {own} lists",
            expected=f"the {len(listed)} files it lists, byte for byte",
            found="; ".join(wrong[:SHOWN]) + more,
            remedy="bring the named files anew",
        )
    return len(listed)


def _listed(folder: Path) -> tuple[str, list[FileRecord]]:
    """Name of the list, and the files it names; sizes of a list of sums are those found."""
    if (folder / MANIFEST).is_file():
        try:
            manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
        except ValidationError as error:
            raise IntegrityError(
                f"{folder / MANIFEST} is no manifest of a release", found=str(error)
            ) from None
        return MANIFEST, list(manifest.files)
    if (folder / SUMS).is_file():
        return SUMS, [_summed(folder, line) for line in (folder / SUMS).read_text().splitlines()]
    raise InputError(
        f"{folder} holds no list of digests",
        expected=f"{MANIFEST} of a restored archive, or {SUMS} of a release from the Hub",
        remedy="name the folder of a release",
    )


def _summed(folder: Path, line: str) -> FileRecord:
    parts = LINE.fullmatch(line)
    try:
        digest, path = parts.groups() if parts else ("", "")
        found = folder / path
        size = found.stat().st_size if path and found.is_file() else 0
        return FileRecord(path=path, size=size, sha256=digest)
    except ValidationError:
        raise IntegrityError(f"{folder / SUMS} has a broken line", found=repr(line)) from None
