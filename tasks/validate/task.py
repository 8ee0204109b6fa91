"""The validate stage as a Prefect task; it imports what it needs when it runs."""

from tasks.core.gate_records import ValidateRecord
from tasks.core.recipe import Recipe
from tasks.core.records import CalibrateRecord, ConvertRecord, DownloadRecord, PlanRecord
from tasks.core.settings import Settings
from tasks.orchestration import PrefectReporter, stage_task


@stage_task("validate")
def validate(
    plan: PlanRecord,
    download: DownloadRecord,
    calibrate: CalibrateRecord,
    convert: ConvertRecord,
    recipe: Recipe,
) -> ValidateRecord:
    """Lint, serve and compare with the base; raises CheckFailed unless that says yes."""
    from tasks.clients.hub import Hub
    from tasks.clients.shared_workspace import shared_workspace
    from tasks.validate import validate as stage

    settings, reporter = Settings(), PrefectReporter("validate")
    return stage.run(
        plan,
        download,
        calibrate,
        convert,
        recipe=recipe,
        settings=settings,
        hub=Hub.from_settings(settings),
        home=settings.home,
        reporter=reporter,
        shared=shared_workspace(settings, reporter),
    )
