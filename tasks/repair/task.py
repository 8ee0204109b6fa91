"""The repair stage as a Prefect task; it imports what it needs when it runs."""

from tasks.core.recipe import Recipe
from tasks.core.records import ConvertRecord, DownloadRecord, PlanRecord
from tasks.core.settings import Settings
from tasks.orchestration import PrefectReporter, stage_task


@stage_task("repair")
def repair(
    plan: PlanRecord, download: DownloadRecord, convert: ConvertRecord, refusal: str, recipe: Recipe
) -> ConvertRecord:
    """Keep the layers that harm a refused release most as the base has them."""
    from tasks.clients.hub import Hub
    from tasks.clients.shared_workspace import shared_workspace
    from tasks.repair import repair as stage

    settings, reporter = Settings(), PrefectReporter("repair")
    return stage.run(
        plan,
        download,
        convert,
        refusal,
        recipe=recipe,
        hub=Hub.from_settings(settings),
        home=settings.home,
        reporter=reporter,
        shared=shared_workspace(settings, reporter),
    )
