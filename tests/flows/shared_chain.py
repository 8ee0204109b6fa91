"""The light stages of a release, each on the machine that is named; nothing shared but S3."""

from tasks.calibrate import samples
from tasks.clients.hub import Hub
from tasks.clients.s3 import Store
from tasks.clients.shared_workspace import shared_workspace
from tasks.convert import convert
from tasks.core.progress import Reporter, Silent
from tasks.core.recipe import Recipe
from tasks.core.records import (
    CalibrateRecord,
    ConvertRecord,
    DownloadRecord,
    PlanRecord,
    QuantizeRecord,
)
from tasks.core.settings import Settings
from tasks.download import snapshot
from tasks.plan import plan
from tasks.quantize import launch


class Host:
    """A machine that runs stages.

    Args:
        settings: with its home, and the workspace it shares.
        reporter: is told what stages say.
    """

    def __init__(self, settings: Settings, reporter: Reporter | None = None) -> None:
        self.home = settings.home
        self._settings = settings
        self._reporter = reporter or Silent()
        self._hub = Hub.from_settings(settings)
        self._shared = shared_workspace(settings, self._reporter)

    def plan(self, base: str, recipe: Recipe) -> PlanRecord:
        """See `tasks.plan`."""
        return plan.run(
            base,
            revision="main",
            recipe=recipe,
            target="",
            hub=self._hub,
            store=Store.from_settings(self._settings),
            settings=self._settings,
            home=self.home,
            reporter=self._reporter,
            shared=self._shared,
        )

    def download(self, planned: PlanRecord) -> DownloadRecord:
        """See `tasks.download`."""
        return snapshot.run(
            planned, hub=self._hub, home=self.home, reporter=self._reporter, shared=self._shared
        )

    def calibrate(
        self, planned: PlanRecord, download: DownloadRecord, recipe: Recipe
    ) -> CalibrateRecord:
        """See `tasks.calibrate`."""
        return samples.run(
            planned,
            download,
            recipe=recipe,
            hub=self._hub,
            home=self.home,
            reporter=self._reporter,
            shared=self._shared,
        )

    def quantize(
        self,
        planned: PlanRecord,
        download: DownloadRecord,
        calibrate: CalibrateRecord,
        recipe: Recipe,
    ) -> QuantizeRecord:
        """See `tasks.quantize`."""
        return launch.run(
            planned,
            download,
            calibrate,
            recipe=recipe,
            home=self.home,
            reporter=self._reporter,
            shared=self._shared,
        )

    def convert(
        self,
        planned: PlanRecord,
        download: DownloadRecord,
        quantize: QuantizeRecord,
        recipe: Recipe,
    ) -> ConvertRecord:
        """See `tasks.convert`."""
        return convert.run(
            planned,
            download,
            quantize,
            recipe=recipe,
            home=self.home,
            reporter=self._reporter,
            shared=self._shared,
        )
