"""Which archived release is the newest."""

from tasks.clients.s3 import Store
from tasks.core.archived import MANIFEST
from tasks.core.errors import InputError

LEVELS = 4
"""owner / name / release / manifest.json"""


def newest(archive: str, store: Store) -> str:
    """Address of the release below `archive` whose manifest, the last thing written, is the newest.

    Raises:
        InputError: no release is archived there.
        StoreError, StoreUnavailable: S3 refused or did not answer.
    """
    archive = archive.rstrip("/")
    whole = [
        (written, path)
        for path, written in store.written(archive)
        if path.endswith(f"/{MANIFEST}") and len(path.split("/")) == LEVELS
    ]
    if not whole:
        raise InputError(
            f"no release is archived below {archive}",
            expected=f"owner/name/release/{MANIFEST}",
            remedy="archive a release first, or set ROUNDHOUSE_ARCHIVE to where releases are",
        )
    return f"{archive}/{max(whole)[1].removesuffix(f'/{MANIFEST}')}"
