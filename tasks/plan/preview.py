"""A plan without a release: what it would take, and what would stand in the way here."""

from pathlib import Path
from typing import Any

from tasks.clients.hub import Hub
from tasks.core.recipe import Recipe
from tasks.core.settings import Settings
from tasks.plan import base as bases
from tasks.plan import machine, table
from tasks.plan.estimate import estimate_from
from tasks.plan.folder import look_in
from tasks.plan.hardware import detect
from tasks.plan.problems import Problems


def preview(
    base: str, revision: str, recipe: Recipe, hub: Hub, settings: Settings
) -> dict[str, Any]:
    """What a release of `base` takes on this machine; nothing is written.

    Args:
        base: repository on the Hub, or a folder.
        revision: branch, tag or commit; a folder has none.
        recipe: the recipe.
        hub: where the repository is.
        settings: of this machine.

    Returns:
        Facts for a table or JSON; `problems` says what a release would be refused for.

    Raises:
        InputError: the base cannot be read.
        HubUnavailable: the Hub did not answer.
    """
    seen = look_in(Path(base)) if Path(base).is_dir() else _on_hub(base, revision, hub)
    hardware = detect(settings.home)
    estimate = estimate_from(seen.config, seen.checkpoint.tensors, recipe, hardware)
    found = [
        *bases.refusals(seen, recipe),
        *machine.missing_programs(settings),
        *machine.too_small(estimate, hardware, present=0),
    ]
    return {
        "base": seen.repo,
        "commit": seen.commit,
        "architecture": seen.architecture,
        "license": seen.license,
        "recipe": recipe.name,
        "summary": dict(table.estimate_rows(estimate, hardware)),
        "estimate": estimate.model_dump(mode="json"),
        "hardware": hardware.model_dump(mode="json"),
        "problems": [str(problem) for problem in found],
    }


def _on_hub(base: str, revision: str, hub: Hub) -> bases.Base:
    problems = Problems()
    seen = bases.look_at(base, revision, hub, problems)
    problems.raise_any()
    assert seen is not None  # noqa: S101 - else there was a problem
    return seen


def lines(found: dict[str, Any]) -> dict[str, str]:
    """A preview as names and values for people."""
    model = {"model": f"{found['base']} at {found['commit'][:12]}", "recipe": found["recipe"]}
    problems = {f"problem {n}": text for n, text in enumerate(found["problems"], start=1)}
    return {**model, **found["summary"], **problems}
