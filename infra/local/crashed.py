"""Releases whose machine died are taken up again: an automation of the server.

What a run finished is not made again (`tasks.core.workspace`), so a run that crashed is scheduled
once more as it is. `flows.attempts` ends this for one that crashes its machine every time.
"""

from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore

from infra.local.triggers import of_releases


def crashed_releases() -> AutomationCore:
    """Schedules each crashed run of the flow `release` again; its stages are tried by itself."""
    return AutomationCore(
        name="Take up crashed releases",
        description="Schedules a release again whose machine died.",
        trigger=of_releases({"prefect.flow-run.Crashed"}),
        actions=[
            ChangeFlowRunState(
                state=StateType.SCHEDULED,
                name="AwaitingRetry",
                message="It crashed, and is taken up where it stood.",
            )
        ],
    )
