"""One release, from a base model to the Hub and the archive.

plan → download → calibrate → QUANTIZE → convert → VALIDATE → upload → archive

The stages in capitals run as flows of their own in the `gpu` work pool; the others are tasks here.
With `reuse`, calibrate and quantize give way to the weights of an archived release. A candidate
that validate shows to be damaged goes through REPAIR and is judged again, where the recipe allows.
"""

from enum import Enum
from typing import Annotated, Any

from prefect import flow
from pydantic import Field

from flows import attempts, summary
from flows.hooks import cancel_children
from flows.judged import as_json, judged
from flows.present import present
from flows.remote import run_stage
from tasks.archive.task import archive
from tasks.calibrate.task import calibrate
from tasks.convert.task import convert
from tasks.core.recipe import Recipe, load_recipe, parse_recipe, shipped_recipes
from tasks.core.records import (
    CalibrateRecord,
    DownloadRecord,
    PlanRecord,
    QuantizeRecord,
    Release,
)
from tasks.core.settings import Settings
from tasks.core.workspace import Workspace
from tasks.download.task import download
from tasks.orchestration import PrefectReporter, failures_told
from tasks.plan.task import plan
from tasks.reuse.task import reuse as take_archived
from tasks.sign.signer import Signer
from tasks.upload.task import upload

CUSTOM = "custom"
REPO = r"^[\w.-]+/[\w.-]+$"
ARCHIVE = r"^$|^s3://[^/]+/.+$"
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
    reuse: Annotated[str, Field(pattern=ARCHIVE)] = "",
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
        reuse: Address of an archived release whose weights are taken instead of quantizing, where
            the base's weights did not change since; empty to quantize.
    """
    with present(), failures_told():
        attempts.refuse_too_many()
        Signer.from_settings(Settings())  # hours before it is needed
        chosen = choose_recipe(RecipeName(recipe).value, changes, custom_recipe)
        _release(base, target, revision, chosen, reuse)


def _release(base: str, target: str, revision: str, recipe: Recipe, reuse: str) -> None:
    from tasks.clients.shared_workspace import shared_workspace

    planned = plan(base, revision, recipe, target)
    settings = Settings()
    shared = shared_workspace(settings, PrefectReporter("release"))
    workspace = Workspace.of_release(settings.home, planned.release_id, shared)
    downloaded = download(planned)
    if reuse:
        calibrated, quantized = take_archived(planned, downloaded, reuse, recipe)
    else:
        calibrated, quantized = _quantized(planned, downloaded, recipe, workspace)
    converted = convert(planned, downloaded, quantized, recipe)
    converted, validated = judged(planned, downloaded, calibrated, converted, recipe, workspace)
    made = Release(planned, downloaded, calibrated, quantized, converted, validated, recipe)
    uploaded = upload(made)
    archived = archive(made, uploaded)
    summary.publish(made, uploaded, archived)


def _quantized(
    planned: PlanRecord, downloaded: DownloadRecord, recipe: Recipe, workspace: Workspace
) -> tuple[CalibrateRecord, QuantizeRecord]:
    calibrated = calibrate(planned, downloaded, recipe)
    quantized = run_stage(
        "quantize/gpu",
        QuantizeRecord,
        workspace,
        upstream=(downloaded, calibrated),
        parameters=as_json(plan=planned, download=downloaded, calibrate=calibrated, recipe=recipe),
    )
    return calibrated, quantized
