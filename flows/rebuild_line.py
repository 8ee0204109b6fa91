"""The stages of a rebuild, one after the other, in a workspace of their own."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tasks.calibrate import samples
from tasks.clients.hub import Hub
from tasks.convert import convert
from tasks.core.progress import Reporter
from tasks.core.recipe import Recipe
from tasks.core.records import ConvertRecord, DownloadRecord, PlanRecord
from tasks.core.settings import Settings
from tasks.core.versions import installed
from tasks.download import snapshot
from tasks.plan import plan
from tasks.quantize import launch
from tasks.rebuild.claim import Claim
from tasks.rebuild.compare import doubts, refuse_other_base, refuse_other_calibration
from tasks.repair.keep import keep

HOME, REPAIRED = "workspace", "repaired"


@dataclass(frozen=True)
class Line:
    """What the stages of a rebuild have in common.

    Attributes:
        claim: what the release was made of.
        recipe: of the release.
        hub: where base and data are.
        settings: of this machine.
        folder: takes the workspace and what repairs make.
        reporter: told how far it is.
    """

    claim: Claim
    recipe: Recipe
    hub: Hub
    settings: Settings
    folder: Path
    reporter: Reporter

    @property
    def home(self) -> Path:
        """Root of the workspaces."""
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
