"""The calibrate stage as a Prefect task; it imports what it needs when it runs."""

from tasks.core.recipe import Recipe
from tasks.core.records import CalibrateRecord, DownloadRecord, PlanRecord
from tasks.core.settings import Settings
from tasks.orchestration import PrefectReporter, stage_task


@stage_task("calibrate")
def calibrate(plan: PlanRecord, download: DownloadRecord, recipe: Recipe) -> CalibrateRecord:
    """Make the calibration set: token ids of equal length, with their provenance."""
    from tasks.calibrate import samples as stage
    from tasks.clients.hub import Hub
    from tasks.clients.shared_workspace import shared_workspace

    settings, reporter = Settings(), PrefectReporter("calibrate")
    return stage.run(
        plan,
        download,
        recipe=recipe,
        hub=Hub.from_settings(settings),
        home=settings.home,
        reporter=reporter,
        shared=shared_workspace(settings, reporter),
    )
