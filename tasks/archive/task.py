"""The archive stage as a Prefect task; it imports what it needs when it runs."""

from tasks.core.recipe import Recipe
from tasks.core.records import (
    ArchiveRecord,
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


@stage_task("archive")
def archive(
    plan: PlanRecord,
    download: DownloadRecord,
    calibrate: CalibrateRecord,
    quantize: QuantizeRecord,
    convert: ConvertRecord,
    validate: ValidateRecord,
    upload: UploadRecord,
    recipe: Recipe,
) -> ArchiveRecord:
    """Store what it takes to verify and rebuild the release; the manifest comes last."""
    from tasks.archive import archive as stage
    from tasks.clients.s3 import Store

    settings = Settings()
    return stage.run(
        plan,
        download,
        calibrate,
        quantize,
        convert,
        validate,
        upload,
        recipe=recipe,
        store=Store.from_settings(settings),
        home=settings.home,
        settings=settings,
        reporter=PrefectReporter("archive"),
    )
