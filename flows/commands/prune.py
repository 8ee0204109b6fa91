"""`roundhouse prune`: free the disk and the bucket of workspaces that nobody uses any longer."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from flows.terminal import Json, connect, out, print_json
from tasks.core.settings import Settings

if TYPE_CHECKING:
    from tasks.core.workspace_prune import Pruned

DAY, GB = 86400.0, 1e9


def prune(
    days: Annotated[
        float, typer.Option("--days", min=1, help="Remove what was not used for so many days.")
    ] = 30,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what would be removed.")
    ] = False,
    json_: Json = False,
) -> None:
    """Remove old workspaces, of this machine and of ROUNDHOUSE_WORKSPACE; none that is in use.

    Published and archived releases are not touched. What is needed again is made or downloaded
    again.
    """
    from tasks.clients.shared_prune import prune_shared
    from tasks.clients.shared_workspace import shared_store
    from tasks.core.workspace_prune import prune as prune_home

    connect(needed=False)
    settings = Settings()
    gone = prune_home(settings.home, days * DAY, dry_run=dry_run)
    if settings.workspace:
        store = shared_store(settings)
        gone += prune_shared(store, settings.workspace, days * DAY, dry_run=dry_run)
    if json_:
        print_json(gone)
        return
    _tell(gone, dry_run=dry_run)


def _tell(gone: "list[Pruned]", *, dry_run: bool) -> None:
    if not gone:
        out.print("nothing is that old")
        return
    table = Table(Column("workspace", overflow="fold"), "GB", "days unused")
    for each in gone:
        table.add_row(escape(each.where), f"{each.bytes / GB:.2f}", f"{each.days:.0f}")
    out.print(table)
    total = f"{len(gone)}, {sum(each.bytes for each in gone) / GB:.2f} GB"
    out.print(f"would remove {total}" if dry_run else f"removed {total}", highlight=False)
