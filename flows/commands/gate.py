"""`roundhouse gate`: the evidence gate alone, for a checkpoint made by anyone."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from flows.terminal import Json, Printed, changes, connect, out, print_json
from tasks.core.errors import FAILED_CHECK
from tasks.core.settings import Settings

if TYPE_CHECKING:
    from tasks.validate.evidence import Evidence

PROFILES = {"quick": "demo", "full": "gemma-4-31b-it-nvfp4"}
COLOURS = {"holds": "green", "fails": "red", "undecided": "yellow"}

Base = Annotated[Path, typer.Argument(help="Folder of the base.")]
Candidate = Annotated[Path, typer.Argument(help="Folder of its NVFP4 checkpoint.")]
Profile = Annotated[
    str,
    typer.Option(help="quick or full: the validation of the demo's or the reference's recipe."),
]
Chosen = Annotated[str, typer.Option("--recipe", help="A recipe instead of a profile.")]
Heldout = Annotated[str, typer.Option(help="Local .jsonl or .parquet files of held-out rows.")]
Output = Annotated[Path, typer.Option(help="Takes evidence.json and report.html; replaced.")]
Changes = Annotated[
    list[str] | None, typer.Option("--set", help="Change it: validation.limits.mean_kl=0.1.")
]


def gate(
    base: Base,
    candidate: Candidate,
    profile: Profile = "quick",
    recipe: Chosen = "",
    heldout: Heldout = "",
    set_: Changes = None,
    output: Output = Path("gate"),
    json_: Json = False,
) -> None:
    """Judge a checkpoint against its base with vLLM; exit 1 unless the verdict is ACCEPT.

    What was measured of the base is kept, so that a second candidate costs half.
    """
    from tasks.clients.hub import Hub
    from tasks.core.recipe import load_recipe
    from tasks.validate.assess import assess_folders

    connect(needed=False)
    settings = Settings()
    overrides: dict[str, Any] = changes(set_ or [])
    if heldout:
        overrides["validation.heldout"] = {"files": heldout}
    found = assess_folders(
        base,
        candidate,
        output,
        recipe=load_recipe(recipe or PROFILES.get(profile, profile), overrides),
        settings=settings,
        hub=Hub.from_settings(settings),
        reporter=Printed(),
    )
    if json_:
        print_json(found.model_dump(mode="json") | {"verdict": found.verdict})
    else:
        _tell(found, output)
    raise typer.Exit(0 if found.verdict == "ACCEPT" else FAILED_CHECK)


def _tell(found: "Evidence", output: Path) -> None:
    from tasks.validate.words import MEANING, reasons

    table = Table("measure", "", "value", "interval", "limit")
    for m in found.measures:
        mark = f"[{COLOURS[m.decision]}]{m.decision}[/]"
        interval = f"{m.lower:.4f} to {m.upper:.4f}"
        table.add_row(m.name, mark, f"{m.value:.4f}", interval, f"{m.direction} {m.limit:g}")
    out.print(table)
    out.print(f"{found.verdict}. {MEANING[found.verdict]}", markup=False, highlight=False)
    for reason in reasons(found):
        out.print(f"- {reason}", markup=False, highlight=False)
    out.print(f"report: {output / 'report.html'}", markup=False, highlight=False)
