"""A flow for each stage that needs a work pool of its own: those that want the GPU."""

from prefect import flow

from flows.present import present
from tasks.core.recipe import Recipe
from tasks.core.records import (
    CalibrateRecord,
    ConvertRecord,
    DownloadRecord,
    PlanRecord,
)
from tasks.orchestration import failures_told
from tasks.quantize import task as quantize_stage
from tasks.repair import task as repair_stage
from tasks.validate import task as validate_stage


@flow(
    name="quantize",
    flow_run_name="quantize {plan.release_id}",
    persist_result=False,
)
def quantize(
    plan: PlanRecord, download: DownloadRecord, calibrate: CalibrateRecord, recipe: Recipe
) -> None:
    """Tune and pack the weights on a GPU worker (`tasks.quantize`)."""
    with present(), failures_told():
        quantize_stage.quantize(plan, download, calibrate, recipe)


@flow(
    name="validate",
    flow_run_name="validate {plan.release_id}",
    persist_result=False,
)
def validate(
    plan: PlanRecord,
    download: DownloadRecord,
    calibrate: CalibrateRecord,
    convert: ConvertRecord,
    recipe: Recipe,
) -> None:
    """Serve base and candidate on a GPU worker and compare them (`tasks.validate`)."""
    with present(), failures_told():
        validate_stage.validate(plan, download, calibrate, convert, recipe)


@flow(
    name="repair",
    flow_run_name="repair {plan.release_id}",
    persist_result=False,
)
def repair(
    plan: PlanRecord, download: DownloadRecord, convert: ConvertRecord, refusal: str, recipe: Recipe
) -> None:
    """Find and keep the layers that harm a refused release, on a GPU worker (`tasks.repair`)."""
    with present(), failures_told():
        repair_stage.repair(plan, download, convert, refusal, recipe)
