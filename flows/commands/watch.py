"""`roundhouse watch`: what the watched bases ask for, and when the watcher looks."""

from typing import Annotated

import typer
from rich.table import Table

from flows.terminal import Json, connect, err, out, print_json
from tasks.core.errors import TRY_AGAIN, InputError
from tasks.core.progress import Silent
from tasks.core.settings import Settings
from tasks.watch.orders import Finding

COLOURS = {"nothing": "dim", "wait": "cyan", "stuck": "red", "unseen": "red"}
DUE = "yellow"
LEAST_SECONDS = 2
HOST = "127.0.0.1"


def watch(
    once: Annotated[
        bool, typer.Option("--once", help="Look now and say what is due, and why.")
    ] = False,
    every: Annotated[
        int | None, typer.Option(help="Let the watcher look every so many seconds; 0 pauses it.")
    ] = None,
    again: Annotated[
        str, typer.Option(metavar="TARGET", help="Let a failed release be ordered again.")
    ] = "",
    listen: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Take the Hub's webhooks on this port, and look then."),
    ] = None,
    json_: Json = False,
) -> None:
    """Look at the bases of the watch list, or say when the watcher does.

    A look from here changes nothing; the scheduled flow `watch` orders releases. Exit 3 if the Hub
    did not answer for a base.
    """
    if not (once or again or every is not None or listen):
        raise InputError(
            "watch needs to be told what to do",
            expected="--once, --every SECONDS, --again TARGET or --listen PORT",
            remedy="roundhouse watch --once says what is due",
        )
    if again:
        _forget_failure(again)
    if every is not None:
        connect()
        _schedule(every)
    if listen:
        _listen(listen)
    if once:
        connect(needed=False)
        found = _look()
        if json_:
            print_json([_told(finding) for finding in found])
        else:
            _show(found)
        raise typer.Exit(TRY_AGAIN if any(f.action == "unseen" for f in found) else 0)


def _look() -> list[Finding]:
    from flows.watch import serving_engine
    from tasks.clients.hub import Hub
    from tasks.watch.look import look
    from tasks.watch.states import States
    from tasks.watch.watchlist import load_watch_list

    settings = Settings()
    watched = load_watch_list(settings.watch_path)
    with err.status("looking at the watched bases"):
        return look(
            watched,
            hub=Hub.from_settings(settings),
            states=States.from_settings(settings),
            engine=serving_engine(),
            reporter=Silent(),
        )


def _told(finding: Finding) -> dict[str, object]:
    values = finding.model_dump(mode="json", include={"base", "target", "action", "reason"})
    order = finding.order
    return values | {
        "commit": finding.seen.commit if finding.seen else None,
        "parameters": order.parameters if order else None,
        "run": (order.run or None) if order else None,
    }


def _show(found: list[Finding]) -> None:
    table = Table("base", "target", "due", "why")
    for finding in found:
        colour = COLOURS.get(finding.action, DUE)
        table.add_row(
            finding.base, finding.target, f"[{colour}]{finding.action}[/]", finding.reason
        )
    out.print(table)


def _schedule(seconds: int) -> None:
    if seconds and seconds < LEAST_SECONDS:
        raise InputError(
            "the watcher cannot look that often",
            expected=f"at least {LEAST_SECONDS} seconds, or 0 to pause it",
            found=str(seconds),
        )
    from flows.looking import reschedule

    reschedule(seconds)
    told = f"the watcher looks every {seconds} s" if seconds else "the watcher is paused"
    err.print(told, highlight=False)


def _listen(port: int) -> None:
    import uvicorn

    secret = Settings().watch_secret
    if not secret.get_secret_value():
        raise InputError(
            "webhooks are taken with a secret only",
            expected="the webhook's secret in ROUNDHOUSE_WATCH_SECRET",
            found="none",
            remedy="choose one, and give it to the Hub's webhook too",
        )
    connect()
    from flows.hint import application
    from flows.looking import hint

    err.print(f"waiting for webhooks on http://{HOST}:{port}/", highlight=False)
    uvicorn.run(application(secret, hint), host=HOST, port=port, log_level="warning")


def _forget_failure(target: str) -> None:
    """Take a failed order away, so that the next look decides afresh."""
    from tasks.watch.states import States

    connect(needed=False)
    states = States.from_settings(Settings())
    known = states.of_target(target)
    order = known.state.order
    if order is None or order.status != "failed":
        raise InputError(
            f"no release of {target} failed",
            found=f"an order that is {order.status}" if order else "no order",
            remedy="roundhouse watch --once says what is known",
        )
    again = order.model_copy(
        update={"status": "ordered", "attempt": order.attempt + 1, "outcome": "", "run": ""}
    )
    if states.write(known, known.state.model_copy(update={"order": again})) is None:
        raise InputError(f"a watcher changed the state of {target} meanwhile", remedy="look again")
    err.print(f"the next look orders {target} again", highlight=False)
