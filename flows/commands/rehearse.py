"""`roundhouse rehearse`: does the archive give a release back?"""

from typing import Annotated

import typer

from flows.commands.verify import Key, Unsigned, verifier_of
from flows.terminal import Json, Printed, connect, err, show
from tasks.core.settings import Settings


def rehearse(
    uri: Annotated[
        str, typer.Argument(help="Address of an archived release; the newest if not given.")
    ] = "",
    every: Annotated[
        int | None,
        typer.Option(min=0, help="Have a worker do it every so many seconds; 0 pauses that."),
    ] = None,
    key: Key = None,
    unsigned: Unsigned = False,
    json_: Json = False,
) -> None:
    """Restore a release to scratch, verify every file, and remove it; exit 1 if it is damaged."""
    connect(needed=every is not None)
    if every is not None:
        _schedule(every)
        return
    from flows import rehearsal

    settings = Settings()
    verifier = verifier_of(settings, key, unsigned=unsigned)
    made = rehearsal.rehearse(settings, verifier, Printed(), uri)
    show(made.model_dump(mode="json"), as_json=json_)


def _schedule(seconds: int) -> None:
    from flows.looking import reschedule
    from flows.rehearse import NAME, SCHEDULE

    reschedule(seconds, NAME, SCHEDULE)
    told = f"a restore every {seconds} s" if seconds else "restores are paused"
    err.print(told, highlight=False)
