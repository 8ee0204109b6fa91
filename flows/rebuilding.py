"""A release made again from its provenance, stage by stage on this machine, without Prefect."""

import time
from pathlib import Path

from flows.rebuild_line import Line
from tasks.clients.hub import Hub
from tasks.clients.s3 import Store
from tasks.core.digest import sha256_file
from tasks.core.errors import IntegrityError
from tasks.core.manifest import Frozen, relative_files
from tasks.core.progress import Reporter
from tasks.core.published import PROVENANCE, RECIPE
from tasks.core.recipe import Recipe
from tasks.core.settings import Settings
from tasks.rebuild.claim import Claim, read_claim, read_recipe
from tasks.rebuild.compare import Compared, compare_files
from tasks.rebuild.place import take
from tasks.sign.signer import Verifier
from tasks.verify.verify import Verify


class Rebuilt(Frozen):
    """A release that was made again.

    Attributes:
        release: its name.
        checkpoint: folder of what was rebuilt.
        doubts: what is other about this machine than about that which made the release.
        files: every file of the model, compared.
        seconds: for all of it.
    """

    release: str
    checkpoint: str
    doubts: tuple[str, ...]
    files: tuple[Compared, ...]
    seconds: float


def rebuild(
    address: str, folder: Path, settings: Settings, verifier: Verifier, reporter: Reporter
) -> Rebuilt:
    """Verify a release, make its weights again from what its provenance names, and compare.

    Args:
        address: of the release, as `roundhouse verify` takes it.
        folder: takes workspace and checkpoint; empty, missing, or left by a rebuild of this release
            that was interrupted.
        settings: name Hub and S3.
        verifier: with the public key.
        reporter: told how far it is.

    Raises:
        IntegrityError: the release is not what was signed, or base or data are not what they were.
        CheckFailed: the calibration set is another; nothing was quantized then.
        InputError: the folder holds something else, or the release took another one's weights.
        MachineError: this machine is too small.
        TransientError: a server did not answer; the same call goes on from there.
    """
    started = time.monotonic()
    hub = Hub.from_settings(settings)
    verify = Verify(verifier, hub, Store.from_settings(settings), reporter)
    claim, recipe = _claimed(address, verify, verifier)
    take(folder, claim)
    line = Line(claim, recipe, hub, settings, folder.resolve(), reporter)
    planned, doubted = line.plan()
    downloaded = line.download(planned)
    checkpoint = line.repaired(downloaded, line.converted(planned, downloaded))
    reporter.note("comparing every file of the model")
    found = {path: sha256_file(checkpoint / path) for path in relative_files(checkpoint)}
    return Rebuilt(
        release=claim.release,
        checkpoint=str(checkpoint),
        doubts=doubted,
        files=compare_files(claim.files, found),
        seconds=round(time.monotonic() - started, 1),
    )


def _claimed(address: str, verify: Verify, verifier: Verifier) -> tuple[Claim, Recipe]:
    found, release = verify.examine(address)
    if release is None or not found.good:
        raise IntegrityError(
            f"{address} is not what was published",
            expected="every file as its signature says",
            found="; ".join(map(str, found.problems)),
            remedy="take the release from elsewhere; nothing was rebuilt",
        )
    claim = read_claim(verifier.statement(release.read(PROVENANCE), PROVENANCE))
    return claim, read_recipe(release.read(RECIPE), claim)
