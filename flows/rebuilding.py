"""A release made again from its provenance, stage by stage on this machine, without Prefect."""

import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tasks.calibrate import samples
from tasks.clients.hub import Hub
from tasks.clients.s3 import Store
from tasks.convert import convert
from tasks.core.digest import sha256_file
from tasks.core.errors import IntegrityError
from tasks.core.manifest import Frozen, relative_files
from tasks.core.progress import Reporter
from tasks.core.published import PROVENANCE, RECIPE
from tasks.core.recipe import Recipe
from tasks.core.records import ConvertRecord, DownloadRecord, PlanRecord
from tasks.core.settings import Settings
from tasks.core.versions import installed
from tasks.download import snapshot
from tasks.plan import plan
from tasks.quantize import launch
from tasks.rebuild.claim import Claim, read_claim, read_recipe
from tasks.rebuild.compare import (
    Compared,
    compare_files,
    doubts,
    refuse_other_base,
    refuse_other_calibration,
)
from tasks.rebuild.place import take
from tasks.repair.keep import keep
from tasks.sign.signer import Verifier
from tasks.verify.opened import opened
from tasks.verify.verify import Verify

HOME, REPAIRED = "workspace", "repaired"


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
    line = _Line(claim, recipe, hub, settings, folder.resolve(), reporter)
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
    found = verify(address)
    if not found.good:
        raise IntegrityError(
            f"{address} is not what was published",
            expected="every file as its signature says",
            found="; ".join(map(str, found.problems)),
            remedy="take the release from elsewhere; nothing was rebuilt",
        )
    place = opened(verify, address)
    claim = read_claim(verifier.statement(place.read(PROVENANCE), PROVENANCE))
    return claim, read_recipe(place.read(RECIPE), claim)


@dataclass(frozen=True)
class _Line:
    """The stages, one after the other, in a workspace of their own."""

    claim: Claim
    recipe: Recipe
    hub: Hub
    settings: Settings
    folder: Path
    reporter: Reporter

    @property
    def home(self) -> Path:
        return self.folder / HOME

    def plan(self) -> tuple[PlanRecord, tuple[str, ...]]:
        """The plan with the data pinned as they were, and what is other about this machine."""
        claim = self.claim
        self.reporter.note(f"rebuilding {claim.release} of {claim.base} at {claim.commit[:12]}")
        # Nothing is served or published: no vLLM, target or bucket is asked for.
        settings = self.settings.model_copy(
            update={"serve_python": Path(sys.executable), "serve_port": 0, "home": self.home}
        )
        planned = plan.run(
            claim.base,
            revision=claim.commit,
            recipe=self.recipe,
            target="",
            hub=self.hub,
            store=None,
            settings=settings,
            home=self.home,
            reporter=self.reporter,
        )
        here = planned.hardware.gpu or "cpu"
        doubted = tuple(doubts(claim, here, installed(*claim.versions)))
        for doubt in doubted:
            self.reporter.note(f"bytes may differ: {doubt}")
        return planned.model_copy(update={"sources": claim.sources}), doubted

    def download(self, planned: PlanRecord) -> DownloadRecord:
        """The base, which must be the one that the provenance names."""
        made = snapshot.run(planned, hub=self.hub, home=self.home, reporter=self.reporter)
        refuse_other_base(self.claim, {file.path: file.sha256 for file in made.files})
        return made

    def converted(self, planned: PlanRecord, downloaded: DownloadRecord) -> ConvertRecord:
        """The checkpoint as it was converted."""
        recipe, home, reporter = self.recipe, self.home, self.reporter
        calibrated = samples.run(
            planned, downloaded, recipe=recipe, hub=self.hub, home=home, reporter=reporter
        )
        refuse_other_calibration(self.claim, calibrated.set_digest)
        quantized = launch.run(
            planned, downloaded, calibrated, recipe=recipe, home=home, reporter=reporter
        )
        return convert.run(
            planned, downloaded, quantized, recipe=recipe, home=home, reporter=reporter
        )

    def repaired(self, downloaded: DownloadRecord, converted: ConvertRecord) -> Path:
        """The checkpoint after the repairs that the provenance names; mostly there are none."""
        checkpoint = converted.path
        for attempt, modules in enumerate(self.claim.repairs, start=1):
            target = self.folder / f"{REPAIRED}-{attempt}"
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir()
            self.reporter.note(f"repair {attempt}: {len(modules)} layers are the base's")
            keep(target, downloaded.path, checkpoint, set(modules), self.recipe.max_shard_bytes)
            checkpoint = target
        return checkpoint
