"""The look at watched bases as a Prefect task; it imports what it needs when it runs."""

from tasks.core.settings import Settings
from tasks.orchestration import PrefectReporter, stage_task
from tasks.watch.orders import Finding


@stage_task("watch")
def watch(engine: str) -> list[Finding]:
    """Look at every base on the watch list; changes nothing."""
    from tasks.clients.hub import Hub
    from tasks.watch import look as stage
    from tasks.watch.states import States
    from tasks.watch.watchlist import load_watch_list

    settings = Settings()
    return stage.look(
        load_watch_list(settings.watch_path),
        hub=Hub.from_settings(settings),
        states=States.from_settings(settings),
        engine=engine,
        reporter=PrefectReporter("watch"),
    )
