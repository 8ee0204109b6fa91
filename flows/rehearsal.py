"""A restore as in an emergency: the newest release comes back from the archive alone."""

import shutil
import time
from pathlib import Path

from tasks.archive.newest import newest
from tasks.archive.restore import restore
from tasks.clients.hub import Hub
from tasks.clients.s3 import Store
from tasks.core.errors import IntegrityError
from tasks.core.manifest import Frozen
from tasks.core.progress import Reporter
from tasks.core.settings import Settings
from tasks.core.workspace_lock import locked
from tasks.sign.signer import Verifier
from tasks.verify.verify import Verify

FOLDER = "rehearsal"


class Rehearsed(Frozen):
    """A release that was brought back, is what was signed, and was removed again.

    Attributes:
        archive: its address.
        release_id: its name.
        files: how many there were.
        size: of all files, bytes.
        key: fingerprint of the key that signed it; empty where digests alone were compared.
        seconds: to bring and to verify it.
    """

    archive: str
    release_id: str
    files: int
    size: int
    key: str
    seconds: float


def rehearse(
    settings: Settings, verifier: Verifier | None, reporter: Reporter, archived: str = ""
) -> Rehearsed:
    """Restore a release to scratch below the home, verify every file, and remove it.

    What a killed attempt brought is taken up by the next. A restored release that is not what was
    signed stays there, for whoever is to look at it.

    Args:
        settings: name the archive and the home.
        verifier: with the public key; None compares digests alone.
        reporter: told of bytes read and files compared.
        archived: address of the release; the newest below `settings.archive` where empty.

    Raises:
        InputError: nothing is archived.
        ResourceError: the disk is too small.
        IntegrityError: it is not what was archived, or not what was signed.
        StoreError, StoreUnavailable: S3 refused or did not answer.
    """
    started = time.monotonic()
    store = Store.from_settings(settings)
    archived = archived or newest(settings.archive, store)
    scratch = settings.home / FOLDER
    with locked(settings.home / f"{FOLDER}.lock"):
        folder = scratch / archived.rstrip("/").rpartition("/")[2]
        shutil.rmtree(folder, ignore_errors=True)
        manifest = restore(archived, folder, store, reporter)
        check = Verify(verifier, Hub.from_settings(settings), store, reporter)
        _verified(folder, archived, check)
        shutil.rmtree(scratch)
    return Rehearsed(
        archive=archived,
        release_id=manifest.origin.release_id,
        files=len(manifest.files),
        size=manifest.size,
        key=verifier.name if verifier else "",
        seconds=round(time.monotonic() - started, 1),
    )


def _verified(folder: Path, archived: str, check: Verify) -> None:
    found = check(str(folder))
    if not found.good:
        raise IntegrityError(
            f"{archived} was restored and is not what was signed",
            expected="every file as its signature says",
            found="; ".join(map(str, found.problems)),
            remedy=f"look at {folder}; take the archive from another copy",
        )
