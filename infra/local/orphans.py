"""Deals at once with runs that died with their worker.

Prefect notices them by their missing heartbeats, minutes later; on this machine their processes can
be looked for. A run that another run waits for is called crashed, and the other tries again; a run
that stands alone is scheduled again, since stages that are finished are not repeated. A run whose
process outlived its worker is left alone.
"""

from pathlib import Path

import psutil
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import AwaitingRetry, Cancelled, Crashed

from infra.local.ending import marked

RUN_ID = "PREFECT__FLOW_RUN_ID"


def settle(home: Path, api: str, pool: str) -> list[str]:
    """Settle runs of a pool that are said to run and have no process.

    Args:
        home: the stack's home.
        api: address of the server's API.
        pool: name of the dead worker's pool.

    Returns:
        One line for each run.
    """
    running = FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.CANCELLING])
    with SyncPrefectClient(api=api) as client:
        runs = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=running)),
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
        )
        alive = _alive(home)
        lost = {run.id: (run, _fate(run)) for run in runs if str(run.id) not in alive}
        for run_id, (_, state) in lost.items():
            client.set_flow_run_state(run_id, state, force=True)
    return [f"{run.name}: {state.name}" for run, state in lost.values()]


def _fate(run: FlowRun) -> State[None]:
    if run.state is not None and run.state.type is StateType.CANCELLING:
        return Cancelled(message="Its worker was killed while it was canceled.")
    if run.parent_task_run_id is not None:
        return Crashed(message="Its worker was killed.")
    return AwaitingRetry(message="Its worker was killed.")


def _alive(home: Path) -> set[str]:
    """Ids of the runs that have a process of this stack."""
    found = set()
    for process in marked(home):
        try:
            found.add(process.environ().get(RUN_ID, ""))
        except psutil.Error:
            continue
    return found
