"""The `roundhouse` command.

Exit codes: 0 fine; 1 a check or verdict says no; 2 bad input; 3 something outside failed.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tasks.core.errors import BAD_INPUT, InputError, RoundhouseError
from tasks.core.settings import Settings

if TYPE_CHECKING:
    from infra.local.piece import PieceStatus

app = typer.Typer(
    name="roundhouse",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)
_STATE = {"debug": False}

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
RecipeOption = Annotated[
    str, typer.Option("--recipe", help="A shipped recipe's name, or a YAML file.")
]


@app.command()
def up(json_: Json = False) -> None:
    """Start the embedded stack, or repair it; twice is one stack."""
    from infra.local import stack

    _show(stack.up(Settings().home, _Printed()).model_dump(mode="json"), as_json=json_)


@app.command()
def down() -> None:
    """Stop the embedded stack and everything it started."""
    from infra.local import stack

    stack.down(Settings().home, _Printed())


@app.command()
def status(json_: Json = False) -> None:
    """Say what of the embedded stack runs; exit 1 unless all of it is well."""
    from infra.local import stack

    found = stack.status(Settings().home)
    if json_:
        _show(found.model_dump(mode="json"), as_json=True)
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
    write: Annotated[Path | None, typer.Option(help="Also write the outcome as JSON.")] = None,
    json_: Json = False,
) -> None:
    """Run the release deployment and follow it to its end."""
    parameters = _parameters(base, to, recipe, revision, _changes(set_ or []))
    _connect()
    from flows import follow

    ui = os.environ.get("PREFECT_API_URL", "").removesuffix("/api")
    summary = follow.release(parameters, err if json_ else out, ui)
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
        ("verdict", summary["verdict"]),
        ("report", summary["report"]),
        ("seconds", ", ".join(f"{stage} {value:.1f}" for stage, value in seconds.items())),
        ("wall", f"{summary['wall']:.1f} s, of which the stages {sum(seconds.values()):.1f} s"),
    ]


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


def _changes(assignments: list[str]) -> dict[str, Any]:
    changes = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            raise InputError(
                "--set takes KEY=VALUE", expected="such as tuning.iters=50", found=assignment
            )
        changes[key] = yaml.safe_load(value)
    return changes


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

    _connect(needed=False)
    settings = Settings()
    hub = Hub.from_settings(settings)
    found = preview.preview(base, revision, load_recipe(recipe), hub, settings)
    _show(found if json_ else preview.lines(found), as_json=json_)
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
        sys.stdout.write(json.dumps([c.model_dump() for c in checks], indent=2) + "\n")
    else:
        table = Table("check", "", "seen", "required")
        for c in checks:
            mark = "[green]holds[/]" if c.passed else "[red]FAILS[/]"
            table.add_row(c.name, mark, c.seen, "" if c.passed else c.required)
        out.print(table)
    raise typer.Exit(0 if all(c.passed for c in checks) else 1)


@app.command()
def restore(
    uri: Annotated[str, typer.Argument(help="Address of an archived release, s3://…")],
    folder: Annotated[Path, typer.Argument(help="Where to put it; must not exist.")],
) -> None:
    """Bring a release back from the archive, every file verified."""
    from tasks.archive import restore as stage
    from tasks.clients.s3 import Store

    _connect(needed=False)
    stage.restore(uri, folder, Store.from_settings(Settings()), _Printed())
    out.print(f"restored to {folder}", highlight=False)


class _Printed:
    """A reporter for the terminal."""

    def note(self, message: str) -> None:
        err.print(message, highlight=False)

    def update(self, fraction: float, message: str) -> None:
        err.print(f"{100 * fraction:5.1f} %  {message}", highlight=False)


def _connect(*, needed: bool = True) -> None:
    """Use the embedded stack where nothing else is configured.

    Args:
        needed: whether there must be one; else the public Hub and AWS are used without it.

    Raises:
        InputError: it is needed and there is none.
    """
    if os.environ.get("PREFECT_API_URL"):
        return
    from infra.local import stack

    try:
        os.environ.update(stack.environment(Settings().home))
    except InputError:
        if needed:
            raise


def _show(values: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(values, indent=2) + "\n")
        return
    table = Table(show_header=False, box=None)
    for name, value in values.items():
        table.add_row(name, str(value))
    out.print(table)


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
