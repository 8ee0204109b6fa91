"""The download stage as a Prefect task; it imports what it needs when it runs."""

from tasks.core.records import DownloadRecord, PlanRecord
from tasks.core.settings import Settings
from tasks.orchestration import PrefectReporter, stage_task


@stage_task("download")
def download(plan: PlanRecord) -> DownloadRecord:
    """Fetch the base at its pinned commit, every file verified."""
    from tasks.clients.hub import Hub
    from tasks.clients.shared_workspace import shared_workspace
    from tasks.download import snapshot as stage

    settings, reporter = Settings(), PrefectReporter("download")
    return stage.run(
        plan,
        hub=Hub.from_settings(settings),
        home=settings.home,
        reporter=reporter,
        shared=shared_workspace(settings, reporter),
    )
