"""The convert stage as a Prefect task; it imports what it needs when it runs."""

from tasks.core.recipe import Recipe
from tasks.core.records import ConvertRecord, DownloadRecord, PlanRecord, QuantizeRecord
from tasks.core.settings import Settings
from tasks.orchestration import PrefectReporter, stage_task


@stage_task("convert")
def convert(
    plan: PlanRecord, download: DownloadRecord, quantize: QuantizeRecord, recipe: Recipe
) -> ConvertRecord:
    """Assemble the checkpoint that vLLM serves; only metadata differs from AutoRound's packing."""
    from tasks.clients.shared_workspace import shared_workspace
    from tasks.convert import convert as stage

    settings, reporter = Settings(), PrefectReporter("convert")
    return stage.run(
        plan,
        download,
        quantize,
        recipe=recipe,
        home=settings.home,
        reporter=reporter,
        shared=shared_workspace(settings, reporter),
    )
