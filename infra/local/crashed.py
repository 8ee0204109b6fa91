"""Releases whose machine died are taken up again: an automation of the server.

What a run finished is not made again (`tasks.core.workspace`), so a run that crashed is scheduled
once more as it is. `flows.attempts` ends this for one that crashes its machine every time.
"""

from datetime import timedelta

from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification


def crashed_releases() -> AutomationCore:
    """Schedules each crashed run of the flow `release` again; its stages are tried by itself."""
    return AutomationCore(
        name="Take up crashed releases",
        description="Schedules a release again whose machine died.",
        trigger=EventTrigger(
            expect={"prefect.flow-run.Crashed"},
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            match_related=ResourceSpecification(
                {"prefect.resource.role": "flow", "prefect.resource.name": "release"}
            ),
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.SCHEDULED,
                name="AwaitingRetry",
                message="It crashed, and is taken up where it stood.",
            )
        ],
    )
