"""The candidate that the gate accepts: the first, or one that was repaired since."""

from typing import Any

from flows.remote import run_stage
from tasks.core.errors import Damaged
from tasks.core.gate_records import ValidateRecord
from tasks.core.recipe import Recipe
from tasks.core.records import CalibrateRecord, ConvertRecord, DownloadRecord, PlanRecord
from tasks.core.repair_records import repair_stage
from tasks.core.workspace import Workspace


def judged(
    plan: PlanRecord,
    download: DownloadRecord,
    calibrate: CalibrateRecord,
    convert: ConvertRecord,
    recipe: Recipe,
    workspace: Workspace,
) -> tuple[ConvertRecord, ValidateRecord]:
    """Validate a candidate; repair it and validate again while the recipe allows that.

    A candidate that was repaired before is not judged again: that it was says that it was refused.

    Raises:
        Damaged: the verdict is REGRESSION, and no attempt is left.
        RoundhouseError: whatever else the stages raise.
    """
    attempts = recipe.validation.repair.attempts if recipe.validation.repair else 0
    candidate = convert
    for attempt in range(1, attempts + 1):
        stage = repair_stage(attempt)
        repaired = workspace.made_from(stage, ConvertRecord, (download, candidate))
        if repaired is None:
            try:
                return candidate, _validate(plan, download, calibrate, candidate, recipe, workspace)
            except Damaged as refused:
                repaired = run_stage(
                    "repair/gpu",
                    ConvertRecord,
                    workspace,
                    upstream=(download, candidate),
                    parameters=as_json(
                        plan=plan, download=download, convert=candidate, recipe=recipe
                    )
                    | {"refusal": refused.found},
                    stage=stage,
                )
        candidate = repaired
    return candidate, _validate(plan, download, calibrate, candidate, recipe, workspace)


def _validate(
    plan: PlanRecord,
    download: DownloadRecord,
    calibrate: CalibrateRecord,
    convert: ConvertRecord,
    recipe: Recipe,
    workspace: Workspace,
) -> ValidateRecord:
    return run_stage(
        "validate/gpu",
        ValidateRecord,
        workspace,
        upstream=(download, convert),
        parameters=as_json(
            plan=plan, download=download, calibrate=calibrate, convert=convert, recipe=recipe
        ),
    )


def as_json(**values: Any) -> dict[str, Any]:
    """Records and recipe as a child flow's parameters."""
    return {name: value.model_dump(mode="json") for name, value in values.items()}
