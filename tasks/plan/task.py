"""The plan stage as a Prefect task; it imports what it needs when it runs."""

from tasks.core.recipe import Recipe
from tasks.core.records import PlanRecord
from tasks.core.settings import Settings
from tasks.orchestration import PrefectReporter, stage_task


@stage_task("plan")
def plan(base: str, revision: str, recipe: Recipe, target: str) -> PlanRecord:
    """Refuse early what cannot work, and say what the release will take."""
    from tasks.clients.hub import Hub
    from tasks.clients.s3 import Store
    from tasks.clients.shared_workspace import shared_workspace
    from tasks.plan import plan as stage

    settings, reporter = Settings(), PrefectReporter("plan")
    return stage.run(
        base,
        revision=revision,
        recipe=recipe,
        target=target,
        hub=Hub.from_settings(settings),
        store=Store.from_settings(settings),
        settings=settings,
        home=settings.home,
        reporter=reporter,
        shared=shared_workspace(settings, reporter),
    )
