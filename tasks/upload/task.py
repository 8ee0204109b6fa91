"""The upload stage as a Prefect task; it imports what it needs when it runs."""

from tasks.core.recipe import Recipe
from tasks.core.records import (
    CalibrateRecord,
    ConvertRecord,
    DownloadRecord,
    PlanRecord,
    QuantizeRecord,
    UploadRecord,
    ValidateRecord,
)
from tasks.core.settings import Settings
from tasks.orchestration import PrefectReporter, stage_task


@stage_task("upload")
def upload(
    plan: PlanRecord,
    download: DownloadRecord,
    calibrate: CalibrateRecord,
    quantize: QuantizeRecord,
    convert: ConvertRecord,
    validate: ValidateRecord,
    recipe: Recipe,
) -> UploadRecord:
    """Publish the release in one tagged commit; does nothing when the tag is there."""
    from tasks.clients.hub import Hub
    from tasks.upload import upload as stage

    settings = Settings()
    return stage.run(
        plan,
        download,
        calibrate,
        quantize,
        convert,
        validate,
        recipe=recipe,
        hub=Hub.from_settings(settings),
        settings=settings,
        home=settings.home,
        reporter=PrefectReporter("upload"),
    )
