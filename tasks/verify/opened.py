"""The files of the release itself, wherever an address says that it lies."""

from pathlib import Path

from tasks.core.archived import MANIFEST, Manifest
from tasks.verify.places import Checkpoint, Folder, HubCommit, Objects, Place
from tasks.verify.verify import HUB, S3, Verify


def opened(verify: Verify, address: str) -> Place:
    """Where the files of a release are read from, once its address was verified.

    Args:
        verify: has the Hub and the store.
        address: as `Verify` takes it, and found good by it.

    Raises:
        IntegrityError: an archive's manifest cannot be read.
        TransientError: a server did not answer.
    """
    if address.startswith(HUB):
        repo, _, revision = address.removeprefix(HUB).partition("@")
        return HubCommit(verify.hub, repo, verify.hub.resolve(repo, revision or "main"))
    if address.startswith(S3):
        uri = address.rstrip("/")
        manifest = Manifest.parse(verify.store.read(f"{uri}/{MANIFEST}"), MANIFEST)
        objects = Objects(verify.store, uri, manifest, deep=verify.deep)
        return Checkpoint(objects, manifest, set())
    folder = Path(address)
    if not (folder / MANIFEST).is_file():
        return Folder(folder)
    manifest = Manifest.parse((folder / MANIFEST).read_bytes(), MANIFEST)
    return Checkpoint(Folder(folder), manifest, set())
