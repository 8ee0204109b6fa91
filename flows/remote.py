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
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.deployments import run_deployment
from prefect.runtime import flow_run
from prefect.states import Cancelled, Cancelling

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
LIVE = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.PAUSED]


def run_stage(
    deployment: str,
    kind: type[R],
    workspace: Workspace,
    upstream: tuple[StageRecord, ...],
    parameters: dict[str, Any],
    *,
    stage: str = "",
) -> R:
    """Make a stage in its own work pool, or take the finished one.

    Args:
        deployment: `flow/deployment`; the flow's name is the stage's.
        kind: type of the stage's record.
        workspace: where the stage leaves its record.
        upstream: records the stage is made from; a finished stage must name their digests.
        parameters: of the child flow, as JSON values.
        stage: name of the stage, where the flow makes several.

    Raises:
        RoundhouseError: what the child raised, WorkerLost if it crashed, CanceledError.
    """
    stage = stage or deployment.partition("/")[0]
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
        child = child_of(client, deployment, parameters)
        child = child or _start(client, deployment, parameters)
        try:
            outcome = _wait(client, child)
        except Exception:
            cancel(client, child)
            raise
        except BaseException:
            # Ended from outside: canceled, or its machine goes and the next try finds the child.
            if _is_being_canceled(client):
                cancel(client, child)
            raise
        _raise_failure(client, outcome)


def child_of(client: SyncPrefectClient, deployment: str, parameters: dict[str, Any]) -> UUID | None:
    """The child that this run started before it lost its machine, if that is still at it.

    Another one would hold a second GPU while it waits for the first.
    """
    if not flow_run.id:
        return None
    children = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[UUID(flow_run.id)]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=LIVE)),
        )
    )
    wanted = client.read_deployment_by_name(deployment).id
    ours = (c for c in children if c.deployment_id == wanted)
    return next((c.id for c in ours if _files(c.parameters) == _files(parameters)), None)


def _files(parameters: dict[str, Any]) -> dict[str, Any]:
    """What a stage is made from; where that lies, and how long it took, differs by the machine."""
    records = {name: value for name, value in parameters.items() if isinstance(value, dict)}
    return {name: value["files"] for name, value in records.items() if "files" in value}


def _start(client: SyncPrefectClient, deployment: str, parameters: dict[str, Any]) -> UUID:
    queue = _own_queue(client)
    started = run_deployment(deployment, parameters=parameters, timeout=0, work_queue_name=queue)
    return cast("FlowRun", started).id


def _is_being_canceled(client: SyncPrefectClient) -> bool:
    state = client.read_flow_run(UUID(flow_run.id)).state if flow_run.id else None
    return state is not None and (state.is_cancelling() or state.is_cancelled())


def _own_queue(client: SyncPrefectClient) -> str | None:
    """The queue that this run waited in, for the runs it starts; None if it was in none."""
    return client.read_flow_run(UUID(flow_run.id)).work_queue_name if flow_run.id else None


def _wait(client: SyncPrefectClient, run_id: UUID) -> FlowRun:
    """Wait for a run's end; a server that is away for a while must not end the run."""
    while True:
        with contextlib.suppress(httpx.TransportError):
            run = client.read_flow_run(run_id)
            if run.state is not None and run.state.is_final():
                return run
        time.sleep(POLL_SECONDS)


def cancel(client: SyncPrefectClient, run_id: UUID) -> None:
    """End a run: its worker ends the process; one that waits has none, and is at its end."""
    state = client.read_flow_run(run_id).state
    waits = state is not None and state.is_scheduled()
    client.set_flow_run_state(run_id, Cancelled() if waits else Cancelling(), force=True)


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
