"""Reading an archive's manifest from S3."""

from tasks.clients.s3 import Store
from tasks.core.archived import MANIFEST, Manifest
from tasks.core.errors import StoreError


def find_manifest(uri: str, store: Store) -> Manifest | None:
    """The manifest of an archive, or None where there is none.

    Raises:
        IntegrityError: it is no manifest, or names a path outside the archive.
        StoreError, StoreUnavailable: S3 refused or did not answer.
    """
    address = f"{uri.rstrip('/')}/{MANIFEST}"
    data = store.find(address)
    return None if data is None else Manifest.parse(data, address)


def read_manifest(uri: str, store: Store) -> Manifest:
    """The manifest of an archive.

    Raises:
        StoreError: there is no whole archive at the address.
        IntegrityError: as `find_manifest`.
    """
    manifest = find_manifest(uri, store)
    if manifest is None:
        raise StoreError(
            f"there is no whole archive at {uri}",
            expected=f"{MANIFEST}, which is written last",
            remedy="name the folder of one release: s3://bucket/prefix/owner/name/release-id",
        )
    return manifest
