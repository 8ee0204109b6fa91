"""Bring an archived release back."""

import shutil
from pathlib import Path

from tasks.archive.counting import Counting
from tasks.archive.manifest import read_manifest
from tasks.clients.s3 import Store
from tasks.core.archived import MANIFEST, ArchivedFile, Manifest
from tasks.core.errors import InputError, IntegrityError, ResourceError
from tasks.core.manifest import relative_files, verify_file
from tasks.core.progress import Reporter


def restore(uri: str, folder: Path, store: Store, reporter: Reporter) -> Manifest:
    """Bring a whole archive into a new folder, each file verified by its sha256.

    Work happens in `<folder>.partial`, where a later attempt finds what is there already; the
    folder appears when it is whole.

    Args:
        uri: folder of the release in S3.
        folder: where to; must not exist.
        store: where from.
        reporter: told of bytes read.

    Raises:
        InputError: the folder exists already.
        ResourceError: the disk is too small.
        IntegrityError: an object has other bytes than the manifest says, or the manifest is broken.
        StoreError, StoreUnavailable: there is no archive, S3 refused or did not answer.
    """
    folder = folder.absolute()
    if folder.exists():
        raise InputError(f"{folder} exists already", remedy="name a new folder, or delete this one")
    manifest = read_manifest(uri, store)
    partial = folder.with_name(f"{folder.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    wanted = [file for file in manifest.files if not _restored(partial, file)]
    missing = sum(file.size for file in wanted)
    _fits(partial, missing)
    counting = Counting(reporter, "restoring", manifest.size, manifest.size - missing)
    for file in wanted:
        store.get_file(
            f"{uri.rstrip('/')}/{file.path}",
            partial / file.path,
            sha256=file.sha256,
            advance=counting.of(file.path),
        )
    (partial / MANIFEST).write_bytes(manifest.to_json())
    _nothing_else(partial, manifest)
    partial.rename(folder)
    reporter.note(f"restored {len(manifest.files)} files to {folder}")
    return manifest


def _paths(manifest: Manifest) -> set[str]:
    return {file.path for file in manifest.files} | {MANIFEST}


def _restored(partial: Path, file: ArchivedFile) -> bool:
    try:
        verify_file(partial, file)
    except IntegrityError:
        return False
    return True


def _fits(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ResourceError(
            f"the disk of {folder} is too small",
            expected=f"{needed} bytes free",
            found=f"{free} bytes free",
            remedy="make room, or restore to another disk",
        )


def _nothing_else(partial: Path, manifest: Manifest) -> None:
    """Leftovers of another restore must not become part of this one."""
    for path in set(relative_files(partial)) - _paths(manifest):
        (partial / path).unlink()
