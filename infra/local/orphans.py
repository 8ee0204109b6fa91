"""Deals at once with runs that lost their worker.

Prefect notices them by their missing heartbeats, minutes later; on this machine their processes can
be looked for. A run writes its log through its worker, and would be ended by its first line after
the worker's death; so what is left of it is ended here. A run that another run waits for is called
crashed, and the other tries again; a run that stands alone is scheduled again, since stages that
are finished are not repeated.
"""

import contextlib
from collections import defaultdict
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
ENGINE = "prefect.engine"
"""Module that a run's own process runs; `infra.local.pools` names it."""


def settle(home: Path, client: SyncPrefectClient, pool: str) -> list[str]:
    """Settle runs of a pool that are said to run and have no process under a worker.

    Args:
        home: the stack's home.
        client: of the server.
        pool: name of the dead worker's pool.

    Returns:
        One line for each run that was settled.
    """
    running = FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.CANCELLING])
    runs = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=running)),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
    )
    processes = _processes(home)
    lost = {run.id: (run, fate(run)) for run in runs if not _lives(processes[str(run.id)])}
    for run_id, (_, state) in lost.items():
        for process in processes[str(run_id)]:
            with contextlib.suppress(psutil.Error):
                process.kill()
        client.set_flow_run_state(run_id, state, force=True)
    return [f"{run.name}: {state.name}" for run, state in lost.values()]


def fate(run: FlowRun) -> State[None]:
    """The state of a run that lost its worker: one that another run waits for is tried by it."""
    if run.state is not None and run.state.type is StateType.CANCELLING:
        return Cancelled(message="Its worker was killed while it was canceled.")
    if run.parent_task_run_id is not None:
        return Crashed(message="Its worker was killed.")
    return AwaitingRetry(message="Its worker was killed.")


def _processes(home: Path) -> defaultdict[str, list[psutil.Process]]:
    """This stack's processes by the id of the run they belong to."""
    found = defaultdict(list)
    for process in marked(home):
        with contextlib.suppress(psutil.Error):
            found[process.environ().get(RUN_ID, "")].append(process)
    return found


def _lives(processes: list[psutil.Process]) -> bool:
    """Whether one of a run's processes is its engine, and its worker is there."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            parent = process.parent()
            if ENGINE in process.cmdline() and parent and "worker" in parent.cmdline():
                return True
    return False
