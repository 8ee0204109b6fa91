"""The upload stage as a Prefect task; it imports what it needs when it runs."""

from tasks.core.records import Release, UploadRecord
from tasks.core.settings import Settings
from tasks.orchestration import PrefectReporter, stage_task


@stage_task("upload")
def upload(release: Release) -> UploadRecord:
    """Publish the release in one signed, tagged commit; does nothing when the tag is there."""
    from tasks.clients.hub import Hub
    from tasks.clients.shared_workspace import shared_workspace
    from tasks.upload import upload as stage

    settings, reporter = Settings(), PrefectReporter("upload")
    return stage.run(
        release,
        hub=Hub.from_settings(settings),
        settings=settings,
        home=settings.home,
        reporter=reporter,
        shared=shared_workspace(settings, reporter),
    )
