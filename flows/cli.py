"""The `roundhouse` command.

Exit codes: 0 fine; 1 a check or verdict says no; 2 bad input; 3 something outside failed.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from flows.commands.gate import gate
from flows.commands.metrics import metrics
from flows.commands.prune import prune
from flows.commands.rebuild import rebuild
from flows.commands.rehearse import rehearse
from flows.commands.restore import restore
from flows.commands.rollback import rollback
from flows.commands.verify import verify
from flows.commands.watch import watch
from flows.terminal import Json, Printed, changes, connect, err, out, print_json, show
from tasks.core.errors import BAD_INPUT, RoundhouseError
from tasks.core.priority import Priority
from tasks.core.settings import Settings

if TYPE_CHECKING:
    from infra.local.piece import PieceStatus

app = typer.Typer(
    name="roundhouse",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
_STATE = {"debug": False}

RecipeOption = Annotated[
    str, typer.Option("--recipe", help="A shipped recipe's name, or a YAML file.")
]


@app.command()
def up(json_: Json = False) -> None:
    """Start the embedded stack, or repair it; twice is one stack."""
    from infra.local import stack

    show(stack.up(Settings().home, Printed()).model_dump(mode="json"), as_json=json_)


@app.command()
def down() -> None:
    """Stop the embedded stack and everything it started."""
    from infra.local import stack

    stack.down(Settings().home, Printed())


@app.command()
def status(json_: Json = False) -> None:
    """Say what of the embedded stack runs; exit 1 unless all of it is well."""
    from infra.local import stack

    found = stack.status(Settings().home)
    if json_:
        show(found.model_dump(mode="json"), as_json=True)
    else:
        _show_pieces(found.pieces)
    raise typer.Exit(0 if found.well else 1)


@app.command()
def release(
    base: Annotated[str, typer.Argument(help="Repository of the base model.")],
    to: Annotated[str, typer.Option("--to", help="Repository of the release.")],
    recipe: RecipeOption = "demo",
    revision: Annotated[str, typer.Option(help="Branch, tag or commit of the base.")] = "main",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change the recipe: tuning.iters=50.")
    ] = None,
    reuse: Annotated[
        str, typer.Option(help="Archived release (s3://…) whose weights are taken.")
    ] = "",
    priority: Annotated[
        Priority, typer.Option(help="Whether it goes before or after others that wait.")
    ] = Priority.DEFAULT,
    write: Annotated[Path | None, typer.Option(help="Also write the outcome as JSON.")] = None,
    json_: Json = False,
) -> None:
    """Run the release deployment and follow it to its end."""
    parameters = _parameters(base, to, recipe, revision, changes(set_ or []))
    parameters |= {"reuse": reuse} if reuse else {}
    connect()
    from flows import follow

    ui = os.environ.get("PREFECT_API_URL", "").removesuffix("/api")
    summary = follow.release(parameters, err if json_ else out, ui, priority)
    if write is not None:
        write.parent.mkdir(parents=True, exist_ok=True)
        write.write_text(follow.dump(summary))
    if json_:
        sys.stdout.write(follow.dump(summary))
        return
    for name, value in _outcome(summary.model_dump()):
        out.print(f"{name:<11} {value}", highlight=False)


def _outcome(summary: dict[str, Any]) -> list[tuple[str, str]]:
    seconds = summary["seconds"]
    return [
        ("release", summary["release_id"]),
        ("hub", f"{summary['hub_url']} at {summary['hub_revision']}"),
        ("archive", summary["archive"]),
        ("verdict", _verdict(summary["verdict"])),
        ("report", summary["report"]),
        ("seconds", ", ".join(f"{stage} {value:.1f}" for stage, value in seconds.items())),
        ("wall", f"{summary['wall']:.1f} s, of which the stages {sum(seconds.values()):.1f} s"),
    ]


def _verdict(verdict: str) -> str:
    from tasks.core.gate_records import LINT_ONLY

    unmeasured = f"{verdict}: quality was not measured; the repository is to stay private"
    return unmeasured if verdict == LINT_ONLY else verdict


def _parameters(
    base: str, to: str, recipe: str, revision: str, changes: dict[str, Any]
) -> dict[str, Any]:
    """Parameters of the release flow; the recipe is checked before a run exists."""
    from tasks.core.recipe import load_recipe, shipped_recipes

    chosen = load_recipe(recipe, changes)
    common = {"base": base, "target": to, "revision": revision}
    if recipe in shipped_recipes():
        return common | {"recipe": recipe, "changes": changes}
    return common | {"recipe": "custom", "custom_recipe": chosen.model_dump(mode="json")}


@app.command()
def plan(
    base: Annotated[str, typer.Argument(help="Repository of the base, or a folder.")],
    recipe: RecipeOption = "gemma-4-31b-it-nvfp4",
    revision: Annotated[str, typer.Option(help="Branch, tag or commit of the base.")] = "main",
    json_: Json = False,
) -> None:
    """Say what a release takes: VRAM, RAM, disk, hours; exit 2 if it would be refused here."""
    from tasks.clients.hub import Hub
    from tasks.core.recipe import load_recipe
    from tasks.plan import preview

    connect(needed=False)
    settings = Settings()
    hub = Hub.from_settings(settings)
    found = preview.preview(base, revision, load_recipe(recipe), hub, settings)
    show(found if json_ else preview.lines(found), as_json=json_)
    raise typer.Exit(BAD_INPUT if found["problems"] else 0)


@app.command()
def lint(
    folder: Annotated[Path, typer.Argument(help="A compressed-tensors NVFP4 checkpoint.")],
    base: Annotated[Path | None, typer.Option(help="Folder of its base, to compare.")] = None,
    json_: Json = False,
) -> None:
    """Check a checkpoint without a GPU: config, every tensor, files; exit 1 if a check fails."""
    from tasks.validate.lint import lint as check

    checks = check(folder, base, serve_python=Settings().serve_python)
    if json_:
        print_json(checks)
    else:
        table = Table("check", "", "seen", "required")
        for c in checks:
            mark = "[green]holds[/]" if c.passed else "[red]FAILS[/]"
            table.add_row(c.name, mark, c.seen, "" if c.passed else c.required)
        out.print(table)
    raise typer.Exit(0 if all(c.passed for c in checks) else 1)


app.command()(metrics)
app.command()(prune)
app.command()(rebuild)
app.command()(rehearse)
app.command()(restore)
app.command()(rollback)
app.command()(verify)
app.command()(gate)
app.command()(watch)


def _show_pieces(pieces: "Sequence[PieceStatus]") -> None:
    table = Table("piece", "state", "pid", "where")
    for piece in pieces:
        colour = "green" if piece.state == "well" else "red"
        state = f"[{colour}]{piece.state}[/] {escape(piece.detail)}"
        table.add_row(piece.name, state, str(piece.pid or ""), piece.url)
    out.print(table)


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    """From a base model to a quantized release that people can trust."""
    _STATE["debug"] = debug


def main() -> None:
    """The console script: an error of our own kind becomes its message and exit code."""
    try:
        app()
    except RoundhouseError as error:
        if _STATE["debug"]:
            raise
        err.print(f"[bold red]error[/] {type(error).__name__}: ", end="")
        err.print(str(error), markup=False, highlight=False)
        sys.exit(error.exit_code)
