"""Publish a release from its archive alone: the same files, under the same name and tag."""

from pathlib import Path

from tasks.clients.hub import Hub
from tasks.core.archived import CHECKPOINT, MANIFEST, Manifest
from tasks.core.progress import Reporter
from tasks.core.published import BOM
from tasks.upload.confined import is_confined
from tasks.upload.publish import Publication, describe, publish


def republish(folder: Path, *, hub: Hub, private: bool, reporter: Reporter) -> str:
    """Put a restored release on the Hub where it stood; gives the commit.

    Args:
        folder: a restored archive, verified.
        hub: where the release goes.
        private: whether the repository, if it is made, is private.
        reporter: told of what is sent.

    Raises:
        IntegrityError: manifest or bill of materials is broken, or the Hub holds other files under
            the tag.
        TargetError, HubUnavailable: the Hub refused or did not answer, or the repository is public
            and the release's quality was not measured.
        TransientError: somebody committed meanwhile.
    """
    manifest = Manifest.parse((folder / MANIFEST).read_bytes(), str(folder / MANIFEST))
    files = {
        file.path.removeprefix(CHECKPOINT): file.sha256
        for file in manifest.files
        if file.path.startswith(CHECKPOINT)
    }
    origin = manifest.origin
    publication = Publication(
        repo=origin.repo,
        tag=origin.tag,
        origin=describe(origin.base, origin.base_commit),
        paths={path: folder / CHECKPOINT / path for path in files},
        sha256=files,
        confined=is_confined((folder / CHECKPOINT / BOM).read_bytes()),
    )
    return publish(publication, hub, reporter, private=private)
