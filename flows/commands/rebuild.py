"""`roundhouse rebuild`: does the provenance of a release give its weights again?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from flows.commands.verify import Address, Key, verifier_of
from flows.terminal import Json, Printed, connect, out, print_json
from tasks.core.settings import Settings

if TYPE_CHECKING:
    from flows.rebuilding import Rebuilt

SHOWN = 16
"""Characters of a digest that tell files apart; `--json` has all of them."""


def rebuild(
    address: Address,
    into: Annotated[
        Path, typer.Option("--into", help="Folder for workspace and result; empty or new.")
    ] = Path("rebuilt"),
    key: Key = None,
    json_: Json = False,
) -> None:
    """Make a release again from its provenance and compare every byte; exit 1 if one differs.

    The release is verified first. Base, data and recipe are those that the provenance pins.
    """
    from flows.rebuilding import rebuild as make
    from tasks.rebuild.compare import refuse_difference

    connect(needed=False)
    settings = Settings()
    verifier = verifier_of(settings, key, unsigned=False)
    assert verifier is not None  # noqa: S101 - only --unsigned gives none
    made = make(address, into, settings, verifier, Printed())
    if json_:
        same = all(file.same for file in made.files)
        print_json(made.model_dump(mode="json") | {"same": same})
    else:
        _tell(made)
    refuse_difference(made.files, made.doubts)


def _tell(made: "Rebuilt") -> None:
    table = Table("file", "expected", "found", "same?")
    for file in made.files:
        mark = "[green]same[/]" if file.same else "[red]DIFFERS[/]"
        table.add_row(escape(file.path), file.expected[:SHOWN], file.found[:SHOWN], mark)
    out.print(table)
    same = sum(file.same for file in made.files)
    said = f"{made.release}: {same} of {len(made.files)} files are the same, byte for byte"
    out.print(f"{said}; rebuilt in {made.seconds:.1f} s", markup=False, highlight=False)
    out.print(made.checkpoint, markup=False, highlight=False)
