"""The archive stage as a Prefect task; it imports what it needs when it runs."""

from tasks.core.records import ArchiveRecord, Release, UploadRecord
from tasks.core.settings import Settings
from tasks.orchestration import PrefectReporter, stage_task


@stage_task("archive")
def archive(release: Release, upload: UploadRecord) -> ArchiveRecord:
    """Store what it takes to verify and rebuild the release; the manifest comes last."""
    from tasks.archive import archive as stage
    from tasks.clients.s3 import Store
    from tasks.clients.shared_workspace import shared_workspace

    settings, reporter = Settings(), PrefectReporter("archive")
    return stage.run(
        release,
        upload,
        store=Store.from_settings(settings),
        home=settings.home,
        settings=settings,
        reporter=reporter,
        shared=shared_workspace(settings, reporter),
    )
