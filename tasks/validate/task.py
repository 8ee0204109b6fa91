"""The validate stage as a Prefect task."""

from tasks.clients.hub import Hub
from tasks.core.recipe import Recipe
from tasks.core.records import (
    CalibrateRecord,
    ConvertRecord,
    DownloadRecord,
    PlanRecord,
    ValidateRecord,
)
from tasks.core.settings import Settings
from tasks.orchestration import PrefectReporter, stage_task
from tasks.validate import validate as stage


@stage_task("validate")
def validate(
    plan: PlanRecord,
    download: DownloadRecord,
    calibrate: CalibrateRecord,
    convert: ConvertRecord,
    recipe: Recipe,
) -> ValidateRecord:
    """Lint, serve and compare with the base; raises CheckFailed unless the verdict is ACCEPT."""
    settings = Settings()
    return stage.run(
        plan,
        download,
        calibrate,
        convert,
        recipe=recipe,
        settings=settings,
        hub=Hub.from_settings(settings),
        home=settings.home,
        reporter=PrefectReporter("validate"),
    )
