"""When deployments run that have a schedule, and when the watcher is given a hint."""

from datetime import timedelta

from prefect.client.orchestration import get_client
from prefect.client.schemas.schedules import IntervalSchedule

from flows.follow import server_errors

NAME = "watch/default"
SCHEDULE = "look"
"""Deployment and schedule in prefect.yaml."""


def reschedule(seconds: int, name: str = NAME, slug: str = SCHEDULE) -> None:
    """Let a deployment, the watcher if not told, run every so many seconds; 0 pauses it.

    Args:
        seconds: between two runs.
        name: of the deployment.
        slug: of its schedule in prefect.yaml.

    Raises:
        MachineError: it is not deployed.
        TransientError: the server does not answer.
    """
    with get_client(sync_client=True) as client, server_errors(client, name):
        deployment = client.read_deployment_by_name(name)
        (schedule,) = (s for s in deployment.schedules if s.slug == slug)
        if seconds:
            times = IntervalSchedule(interval=timedelta(seconds=seconds))
            client.update_deployment_schedule(
                deployment.id, schedule.id, active=True, schedule=times
            )
        else:
            client.update_deployment_schedule(deployment.id, schedule.id, active=False)


def hint(commit: str) -> None:
    """Have the deployed watcher look now; one look a commit.

    Raises:
        MachineError: it is not deployed.
        TransientError: the server does not answer.
    """
    with get_client(sync_client=True) as client, server_errors(client, NAME):
        deployment = client.read_deployment_by_name(NAME)
        client.create_flow_run_from_deployment(
            deployment.id, idempotency_key=f"hint-{commit}", tags=["hint"]
        )
