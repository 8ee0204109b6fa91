"""The reuse stage as a Prefect task; it imports what it needs when it runs."""

from tasks.core.recipe import Recipe
from tasks.core.records import CalibrateRecord, DownloadRecord, PlanRecord, QuantizeRecord
from tasks.core.settings import Settings
from tasks.orchestration import PrefectReporter, stage_task


@stage_task("reuse")
def reuse(
    plan: PlanRecord, download: DownloadRecord, archive: str, recipe: Recipe
) -> tuple[CalibrateRecord, QuantizeRecord]:
    """Take calibration set and weights of an archived release of the same base weights."""
    from tasks.clients.s3 import Store
    from tasks.clients.shared_workspace import shared_workspace
    from tasks.reuse import reuse as stage
    from tasks.sign.signer import Verifier

    settings, reporter = Settings(), PrefectReporter("reuse")
    return stage.run(
        plan,
        download,
        archive=archive,
        recipe=recipe,
        store=Store.from_settings(settings),
        verifier=Verifier.from_settings(settings),
        home=settings.home,
        reporter=reporter,
        shared=shared_workspace(settings, reporter),
    )
