"""A flow for each stage that needs a work pool of its own: those that want the GPU."""

from prefect import flow

from tasks.core.recipe import Recipe
from tasks.core.records import (
    CalibrateRecord,
    ConvertRecord,
    DownloadRecord,
    PlanRecord,
)
from tasks.orchestration import failures_told
from tasks.quantize import task as quantize_stage
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
    with failures_told():
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
    with failures_told():
        validate_stage.validate(plan, download, calibrate, convert, recipe)
