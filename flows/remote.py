"""Running a stage in another work pool: submit its deployment, watch it, take over its outcome.

`run_deployment` does not raise when the child fails, and a canceled parent leaves its child
running; both are mended here. A child's record is read from the workspace, its error from its
artifact.
"""

import contextlib
import time
from typing import Any, TypeVar, cast
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.states import Cancelling

from flows import artifacts
from tasks.core.errors import (
    CanceledError,
    PermanentError,
    RoundhouseError,
    WorkerLost,
    error_from,
)
from tasks.core.manifest import StageRecord
from tasks.core.workspace import Workspace
from tasks.orchestration import FAILURE_KEY, stage_task

R = TypeVar("R", bound=StageRecord)
POLL_SECONDS = 0.5


def run_stage(
    deployment: str,
    kind: type[R],
    workspace: Workspace,
    upstream: tuple[StageRecord, ...],
    parameters: dict[str, Any],
) -> R:
    """Make a stage in its own work pool, or take the finished one.

    Args:
        deployment: `flow/deployment`; the flow's name is the stage's.
        kind: type of the stage's record.
        workspace: where the stage leaves its record.
        upstream: records the stage is made from; a finished stage must name their digests.
        parameters: of the child flow, as JSON values.

    Raises:
        RoundhouseError: what the child raised, WorkerLost if it crashed, CanceledError.
    """
    stage = deployment.partition("/")[0]
    if (record := workspace.made_from(stage, kind, upstream)) is not None:
        return record
    stage_task(stage)(_run_child)(deployment, parameters)
    if (record := workspace.made_from(stage, kind, upstream)) is None:
        raise PermanentError(
            f"the {stage} flow completed and left no record of what it was given",
            expected=f"{workspace.root}/{stage}.json",
            remedy="do all workers share ROUNDHOUSE_HOME, or ROUNDHOUSE_WORKSPACE?",
        )
    return record


def _run_child(deployment: str, parameters: dict[str, Any]) -> None:
    with get_client(sync_client=True) as client:
        child = cast("FlowRun", run_deployment(deployment, parameters=parameters, timeout=0))
        try:
            outcome = _wait(client, child.id)
        except BaseException:
            cancel(client, child.id)
            raise
        _raise_failure(client, outcome)


def _wait(client: SyncPrefectClient, run_id: UUID) -> FlowRun:
    """Wait for a run's end; a server that is away for a while must not end the run."""
    while True:
        with contextlib.suppress(httpx.TransportError):
            run = client.read_flow_run(run_id)
            if run.state is not None and run.state.is_final():
                return run
        time.sleep(POLL_SECONDS)


def cancel(client: SyncPrefectClient, run_id: UUID) -> None:
    """Ask for the end of a run; its worker ends the process."""
    client.set_flow_run_state(run_id, Cancelling(), force=True)


def _raise_failure(client: SyncPrefectClient, run: FlowRun) -> None:
    state = run.state
    if state is None or state.is_completed():
        return
    if state.is_cancelled():
        raise CanceledError(f"the run {run.name} was canceled")
    if state.is_crashed():
        raise WorkerLost(f"the run {run.name} crashed", found=state.message or "no message")
    raise read_failure(client, run.id) or PermanentError(
        f"the run {run.name} ended as {state.name}", found=state.message or "no message"
    )


def read_failure(client: SyncPrefectClient, run_id: UUID) -> RoundhouseError | None:
    """The error of our own kind that a run left as an artifact, or None."""
    found = artifacts.newest_first(client, [run_id], FAILURE_KEY)
    return error_from(**artifacts.mapping(found[0])) if found else None
