"""One release, from a base model to the Hub and the archive.

plan → download → calibrate → QUANTIZE → convert → VALIDATE → upload → archive

The stages in capitals run as flows of their own in the `gpu` work pool; the others are tasks here.
"""

from enum import Enum
from typing import Annotated, Any

from prefect import flow
from pydantic import Field

from flows import summary
from flows.hooks import cancel_children
from flows.remote import run_stage
from tasks.archive.task import archive
from tasks.calibrate.task import calibrate
from tasks.convert.task import convert
from tasks.core.recipe import Recipe, load_recipe, parse_recipe, shipped_recipes
from tasks.core.records import QuantizeRecord, ValidateRecord
from tasks.core.settings import Settings
from tasks.core.workspace import Workspace
from tasks.download.task import download
from tasks.orchestration import failures_told
from tasks.plan.task import plan
from tasks.upload.task import upload

CUSTOM = "custom"
REPO = r"^[\w.-]+/[\w.-]+$"
RecipeName = Enum("RecipeName", {n: n for n in [*shipped_recipes(), CUSTOM]}, type=str)  # type: ignore[misc]


def choose_recipe(
    name: str, changes: dict[str, Any] | None = None, custom: dict[str, Any] | None = None
) -> Recipe:
    """The recipe a run asks for: a shipped one with changes, or one that is given whole.

    Raises:
        RecipeError: unknown keys or impossible values.
    """
    if name == CUSTOM:
        return parse_recipe(custom or {}, source="custom_recipe")
    return load_recipe(name, changes)


@flow(
    name="release",
    flow_run_name="{base} to {target}",
    persist_result=False,
    on_cancellation=[cancel_children],
)
def release(
    base: Annotated[str, Field(pattern=REPO, examples=["google/gemma-4-31B-it"])],
    target: Annotated[str, Field(pattern=REPO, examples=["your-org/gemma-4-31B-it-NVFP4"])],
    recipe: RecipeName = RecipeName.demo,  # type: ignore[attr-defined]
    revision: str = "main",
    changes: dict[str, Any] = {},  # noqa: B006 - the form's default; nobody writes to it
    custom_recipe: dict[str, Any] = {},  # noqa: B006 - the same
) -> None:
    """Quantize a base model and publish it, with the evidence that it is good.

    The base is pinned to a commit, calibrated, quantized to NVFP4 with AutoRound, converted for
    vLLM, served and compared with the base, published on the Hub in one tagged commit and archived
    to S3. A run that was made before does nothing again.

    Args:
        base: Repository of the base model on the Hub, such as google/gemma-4-31B-it.
        target: Repository of the release, such as your-org/gemma-4-31B-it-NVFP4; made if missing.
        recipe: A shipped recipe, or `custom` for the values under custom_recipe.
        revision: Branch, tag or commit of the base; it is pinned to a commit.
        changes: Values to change in the recipe by dotted key, such as {"tuning.iters": 50}.
        custom_recipe: A whole recipe, where recipe is `custom`; docs/reference/recipes.md.
    """
    with failures_told():
        chosen = choose_recipe(RecipeName(recipe).value, changes, custom_recipe)
        _release(base, target, revision, chosen)


def _release(base: str, target: str, revision: str, recipe: Recipe) -> None:
    planned = plan(base, revision, recipe, target)
    workspace = Workspace.of_release(Settings().home, planned.release_id)
    downloaded = download(planned)
    calibrated = calibrate(planned, downloaded, recipe)
    quantized = run_stage(
        "quantize/gpu",
        QuantizeRecord,
        workspace,
        upstream=(downloaded, calibrated),
        parameters=_json(plan=planned, download=downloaded, calibrate=calibrated, recipe=recipe),
    )
    converted = convert(planned, downloaded, quantized, recipe)
    validated = run_stage(
        "validate/gpu",
        ValidateRecord,
        workspace,
        upstream=(downloaded, converted),
        parameters=_json(
            plan=planned,
            download=downloaded,
            calibrate=calibrated,
            convert=converted,
            recipe=recipe,
        ),
    )
    uploaded = upload(planned, downloaded, calibrated, quantized, converted, validated, recipe)
    archived = archive(
        planned, downloaded, calibrated, quantized, converted, validated, uploaded, recipe
    )
    summary.publish(
        planned,
        (downloaded, calibrated, quantized, converted),
        validated,
        uploaded,
        archived,
        recipe,
    )


def _json(**values: Any) -> dict[str, Any]:
    return {name: value.model_dump(mode="json") for name, value in values.items()}
