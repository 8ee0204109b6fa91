"""The quantize stage as a Prefect task; it imports what it needs when it runs."""

from tasks.core.recipe import Recipe
from tasks.core.records import CalibrateRecord, DownloadRecord, PlanRecord, QuantizeRecord
from tasks.core.settings import Settings
from tasks.orchestration import PrefectReporter, stage_task


@stage_task("quantize")
def quantize(
    plan: PlanRecord, download: DownloadRecord, calibrate: CalibrateRecord, recipe: Recipe
) -> QuantizeRecord:
    """Tune and pack the weights with AutoRound, in a child process."""
    from tasks.clients.shared_workspace import shared_workspace
    from tasks.quantize import launch as stage

    settings, reporter = Settings(), PrefectReporter("quantize")
    return stage.run(
        plan,
        download,
        calibrate,
        recipe=recipe,
        home=settings.home,
        reporter=reporter,
        shared=shared_workspace(settings, reporter),
    )
