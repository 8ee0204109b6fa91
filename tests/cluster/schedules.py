"""Schedules make runs on this server: they did not with some versions of its database layer."""

import time
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
)
from prefect.client.schemas.objects import FlowRun

from flows.looking import NAME, SCHEDULE

SECONDS = 90.0


def check(client: SyncPrefectClient) -> None:
    """Resume the watcher's schedule, see that runs come, and pause it.

    Raises:
        AssertionError: none came.
    """
    deployment = client.read_deployment_by_name(NAME)
    (schedule,) = (each for each in deployment.schedules if each.slug == SCHEDULE)
    client.update_deployment_schedule(deployment.id, schedule.id, active=True)
    until = time.monotonic() + SECONDS
    while not _runs(client, deployment.id):
        assert time.monotonic() < until, "the schedule made no runs"
        time.sleep(1)
    client.update_deployment_schedule(deployment.id, schedule.id, active=False)
    for run in _runs(client, deployment.id):
        client.delete_flow_run(run.id)


def _runs(client: SyncPrefectClient, deployment: UUID) -> list[FlowRun]:
    only = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
    return client.read_flow_runs(deployment_filter=only)
